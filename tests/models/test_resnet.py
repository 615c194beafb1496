"""The image classifier against torchvision's own model."""

import pytest
import torch
from torchvision.models import resnet50
from torchvision.transforms.v2.functional import normalize

from wauve_dist.models.classifiers.resnet import ResNet50


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = ResNet50(dropout=0.5).eval()
    for module in model.modules():  # zero-initialised norms would hide the residual branches
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
    return model


def test_parameter_count_is_torchvision_s_with_one_output(model):
    # 25,557,032 with 1,000 classes (torchvision): 999 outputs of 2048 weights and a bias fewer.
    assert sum(p.numel() for p in model.parameters()) == 25_557_032 - 999 * 2049


def test_logits_are_those_of_torchvision_with_the_same_weights(model):
    reference = resnet50(weights=None, num_classes=1).eval()
    own = {name.removeprefix("trunk."): value for name, value in model.state_dict().items()}
    own |= {f"fc.{name}": own.pop(f"classifier.{name}") for name in ("weight", "bias")}
    reference.load_state_dict(own)
    frames = torch.randint(0, 256, (2, 1, 96, 96), dtype=torch.uint8)
    rgb = normalize(frames.float().div(255).expand(-1, 3, -1, -1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.inference_mode():
        torch.testing.assert_close(model(frames), reference(rgb).squeeze(1), atol=1e-5, rtol=1e-5)


def test_the_logit_is_the_linear_layer_on_the_mean_of_the_feature_map(model):
    frames = torch.randint(0, 256, (2, 1, 64, 96), dtype=torch.uint8)
    with torch.inference_mode():
        features = model.features(frames)
        assert features.shape == (2, 2048, 1, 2, 3)
        expected = model.classifier(features.flatten(2).mean(2)).squeeze(1)
        torch.testing.assert_close(model(frames), expected, atol=1e-5, rtol=1e-5)


def test_frames_below_64_pixels_are_refused(model):
    model.check_crop_size(64)
    with pytest.raises(ValueError, match=r"crop_size .* is 63; ResNet-50 needs at least 64 pixels"):
        model.check_crop_size(63)
