"""What every network must keep, so that any of them can stand behind a task."""

import pytest
import torch
import yaml
from independent_i3d import with_random_norms
from jsonargparse import ArgumentParser

from wauve_dist.models.classifiers.clip_classifier import ClipClassifier
from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.models.classifiers.resnet import ResNet50
from wauve_dist.models.classifiers.slowfast import SlowFastResNet50
from wauve_dist.models.classifiers.timesformer import TimeSformer

NETWORKS = {
    "I3D": (I3DResNet50, {"dropout": 0.5}),
    "ResNet-50": (ResNet50, {"dropout": 0.5}),
    "SlowFast": (SlowFastResNet50, {"dropout": 0.5}),
    "TimeSformer": (
        TimeSformer,
        {"image_size": 64, "patch_size": 16, "hidden_size": 24, "num_layers": 2, "num_heads": 3, "dropout": 0.5},
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    kind, arguments = NETWORKS[request.param]
    return with_random_norms(kind(**arguments))


def clips_for(network, num_clips):
    shape = (num_clips, network.clip_length, 64, 64)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_a_logit_depends_on_its_own_clip_only(network):
    clips = clips_for(network, 5)
    with torch.inference_mode():
        together = network(clips)
        assert together.shape == (5,)
        assert together.std() > 1e-3  # else every logit would agree with every other
        alone = torch.cat([network(clip[None]) for clip in clips])
        order = torch.tensor([3, 0, 4, 1, 2])
        padded = network(torch.cat([clips, torch.zeros_like(clips), torch.full_like(clips, 255)]))[:5]
        for other in (alone, network(clips[order])[order.argsort()], padded):
            torch.testing.assert_close(other, together, atol=1e-5, rtol=1e-5)


def test_black_and_white_clips_have_finite_logits(network):
    clips = clips_for(network, 2)
    with torch.inference_mode():
        assert network(torch.stack([torch.zeros_like(clips[0]), torch.full_like(clips[1], 255)])).isfinite().all()


def test_every_parameter_learns(network):
    logits = network(clips_for(network, 2))
    logits.sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    network.zero_grad()
    assert idle == []


def test_its_config_builds_it_anew(network):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--classifier", type=ClipClassifier)
    written = yaml.safe_dump({"classifier": network.config})
    built = parser.instantiate(parser.parse_string(written)).classifier
    assert type(built) is type(network)
    assert built.config == network.config
    built.load_state_dict(network.state_dict())


def test_it_takes_the_smallest_crop_and_refuses_less(network):
    network.check_crop_size(64)
    with pytest.raises(ValueError, match=r"crop_size \(--data.crop_size\) is 56"):
        network.check_crop_size(56)
