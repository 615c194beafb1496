"""A run's checkpoints at W&B: weights and settings, and hashes of what they were made from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from wauve_dist.training.logging.wandb_run import WandbRunLogger

# Of a Lightning checkpoint, what loads as a model. The rest resumes a run: optimiser, samplers, and callbacks, whose
# state holds paths.
_KEPT = ("state_dict", "hyper_parameters", "pytorch-lightning_version", "epoch", "global_step")


def log_checkpoint(logger: WandbRunLogger, checkpoint: Path, alias: str, made_from: Mapping[str, str]) -> None:
    """Log a checkpoint as a version of the run's artifact ``checkpoint-RUN_ID``; the file in it is ``model.ckpt``.

    It loads like any checkpoint of ours, but no run resumes from it.

    Args:
        logger: of the run.
        checkpoint: written by Lightning.
        alias: ``best`` or ``last``.
        made_from: role to hash, as in the checkpoint's provenance: ties it to the data before it, and predictions and
            reports, which name its own hash, to it.
    """
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.ckpt"
        torch.save({name: saved[name] for name in _KEPT}, model)
        steps = {"epoch": saved["epoch"], "step": saved["global_step"]}
        logger.log_file(model, alias, {**steps, "made_from": dict(made_from)})
