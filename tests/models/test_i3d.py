"""I3D against PyTorchVideo's own model and against the published counts."""

import pytest
import torch
from pytorchvideo.models.hub import i3d_r50
from torch.utils.flop_counter import FlopCounterMode

from wauve_dist.models.classifiers.i3d import PIXEL_MEAN, PIXEL_STD, I3DResNet50


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = I3DResNet50(dropout=0.5).eval()
    for module in model.modules():  # zero-initialised norms would hide the residual branches
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
    return model


def test_parameter_count_is_that_of_pyslowfast_with_one_output(model):
    # 28,043,472 with 400 classes (PySlowFast's model zoo): 399 outputs of 2048 weights and a bias fewer.
    assert sum(p.numel() for p in model.parameters()) == 28_043_472 - 399 * 2049


def test_logits_are_those_of_pytorchvideo_with_the_same_weights(model):
    reference = i3d_r50(pretrained=False, model_num_class=1).eval()
    reference.blocks[:-1].load_state_dict(model.trunk.state_dict())
    reference.blocks[-1].proj.load_state_dict(model.classifier.state_dict())
    clips = torch.randint(0, 256, (2, 8, 224, 224), dtype=torch.uint8)
    x = ((clips.float() / 255 - PIXEL_MEAN) / PIXEL_STD).unsqueeze(1).repeat(1, 3, 1, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(model(clips), reference(x).squeeze(1), atol=1e-5, rtol=1e-5)


def test_feature_map_of_the_paper_size(model):
    with torch.inference_mode():
        assert model.features(torch.zeros(1, 8, 224, 224, dtype=torch.uint8)).shape == (1, 2048, 4, 7, 7)


def test_features_are_those_of_pytorchvideo_byte_for_byte(model):
    reference = i3d_r50(pretrained=False).eval()
    reference.blocks[:-1].load_state_dict(model.trunk.state_dict())
    clips = torch.randint(0, 256, (2, 8, 64, 64), dtype=torch.uint8)
    x = ((clips.float() / 255 - PIXEL_MEAN) / PIXEL_STD).unsqueeze(1).repeat(1, 3, 1, 1, 1)
    with torch.inference_mode():
        for block in reference.blocks[:-1]:
            x = block(x)
        assert torch.equal(model.features(clips), x)


def test_work_is_that_of_pyslowfast():
    # 28.41 GMAC for a clip of 8x224x224 (this model's published 28.4 G); a MAC is two operations.
    with torch.device("meta"):
        model = I3DResNet50(dropout=0.5)
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 8, 224, 224, dtype=torch.uint8))
    assert counter.get_total_flops() / 2 / 1e9 == pytest.approx(28.41, abs=0.005)


def test_torch_compile_can_trace_every_stride(model):
    # Strides that are NumPy integers are traced as tensors, and inductor gives up.
    strides = [step for module in model.modules() if isinstance(module, torch.nn.Conv3d) for step in module.stride]
    assert strides
    assert {type(step) for step in strides} == {int}
