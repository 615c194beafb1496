"""What DDP does for the state that it does not average, for the strategies that lack it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


@torch.no_grad()
def broadcast_from_rank_zero(tensors: Iterable[Tensor]) -> None:
    """Overwrite the tensors of all ranks with those of rank 0; every rank must call it with as many.

    Every rank counts the running statistics of its own batches. Evaluation needs the same on all ranks, and those of
    rank 0 are the ones in a checkpoint.
    """
    for tensor in tensors:
        dist.broadcast(tensor.detach(), src=0)
