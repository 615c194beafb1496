"""Activation checkpointing: memory for time, with the same result (Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(stages: Sequence[nn.Module]) -> None:
    """Make each stage keep its input only, and compute its activations again when gradients are due.

    Gradients and running statistics stay what they were: the second pass does not count for batch norms.

    Args:
        stages: parts of a network, none within another; changed in place.
    """
    for stage in stages:
        _checkpoint(stage)


def _checkpoint(stage: nn.Module) -> None:
    forward = stage.forward

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _without_statistics(stage)

    def checkpointed(*arguments: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*arguments, **options)
        return checkpoint(forward, *arguments, use_reentrant=False, context_fn=contexts, **options)

    stage.forward = checkpointed


@contextmanager
def _without_statistics(stage: nn.Module) -> Iterator[None]:
    """Let the stage update copies of its buffers, the running statistics, which are then thrown away."""
    before = [(module, dict(module._buffers)) for module in stage.modules()]
    try:
        for module, buffers in before:
            module._buffers.update({name: None if b is None else b.clone() for name, b in buffers.items()})
        yield
    finally:
        for module, buffers in before:
            module._buffers.update(buffers)
