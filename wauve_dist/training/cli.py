"""The training command: one YAML and its overrides, through LightningCLI."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

import wauve_dist
from wauve_dist.models.weights import load_weights
from wauve_dist.structures.provenance import claim_folder, write_provenance
from wauve_dist.training.config_errors import explained
from wauve_dist.training.run_logging import WandbMode, build_loggers
from wauve_dist.training.step_seeds import StepSeeds

# Arguments of the data modules that name a file which the trained weights depend on.
_SOURCE_ARGUMENTS = ("manifest", "annotations", "tracks")


class _Parser(LightningArgumentParser):
    """Answers a faulty config with the fault, the valid names and nothing else."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        print(f"error: {explained(message, self)}", file=sys.stderr)
        sys.exit(2)


class _ConfigInRunFolder(SaveConfigCallback):
    """Saves config.yaml when the data have been read: until then a corrected command finds its folder still empty."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Save nothing yet, and not beside the metrics."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the resolved config."""
        if trainer.is_global_zero:
            self.parser.save(self.config, Path(self.config.out) / "config.yaml", overwrite=True, multifile=False)


class TrainingCLI(LightningCLI):
    """LightningCLI with a run folder (``--out``), ``--resume`` and ``--wandb``."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Build the parser whose errors name the remedy."""
        parser = _Parser(**kwargs, allow_abbrev=False)  # a cut-off name is a mistyped one
        parser.add_argument("-c", "--config", action="config", help="YAML of one experiment; later ones overlay it")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's own options, and give the model what the data decides."""
        parser.add_argument("--out", type=Path, required=True, help="run folder; must be new unless --resume")
        parser.add_argument("--resume", action="store_true", help="carry on from OUT/checkpoints/last.ckpt")
        parser.add_argument("--weights", type=Path | None, help="checkpoint of a finished run to start from")
        parser.add_argument("--wandb", type=WandbMode, default="offline", help="W&B mode; offline needs no account")
        parser.link_arguments("seed_everything", "data.init_args.seed")
        # The checkpoint must say how its clips were cut, so that prediction cuts them alike.
        for name in ("crop_size", "roi_context"):
            parser.link_arguments(f"data.init_args.{name}", f"model.init_args.{name}")

    def before_instantiate_classes(self) -> None:
        """Claim the run folder before anything is built, and send all output there."""
        out: Path = self.config.out
        if not self.config.resume:
            rank_zero_only(claim_folder)(out)
        elif not self.last_checkpoint.is_file():
            raise FileNotFoundError(
                f"--resume: there is no {self.last_checkpoint}. Check --out, or leave --resume out to start anew."
            )
        self.config.trainer.default_root_dir = str(out)
        for callback in self.config.trainer.callbacks or []:
            if callback.class_path.endswith("ModelCheckpoint") and callback.init_args.dirpath is None:
                callback.init_args.dirpath = str(out / "checkpoints")

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Build the trainer; without loggers of its own in the YAML it gets ours."""
        if self.config.trainer.logger is None:
            kwargs["logger"] = build_loggers(self.config.out, self.config.wandb)
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks.insert(0, StepSeeds(self.config.seed_everything))
        return trainer

    @property
    def last_checkpoint(self) -> Path:
        """The newest save of the run folder."""
        return Path(self.config.out) / "checkpoints" / "last.ckpt"


def train() -> None:
    """Train what the command line describes; leave a complete run folder.

    The folder holds ``config.yaml`` (resolved), ``metrics/version_N/metrics.csv`` (N counts resumes),
    ``checkpoints/best.ckpt`` and ``last.ckpt``, and ``wandb/``.
    """
    try:
        cli = TrainingCLI(
            pl.LightningModule,
            pl.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            save_config_callback=_ConfigInRunFolder,
            run=False,
        )
        if cli.config.weights and not cli.config.resume:
            load_weights(cli.model, cli.config.weights)
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=cli.last_checkpoint if cli.config.resume else None)
    except (ValueError, OSError) as error:
        if not _is_our_sentence(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if cli.trainer.is_global_zero:
        _close(cli)


def _is_our_sentence(error: Exception) -> bool:
    """Tell a fault of the input, which this package names with its remedy, from a failure that needs its traceback."""
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    return Path(innermost.filename).is_relative_to(Path(wauve_dist.__file__).parent)


def _close(cli: TrainingCLI) -> None:
    checkpoint = cli.trainer.checkpoint_callback
    if not isinstance(checkpoint, ModelCheckpoint) or not checkpoint.best_model_path:
        return
    best = Path(checkpoint.best_model_path)
    arguments = cli.config.data.init_args
    sources = {role: Path(arguments[role]) for role in _SOURCE_ARGUMENTS if role in arguments}
    if cli.config.weights:
        sources["weights"] = cli.config.weights
    write_provenance(best, {**sources, "config": Path(cli.config.out) / "config.yaml"})
    print(f"Best checkpoint: {best} ({checkpoint.monitor} {float(checkpoint.best_model_score or 'nan'):.4f})")
