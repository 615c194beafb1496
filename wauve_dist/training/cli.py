"""The training command: one YAML and its overrides, through LightningCLI."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import yaml
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only

import wauve_dist
from wauve_dist.models.weights import load_weights
from wauve_dist.structures.provenance import sha256_of, write_provenance
from wauve_dist.structures.pseudonyms import read_or_make_key
from wauve_dist.training.config_errors import explained
from wauve_dist.training.finite_loss import FiniteLoss
from wauve_dist.training.logging.anchor_report import AnchorReport
from wauve_dist.training.logging.run_artifact import log_checkpoint
from wauve_dist.training.logging.run_logging import RunDescription, build_loggers, wandb_loggers
from wauve_dist.training.logging.step_figures import StepFigures
from wauve_dist.training.logging.validation_logging import ValidationLogging
from wauve_dist.training.logging.wandb_run import WandbMode
from wauve_dist.training.progress import EpochLines, ProgressWithSpeed
from wauve_dist.training.rank_agreement import RankAgreement
from wauve_dist.training.run_folder import RunRecord, open_run_folder
from wauve_dist.training.step_seeds import StepSeeds
from wauve_dist.training.stopping.checkpoint_files import LAST, PREVIOUS
from wauve_dist.training.stopping.checkpoint_io import AtomicCheckpointIO
from wauve_dist.training.stopping.last_checkpoint import LastCheckpoint, Stopped
from wauve_dist.training.stopping.requeue import requeue
from wauve_dist.training.stopping.stop_signals import STOP_SIGNALS
from wauve_dist.training.strategies.deepspeed import ZeroStrategy
from wauve_dist.training.strategies.strategy_advice import StrategyAdvice

_SHARD_WRITERS = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)

# Arguments of the data modules that name a file which the trained weights depend on.
_SOURCE_ARGUMENTS = ("manifest", "annotations", "tracks")


class _Parser(LightningArgumentParser):
    """Answers a faulty config with the fault, the valid names and nothing else."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        print(f"error: {explained(message, self)}", file=sys.stderr)
        sys.exit(2)


