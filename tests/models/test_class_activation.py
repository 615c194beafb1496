import pytest
import torch
from captum.attr import LayerGradCam
from independent_i3d import with_random_norms
from torch import nn

from wauve_dist.models.class_activation import attention_rollout, class_activation, strided_grid
from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.models.classifiers.resnet import ResNet50
from wauve_dist.models.classifiers.slowfast import SlowFastResNet50
from wauve_dist.models.classifiers.timesformer import TimeSformer

POOLING_NETWORKS = {"I3D": I3DResNet50, "ResNet-50": ResNet50, "SlowFast": SlowFastResNet50}


@pytest.fixture(scope="module", params=POOLING_NETWORKS)
def network(request):
    torch.manual_seed(0)
    network = with_random_norms(POOLING_NETWORKS[request.param](dropout=0.5))
    nn.init.uniform_(network.classifier.bias, 0.5, 1.0)
    return network


@pytest.fixture(scope="module")
def timesformer():
    torch.manual_seed(0)
    return TimeSformer(image_size=64, patch_size=16, hidden_size=24, num_layers=3, num_heads=3, dropout=0.5).eval()


def _clips(network, num_clips, size):
    shape = (num_clips, network.clip_length, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [64, 112])
def test_a_map_s_mean_plus_the_bias_is_the_logit(network, size):
    clips = _clips(network, 2, size)
    with torch.inference_mode():
        maps, logits = network.maps(clips), network(clips)
    assert network.map_kind == "contribution"
    assert maps.shape[2:] == (-(-size // 32), -(-size // 32))
    assert maps.std() > 1e-3  # else the mean would hide where a cell lies
    torch.testing.assert_close(maps.mean(dim=(1, 2, 3)) + network.classifier.bias, logits, atol=1e-5, rtol=0)


def test_a_map_follows_its_pattern_by_whole_cells():
    """A bright square moved by the trunk's stride, 32 pixels, moves the map by one cell, far from the edges."""
    torch.manual_seed(0)
    network = with_random_norms(ResNet50(dropout=0.0))
    # Beside shallow layers with a small field of view, so that the edges of the picture stay out of sight.
    network.trunk = network.trunk[:5]
    network.classifier = nn.Linear(256, 1)
    pattern = torch.randint(0, 256, (32, 32), dtype=torch.uint8)
    clips = torch.zeros(2, 1, 192, 192, dtype=torch.uint8)
    clips[0, 0, 64:96, 64:96] = pattern
    clips[1, 0, 64:96, 96:128] = pattern
    with torch.inference_mode():
        still, moved = network.maps(clips)[:, 0]
    stride = 8  # of these layers: 32 pixels of the clip
    assert (moved - still).abs().max() > 0.01
    torch.testing.assert_close(moved[8:40, 8 + stride : 40], still[8:40, 8 : 40 - stride], atol=1e-5, rtol=0)


def test_a_cell_of_a_trunk_looks_at_the_place_where_its_grid_says():
    """The pixels' influence on a cell, measured by its gradient, is centred there, and not half a cell further on."""
    torch.manual_seed(0)
    network = with_random_norms(ResNet50(dropout=0.0))
    picture = torch.randn(1, 3, 320, 320, requires_grad=True)
    features = network.trunk(picture)
    middle = 5  # pixel 160: as much of the picture lies before it as behind it
    (features[0, :, middle, middle] * torch.randn(2048)).sum().backward()
    influence = picture.grad.abs().sum(dim=(0, 1))
    grid = strided_grid(features.shape[-1], 320)
    for side in (0, 1):
        profile = influence.sum(dim=side)
        centre = (profile * (torch.arange(320) + 0.5)).sum() / profile.sum()
        assert centre.item() == pytest.approx(320 * (grid.first + grid.pitch * middle), abs=3)


def test_class_activation_by_hand():
    features = torch.tensor([[1.0, 2.0], [10.0, 20.0]]).view(1, 2, 1, 1, 2)  # two channels, two cells
    maps = class_activation(features, torch.tensor([3.0, -0.5]))
    assert maps.tolist() == [[[[3.0 - 5.0, 6.0 - 10.0]]]]


@pytest.mark.parametrize("kind", [I3DResNet50, ResNet50])  # captum takes one feature map, and SlowFast has two
def test_grad_cam_of_a_pooling_network_is_its_class_activation_map_up_to_scale(kind):
    """Selvaraju et al. (2017): a channel's gradient in a cell is its weight / the number of cells."""
    torch.manual_seed(0)
    network = with_random_norms(kind(dropout=0.5))
    clips = _clips(network, 2, 96)
    grad_cam = LayerGradCam(network, network.trunk).attribute(clips, relu_attributions=False).detach()
    with torch.no_grad():
        maps = network.maps(clips)
    torch.testing.assert_close(grad_cam.view_as(maps) * maps[0].numel(), maps, atol=1e-4, rtol=1e-4)


def _rollout_by_full_matrices(temporal, spatial):
    """The product of all layers' matrices over all tokens: class token, then patch by patch its frames."""
    num_clips, num_patches, num_frames, _ = temporal[0].shape
    num_tokens = 1 + num_patches * num_frames
    identity = torch.eye(num_tokens, dtype=torch.float64)
    product = identity.repeat(num_clips, 1, 1)
    for over_frames, over_patches in zip(temporal, spatial, strict=True):
        in_time = identity.repeat(num_clips, 1, 1)
        in_space = torch.zeros(num_clips, num_tokens, num_tokens, dtype=torch.float64)
        for patch in range(num_patches):
            tokens = [1 + patch * num_frames + frame for frame in range(num_frames)]
            for i, token in enumerate(tokens):
                in_time[:, token, tokens] = over_frames[:, patch, i]
        for frame in range(num_frames):
            tokens = [0] + [1 + patch * num_frames + frame for patch in range(num_patches)]
            in_space[:, 0, tokens] += over_patches[:, frame, 0] / num_frames
            for i, token in list(enumerate(tokens))[1:]:
                in_space[:, token, tokens] = over_patches[:, frame, i]
        in_time[:, 0, 0] = 1
        # The class token has no temporal attention, so nothing to mix there.
        for attention in (in_time, in_space):
            torch.testing.assert_close(attention.sum(dim=2), torch.ones(num_clips, num_tokens, dtype=torch.float64))
            product = (attention + identity) / 2 @ product
    from_class = product[:, 0, 1:].view(num_clips, num_patches, num_frames)
    return from_class.transpose(1, 2)


def test_roll_out_is_the_class_token_s_row_of_the_product_of_all_matrices():
    generator = torch.Generator().manual_seed(0)
    temporal = torch.randn(3, 2, 4, 8, 8, generator=generator, dtype=torch.float64).mul(2).softmax(dim=-1)
    spatial = torch.randn(3, 2, 8, 5, 5, generator=generator, dtype=torch.float64).mul(2).softmax(dim=-1)
    rollout = attention_rollout(list(temporal), list(spatial))
    assert rollout.shape == (2, 8, 4)
    torch.testing.assert_close(rollout, _rollout_by_full_matrices(temporal, spatial), atol=1e-12, rtol=0)


def test_even_attention_rolls_out_evenly():
    temporal = [torch.full((1, 4, 8, 8), 1 / 8)] * 2
    spatial = [torch.full((1, 8, 5, 5), 1 / 5)] * 2
    rollout = attention_rollout(temporal, spatial)
    torch.testing.assert_close(rollout, rollout.mean().expand_as(rollout))


def test_timesformer_s_maps_follow_its_own_attention(timesformer, monkeypatch):
    clips = _clips(timesformer, 2, 64)
    seen = {}

    def watched_rollout(temporal, spatial):
        seen.update(temporal=temporal, spatial=spatial)
        return attention_rollout(temporal, spatial)

    monkeypatch.setattr("wauve_dist.models.classifiers.timesformer.attention_rollout", watched_rollout)
    with torch.inference_mode():
        maps = timesformer.maps(clips)
        images = torch.stack([clips] * 3, dim=2) / 255
        returned = timesformer.trunk((images - 0.45) / 0.225, output_attentions=True).attentions
    assert timesformer.map_kind == "attention"
    assert maps.shape == (2, 8, 4, 4)
    torch.testing.assert_close(maps.mean(dim=(1, 2, 3)), torch.ones(2))
    for ours, library_s in zip(seen["spatial"], returned, strict=True):
        torch.testing.assert_close(ours.flatten(0, 1), library_s.mean(dim=1))
    for matrix in seen["temporal"]:
        assert matrix.shape == (2, 16, 8, 8)
        torch.testing.assert_close(matrix.sum(dim=-1), torch.ones(2, 16, 8))


def test_a_patch_that_draws_attention_stands_out(timesformer):
    clips = torch.full((1, 8, 64, 64), 20, dtype=torch.uint8)
    with torch.inference_mode():
        even = timesformer.maps(clips)
        clips[:, :, 16:32, 32:48] = 255  # the patch of row 1, column 2
        marked = timesformer.maps(clips)
    change = (marked - even).abs().mean(dim=(0, 1))
    assert divmod(int(change.argmax()), 4) == (1, 2)
