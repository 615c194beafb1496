"""Writes checkpoints so that they are whole or absent."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from wauve_dist.structures.provenance import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, to the disk, and moves it there in one step.

    Args:
        in_background: write in a thread while training goes on, from a copy in memory; the next save, or the end of the
            run, waits for it and reports its failure.
    """

    def __init__(self, in_background: bool) -> None:
        self._thread = ThreadPoolExecutor(1) if in_background else None
        self._writing: Future[None] | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Save; a failure leaves what was at ``path`` before.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        assert storage_options is None, "a local file has no storage options"
        self.teardown()
        if self._thread is None:
            _write(checkpoint, Path(path))
        else:
            copy = apply_to_collection(checkpoint, Tensor, lambda tensor: tensor.detach().clone())
            self._writing = self._thread.submit(_write, copy, Path(path))

    def teardown(self) -> None:
        """Wait for the save under way.

        Raises:
            OSError: it failed.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    try:
        with atomic_write(path) as temporary:
            torch.save(checkpoint, temporary)
    except (OSError, RuntimeError) as error:  # torch reports a failed write as a RuntimeError
        free_gb = shutil.disk_usage(path.parent).free / 1e9
        raise OSError(
            f"{path}: could not be saved ({error}). {free_gb:.2f} GB are free there; earlier checkpoints are as they "
            "were. Make room, then carry on with --resume."
        ) from error
