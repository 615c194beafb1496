"""How a training shows people that it goes on: a bar in a terminal, a line an epoch in a log."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

from wauve_dist.training.logging.step_figures import StepFigures


class ProgressWithSpeed(RichProgressBar):
    """Lightning's rich bar with clips or frames a second beside losses and AUC.

    Args:
        figures: of the same training.
    """

    def __init__(self, figures: StepFigures) -> None:
        super().__init__()
        self._figures = figures

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what stands behind the bar."""
        shown = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        return {**shown, "speed": self._figures.throughput} if self._figures.throughput else shown


class EpochLines(pl.Callback):
    """Prints a line an epoch, on rank 0: a job's log is read by people, and a bar would fill it.

    Args:
        figures: of the same training.
    """

    def __init__(self, figures: StepFigures) -> None:
        self._figures = figures

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print what the bar would show."""
        if not trainer.is_global_zero:
            return
        shown = [f"{name} {float(value):.4f}" for name, value in trainer.progress_bar_metrics.items()]
        if self._figures.throughput:
            shown.append(self._figures.throughput)
        last = "" if trainer.max_epochs in (None, -1) else f" of {trainer.max_epochs}"
        print(f"epoch {trainer.current_epoch + 1}{last}: {', '.join(shown)}", flush=True)
