"""The one owner of last.ckpt and of stopping: saves between two steps, on all ranks together."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from wauve_dist.training.stopping.checkpoint_files import LAST, PREVIOUS, make_room_for_last
from wauve_dist.training.stopping.step_votes import StepDecision, StepVotes
from wauve_dist.training.stopping.stop_signals import StopSignals


class Stopped(Exception):  # noqa: N818 - no error: the run did as it was told
    """Training stopped on request, after a save or before its first step.

    Attributes:
        saved: whether there is a save to carry on from.
    """

    def __init__(self, saved: bool) -> None:
        super().__init__("stopped on request")
        self.saved = saved


class LastCheckpoint(Checkpoint):
    """Saves last.ckpt at every epoch's end, every so many minutes in between, and when a signal asks the run to stop.

    A resumed run must go on where a step ended. So this never saves in a signal handler, while gradients accumulate,
    or between an epoch's last step and its validation; a wish that comes there waits for the next step.

    Args:
        folder: gets last.ckpt and previous.ckpt, the save before it.
        every_minutes: between two saves within an epoch.
        signals: which may ask this process to stop.
    """

    def __init__(self, folder: Path, every_minutes: float, signals: StopSignals) -> None:
        if not every_minutes > 0:
            raise ValueError(f"--save_every_minutes is {every_minutes}; it must be above 0.")
        self._folder, self._every_s, self._signals = folder, every_minutes * 60, signals
        self._votes = StepVotes()
        self._saved_s = 0.0
        self._resumed = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree on stops in place of Lightning, which waits for a broadcast in every step."""
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _no_broadcast  # type: ignore[method-assign]
        self._votes = StepVotes()
        self._resumed = trainer.ckpt_path is not None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop here if asked while data were prepared: there is nothing new to save."""
        self._signals.install()  # Lightning has put its own handlers in their place
        self._saved_s = time.monotonic()
        if self._votes.decision_now(self._wish(trainer)) is StepDecision.SAVE_AND_STOP:
            raise Stopped(saved=self._resumed)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Do what the ranks have agreed on, where a run can be resumed from here."""
        if not self._epoch_goes_on(trainer):
            return
        decision = self._votes.decision(self._wish(trainer))
        if decision is not StepDecision.GO_ON:
            self._save(trainer, decision)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after validation and after the best checkpoint, whose score belongs to the save."""
        self._save(trainer, max(StepDecision.SAVE, self._votes.decision_now(self._wish(trainer))))

    def _epoch_goes_on(self, trainer: pl.Trainer) -> bool:
        """Tell whether the next thing after this batch is another step of the epoch, with no gradient pending."""
        loop = trainer.fit_loop.epoch_loop
        assert trainer.fit_loop._data_fetcher is not None
        return not (
            loop._should_accumulate()
            or loop._is_training_done
            or loop._should_check_val_fx(trainer.fit_loop._data_fetcher)
        )

    def _wish(self, trainer: pl.Trainer) -> StepDecision:
        if self._signals.received is not None:
            return StepDecision.SAVE_AND_STOP
        due = trainer.is_global_zero and time.monotonic() - self._saved_s > self._every_s
        return StepDecision.SAVE if due else StepDecision.GO_ON

    def _save(self, trainer: pl.Trainer, decision: StepDecision) -> None:
        last, previous = self._folder / LAST, self._folder / PREVIOUS
        if trainer.is_global_zero:
            make_room_for_last(self._folder)
        try:
            trainer.save_checkpoint(last)  # waits for all ranks
        except OSError:
            if trainer.is_global_zero and not last.exists() and previous.exists():
                previous.replace(last)
            raise
        self._saved_s = time.monotonic()
        if decision is StepDecision.SAVE_AND_STOP:
            raise Stopped(saved=True)


def _no_broadcast() -> None:
    """Stand in for Lightning's own agreement on a signal."""
