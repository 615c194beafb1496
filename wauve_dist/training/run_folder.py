"""A run's folder: whose it is, and where a run carries on."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_only, rank_zero_warn

from wauve_dist.structures.provenance import atomic_write, claim_folder
from wauve_dist.training.stopping.checkpoint_files import newest_intact, remove_unfinished

_RECORD = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """Names a run through all its resumes; ``run.json`` in its folder.

    Attributes:
        run_id: W&B's id of it, so that a resumed run continues its curves.
        slurm_job_id: job that started it, None outside Slurm.
    """

    run_id: str
    slurm_job_id: str | None

    def write(self, out: Path) -> None:
        """Write it into the run folder."""
        with atomic_write(out / _RECORD) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")


def open_run_folder(out: Path, resume: bool) -> tuple[RunRecord, Path | None]:
    """Claim a new run's folder, or find where an old run carries on. Rank 0 writes, the others only look.

    A job that Slurm has requeued carries on in its own folder without being told.

    Args:
        out: run folder.
        resume: ``--resume`` was given.

    Returns:
        The run's record, not yet written if it is new, and the checkpoint to carry on from, None to start anew.

    Raises:
        FileExistsError: ``out`` holds something, and nothing says to carry on from it.
        FileNotFoundError: ``resume`` without an intact save.
    """
    job = os.environ.get("SLURM_JOB_ID")
    record = read_run_record(out)
    requeued = bool(record and job and record.slurm_job_id == job and os.environ.get("SLURM_RESTART_COUNT", "0") != "0")
    if not (resume or requeued):
        rank_zero_only(claim_folder)(out)
        return RunRecord(_new_run_id(), job), None
    folder = out / "checkpoints"
    checkpoint, faults = newest_intact(folder)
    if checkpoint is None and resume:
        raise FileNotFoundError(
            f"--resume: there is no save to carry on from. {'; '.join(faults)}. "
            "Check --out, or leave --resume out to start anew."
        )
    rank_zero_only(remove_unfinished)(folder)
    for fault in faults if checkpoint else []:
        rank_zero_warn(f"{fault}. Using the save before it.")
    rank_zero_info(f"Carrying on from {checkpoint}" if checkpoint else f"{out}: requeued before a save; starting anew")
    return record or RunRecord(_new_run_id(), job), checkpoint


def _new_run_id() -> str:
    """Return the id that W&B has given to the trial of a sweep, else one of our own."""
    return os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:8]


def read_run_record(out: Path) -> RunRecord | None:
    """Read a run folder's record; None where there is none."""
    path = out / _RECORD
    return RunRecord(**json.loads(path.read_text())) if path.exists() else None
