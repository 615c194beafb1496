"""Memory for batches that is used again once nobody holds the batch that it was lent for.

Fresh memory of a batch's size comes from the system page by page, each zeroed first, which takes a third as long as
filling it.
"""

from __future__ import annotations

import math
import weakref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_free: list[NDArray[np.uint8]] = []
"""Flat buffers that nobody holds; at most as many as there were batches alive at once."""


def lend_tensor(shape: tuple[int, ...]) -> Tensor:
    """Return a uint8 tensor, not initialised; its memory is lent again when it and all its views are gone."""
    size = math.prod(shape)
    buffer = _free.pop() if _free else np.empty(size, np.uint8)
    if len(buffer) < size:
        buffer = np.empty(size, np.uint8)
    array = buffer[:size].reshape(shape)
    # The tensor's storage, which its views share, holds this array and nothing else does.
    weakref.finalize(array, _free.append, buffer)
    return torch.from_numpy(array)
