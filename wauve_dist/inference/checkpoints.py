"""Trained models from their checkpoints, ready to predict."""

from __future__ import annotations

import pickle
from argparse import ArgumentError
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytorch_lightning as pl
import torch

DeviceName = Literal["auto", "cpu", "cuda"]
Task = TypeVar("Task", bound=pl.LightningModule)


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names flag, file and remedy."""


def load_task(task: type[Task], path: Path, flag: str, device: torch.device, **changes: Any) -> Task:
    """Load a LightningModule in evaluation mode, with tensors and plain values only (``weights_only``).

    Args:
        task: class that wrote the checkpoint.
        path: ``*.ckpt`` of a training run.
        flag: what the user typed, for the error.
        device: where the model goes.
        changes: hyperparameters that differ from the checkpoint's.

    Raises:
        CheckpointError: no such file, not a checkpoint, or one of another task.
    """
    if not path.is_file():
        raise CheckpointError(f"{flag} {path}: there is no such file. Expected a checkpoint of launch/train.py.")
    try:
        loaded: Task = task.load_from_checkpoint(path, map_location=device, weights_only=True, **changes)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, RuntimeError, ArgumentError) as error:
        raise CheckpointError(
            f"{flag} {path}: is not a checkpoint of {task.__name__} ({type(error).__name__}: {error}). Give a .ckpt "
            "that launch/train.py wrote for this task, with this version of wauve_dist."
        ) from error
    return loaded.to(device).eval()


def pick_device(name: DeviceName) -> torch.device:
    """Return the device that ``--device`` names; ``auto`` is the GPU where there is one.

    Raises:
        CheckpointError: CUDA was asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise CheckpointError("--device cuda: this machine has no usable CUDA device. Use --device cpu or auto.")
    return torch.device("cuda" if has_cuda and name != "cpu" else "cpu")


def run_name(checkpoint: Path) -> str:
    """Name a model by the run folder that launch/train.py wrote it in, or else by its file."""
    folder = checkpoint.absolute().parent
    return folder.parent.name if folder.name == "checkpoints" else checkpoint.stem
