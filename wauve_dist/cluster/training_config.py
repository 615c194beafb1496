"""A training's config, resolved and checked on the login node, so that no job waits for hours to fail at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from wauve_dist.cluster.profile import SlurmProfile
from wauve_dist.structures.provenance import claim_folder

_TABLE_SUFFIXES = {".csv", ".json", ".parquet"}
_SAMPLES_PER_VIDEO = ("clips_per_video", "frames_per_video")


class TrainingRefused(ValueError):  # noqa: N818 - reads as what it is
    """A training would fail on the cluster; the message names the option, its value and the remedy."""


def resolved_config(launch_folder: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Let launch/train.py parse its ``arguments``, in a process of its own, and return the config they amount to.

    Raises:
        TrainingRefused: the command refuses them; the message is its own.
    """
    argv = [sys.executable, str(launch_folder / "train.py"), *arguments, "--print_config"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TrainingRefused(done.stderr.strip().removeprefix("error: "))
    config: dict[str, Any] = yaml.safe_load(done.stdout)
    if config.get("out") is None:
        raise TrainingRefused("--out is missing: it names the run folder, new unless with --resume.")
    return config


def fit_to_profile(config: dict[str, Any], arguments: Sequence[str], profile: SlurmProfile) -> list[str]:
    """Tell the trainer in ``config`` of the profile's nodes, processes and kind of device.

    The profile wins over the YAML, whose numbers are those of the machine that it was written for; what the command
    line says must agree with the profile.

    Args:
        config: resolved; its ``trainer`` is changed.
        arguments: the command line that it came from.
        profile: of the job.

    Returns:
        Sentences that a person should read, such as on another global batch.

    Raises:
        TrainingRefused: the command line contradicts the profile, or the config wants a device that it has not.
    """
    trainer = config["trainer"]
    given = {argument.removeprefix("--").partition("=")[0] for argument in arguments}
    accelerator = "gpu" if profile.gpus_per_node else "cpu"
    if trainer["accelerator"] not in ("auto", accelerator, {"gpu": "cuda"}.get(accelerator)):
        raise TrainingRefused(
            f"trainer.accelerator is {trainer['accelerator']}, but --slurm.gpus_per_node is {profile.gpus_per_node}. "
            f"Choose another profile, or --trainer.accelerator {accelerator} (and a precision for it)."
        )
    numbers = {"num_nodes": profile.nodes, "devices": profile.processes_per_node}
    for name, of_profile in numbers.items():
        if f"trainer.{name}" in given and str(trainer[name]) not in (str(of_profile), "auto", "-1"):
            raise TrainingRefused(
                f"--trainer.{name} is {trainer[name]}, but the profile gives {of_profile}. Leave it out, or change "
                f"--slurm.{'nodes' if name == 'num_nodes' else 'gpus_per_node (tasks_per_node without GPUs)'}."
            )
    notes = []
    batch_size = config["data"]["init_args"].get("batch_size")
    written_for = _num_processes(trainer)
    if written_for is not None and written_for != profile.num_processes:
        batches = f" (global batch {written_for * batch_size} and {profile.num_processes * batch_size})"
        notes.append(
            f"note: the config asks for {written_for} processes, this job has {profile.num_processes}"
            f"{batches if isinstance(batch_size, int) else ''}. The learning rate follows the global batch."
        )
    trainer |= {"accelerator": accelerator, **numbers}
    return notes


def _num_processes(trainer: dict[str, Any]) -> int | None:
    """Return for how many processes a config was written; None where it says ``auto``."""
    devices = trainer["devices"]
    return devices * trainer["num_nodes"] if isinstance(devices, int) and devices > 0 else None


def check_inputs(config: dict[str, Any], profile: SlurmProfile) -> None:
    """Check the files that a config names, down to the videos, and that there is work for every process.

    Raises:
        ValueError: a file does not exist or breaks its contract, or there are more processes than samples.
    """
    data = config["data"]["init_args"]
    for name, value in {"weights": config["weights"], **data}.items():
        option = name if name == "weights" else f"data.{name}"
        is_file = name == "weights" or (isinstance(value, str) and Path(value).suffix in _TABLE_SUFFIXES)
        if value is not None and is_file and not Path(value).is_file():
            raise TrainingRefused(f"--{option}: there is no file {value} (from {Path.cwd()}).")
    if "manifest" not in data:
        return
    from wauve_dist.structures.tables import read_manifest  # a second of pandas

    manifest = read_manifest(Path(data["manifest"]))
    per_video = next((data[name] for name in _SAMPLES_PER_VIDEO if name in data), None)
    if "split" not in manifest or per_video is None:
        return
    num_samples = int((manifest["split"] == "train").sum()) * per_video
    if num_samples < profile.num_processes:
        raise TrainingRefused(
            f"{data['manifest']} has at most {num_samples} training samples for {profile.num_processes} processes. "
            "Use fewer (--slurm.nodes, --slurm.gpus_per_node) or more data."
        )


def check_run_folder(out: Path, resume: bool) -> None:
    """Refuse a run folder that the job would refuse.

    Raises:
        FileExistsError: it holds another run.
        TrainingRefused: ``resume`` without a save.
    """
    saves = [out / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt")]
    if resume and not any(save.exists() for save in saves):
        raise TrainingRefused(f"--resume: there is no {saves[0]}. Check --out, or leave --resume out to start anew.")
    if not resume and out.exists():
        claim_folder(out)
