"""Norms folded into the convolutions before them, for prediction."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(module: nn.Module) -> None:
    """Let each convolution do the work of the batch norm behind it; outputs differ by rounding only.

    In evaluation a norm is a factor and a summand of each channel. As a step of its own it reads and writes the whole
    map once more, at large frames as much as the convolution's own reading and writing.

    Args:
        module: in evaluation mode; each norm follows its convolution among the children of a module. It cannot be
            trained any more, nor can its weights go into a checkpoint.
    """
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            assert previous is not None, f"{name} follows no convolution"
            convolution_name, convolution = previous
            assert isinstance(convolution, nn.Conv2d), f"{name} follows {convolution_name}, which is no convolution"
            setattr(module, convolution_name, fuse_conv_bn_eval(convolution, child))
            setattr(module, name, nn.Identity())
        else:
            fold_norms(child)
        previous = name, child
