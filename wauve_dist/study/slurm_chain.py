"""A study on Slurm: a job for each stage that is not done, each waiting for the one before it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wauve_dist.cluster.controller import check_partition, job_state, require_slurm
from wauve_dist.cluster.following import follow
from wauve_dist.cluster.profile import SlurmProfile
from wauve_dist.cluster.snapshot import Snapshot
from wauve_dist.cluster.submission import (
    STEP,
    Job,
    SubmittedJob,
    batch_script,
    job_folder,
    leave_submitit,
    refuse_if_queued,
    submit,
)
from wauve_dist.cluster.training_config import fit_to_profile
from wauve_dist.structures.provenance import sha256_of
from wauve_dist.study.chain import open_study, stages_of, training_config
from wauve_dist.study.config import StudyConfig
from wauve_dist.study.result import print_result
from wauve_dist.study.stages import Stage, StageError, position_of


@dataclass(frozen=True)
class StageJob:
    """Body of a stage's job, once per job; a training starts its own step on all processes.

    Attributes:
        stage: as it was at submission.
        launch_folder: scripts of the snapshot.
        working_folder: that the stage's relative paths start from.
        trainer_options: nodes and processes of the job, for a training.
        configs: YAML files that the stage reads, with their SHA-256 at submission.
    """

    stage: Stage
    launch_folder: Path
    working_folder: Path
    trainer_options: tuple[str, ...]
    configs: Mapping[Path, str]

    def __call__(self) -> None:
        """Run the stage, unless it is done; exits with status 1 if it failed, or a config is not what was submitted."""
        leave_submitit(self.working_folder)
        try:
            self._run()
        except StageError as error:
            sys.exit(f"error: {error}")

    def _run(self) -> None:
        for path, sha256 in self.configs.items():
            if sha256_of(path) != sha256:
                raise StageError(f"{path} was changed after the study was submitted. Submit the study again.")
        if self.stage.is_done():
            print(f"{self.stage.name}: done before, kept")
            return
        print(f"{self.stage.name}: took {self.stage.run(self.launch_folder, self._execute):.0f} s")

    def _execute(self, argv: list[str]) -> int:
        if not self.stage.is_training:
            return subprocess.run(argv, check=False).returncode
        step = [*STEP, *argv, *self.trainer_options]
        status = subprocess.run(step, check=False).returncode
        # A training that was asked to stop ends well, but has put its job back into the queue.
        if status == 0 and (state := job_state(os.environ["SLURM_JOB_ID"]).name) != "RUNNING":
            raise StageError(f"The job is {state}: {self.stage.name} carries on when Slurm starts it again.")
        return status


def submit_study(
    config: StudyConfig,
    profile: SlurmProfile,
    root: Path,
    redo: str | None = None,
    wait: bool = False,
    dry_run: bool = False,
) -> int:
    """Submit the stages from the first that is not done as jobs; a stage that fails cancels those after it.

    Args:
        config: the study.
        profile: of the trainings; a stage that is one process gets one of its GPUs, or none.
        root: the checkout.
        redo: name of a stage to make anew, with all that follow.
        wait: follow the jobs to the end of the last one, or of the first that fails, and print the result.
        dry_run: check all, print the scripts for sbatch, and change nothing.

    Returns:
        Exit status: with ``wait`` that of the study.

    Raises:
        ValueError: something is wrong with the profile, or with a config for it.
        FileExistsError: ``config.out`` holds something that is not a study.
        StageError: a stage is out of date, or its config faulty.
        SlurmError: Slurm cannot be reached or refuses a job.
    """
    require_slurm()
    for partition in {profile.partition, profile.cpu_partition or profile.partition}:
        check_partition(partition)
    folder = job_folder(config.out)
    refuse_if_queued(folder)
    stages = stages_of(config)
    num_done = _num_done(stages, redo)
    for path in {path for stage in stages for path in stage.inputs}:
        if not path.is_relative_to(config.out) and not path.is_file():
            raise ValueError(f"There is no file {path} (from {Path.cwd()}), which the study needs.")
    for stage in stages[:num_done]:
        print(f"{stage.name}: done before, kept")
    remaining = [(stage, _trainer_options(stage, profile, root / "launch")) for stage in stages[num_done:]]
    if not dry_run:
        open_study(config, redo)
    snapshot = Snapshot.of(root, folder) if dry_run else Snapshot.taken(root, folder)
    submitted: list[SubmittedJob] = []
    for number, (stage, options) in enumerate(remaining):
        name = f"{config.out.name}-{stage.name}"
        if dry_run:
            after = f"<job of {remaining[number - 1][0].name}>" if number else None
            print(batch_script(_job(name, stage, profile, options, snapshot, after), folder, snapshot))
            continue
        after = submitted[-1].number if submitted else None
        submitted.append(submit(_job(name, stage, profile, options, snapshot, after), folder, snapshot))
        print(submitted[-1], flush=True)
    if submitted:
        print(f"Code: {snapshot}\nA stage that fails cancels those after it; submit again to carry on from it.")
    return _follow_all(submitted, config) if wait and not dry_run else 0


def _num_done(stages: Sequence[Stage], redo: str | None) -> int:
    """Return how many stages, from the first one on, are done and not to be made anew."""
    last = position_of(redo, stages) if redo else len(stages)
    return next((number for number, stage in enumerate(stages[:last]) if not stage.is_done()), last)


def _trainer_options(stage: Stage, profile: SlurmProfile, launch_folder: Path) -> tuple[str, ...]:
    """Check a training's config and return what the trainer has to be told of the profile."""
    if not stage.is_training:
        return ()
    config = training_config(stage, launch_folder)
    for note in fit_to_profile(config, stage.command[1:], profile):
        print(f"{stage.name}: {note}", file=sys.stderr)
    return tuple(f"--trainer.{key}={config['trainer'][key]}" for key in ("accelerator", "num_nodes", "devices"))


def _job(
    name: str, stage: Stage, profile: SlurmProfile, options: tuple[str, ...], snapshot: Snapshot, after: str | None
) -> Job:
    if not stage.is_training:
        profile = profile.for_one_process(gpu=stage.command[0] == "predict.py")
    configs = {path: sha256_of(path) for path in stage.inputs if path.suffix == ".yaml"}
    body = StageJob(stage, snapshot.folder / "launch", Path.cwd(), options, configs)
    script, *arguments = stage.command
    return Job(name, (f"launch/{script}", *arguments), body, profile, once=True, after=after)


def _follow_all(jobs: Sequence[SubmittedJob], config: StudyConfig) -> int:
    for number, job in enumerate(jobs):
        end = follow(job)
        if end.exit_status:
            cancelled = ", ".join(later.name for later in jobs[number + 1 :])
            after = f" Slurm cancels what waits for it: {cancelled}." if cancelled else ""
            print(f"The log of {job.name} is {job.log}.{after}", file=sys.stderr)
            return end.exit_status
    print_result(config)
    return 0
