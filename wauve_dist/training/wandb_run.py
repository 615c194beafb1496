"""A run at W&B that tells nothing it was not given, and that no server can stop or hold up."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import WandbLogger

from wauve_dist.training.run_privacy import scrubbed

if TYPE_CHECKING:
    from wandb import Run

WandbMode = Literal["offline", "online", "disabled"]

_PROJECT = "wauve_dist"
_START_PATIENCE_S = 20.0
_END_PATIENCE_S = 30.0

# W&B collects host, user, program, its arguments, git's remote and the console's lines of its own accord; the last
# may hold ids and paths. Losses, figures and the GPU's and the processor's load remain.
_COLLECT_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("disable_git", "disable_code", "disable_job_creation", "label_disable"), True),
    **dict.fromkeys(("x_disable_meta", "x_disable_machine_info"), True),
    **dict.fromkeys(("host", "username", "email", "program", "program_relpath", "program_abspath"), ""),
    **{"console": "off", "save_code": False, "x_save_requirements": False, "quiet": True},
}


class WandbRunLogger(WandbLogger):
    """Lightning's logger with a run of ours; every process but rank 0's leaves W&B alone.

    Args:
        out: run folder; gets ``wandb/``. Its last part is the run's name.
        mode: ``offline`` or ``online``. Without an account, or where the server does not answer within 20 seconds,
            an online run is logged offline.
        run_id: W&B's id of the run; a resumed run continues it.
    """

    def __init__(self, out: Path, mode: WandbMode, run_id: str) -> None:
        super().__init__(name=out.name, save_dir=out, project=_PROJECT, id=run_id)
        self._mode: WandbMode = mode
        self._run: Run | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The run; started when it is first asked for, once the ranks are known."""
        if self._run is None:
            self._run = self._start()
            self._run.define_metric("trainer/global_step")
            self._run.define_metric("charts/*", step_metric="trainer/global_step")
            for figures in ("train/*", "val/*"):  # the summary is of the best epoch, and written by hand
                self._run.define_metric(figures, step_metric="trainer/global_step", summary="none")
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log settings without paths and free text (see ``run_privacy.scrubbed``)."""
        super().log_hyperparams(scrubbed(params if isinstance(params, Mapping) else vars(params)))

    @rank_zero_only
    def end(self, exit_status: int, preempted: bool = False) -> None:
        """Tell how the run ended, and how it gets to the server if it is not there yet.

        Args:
            exit_status: of the process; 0 is a finish, all else a failure, unless ``preempted``.
            preempted: it will be started again and goes on.
        """
        if self._run is None:
            return
        if preempted:
            self._run.mark_preempting()
        complete = self._mode == "online"
        try:
            self._run.finish(exit_code=exit_status)
        except TimeoutError:
            complete = False
            _tell(f"the server did not take the whole run within {_END_PATIENCE_S:.0f} s.")
        if not complete:
            print(f"W&B: upload with: wandb sync {Path(self._run.dir).parent}")

    def _start(self) -> Run:
        import wandb

        # Pictures in tables wait there for their upload; W&B's own choice is a folder of the user's, for all runs.
        os.environ.setdefault("WANDB_DATA_DIR", str(Path(self.save_dir or ".").absolute() / "wandb"))
        if self._mode == "online" and not wandb.login(prompt=False):
            _tell("no account is set up here (wandb login), so the run is logged offline.")
            self._mode = "offline"
        if self._mode == "online":
            try:
                return self._init()
            except wandb.Error as error:
                _tell(f"the server cannot be used, so the run is logged offline. {error}")
                self._mode = "offline"
        return self._init()

    def _init(self) -> Run:
        import wandb

        return wandb.init(
            project=_PROJECT,
            name=self._name,
            dir=self.save_dir,
            id=self._id,
            resume="allow",
            mode="online" if self._mode == "online" else "offline",
            settings=wandb.Settings(
                init_timeout=_START_PATIENCE_S,
                finish_timeout=_END_PATIENCE_S,
                finish_timeout_raises=True,
                **_COLLECT_NOTHING,
            ),
        )


def _tell(sentence: str) -> None:
    print(f"W&B: {sentence}", file=sys.stderr)
