"""Checkpoints on disk, checked before they are trusted.

Imports neither torch nor Lightning, so that an agent of a sweep starts at once.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


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
