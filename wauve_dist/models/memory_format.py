"""The order of a tensor's dimensions in memory."""

from __future__ import annotations

import torch
from torch import nn


def put_channels_last(network: nn.Module) -> None:
    """Keep the weights of convolutions, and so what they compute, channels last; results differ by rounding only.

    Tensor cores read that order, so half-precision convolutions need not reorder what they read and write. A checkpoint
    is the same either way.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
        elif isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
