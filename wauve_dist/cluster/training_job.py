"""launch/train.py --slurm: checks what can be checked on the login node, then puts the training into the queue."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from wauve_dist.cluster.controller import check_partition, require_slurm
from wauve_dist.cluster.following import follow
from wauve_dist.cluster.profile import read_profile, split_profile_options
from wauve_dist.cluster.snapshot import Snapshot
from wauve_dist.cluster.submission import Job, LaunchScript, batch_script, job_folder, refuse_if_queued, submit
from wauve_dist.cluster.training_config import check_inputs, check_run_folder, fit_to_profile, resolved_config
from wauve_dist.structures.provenance import atomic_write


def submit_training(
    command_line: Sequence[str], profile_path: Path, root: Path, wait: bool = False, dry_run: bool = False
) -> int:
    """Submit ``launch/train.py arguments`` as a job; print its number, and how to follow and cancel it.

    The job runs a copy of the code and the resolved config, both as they are now. It is told of the profile's nodes
    and processes.

    Args:
        command_line: arguments of launch/train.py, and ``--slurm.KEY VALUE`` to override the profile.
        profile_path: YAML of a ``SlurmProfile``.
        root: the checkout.
        wait: follow the job to its end.
        dry_run: check all, print the script for sbatch, and change nothing.

    Returns:
        Exit status: with ``wait`` the job's.

    Raises:
        ValueError: something is wrong with the profile, the config or the files that it names.
        FileExistsError: the run folder holds another run.
        SlurmError: Slurm cannot be reached or refuses the job.
    """
    profile_options, arguments = split_profile_options(command_line)
    profile = read_profile(profile_path, profile_options)
    require_slurm()
    check_partition(profile.partition)
    config = resolved_config(root / "launch", arguments)
    for note in fit_to_profile(config, arguments, profile):
        print(note, file=sys.stderr)
    out = Path(config["out"])
    check_inputs(config, profile)
    check_run_folder(out, resume=config["resume"])
    folder = job_folder(out)
    refuse_if_queued(folder)
    snapshot = Snapshot.of(root, folder) if dry_run else Snapshot.taken(root, folder)
    text = yaml.safe_dump(_reading_from(snapshot, config), sort_keys=False)
    frozen = folder / f"config-{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
    body = LaunchScript(snapshot.folder / "launch" / "train.py", ("--config", str(frozen)), Path.cwd())
    job = Job(out.name, ("launch/train.py", *arguments), body, profile)
    if dry_run:
        print(batch_script(job, folder, snapshot))
        return 0
    with atomic_write(frozen) as temporary:
        temporary.write_text(text)
    submitted = submit(job, folder, snapshot)
    print(f"{submitted}\n  code    {snapshot}", flush=True)
    return follow(submitted).exit_status if wait else 0


def _reading_from(snapshot: Snapshot, config: Any) -> Any:
    """Return a config whose files of the checkout, such as a JSON for DeepSpeed, are those of the snapshot."""
    if isinstance(config, dict):
        return {key: _reading_from(snapshot, value) for key, value in config.items()}
    if isinstance(config, list):
        return [_reading_from(snapshot, value) for value in config]
    if isinstance(config, str) and Path(config).is_file() and (copy := snapshot.copy_of(Path(config))):
        return str(copy)
    return config
