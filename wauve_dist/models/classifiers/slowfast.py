"""SlowFast ResNet-50 (Feichtenhofer et al. 2019) on PyTorchVideo's trunk.

Shapes: N clips, T = 8 frames; the slow pathway sees 2 of them with 2048 channels, the fast one all with 256.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wauve_dist.models.class_activation import class_activation
from wauve_dist.models.classifiers.clip_classifier import ClipClassifier, grey_to_rgb
from wauve_dist.structures.clips import CLIP_LENGTH

# Of the recipe that PyTorchVideo's Kinetics weights were trained with, the same for each channel.
_PIXEL_MEAN = (0.45, 0.45, 0.45)
_PIXEL_STD = (0.225, 0.225, 0.225)

_FRAME_RATIO = 4  # of the fast pathway's frames to the slow one's
_SLOW_CHANNELS, _FAST_CHANNELS = 2048, 256
_MIN_CROP_SIZE = 64


class SlowFastResNet50(ClipClassifier):
    """A clip's malignancy logit: two pathways, each averaged over time and space, dropout, one linear layer.

    Args:
        dropout: probability of dropping a pooled feature in training, 0..1.
    """

    clip_length = CLIP_LENGTH

    def __init__(self, dropout: float) -> None:
        super().__init__()
        from pytorchvideo.models.hub import slowfast_r50

        self.dropout = dropout
        self.trunk = nn.Sequential(*slowfast_r50(pretrained=False).blocks[:-2])
        self.head_dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(_SLOW_CHANNELS + _FAST_CHANNELS, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def check_crop_size(self, crop_size: int) -> None:
        """Take any size from 64 pixels up."""
        if crop_size < _MIN_CROP_SIZE:
            raise ValueError(
                f"crop_size (--data.crop_size) is {crop_size}; SlowFast needs at least {_MIN_CROP_SIZE} pixels."
            )

    def translated(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename PyTorchVideo's SlowFast."""
        head = "blocks.6.proj."
        return {
            f"classifier.{name.removeprefix(head)}"
            if name.startswith(head)
            else name.replace("blocks.", "trunk.", 1): value
            for name, value in weights.items()
        }

    def features(self, clips_NTHW: Tensor) -> list[Tensor]:
        """Compute the last feature maps: grey uint8 to the slow and the fast pathway's float [N, C, T', H', W']."""
        x_N3THW = grey_to_rgb(clips_NTHW, _PIXEL_MEAN, _PIXEL_STD, self.classifier.weight.dtype)
        pathways: list[Tensor] = self.trunk([x_N3THW[:, :, ::_FRAME_RATIO], x_N3THW])
        return pathways

    def pooled(self, clips_NTHW: Tensor) -> Tensor:
        """Average each pathway's last feature map over time and space, [N, slow C + fast C]."""
        return torch.cat([features.mean(dim=(2, 3, 4)) for features in self.features(clips_NTHW)], dim=1)

    def maps(self, clips_NTHW: Tensor) -> Tensor:
        """Add up the class activation maps of the pathways, [N, T, H', W']."""
        slow, fast = self.features(clips_NTHW)
        weight_C = self.classifier.weight[0]
        slow_map = class_activation(slow, weight_C[:_SLOW_CHANNELS]).repeat_interleave(_FRAME_RATIO, dim=1)
        return slow_map + class_activation(fast, weight_C[_SLOW_CHANNELS:])
