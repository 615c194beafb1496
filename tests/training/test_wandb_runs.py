"""What W&B's real client writes for real trainings, read back from its files."""

import csv
import hashlib
import json
import math
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from runs import REPOSITORY, argv, finish, same
from tensorboard_files import scalars
from wandb_files import config, history, records, summary

CLINIC, PATIENT = "Klinik_Sued", "MUELLER^ANNA"


@pytest.fixture(scope="module")
def planted_data(tiny_study_data, tmp_path_factory):
    """The tiny study with names in its ids, its file names and its folder, as hospitals' exports have them."""
    data = tmp_path_factory.mktemp("planted") / CLINIC
    (data / "videos").mkdir(parents=True)
    (data / "tracks").mkdir()
    manifest = pd.read_csv(tiny_study_data / "manifest.csv")
    named = {video_id: f"{PATIENT}-{number:04}" for number, video_id in enumerate(manifest["video_id"])}
    for video_id, path in zip(manifest["video_id"], manifest["path"], strict=True):
        shutil.copy(tiny_study_data / path, data / "videos" / f"{named[video_id]}.avi")
    names = manifest["video_id"].map(named)
    manifest = manifest.assign(video_id=names, patient_id=names + "-patient", path="videos/" + names + ".avi")
    manifest.to_csv(data / "manifest.csv", index=False)
    tracks = pd.read_parquet(tiny_study_data / "tracks" / "tracks.parquet")
    tracks.assign(video_id=tracks["video_id"].map(named)).to_parquet(data / "tracks" / "tracks.parquet")
    return data


def artifacts(run):
    return [record.artifact for record in records(run) if record.WhichOneof("record_type") == "artifact"]


def with_wandb(out, data, *options, mode="offline", devices=1):
    command = argv(out, data, *options, devices=devices)
    return [*(word for word in command if word != "--wandb=disabled"), f"--wandb={mode}"]


@pytest.fixture(scope="module")
def two_ranks(planted_data, tmp_path_factory):
    """Three epochs on two processes."""
    out = tmp_path_factory.mktemp("two_ranks") / "run"
    secret = out.parent / "secret"
    asked = [f"--wandb_media={secret}", "--wandb_checkpoint", "--tensorboard", "--trainer.enable_progress_bar=true"]
    finish(with_wandb(out, planted_data, *asked, devices=2), out.parent / "log.txt")
    return out


@pytest.fixture(scope="module")
def run(two_ranks):
    """W&B's folder of the only run that the two processes started."""
    (folder,) = (two_ranks / "wandb").glob("offline-run-*")
    return folder


def test_no_id_path_or_name_of_the_data_is_in_any_byte_of_the_run(run, two_ranks, planted_data):
    manifest = pd.read_csv(planted_data / "manifest.csv")
    forbidden = {CLINIC, "MUELLER", str(planted_data), "manifest.csv", "tracks.parquet"}
    forbidden |= {*manifest["video_id"], *manifest["patient_id"], *manifest["path"], *manifest["pathology"].dropna()}
    files = [path for path in (two_ranks / "wandb").rglob("*") if path.is_file()]
    assert len(files) > 10  # charts, tables and pictures too
    for path in files:
        content = path.read_bytes()
        found = {text for text in forbidden if text.encode() in content}
        assert not found, f"{path} holds {found}"


def test_nothing_is_said_of_host_user_program_or_console(run):
    text = "\n".join(map(str, records(run)))
    host = subprocess.run(["hostname"], capture_output=True, text=True, check=True).stdout.strip()
    for forbidden in (f'"{host}"', "train.py", "github.com", "host:", "username", "program"):
        assert forbidden not in text
    assert not {"wandb-metadata.json", "requirements.txt", "output.log"} & {path.name for path in run.rglob("*")}


