"""Where a network saw what: class activation maps, and attention roll-out for transformers.

Shapes: N clips, C channels, T frames, H and W of a map; P = H W patches a frame; L layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wauve_dist.models.classifiers.clip_classifier import MapKind

# The convolutional trunks halve their pictures five times.
_TRUNK_STRIDE = 32


class CellGrid(NamedTuple):
    """Where the cells of a map lie along a side of what it shows, as shares of that side.

    Attributes:
        first: centre of the first cell.
        pitch: from one cell's centre to the next one's.
    """

    first: float
    pitch: float


def even_grid(num_cells: int) -> CellGrid:
    """Cells that divide the side evenly, as a transformer's patches do."""
    return CellGrid(0.5 / num_cells, 1 / num_cells)


def strided_grid(num_cells: int, num_pixels: int) -> CellGrid:
    """Cells of a convolutional trunk, centred on every 32nd pixel from the first one on.

    Its strided convolutions have odd kernels and pad both sides alike, so that the first output of each is centred on
    its first input (Araujo et al. 2019, "Computing receptive fields of convolutional neural networks"). Cells drawn as
    if they divided the picture evenly would lie 15.5 pixels too far to the right and too low.

    Args:
        num_cells: along the side.
        num_pixels: of the clip, along the side.
    """
    assert num_cells == math.ceil(num_pixels / _TRUNK_STRIDE), "another stride than the trunks have"
    return CellGrid(0.5 / num_pixels, _TRUNK_STRIDE / num_pixels)


def cell_grid(kind: MapKind, num_cells: int, num_pixels: int) -> CellGrid:
    """Say where the cells of a network's maps lie along a side of a clip of ``num_pixels``."""
    return even_grid(num_cells) if kind == "attention" else strided_grid(num_cells, num_pixels)


def interpolation(num_cells: int, grid: CellGrid, start: float, stop: float, pixels: range) -> NDArray[np.float32]:
    """Weights of linear interpolation between cells; beyond the outermost centres their values go on.

    Args:
        num_cells: along the stretch from ``start`` to ``stop``.
        grid: where they lie in it.
        start: pixels.
        stop: pixels.
        pixels: their numbers; pixel 0 reaches from 0 to 1.

    Returns:
        [pixels, num_cells], rows that sum to 1.
    """
    positions = ((np.asarray(pixels) + 0.5 - start) / (stop - start) - grid.first) / grid.pitch
    distances = np.abs(positions.clip(0, num_cells - 1)[:, None] - np.arange(num_cells))
    weights: NDArray[np.float32] = np.clip(1 - distances, 0, None).astype(np.float32)
    return weights


def class_activation(features_NCTHW: Tensor, weight_C: Tensor) -> Tensor:
    """Compute class activation maps (Zhou et al. 2016) of a network that ends in global average pooling.

    The linear layer behind the pooling is applied to each cell of the feature map instead of to their mean. The two
    commute, so that a map's mean plus the layer's bias is the clip's logit: a cell above 0 speaks for malignant, one
    below for benign.

    Args:
        features_NCTHW: the feature map before pooling.
        weight_C: of the linear layer's only output.

    Returns:
        [N, T, H, W].
    """
    return torch.einsum("ncthw,c->nthw", features_NCTHW, weight_C)


def attention_rollout(temporal_LNPTT: Sequence[Tensor], spatial_LNTQQ: Sequence[Tensor]) -> Tensor:
    """Follow the class token's attention down to the patches through divided space-time attention.

    Attention roll-out (Abnar & Zuidema 2020) multiplies the attention matrices of all layers, each averaged over its
    heads and mixed half and half with the identity for the residual connection. Here a layer attends twice
    (Bertasius et al. 2021): over the frames of a patch, then over a frame's patches and the class token, whose results
    of all frames are averaged. Only the class token's row of the product is needed, so it alone is carried through the
    transposed matrices from the last layer to the first.

    Args:
        temporal_LNPTT: of each layer, first to last; the rows, the last but one dimension, sum to 1.
        spatial_LNTQQ: likewise, Q = 1 + P with the class token first.

    Returns:
        [N, T, P], at least 0; with what stays on the class token it sums to 1.
    """
    num_clips, num_frames, num_tokens, _ = spatial_LNTQQ[0].shape
    on_class_N = spatial_LNTQQ[0].new_ones(num_clips)
    on_patches_NTP = spatial_LNTQQ[0].new_zeros(num_clips, num_frames, num_tokens - 1)
    for temporal_NPTT, spatial_NTQQ in zip(reversed(temporal_LNPTT), reversed(spatial_LNTQQ), strict=True):
        shared_NT1 = (on_class_N / num_frames)[:, None, None].expand(-1, num_frames, 1)
        before_NTQ = torch.cat([shared_NT1, on_patches_NTP], dim=2)
        attended_NTQ = (before_NTQ + torch.einsum("ntq,ntqk->ntk", before_NTQ, spatial_NTQQ)) / 2
        on_class_N, on_patches_NTP = attended_NTQ[:, :, 0].sum(dim=1), attended_NTQ[:, :, 1:]
        on_patches_NTP = (on_patches_NTP + torch.einsum("ntp,nptk->nkp", on_patches_NTP, temporal_NPTT)) / 2
    return on_patches_NTP
