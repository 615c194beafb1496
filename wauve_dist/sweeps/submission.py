"""Agents of a sweep as Slurm jobs: each takes a node, or a part of one, and runs trials there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from wauve_dist.cluster.controller import check_partition, require_slurm
from wauve_dist.cluster.profile import SlurmProfile, read_profile, split_profile_options
from wauve_dist.cluster.snapshot import Snapshot
from wauve_dist.cluster.submission import Job, LaunchScript, batch_script, job_folder, submit
from wauve_dist.sweeps.sweep import BASE_CONFIG, Sweep
from wauve_dist.sweeps.sweep_file import SweepRefused


def submit_agents(
    folder: Path, profile_path: Path, options: Sequence[str], num_agents: int, root: Path, dry_run: bool = False
) -> None:
    """Submit agents; print their numbers, or with ``dry_run`` the script of one for sbatch.

    The jobs run a copy of the code as it is now. An agent whose job is preempted, or comes to its time limit, has its
    training save and queues again. More agents can be added at any time.

    Args:
        folder: of the sweep.
        profile_path: YAML of a ``SlurmProfile``; every process that it gives one node works on each trial.
        options: ``--slurm.KEY VALUE``, to override it.
        num_agents: number of jobs.
        root: the checkout.
        dry_run: check all and change nothing.

    Raises:
        SweepRefused: there is no sweep, it has ended or is stopped, or its trials do not fit the profile.
        ValueError: something is wrong with the profile.
        SlurmError: Slurm cannot be reached or refuses a job.
    """
    sweep = Sweep(folder)
    of_profile, others = split_profile_options(options)
    if others:
        raise SweepRefused(f"{' '.join(others)}: submit takes no such options; those of trials belong to create.")
    if num_agents < 1:
        raise SweepRefused(f"--agents is {num_agents}; it must be at least 1.")
    if sweep.is_stopped:
        raise SweepRefused(f"{folder} is stopped. Undo that first: launch/sweep.py stop {folder} --undo")
    num_left = sweep.file.num_trials - sum(trial.state != "running" for trial in sweep.trials())
    if num_agents > num_left:
        raise SweepRefused(f"--agents is {num_agents}, but {folder} has {num_left} trials to run. Take no more agents.")
    profile = read_profile(profile_path, of_profile)
    _check_fit(yaml.safe_load((sweep.folder / BASE_CONFIG).read_text())["trainer"], profile)
    require_slurm()
    check_partition(profile.partition)
    jobs = job_folder(sweep.folder)
    snapshot = Snapshot.of(root, jobs) if dry_run else Snapshot.taken(root, jobs)
    command = ("agent", str(sweep.folder))
    body = LaunchScript(snapshot.folder / "launch" / "sweep.py", command, Path(sweep.settings.working_folder))
    job = Job(f"{sweep.folder.name}-agent", ("launch/sweep.py", *command), body, _of_one_task(profile))
    if dry_run:
        print(batch_script(job, jobs, snapshot))
        return
    for _ in range(num_agents):
        print(submit(job, jobs, snapshot), flush=True)


def _of_one_task(profile: SlurmProfile) -> SlurmProfile:
    """Give one task, the agent, all that a node's processes would get: its trainings start their own."""
    options = dict(profile.options)
    if profile.gpus_per_node:
        options["gres"] = f"gpu:{profile.gpus_per_node}"
    cpus = profile.cpus_per_task * profile.processes_per_node
    return replace(profile, gpus_per_node=0, tasks_per_node=1, cpus_per_task=cpus, options=options)


def _check_fit(trainer: dict[str, Any], profile: SlurmProfile) -> None:
    """Refuse trials that would take more, or less, than the profile gives them.

    Raises:
        SweepRefused: names the options to change.
    """
    if profile.nodes != 1:
        raise SweepRefused(f"--slurm.nodes is {profile.nodes}; a trial runs on one node. Give --slurm.nodes 1.")
    accelerator = "gpu" if profile.gpus_per_node else "cpu"
    if trainer["accelerator"] not in ("auto", accelerator, {"gpu": "cuda"}.get(accelerator)):
        raise SweepRefused(
            f"Trials train on {trainer['accelerator']}, but --slurm.gpus_per_node is {profile.gpus_per_node}. Choose "
            f"another profile, or create the sweep with --trainer.accelerator {accelerator}."
        )
    fitting = [profile.processes_per_node, str(profile.processes_per_node)]
    if profile.gpus_per_node or profile.processes_per_node == 1:
        fitting += ["auto", -1, "-1"]  # all GPUs of the job; on the CPU it is one process
    if trainer["devices"] not in fitting:
        raise SweepRefused(
            f"Trials have --trainer.devices {trainer['devices']}, but the profile gives {profile.processes_per_node} "
            "processes. Create the sweep with that number, or give "
            f"--slurm.{'gpus_per_node' if profile.gpus_per_node else 'tasks_per_node'}."
        )