def test_pictures_are_regions_of_interest_not_frames(two_ranks, planted_data):
    crops = [np.load(path, mmap_mode="r") for path in (planted_data / "cache").rglob("*.npy")]
    known = {hashlib.sha256(np.ascontiguousarray(crop)).hexdigest() for video in crops for crop in video}
    files = [path for path in (two_ranks / "wandb").rglob("*") if path.is_file()]
    pictures = [np.asarray(Image.open(path)) for path in files if path.read_bytes()[:4] == b"\x89PNG"]
    plain = [picture for picture in pictures if picture.ndim == 2]
    assert len(plain) >= 4
    assert {hashlib.sha256(np.ascontiguousarray(picture)).hexdigest() for picture in plain} <= known
    tinted = [picture for picture in pictures if picture.ndim == 3]  # what the network saw
    assert len(tinted) >= 4
    assert {picture.shape for picture in tinted} == {(64, 64, 3)}
    assert all(np.ptp(picture.astype(int), axis=2).max() > 20 for picture in tinted)  # in colour


def test_the_table_of_videos_lists_each_once_under_its_keyed_hash_worst_first(run, two_ranks, planted_data):
    tables = sorted(run.glob("files/media/table/media/videos_*.json"), key=lambda path: path.stat().st_mtime)
    table = json.loads(tables[-1].read_text())
    videos = pd.DataFrame(table["data"], columns=table["columns"])
    manifest = pd.read_csv(planted_data / "manifest.csv")
    validated = manifest[manifest["split"] == "val"]
    secret = (two_ranks.parent / "secret").read_bytes()
    keyed = subprocess.run(  # an independent HMAC
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret.hex()}"],
        input=f"v\0{validated['video_id'].iloc[0]}".encode(),
        capture_output=True,
        check=True,
    )
    assert "v" + keyed.stdout.decode().split()[-1][:16] in set(videos["video"])
    assert videos["video"].is_unique
    assert len(videos) == len(validated)
    assert videos["error"].is_monotonic_decreasing
    assert np.allclose(videos["error"], (videos["score"] - videos["label"]).abs())


def test_the_summary_is_of_the_best_epoch(run, two_ranks):
    validated = [row for row in history(run) if "val/loss" in row]
    assert len(validated) == 3
    best = min(validated, key=lambda row: row["val/loss"])
    found = summary(run)
    for name, value in best.items():
        if name.startswith("val/"):
            assert found[name] == pytest.approx(value), name
    assert found["best/epoch"] == validated.index(best)
    saved = torch.load(two_ranks / "checkpoints" / "best.ckpt", weights_only=True)
    assert found["best/step"] == saved["global_step"]
    assert not any(name.startswith("train/") for name in found)


def test_csv_holds_the_same_figures(run, two_ranks):
    with (two_ranks / "metrics" / "version_0" / "metrics.csv").open() as stream:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]
    for name in ("val/auc", "val/auc_low", "val/auc_high", "val/loss", "train/grad_norm", "train/clips_per_s"):
        written = [row[name] for row in rows if name in row]
        logged = [row[name] for row in history(run) if name in row]
        assert len(written) >= 3
        assert logged == pytest.approx(written), name


