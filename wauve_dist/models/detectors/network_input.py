"""From grey frames to the network's input, as torchvision's ``GeneralizedRCNNTransform`` but in one channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.transform import GeneralizedRCNNTransform


class NetworkInput(NamedTuple):
    """N frames as the network takes them.

    Attributes:
        images: float32 [N, 1, H, W], normalised, resized and padded.
        sizes: float32 [N, 2], width and height of each frame after resizing.
        scales: float32 [N, 2], the frame's own width and height over those.
    """

    images: Tensor
    sizes: Tensor
    scales: Tensor


def network_input(frames: Sequence[Tensor], transform: GeneralizedRCNNTransform) -> NetworkInput:
    """Normalise, resize and pad frames without waiting for the device; all at once where they have one size.

    Args:
        frames: uint8 [H, W] each, grey, on one device.
        transform: the network's, whose channels are all normalised alike.
    """
    is_uniform = len({frame.shape for frame in frames}) == 1
    parts = [torch.stack(list(frames))] if is_uniform else [frame.unsqueeze(0) for frame in frames]
    resized = [_resized(_normalised(part.unsqueeze(1), transform), transform.max_size) for part in parts]
    height, width = (_padded(max(part.shape[axis] for part in resized), transform.size_divisible) for axis in (2, 3))
    images = torch.cat([F.pad(part, (0, width - part.shape[3], 0, height - part.shape[2])) for part in resized])
    facts = torch.tensor(
        [
            (after.shape[3], after.shape[2], before.shape[2] / after.shape[3], before.shape[1] / after.shape[2])
            for before, after in zip(parts, resized, strict=True)
            for _ in range(len(after))
        ]
    )
    if images.is_cuda:  # from pageable memory the host would wait for the copy
        facts = facts.pin_memory().to(images.device, non_blocking=True)
    return NetworkInput(images, facts[:, :2], facts[:, 2:])


def _normalised(frames_N1HW: Tensor, transform: GeneralizedRCNNTransform) -> Tensor:
    mean, std = float(transform.image_mean[0]), float(transform.image_std[0])
    return (frames_N1HW.float() / 255 - mean) / std


def _resized(images_N1HW: Tensor, long_side: int) -> Tensor:
    scale = long_side / max(images_N1HW.shape[2:])
    if scale == 1:
        return images_N1HW
    return F.interpolate(images_N1HW, scale_factor=scale, mode="bilinear", recompute_scale_factor=True)


def _padded(side: int, stride: int) -> int:
    return -(-side // stride) * stride
