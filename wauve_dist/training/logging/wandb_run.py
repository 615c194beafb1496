"""A run at W&B that tells nothing it was not given, and that no server can stop or hold up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import WandbLogger

from wauve_dist.training.child_process import ending_with_us
from wauve_dist.training.logging.run_privacy import scrubbed
from wauve_dist.training.logging.wandb_settings import COLLECT_NOTHING, PROJECT

if TYPE_CHECKING:
    from wandb import Run

WandbMode = Literal["offline", "online", "disabled"]

_END_PATIENCE_S = 30.0


class WandbRunLogger(WandbLogger):
    """Lightning's logger with a run of ours; every process but rank 0's leaves W&B alone.

    Args:
        out: run folder; gets ``wandb/``. Its last part is the run's name.
        mode: ``offline`` or ``online``. Both write the same files; ``online`` has them uploaded meanwhile (``Upload``).
        run_id: W&B's id of the run; a resumed run continues it.
    """

    def __init__(self, out: Path, mode: WandbMode, run_id: str) -> None:
        super().__init__(name=out.name, save_dir=out, project=PROJECT, id=run_id)
        self._folder, self._mode = out.absolute(), mode
        self._run: Run | None = None
        self._upload: Upload | None = None
        self._has_died = False

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
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log figures, charts or tables of a step."""
        with self._outlived():
            self.experiment.log({**metrics, "trainer/global_step": step})

    @rank_zero_only
    def summarize(self, figures: Mapping[str, float]) -> None:
        """Put figures into the run's summary."""
        with self._outlived():
            self.experiment.summary.update(dict(figures))

    @rank_zero_only
    def log_file(self, path: Path, alias: str, metadata: Mapping[str, object]) -> None:
        """Log a file as a version of the run's artifact; it is copied at once."""
        import wandb

        artifact = wandb.Artifact(f"checkpoint-{self._id}", "model", metadata=dict(metadata))
        artifact.add_file(str(path), path.name)
        with self._outlived():
            self.experiment.log_artifact(artifact, aliases=[alias])

    @rank_zero_only
    def end(self, exit_status: int, preempted: bool = False) -> None:
        """Tell how the run ended, and how it gets to the server if it is not there.

        Args:
            exit_status: of the process; 0 is a finish, all else a failure, unless ``preempted``.
            preempted: it will be started again and goes on.
        """
        if self._run is None:
            return
        with self._outlived():
            if preempted:
                self._run.mark_preempting()
            self._run.finish(exit_code=exit_status)
        if self._upload is None or not self._upload.has_finished():
            print(f"W&B: upload with: wandb sync {Path(self._run.dir).parent}")

    @contextmanager
    def _outlived(self) -> Iterator[None]:
        """Go on where W&B's client, a process of its own, has died."""
        from wandb.sdk.mailbox import HandleAbandonedError

        try:
            yield
        except (ConnectionError, HandleAbandonedError) as error:
            if not self._has_died:
                _tell(f"its client has died ({error!r}). The run goes on without; all figures are in metrics.csv.")
            self._has_died = True

    def _start(self) -> Run:
        import wandb

        # Pictures in tables wait there for their upload; W&B's own choice is a folder of the user's, for all runs.
        os.environ.setdefault("WANDB_DATA_DIR", str(self._folder / "wandb"))
        run = wandb.init(
            project=PROJECT,
            name=self._name,
            dir=self._folder,
            id=self._id,
            resume="allow",
            mode="offline",
            settings=wandb.Settings(**COLLECT_NOTHING),
        )
        if self._mode == "online":
            self._upload = Upload(Path(run.dir).parent, self._folder / "wandb" / "upload.log")
        return run


class Upload:
    """A process that sends a run's files to W&B while they grow.

    The training never talks to the server itself: W&B's client waits for it at the start, at the end and at every
    table, and raises where it does not answer. The process ends with this one, even where this one is killed.

    Args:
        run: W&B's folder of the run.
        log: gets what the process says.
    """

    def __init__(self, run: Path, log: Path) -> None:
        self._log = log
        command = ending_with_us([sys.executable, "-m", "wandb", "beta", "sync", "--live", "--yes"])
        # Else it shares this process's client, and takes it down with it.
        environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
        environment["WANDB_DIR"] = str(run.parents[1])  # for logs of its own; else they go where the command was given
        with log.open("w") as stream:
            self._process = subprocess.Popen(
                [*command, str(run)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def has_finished(self) -> bool:
        """Wait for the rest, at most 30 seconds; say so and end the process where the server has not taken it all."""
        try:
            status = self._process.wait(_END_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()
            _tell(f"the server did not take the whole run within {_END_PATIENCE_S:.0f} s.")
            return False
        if status != 0:
            _tell(f"the run was not uploaded; {self._log} says why.")
        return status == 0


def _tell(sentence: str) -> None:
    print(f"W&B: {sentence}", file=sys.stderr)
