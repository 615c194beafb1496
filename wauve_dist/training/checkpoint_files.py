"""Checkpoints on disk: whole or absent, checked before they are trusted."""

from __future__ import annotations

import os
import shutil
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from wauve_dist.structures.provenance import atomic_write

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


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


def make_room_for_last(folder: Path) -> None:
    """Rename last.ckpt to previous.ckpt: should the next save fail or be killed, that one is still there."""
    last, previous = folder / LAST, folder / PREVIOUS
    if not last.exists():
        return
    if previous.is_dir():  # of a sharded strategy; a folder cannot be replaced in one step
        shutil.rmtree(previous)
    last.replace(previous)


def remove_unfinished(folder: Path) -> None:
    """Remove what a save left that was killed."""
    for temporary in folder.glob(".*.ckpt"):
        temporary.unlink()


def newest_intact(folder: Path) -> tuple[Path | None, list[str]]:
    """Find the save that a run can carry on from.

    Args:
        folder: ``checkpoints`` of a run.

    Returns:
        last.ckpt if it is intact, else previous.ckpt if that is, else None; and what is wrong with those passed over.
    """
    faults: list[str] = []
    for path in (folder / LAST, folder / PREVIOUS):
        fault = _fault(path)
        if fault is None:
            return path, faults
        faults.append(f"{path} {fault}")
    return None, faults


def _fault(path: Path) -> str | None:
    """Tell what is wrong with a checkpoint, by its checksums; None if nothing is."""
    if not path.exists():
        return "is missing"
    files = sorted(file for file in path.rglob("*.pt") if file.is_file()) if path.is_dir() else [path]
    if not files:
        return "is an empty folder"
    for file in files:
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            return f"is not a whole checkpoint ({error})"
        if damaged is not None:
            return f"is damaged ({damaged} does not match its checksum)"
    return None