def test_tensorboard_holds_the_same_figures(two_ranks):
    drawn = scalars(two_ranks / "tensorboard")
    with (two_ranks / "metrics" / "version_0" / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    names = set(rows[0]) - {"step"}
    assert {"val/auc", "val/auc_low", "val/loss", "train/grad_norm", "train/data_wait_share"} < names
    assert set(drawn) == names
    for name in names:
        written = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        assert [step for step, _ in drawn[name]] == [step for step, _ in written], name
        assert [value for _, value in drawn[name]] == pytest.approx([value for _, value in written], rel=1e-6), name


def test_speed_wait_and_gradients_are_told_of_every_step(run):
    steps = [row for row in history(run) if "train/clips_per_s" in row]
    assert len(steps) == 3 * 4
    for row in steps:
        assert row["train/clips_per_s"] > 0
        assert 0 <= row["train/data_wait_share"] < 1
        assert math.isfinite(row["train/grad_norm"])
        assert row["train/grad_norm"] > 0


def test_the_run_says_what_it_was_made_from(run, two_ranks, planted_data):
    said = config(run)
    resolved = yaml.safe_load((two_ranks / "config.yaml").read_text())
    assert said["config"]["data"]["init_args"]["batch_size"] == resolved["data"]["init_args"]["batch_size"]
    assert said["config"]["model"]["class_path"] == "tiny_task.TinyTask"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert said["code"]["commit"] == (commit.stdout.strip() or None)
    assert torch.__version__.startswith(said["environment"]["torch"])
    assert said["environment"]["processes"] == 2
    manifest = (planted_data / "manifest.csv").read_bytes()
    assert said["data"]["manifest_sha256"] == hashlib.sha256(manifest).hexdigest()[:16]
    assert not any(value == "(left out)" for part in ("code", "environment", "data") for value in said[part].values())
    assert set(said["data"]) == {"manifest_sha256", "tracks_sha256", "split_sha256"}


def test_curves_are_drawn_of_the_best_epoch_and_the_auc_of_all(run):
    drawn = {path.name.split("_table_")[0] for path in run.glob("files/media/table/charts/*.json")}
    assert drawn == {"roc", "precision_recall", "calibration", "confusion", "auc"}
    tables = sorted(run.glob("files/media/table/charts/auc_table_*.json"), key=lambda path: path.stat().st_mtime)
    points = pd.DataFrame(json.loads(tables[-1].read_text())["data"], columns=["epoch", "line", "value"])
    validated = [row for row in history(run) if "val/auc" in row]
    for line, name in (("AUC", "val/auc"), ("95 % low", "val/auc_low"), ("95 % high", "val/auc_high")):
        of_line = points[points["line"] == line]
        assert of_line["epoch"].tolist() == [0, 1, 2]
        assert of_line["value"].tolist() == pytest.approx([row[name] for row in validated])


def test_the_checkpoints_are_an_artifact_of_the_weights_that_names_what_it_was_made_from(run, two_ranks):
    models = [artifact for artifact in artifacts(run) if artifact.type == "model"]
    logged = {alias: model for model in models for alias in {"last", "best"} & set(model.aliases)}
    assert set(logged) == {"last", "best"}
    record = json.loads((two_ranks / "checkpoints" / "best.ckpt.provenance.json").read_text())
    for alias, artifact in logged.items():
        (content,) = artifact.manifest.contents
        loaded = torch.load(content.local_path, weights_only=True)
        saved = torch.load(two_ranks / "checkpoints" / f"{alias}.ckpt", weights_only=True)
        assert same(loaded["state_dict"], saved["state_dict"])
        assert loaded["hyper_parameters"] == saved["hyper_parameters"]
        assert not {"callbacks", "optimizer_states", "ClipDataModule"} & set(loaded)
        metadata = json.loads(artifact.metadata)
        assert metadata["step"] == saved["global_step"]
        assert metadata["made_from"] == record["made_from"]


def test_a_log_gets_one_line_an_epoch(two_ranks):
    lines = (two_ranks.parent / "log.txt").read_text().splitlines()
    shown = [line for line in lines if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in shown] == ["epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"]
    assert all("val/auc" in line and line.endswith(" clips/s") for line in shown)
    assert not [line for line in lines if "it/s" in line]


def test_what_goes_to_wandb_is_refused_where_wandb_is_off(launch, tmp_path):
    config = REPOSITORY / "configs" / "classification" / "demo.yaml"
    options = ["--wandb=disabled", f"--wandb_media={tmp_path / 'secret'}"]
    answer = launch("train.py", "--config", config, "--out", tmp_path / "run", *options)
    assert answer.returncode == 2
    assert "--wandb_media goes to W&B, which is off." in answer.stderr