class _DescribedRun(pl.Callback):
    """Writes config.yaml and run.json when the data have been read.

    Until then a corrected command finds its run folder still empty.
    """

    def __init__(self, cli: TrainingCLI) -> None:
        self._cli = cli

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write both."""
        if trainer.is_global_zero:
            out: Path = self._cli.config.out
            self._cli.parser.save(self._cli.config, out / "config.yaml", overwrite=True, multifile=False)
            self._cli.record.write(out)


class TrainingCLI(LightningCLI):
    """LightningCLI with a run folder (``--out``) that a stopped or killed run carries on from."""

    record: RunRecord
    checkpoint: Path | None

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Build the parser whose errors name the remedy."""
        parser = _Parser(**kwargs, allow_abbrev=False)  # a cut-off name is a mistyped one
        parser.add_argument("-c", "--config", action="config", help="YAML of one experiment; later ones overlay it")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's own options, and give the model what the data decides."""
        parser.add_argument("--out", type=Path, required=True, help="run folder; must be new unless --resume")
        parser.add_argument("--resume", action="store_true", help="carry on from OUT/checkpoints/last.ckpt")
        parser.add_argument(
            "--save_every_minutes", type=float, default=10.0, help="between two saves of last.ckpt within an epoch"
        )
        parser.add_argument("--async_save", action="store_true", help="write checkpoints while training goes on")
        parser.add_argument(
            "--weights", type=Path | None, help="weights to start from: a checkpoint, or a pretrained file"
        )
        parser.add_argument(
            "--weights_ignore", nargs="+", default=[], help="patterns of tensors that need not fit: '*.classifier.*'"
        )
        parser.add_argument("--wandb", type=WandbMode, default="offline", help="W&B mode; offline needs no account")
        parser.add_argument(
            "--tensorboard", action="store_true", help="write all figures to OUT/tensorboard too; charts go to W&B only"
        )
        parser.add_argument(
            "--wandb_media",
            type=Path | None,
            help="log a table of validation videos with pictures of their lesions; the file holds the secret behind "
            "their names there, and is made if it does not exist",
        )
        parser.add_argument(
            "--wandb_checkpoint", action="store_true", help="log weights and settings of best and last as an artifact"
        )
        parser.link_arguments("seed_everything", "data.init_args.seed")
        # The checkpoint must say how its clips were cut, so that prediction cuts them alike.
        for name in ("crop_size", "roi_context", "inputs", "key_frames", "covariates", "attention_pooling"):
            parser.link_arguments(f"data.init_args.{name}", f"model.init_args.{name}")
        parser.link_arguments("model", "data.init_args.clip_length", _clip_length, apply_on="instantiate")

    def before_instantiate_classes(self) -> None:
        """Claim the run folder before anything is built, and send all output there."""
        out: Path = self.config.out
        for callback in self.config.trainer.callbacks or []:
            if callback.class_path.endswith("ModelCheckpoint"):
                self._prepare_best(callback.init_args, out)
        self.record, self.checkpoint = open_run_folder(out, self.config.resume)
        self.config.trainer.default_root_dir = str(out)

    @staticmethod
    def _prepare_best(checkpoint: Any, out: Path) -> None:
        if checkpoint.save_last:
            raise ValueError(
                "ModelCheckpoint: save_last must be left out. last.ckpt is saved at every epoch's end, every "
                "--save_every_minutes and when a signal stops the run."
            )
        checkpoint.dirpath = checkpoint.dirpath or str(out / "checkpoints")
        checkpoint.enable_version_counter = False  # a killed attempt's best.ckpt is replaced, not joined

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Build the trainer; without loggers of its own in the YAML it gets ours."""
        if self.config.trainer.logger is None:
            kwargs["logger"] = build_loggers(
                self.config.out, self.config.wandb, self.record.run_id, self.config.tensorboard
            )
        elif self.config.tensorboard:
            raise ValueError("--tensorboard adds to the run's own loggers, but trainer.logger is set. Leave one out.")
        if SLURMEnvironment.detect():
            kwargs["plugins"] = [*(self.config_init.trainer.plugins or []), SLURMEnvironment(auto_requeue=False)]
        config = self.parser.dump(self.config, skip_link_targets=False)
        media_key = None
        if self.config.wandb_media:
            media_key = rank_zero_only(read_or_make_key)(self.config.wandb_media, "--wandb_media")
        figures = StepFigures()
        progress: list[pl.Callback] = []
        if self.config.trainer.enable_progress_bar is not False:
            if sys.stdout.isatty():
                progress = [ProgressWithSpeed(figures)]
            else:
                progress, kwargs["enable_progress_bar"] = [EpochLines(figures)], False
        # They run in this order; the save comes after the best checkpoint, whose score it holds.
        kwargs["callbacks"] = [
            StrategyAdvice(),
            RankAgreement(config),
            _DescribedRun(self),
            RunDescription(yaml.safe_load(config), _sources(self)),
            AnchorReport(),
            StepSeeds(self.config.seed_everything),
            FiniteLoss(),
            figures,
            *progress,
            ValidationLogging(media_key),
            *(self.config_init.trainer.callbacks or []),
            LastCheckpoint(self.config.out / "checkpoints", self.config.save_every_minutes, STOP_SIGNALS),
        ]
        trainer = super().instantiate_trainer(**kwargs)
        for option in ("wandb_media", "wandb_checkpoint"):
            if self.config[option] and not wandb_loggers(trainer):
                raise ValueError(f"--{option} goes to W&B, which is off. Leave it out, or give --wandb offline.")
        if isinstance(trainer.strategy, _SHARD_WRITERS) and not isinstance(trainer.strategy, ZeroStrategy):
            raise ValueError(
                f"--trainer.strategy: {type(trainer.strategy).__name__} writes a checkpoint in pieces, which nothing "
                "else can load. Lay configs/strategy/fsdp2.yaml or zero1.yaml to zero3.yaml over the config instead."
            )
        trainer.strategy.checkpoint_io = AtomicCheckpointIO(in_background=self.config.async_save)
        return trainer


def _clip_length(task: pl.LightningModule) -> int | None:
    """Return the frames of a clip; None for a detector, whose data have none."""
    return getattr(task, "clip_length", None)


def train() -> None:
    """Train what the command line describes; leave a complete run folder.

    The folder holds ``run.json``, ``config.yaml`` (resolved), ``metrics/version_N/metrics.csv`` (N counts resumes),
    ``checkpoints/best.ckpt``, ``last.ckpt`` and the ``previous.ckpt`` before it, ``wandb/`` and, if asked for,
    ``tensorboard/``.

    SIGTERM, SIGUSR1, SIGUSR2 and Ctrl-C save after the current step; a Slurm job is then requeued, unless it was
    cancelled. Started again by Slurm, or with ``--resume``, the run goes on as if nothing had happened.
    """
    STOP_SIGNALS.install()
    cli: TrainingCLI | None = None
    try:
        cli = TrainingCLI(
            pl.LightningModule,
            pl.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            save_config_callback=None,
            run=False,
        )
        if cli.config.weights_ignore and not cli.config.weights:
            raise ValueError("--weights_ignore is about the file of --weights: give that too, or leave it out.")
        if cli.config.weights and cli.checkpoint is None:
            rank_zero_info(load_weights(cli.model, cli.config.weights, cli.config.weights_ignore))
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=cli.checkpoint, weights_only=True)
    except Stopped as stopped:
        assert cli is not None
        sys.exit(_leave(cli.trainer, stopped))
    except Exception as error:
        _end_local_ranks(cli)
        fault = _named_fault(error)
        if cli:
            _end_logging(cli.trainer, exit_status=2 if fault else 1)
        if fault is None:
            print(f"rank {cli.trainer.global_rank if cli else '?'} failed:", file=sys.stderr, flush=True)
            raise
        print(f"error: {fault}", file=sys.stderr)
        sys.exit(2)
    if cli.trainer.is_global_zero:
        _close(cli)
    _end_logging(cli.trainer, exit_status=0)


def _named_fault(error: BaseException | None) -> BaseException | None:
    """Return the fault of the input, which this package names with its remedy; None if it takes a traceback to say it.

    What a constructor of ours raises, jsonargparse makes the cause of an error of its own.
    """
    while error is not None:
        innermost = traceback.extract_tb(error.__traceback__)[-1]
        ours = Path(innermost.filename).is_relative_to(Path(wauve_dist.__file__).parent)
        if ours and isinstance(error, (ValueError, OSError)):
            return error
        error = error.__cause__
    return None


def _leave(trainer: pl.Trainer, stopped: Stopped) -> int:
    """Hand a stopped run back to Slurm or to the user; returns the exit status."""
    if not trainer.is_global_zero:
        return 0
    where = f"Saved at step {trainer.global_step}" if stopped.saved else "Stopped before the first step"
    if "SLURM_JOB_ID" in os.environ:
        # Said before it is done: Slurm ends srun at once, and with it what is printed.
        print(f"{where}; asks Slurm to start the job again, which carries on from there.", flush=True)
    refusal = requeue()
    if refusal is None:
        _end_logging(trainer, exit_status=128 + _stop_signal(), preempted=True)
        return 0
    resume = [] if "--resume" in sys.argv or not stopped.saved else ["--resume"]
    print(f"{where} ({refusal}). Carry on with: {shlex.join(['python', *sys.argv, *resume])}")
    # An agent of a sweep asks so where it will go on with the trial, and terminates one that is given up.
    preempted = "WANDB_SWEEP_ID" in os.environ and _stop_signal() == signal.SIGUSR1
    _end_logging(trainer, exit_status=128 + _stop_signal(), preempted=preempted)
    return 128 + _stop_signal()


def _stop_signal() -> int:
    return STOP_SIGNALS.received or signal.SIGTERM


def _end_logging(trainer: pl.Trainer, exit_status: int, preempted: bool = False) -> None:
    for logger in wandb_loggers(trainer):
        logger.end(exit_status, preempted)


def _end_local_ranks(cli: TrainingCLI | None) -> None:
    """End the processes that this one started: they wait for it in a collective."""
    launcher = cli.trainer.strategy.launcher if cli else None
    for process in getattr(launcher, "procs", []):
        process.kill()


def _sources(cli: TrainingCLI) -> dict[str, Path]:
    """Return the files that the trained weights depend on, by their role."""
    arguments = cli.config.data.init_args
    sources = {role: Path(arguments[role]) for role in _SOURCE_ARGUMENTS if role in arguments}
    return {**sources, "weights": cli.config.weights} if cli.config.weights else sources


def _close(cli: TrainingCLI) -> None:
    checkpoint = cli.trainer.checkpoint_callback
    if not isinstance(checkpoint, ModelCheckpoint) or not checkpoint.best_model_path:
        print("warning: no checkpoint was judged, so there is no best.ckpt; was validation ever due?", file=sys.stderr)
        return
    best = Path(checkpoint.best_model_path)
    (best.parent / PREVIOUS).unlink(missing_ok=True)  # best and last are what a finished run needs
    sources = {**_sources(cli), "config": Path(cli.config.out) / "config.yaml"}
    write_provenance(best, sources)
    for logger in wandb_loggers(cli.trainer) if cli.config.wandb_checkpoint else []:
        made_from = {role: sha256_of(path) for role, path in sources.items()}
        for alias, path in (("last", best.with_name(LAST)), ("best", best)):
            log_checkpoint(logger, path, alias, made_from)
    print(f"Best checkpoint: {best} ({checkpoint.monitor} {float(checkpoint.best_model_score or 'nan'):.4f})")
