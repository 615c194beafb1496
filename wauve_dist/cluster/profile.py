"""What a job asks of Slurm: one YAML per kind of node, every key of which is also an option --slurm.KEY."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from jsonargparse import ArgumentParser

from wauve_dist.training.config_errors import explained

# Minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS: https://slurm.schedmd.com/sbatch.html#OPT_time
_TIME_LIMIT = re.compile(r"\d+|\d+(:\d{2}){1,2}|\d+-\d+(:\d{2}){0,2}")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")

# What the submission itself decides; in ``options`` they would contradict the fields, or undo what resuming needs.
_OWN_OPTIONS = frozenset(
    (
        *("account", "constraint", "cpus-per-task", "gpus-per-node", "mem", "nodes", "ntasks-per-node", "partition"),
        *("qos", "requeue", "no-requeue", "signal", "time"),
        *("array", "chdir", "dependency", "error", "job-name", "kill-on-invalid-dep", "open-mode", "output"),
        *("gpus", "gpus-per-task", "mem-per-cpu", "mem-per-gpu", "ntasks"),
    )
)


class ProfileError(ValueError):
    """A profile asks for something that no job can be given; the message names the option and the remedy."""


@dataclass(frozen=True)
class SlurmProfile:
    """What each job of a submission is given. Shipped profiles: ``slurm/*.yaml``.

    Attributes:
        partition: queue to wait in; null takes the cluster's default.
        nodes: number of nodes of a training.
        gpus_per_node: each gets a process of its own; 0 trains on the CPU.
        cpus_per_task: cores of one process: the trainer, its loaders (``--data.num_workers``), and one to spare.
        memory: of a node, such as 64G; 0 takes all of it.
        time: limit of a job: minutes, HH:MM:SS or D-HH:MM:SS (quote it in YAML). A training that needs longer saves,
            queues again and carries on.
        signal_lead_s: seconds before the limit at which a training is asked to save; must hold a step and a save.
        requeue: let a preempted job, or one whose node failed, queue again and carry on.
        tasks_per_node: processes on a node without GPUs; null is one. With GPUs there is one per GPU.
        account: whose budget pays; null takes the user's default.
        qos: quality of service; null takes the default.
        constraint: features that nodes must have, such as a100&nvlink.
        cpu_partition: queue of a study's stages that need no GPU (data, report); null is ``partition``.
        setup: shell lines at a job's start, such as module load cuda.
        environment: variables of the job's processes.
        options: further options of sbatch by their long names, such as {exclude: node7, mail-type: END}.
    """

    partition: str | None
    nodes: int
    gpus_per_node: int
    cpus_per_task: int
    memory: str
    time: str
    signal_lead_s: int
    requeue: bool
    tasks_per_node: int | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    cpu_partition: str | None = None
    setup: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check values that the types allow but Slurm, or one process per GPU, does not.

        Raises:
            ProfileError: names the option, its value and what is allowed.
        """
        lowest = {"nodes": 1, "gpus_per_node": 0, "cpus_per_task": 1, "signal_lead_s": 1}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise ProfileError(f"--slurm.{name} is {getattr(self, name)}; it must be at least {least}.")
        if self.tasks_per_node is not None and self.gpus_per_node and self.tasks_per_node != self.gpus_per_node:
            raise ProfileError(
                f"--slurm.tasks_per_node is {self.tasks_per_node} beside --slurm.gpus_per_node {self.gpus_per_node}, "
                "but every GPU has one process: leave tasks_per_node out."
            )
        if self.tasks_per_node is not None and self.tasks_per_node < 1:
            raise ProfileError(f"--slurm.tasks_per_node is {self.tasks_per_node}; it must be at least 1.")
        if not _TIME_LIMIT.fullmatch(self.time):
            raise ProfileError(
                f"--slurm.time is {self.time!r}; it must be minutes, HH:MM:SS or D-HH:MM:SS, such as 2-00:00:00."
            )
        if not re.fullmatch(r"\d+[KMGT]?", self.memory):
            raise ProfileError(f"--slurm.memory is {self.memory!r}; it must be a size such as 64G, or 0 for all.")
        for name in self.environment:
            if not _VARIABLE.fullmatch(name):
                raise ProfileError(f"--slurm.environment: {name!r} cannot be the name of a variable.")
        if own := sorted(_OWN_OPTIONS & {name.lstrip("-").replace("_", "-") for name in self.options}):
            raise ProfileError(
                f"--slurm.options: {', '.join(own)} follow from the profile's other fields or from the submission. "
                f"Fields: {', '.join(self.__dataclass_fields__)}."
            )

    @property
    def processes_per_node(self) -> int:
        """Processes of a training on each node."""
        return self.gpus_per_node or self.tasks_per_node or 1

    @property
    def num_processes(self) -> int:
        """Processes of a training."""
        return self.nodes * self.processes_per_node

    def for_one_process(self, gpu: bool) -> SlurmProfile:
        """Ask for what a single process needs, with one of the node's GPUs or with none."""
        gpus = min(int(gpu), self.gpus_per_node)
        partition = self.partition if gpus else self.cpu_partition or self.partition
        return replace(self, partition=partition, nodes=1, gpus_per_node=gpus, tasks_per_node=None)


def split_profile_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part a command line into the options of the profile, ``--slurm.KEY VALUE``, and all others.

    Raises:
        ProfileError: an option of the profile has no value.
    """
    of_profile: list[str] = []
    others: list[str] = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("--slurm."):
            others.append(word)
        elif "=" in word:
            of_profile.append(word)
        elif (value := next(words, None)) is None:
            raise ProfileError(f"{word} needs a value.")
        else:
            of_profile.append(f"{word}={value}")
    return of_profile, others


class _Parser(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise ProfileError(explained(message, self)) from ex


def read_profile(path: Path, overrides: Sequence[str] = ()) -> SlurmProfile:
    """Read a profile's YAML; ``overrides`` are options such as ``--slurm.nodes=2``.

    Raises:
        ProfileError: there is no such file; an unknown key (the valid ones are named); a value of the wrong type; a
            missing key; or a value that no job can be given.
    """
    if not path.is_file():
        shipped = ", ".join(sorted(str(found) for found in Path("slurm").glob("*.yaml")))
        raise ProfileError(f"--slurm: there is no profile {path}.{f' There are {shipped}.' if shipped else ''}")
    parser = _Parser(allow_abbrev=False)
    parser.add_class_arguments(SlurmProfile, "slurm")
    namespace = parser.parse_args([f"--slurm={path}", *overrides])
    profile: SlurmProfile = parser.instantiate(namespace).slurm
    return profile
