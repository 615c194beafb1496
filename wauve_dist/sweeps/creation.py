"""A new sweep, checked by what it will run, so that no trial finds out hours later."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from wauve_dist.cluster.training_config import TrainingRefused, resolved_config
from wauve_dist.structures.provenance import atomic_write, claim_folder
from wauve_dist.sweeps.sweep import BASE_CONFIG, PER_TRIAL, SWEEP_FILE, Settings, Sweep
from wauve_dist.sweeps.sweep_file import SweepFile, SweepRefused, read_sweep_file
from wauve_dist.sweeps.trials import options
from wauve_dist.sweeps.wandb_sweep import register

_BEST_IS = {"min": "minimize", "max": "maximize"}


def create_sweep(
    path: Path, out: Path, arguments: Sequence[str], seed: int, launch_folder: Path, on_wandb: bool = False
) -> Sweep:
    """Check a sweep and make its folder.

    launch/train.py itself is asked whether it takes every parameter, with every value of a list and both ends of a
    range, on the config as it is now; the trials run that config, whatever becomes of its file.

    Args:
        path: the sweep's YAML.
        out: the new sweep's folder.
        arguments: further ones of every trial, such as ``--data.manifest FILE``.
        seed: of the proposals.
        launch_folder: of the code.
        on_wandb: let W&B's server choose the trials.

    Raises:
        SweepRefused: the sweep cannot run as it is described.
        FileExistsError: ``out`` holds something.
    """
    file = read_sweep_file(path)
    fixed = [*file.arguments, *arguments]
    given = {word.removeprefix("--").partition("=")[0] for word in fixed if word.startswith("--")}
    if twice := sorted(given & file.parameters.keys()):
        raise SweepRefused(f"{path}: {', '.join(twice)} is a parameter, and fixed on the command line. Choose one.")
    if own := sorted({*given, *file.parameters} & set(PER_TRIAL)):
        raise SweepRefused(f"{path}: the agents give --{own[0]} to each trial. Leave it out.")
    if out.exists():
        claim_folder(out)
    first, *others = _probes(file)
    config = _resolved(file, launch_folder, [*fixed, *options(first)])  # each trial overrides all parameters
    _check_metric(file, config)
    if on_wandb and config["wandb"] != "online":
        raise SweepRefused(f"W&B chooses by what trials upload, but --wandb is {config['wandb']}. Give --wandb online.")
    for values in others:
        _resolved(file, launch_folder, [*fixed, *options(values)])
    at = register(path) if on_wandb else None
    claim_folder(out)
    base = {key: value for key, value in config.items() if key not in PER_TRIAL}
    with atomic_write(out / BASE_CONFIG) as temporary:
        temporary.write_text(yaml.safe_dump(base, sort_keys=False))
    with atomic_write(out / SWEEP_FILE) as temporary:
        temporary.write_bytes(path.read_bytes())
    if at is not None:
        at.write(out)
    Settings(seed, str(Path.cwd())).write(out)
    return Sweep(out)


def _resolved(file: SweepFile, launch_folder: Path, arguments: Sequence[str]) -> dict[str, Any]:
    try:
        return resolved_config(launch_folder, [*arguments, "--out", "trial"])
    except TrainingRefused as error:
        raise SweepRefused(f"{file.path}: launch/train.py refuses {' '.join(arguments)}: {error}") from error


def _probes(file: SweepFile) -> list[dict[str, Any]]:
    """Return the fewest configurations in which every parameter takes all its ends."""
    num_probes = max(len(parameter.ends) for parameter in file.parameters.values())
    return [
        {name: parameter.ends[min(probe, len(parameter.ends) - 1)] for name, parameter in file.parameters.items()}
        for probe in range(num_probes)
    ]


def _check_metric(file: SweepFile, config: dict[str, Any]) -> None:
    module, _, name = config["model"]["class_path"].rpartition(".")
    logged: Sequence[str] = getattr(importlib.import_module(module), name).validation_figures
    if file.metric not in logged:
        raise SweepRefused(f"{file.path}: {name} logs no {file.metric}. metric.name is one of {', '.join(logged)}.")
    callbacks = config["trainer"]["callbacks"] or []
    chosen_by = [
        (callback["init_args"]["monitor"], _BEST_IS[callback["init_args"]["mode"]])
        for callback in callbacks
        if callback["class_path"].endswith("ModelCheckpoint")
    ]
    if chosen_by != [(file.metric, file.goal)]:
        said = " and ".join(f"{goal} {metric}" for metric, goal in chosen_by) or "nothing"
        raise SweepRefused(
            f"{file.path}: the sweep is to {file.goal} {file.metric}, but the config's ModelCheckpoint chooses "
            f"best.ckpt by {said}. Let both be the same, so that a trial's figure is that of its checkpoint."
        )
