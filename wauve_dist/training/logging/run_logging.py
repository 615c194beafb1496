"""Where a run's figures go: CSV in the run folder, W&B, TensorBoard; and what a run says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from wauve_dist.training.logging.run_privacy import code_version, data_hashes, environment, scrubbed
from wauve_dist.training.logging.wandb_run import WandbMode, WandbRunLogger


def build_loggers(out: Path, wandb_mode: WandbMode, run_id: str, tensorboard: bool) -> list[Logger]:
    """Build the loggers of a run folder; all figures go to all of them.

    Args:
        out: run folder; gets ``metrics/version_N/metrics.csv``, N counting its resumes, and, unless W&B is disabled,
            ``wandb/``.
        wandb_mode: ``offline`` writes files that ``wandb sync`` uploads later and needs neither account nor network;
            ``online`` has them uploaded meanwhile.
        run_id: W&B's id of the run; a resumed run continues it.
        tensorboard: write event files into ``tensorboard/`` of the run folder too; a resumed run adds a file.
    """
    loggers: list[Logger] = [CSVLogger(out, name="metrics")]
    if wandb_mode != "disabled":
        loggers.append(WandbRunLogger(out, wandb_mode, run_id))
    if tensorboard:
        loggers.append(TensorBoardLogger(out, name="tensorboard", version="", default_hp_metric=False))
    return loggers


class RunDescription(pl.Callback):
    """Logs the resolved config, the code's commit, the environment and the data's hashes once the data were read.

    Args:
        config: resolved; goes out without paths (see ``run_privacy.scrubbed``).
        sources: role ("manifest", "tracks") to the file that is learned from.
    """

    def __init__(self, config: Mapping[str, Any], sources: Mapping[str, Path]) -> None:
        self._config, self._sources = config, sources

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log it all."""
        if not trainer.is_global_zero:
            return
        description = {
            "config": scrubbed(self._config),
            "code": code_version(),
            "environment": environment(trainer.world_size),
            "data": data_hashes(self._sources),
        }
        for logger in trainer.loggers:
            logger.log_hyperparams(description)


def wandb_loggers(trainer: pl.Trainer) -> list[WandbRunLogger]:
    """Return the trainer's loggers of ours that go to W&B: one, or none."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbRunLogger)]
