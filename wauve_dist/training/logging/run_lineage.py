"""The chain from data to report for W&B's lineage graph: which run made what from what, told by hashes alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wauve_dist.structures.provenance import claim_folder, read_provenance
from wauve_dist.training.logging.wandb_settings import COLLECT_NOTHING, PROJECT
from wauve_dist.training.run_folder import read_run_record

if TYPE_CHECKING:
    from wandb import Artifact

# Names that this project gives to files; those that people give, as to videos, are left out.
_KINDS = {
    **{"manifest.csv": "manifest", "annotations.json": "annotations", "best.ckpt": "checkpoint"},
    **{"detections.parquet": "detections", "tracks.parquet": "tracks", "clips.parquet": "clips"},
    **{"predictions.csv": "predictions", "metrics.json": "report"},
}
_SIDECAR = ".provenance.json"
_NUM_DIGITS = 16


def log_lineage(folder: Path, out: Path) -> list[Path]:
    """Write a W&B offline run for every folder in which something was made, from the records beside the files.

    Its artifacts hold no file: they are named by kind and hash, so that what one run made is what the next one used,
    in whichever folder or order they are uploaded. A training's artifacts go to the training's own run.

    Args:
        folder: of a study, or any that holds results.
        out: new folder for W&B's files.

    Returns:
        The folders of the offline runs.

    Raises:
        ValueError: there is no record, or a file was changed after its record was written.
        FileExistsError: ``out`` holds something.
    """
    made: dict[Path, dict[str, dict[str, Any]]] = defaultdict(dict)
    for sidecar in sorted(folder.rglob(f"*{_SIDECAR}")):
        path = sidecar.with_name(sidecar.name.removesuffix(_SIDECAR))
        record: dict[str, Any] | None = read_provenance(path) if path.name in _KINDS else None
        if record is not None:
            made[path.parent][_KINDS[path.name]] = record
    if not made:
        raise ValueError(f"{folder} holds no record (NAME{_SIDECAR}) of how a file was made. Give a study's folder.")
    claim_folder(out)
    kinds = {record["sha256"]: kind for records in made.values() for kind, record in records.items()}
    return [_log_run(where, records, kinds, out) for where, records in made.items()]


def _log_run(where: Path, records: dict[str, dict[str, Any]], kinds: dict[str, str], out: Path) -> Path:
    import wandb

    hashes = {kind: record["sha256"] for kind, record in records.items()}
    training = read_run_record(where.parent)
    own_id = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:8]  # logged twice, it is one run
    run = wandb.init(
        project=PROJECT,
        id=own_id if training is None else training.run_id,
        name=", ".join(hashes) if training is None else None,
        resume="allow",
        mode="offline",
        dir=out,
        settings=wandb.Settings(**COLLECT_NOTHING, silent=True),
    )
    used = {
        (kinds.get(sha, role.split()[0]), sha)
        for record in records.values()
        for role, sha in record["made_from"].items()
    }
    for kind, sha in sorted(used - set(hashes.items())):
        # What use_artifact does with an artifact of one's own; offline it refuses, although it need not ask anybody.
        run._log_artifact(_artifact(kind, sha), is_user_created=True, use_after_commit=True)
    for kind, sha in hashes.items():
        run.log_artifact(_artifact(kind, sha))
    run.finish()
    return Path(run.dir).parent


def _artifact(kind: str, sha: str) -> Artifact:
    import wandb

    return wandb.Artifact(f"{kind}-{sha[:_NUM_DIGITS]}", kind, metadata={"sha256": sha})
