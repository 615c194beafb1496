"""Where a run's figures go: CSV in the run folder, and W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

WandbMode = Literal["offline", "online", "disabled"]


def build_loggers(out: Path, wandb_mode: WandbMode, run_id: str) -> list[Logger]:
    """Build the loggers of a run folder.

    Args:
        out: run folder; gets ``metrics/version_N/metrics.csv``, N counting its resumes, and, unless W&B is disabled,
            ``wandb/``.
        wandb_mode: ``offline`` writes files that ``wandb sync`` uploads later and needs neither account nor network.
        run_id: W&B's id of the run; a resumed run continues it.
    """
    loggers: list[Logger] = [CSVLogger(out, name="metrics")]
    if wandb_mode != "disabled":
        wandb = WandbLogger(
            name=out.name, save_dir=out, project="wauve_dist", mode=wandb_mode, id=run_id, resume="allow"
        )
        loggers.append(wandb)
    return loggers
