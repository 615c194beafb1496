"""What W&B is told of who made what from what, read back from its offline files."""

import json
import runpy
from pathlib import Path

import pytest
from wandb_files import records

from wauve_dist.structures.provenance import sha256_of, write_provenance
from wauve_dist.training.run_folder import RunRecord

LAUNCH = Path(__file__).parents[2] / "launch"
CLINIC = "Klinik_Sued"


def made(path, **made_from):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"content of {path.name} at {CLINIC}")
    write_provenance(path, made_from)
    return path


@pytest.fixture
def study(tmp_path):
    """Files of a study from data to report; the training has a run at W&B."""
    out = tmp_path / CLINIC
    manifest, annotations = made(out / "data" / "manifest.csv"), made(out / "data" / "annotations.json")
    made(out / "data" / "Mueller_Anna.avi", video=manifest)
    tracks = made(out / "tracks" / "tracks.parquet", annotations=annotations)
    checkpoint = made(out / "classifier" / "checkpoints" / "best.ckpt", manifest=manifest, tracks=tracks)
    RunRecord("trained1", None).write(out / "classifier")
    predictions = made(out / "predictions" / "predictions.csv", videos=manifest, classifier=checkpoint)
    made(out / "report" / "metrics.json", **{f"predictions {CLINIC}": predictions})
    return out


def command(*words):
    return runpy.run_path(str(LAUNCH / "lineage.py"))["main"]([str(word) for word in words])


def test_the_graph_leads_from_the_report_back_to_the_data_and_says_no_name(study, tmp_path):
    out = tmp_path / "lineage"
    assert command(study, "--out", out) == 0
    used, by_run = {}, {}
    for run in (out / "wandb").glob("offline-run-*"):
        artifacts = [record.artifact for record in records(run) if record.WhichOneof("record_type") == "artifact"]
        inputs = {artifact.name for artifact in artifacts if artifact.use_after_commit}
        outputs = {artifact.name for artifact in artifacts if not artifact.use_after_commit}
        by_run[run.name.rpartition("-")[2]] = outputs
        used |= dict.fromkeys(outputs, inputs)
        for artifact in artifacts:
            assert artifact.name == f"{artifact.type}-{json.loads(artifact.metadata)['sha256'][:16]}"
            assert not artifact.manifest.contents
    hashes = {path.name: sha256_of(path)[:16] for path in study.rglob("*.*") if path.suffix != ".json"}
    checkpoint, manifest = f"checkpoint-{hashes['best.ckpt']}", f"manifest-{hashes['manifest.csv']}"
    (report,) = (name for name in used if name.startswith("report-"))
    assert used[report] == {f"predictions-{hashes['predictions.csv']}"}
    assert used[f"predictions-{hashes['predictions.csv']}"] == {checkpoint, manifest}
    assert used[checkpoint] == {manifest, f"tracks-{hashes['tracks.parquet']}"}
    (annotations,) = used[f"tracks-{hashes['tracks.parquet']}"]
    assert used[annotations] == used[manifest] == set()
    assert by_run["trained1"] == {checkpoint}
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert not {word for word in (CLINIC, "Mueller") if word.encode() in path.read_bytes()}, path


def test_a_folder_without_records_and_a_changed_file_are_refused(study, tmp_path, capsys):
    assert command(tmp_path / "data", "--out", tmp_path / "lineage") == 2
    assert "holds no record (NAME.provenance.json)" in capsys.readouterr().err
    (study / "tracks" / "tracks.parquet").write_text("edited")
    assert command(study, "--out", tmp_path / "lineage") == 2
    assert "tracks.parquet was changed after it was written" in capsys.readouterr().err
    assert not (tmp_path / "lineage").exists()
