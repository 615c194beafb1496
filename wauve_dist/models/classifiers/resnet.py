"""2D ResNet-50 (He et al. 2016) on single ROI frames: the paper's static comparator, on torchvision's trunk.

Shapes: N frames, T = 1, H = W = crop size, C = 2048 channels; after the trunk H' = W' = ceil(H/32).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wauve_dist.models.class_activation import class_activation
from wauve_dist.models.classifiers.clip_classifier import ClipClassifier, grey_to_rgb

# Of ImageNet's channels, which torchvision's and timm's weights were trained with.
_PIXEL_MEAN = (0.485, 0.456, 0.406)
_PIXEL_STD = (0.229, 0.224, 0.225)

_FEATURE_CHANNELS = 2048
_MIN_CROP_SIZE = 64  # leaves the last feature map 2x2


class ResNet50(ClipClassifier):
    """A frame's malignancy logit: trunk, global average pooling, dropout, one linear layer.

    Args:
        dropout: probability of dropping a pooled feature in training, 0..1.
    """

    clip_length = 1

    def __init__(self, dropout: float) -> None:
        super().__init__()
        from torchvision.models import resnet50

        self.dropout = dropout
        layers = dict(resnet50(weights=None, zero_init_residual=True).named_children())
        del layers["avgpool"], layers["fc"]
        self.trunk = nn.Sequential()
        for name, layer in layers.items():
            self.trunk.add_module(name, layer)
        self.head_dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(_FEATURE_CHANNELS, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def check_crop_size(self, crop_size: int) -> None:
        """Take any size from 64 pixels up."""
        if crop_size < _MIN_CROP_SIZE:
            raise ValueError(
                f"crop_size (--data.crop_size) is {crop_size}; ResNet-50 needs at least {_MIN_CROP_SIZE} pixels."
            )

    def translated(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename torchvision's and timm's ResNet-50, whose layers have the same names."""
        return {
            f"classifier.{name.removeprefix('fc.')}" if name.startswith("fc.") else f"trunk.{name}": value
            for name, value in weights.items()
        }

    @property
    def stages(self) -> list[nn.Module]:
        """The stem and the four groups of residual blocks."""
        convolution, norm, *_ = self.trunk
        return [nn.Sequential(convolution, norm), *self.trunk[-4:]]

    def features(self, clips_NTHW: Tensor) -> Tensor:
        """Compute the last feature map: grey uint8 [N, 1, H, W] to float [N, C, 1, H', W']."""
        x_N3THW = grey_to_rgb(clips_NTHW, _PIXEL_MEAN, _PIXEL_STD, self.classifier.weight.dtype)
        features: Tensor = self.trunk(x_N3THW.squeeze(2))
        return features.unsqueeze(2)

    def pooled(self, clips_NTHW: Tensor) -> Tensor:
        """Average the last feature map over the frame, [N, C]."""
        return torch.mean(self.features(clips_NTHW), dim=(2, 3, 4))

    def maps(self, clips_NTHW: Tensor) -> Tensor:
        """Compute class activation maps, [N, 1, H', W']."""
        return class_activation(self.features(clips_NTHW), self.classifier.weight[0])
