"""I3D ResNet-50 (Carreira & Zisserman 2017; PySlowFast's I3D 8x8), on PyTorchVideo's trunk.

Shapes: N clips, T = 8 frames, H = W = crop size, C = 2048 channels; after the trunk T' = T/2, H' = W' = ceil(H/32).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wauve_dist.models.class_activation import class_activation
from wauve_dist.models.classifiers.clip_classifier import ClipClassifier
from wauve_dist.models.classifiers.i3d_layouts import inflated, own_name
from wauve_dist.structures.clips import CLIP_LENGTH

# PySlowFast's input statistics, which its Kinetics weights were trained with.
PIXEL_MEAN = 0.45
PIXEL_STD = 0.225

_FEATURE_CHANNELS = 2048
_MIN_CROP_SIZE = 64  # leaves the last feature map 2x2


class I3DResNet50(ClipClassifier):
    """A clip's malignancy logit: trunk, global average pooling, dropout, one linear layer.

    Pooling sits directly before the linear layer, so class activation maps are the linear layer applied
    to the feature map before pooling (Zhou et al. 2016), as in the paper.

    Args:
        dropout: probability of dropping a pooled feature in training, 0..1.
    """

    clip_length = CLIP_LENGTH

    def __init__(self, dropout: float) -> None:
        super().__init__()
        from pytorchvideo.models.hub import i3d_r50

        self.dropout = dropout
        self.trunk = nn.Sequential(*i3d_r50(pretrained=False).blocks[:-1])
        for module in self.trunk.modules():
            # Every residual block starts as the identity (Goyal et al. 2017).
            if (norm := getattr(module, "norm_c", None)) is not None:
                nn.init.zeros_(norm.weight)
            # PyTorchVideo multiplies some strides with NumPy, whose integers torch.compile takes for tensors.
            if isinstance(module, nn.Conv3d):
                module.stride = tuple(int(step) for step in module.stride)
        self.head_dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(_FEATURE_CHANNELS, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def check_crop_size(self, crop_size: int) -> None:
        """Take any size from 64 pixels up."""
        if crop_size < _MIN_CROP_SIZE:
            raise ValueError(
                f"crop_size (--data.crop_size) is {crop_size}; I3D needs at least {_MIN_CROP_SIZE} pixels."
            )

    def translated(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename PyTorchVideo's, PySlowFast's and Caffe2's I3D; rename and inflate a 2D ResNet-50."""
        own, result = self.state_dict(), {}
        for name, value in weights.items():
            known = own.get(renamed := own_name(name))
            is_2d = known is not None and (known.ndim, value.ndim) == (5, 4)
            result[renamed] = inflated(value, known.shape[2]) if known is not None and is_2d else value
        return result

    def features(self, clips_NTHW: Tensor) -> Tensor:
        """Compute the last feature map.

        Args:
            clips_NTHW: uint8, grey.

        Returns:
            float [N, C, T', H', W'].
        """
        dtype = self.classifier.weight.dtype
        x_NTHW = (clips_NTHW.to(dtype) / 255 - PIXEL_MEAN) / PIXEL_STD
        features: Tensor = self.trunk(x_NTHW.unsqueeze(1).expand(-1, 3, -1, -1, -1))
        return features

    def pooled(self, clips_NTHW: Tensor) -> Tensor:
        """Average the last feature map over time and space, [N, C]."""
        return torch.mean(self.features(clips_NTHW), dim=(2, 3, 4))

    def maps(self, clips_NTHW: Tensor) -> Tensor:
        """Compute class activation maps, [N, T', H', W']."""
        return class_activation(self.features(clips_NTHW), self.classifier.weight[0])
