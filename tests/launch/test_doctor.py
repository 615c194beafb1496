import json
import shlex
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import torch

from wauve_dist.structures.tables import SECTOR_COLUMNS
from wauve_dist.training import environment


def test_the_doctor_answers_in_json_and_lets_training_start(launch, tiny_study_data):
    done = launch("doctor.py", "--manifest", tiny_study_data / "manifest.csv", "--json", "--num-workers", 1)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["can_start"] is True
    checks = {check["name"]: check for check in answer["environment"]}
    assert {"packages", "cuDNN", "GPU decoding", "video codecs", "NCCL", "Slurm", "W&B", "disk"} <= set(checks)
    assert checks["packages"]["status"] == checks["video codecs"]["status"] == "ok"
    assert all(check["consequence"] and check["remedy"] for check in checks.values() if check["status"] != "ok")
    manifest = pd.read_csv(tiny_study_data / "manifest.csv")
    assert [video["video_id"] for video in answer["videos"]] == manifest["video_id"].tolist()
    assert {video["container"]["codec"] for video in answer["videos"]} == {"mjpeg"}
    assert not any(video["problems"] for video in answer["videos"])


def test_a_truncated_video_holds_training_back(launch, tiny_study_data, tmp_path):
    manifest = pd.read_csv(tiny_study_data / "manifest.csv", dtype=str).head(2)
    manifest["path"] = [str(tiny_study_data / path) for path in manifest["path"]]
    cut = tmp_path / "cut.avi"
    whole = Path(manifest["path"].iloc[1]).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    manifest.iloc[1, manifest.columns.get_loc("path")] = str(cut)
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    done = launch("doctor.py", "--manifest", tmp_path / "manifest.csv", "--num-workers", 1)
    assert done.returncode == 1, done.stderr
    assert "FAULT   unreadable: 1 of 2 videos" in done.stdout
    assert "2 videos, " in done.stdout
    assert "1 with a fault, 0 with warnings only, 1 without any." in done.stdout
    assert manifest["video_id"].iloc[1] in done.stdout
    assert "truncated" in done.stdout
    assert done.stdout.strip().endswith("Training cannot start.")


def test_sectors_that_training_refuses_hold_it_back(launch, tiny_study_data, tmp_path):
    manifest = pd.read_csv(tiny_study_data / "manifest.csv", dtype=str).head(3)
    manifest["path"] = [str(tiny_study_data / path) for path in manifest["path"]]
    manifest[list(SECTOR_COLUMNS)] = [(0, 0, 9999, 20), (0, 0, 20, 20), (None,) * 4]
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    done = launch("doctor.py", "--manifest", tmp_path / "manifest.csv", "--json", "--num-workers", 1)
    assert done.returncode == 1, done.stderr
    too_wide, good, without = [video["problems"] for video in json.loads(done.stdout)["videos"]]
    assert [(problem["severity"], problem["kind"]) for problem in too_wide] == [("fault", "sector outside the frame")]
    assert good == []
    assert [(problem["severity"], problem["kind"]) for problem in without] == [("fault", "no sector")]
    for [problem] in (too_wide, without):
        assert f"launch/prepare.py sectors --manifest {tmp_path}/manifest.csv" in problem["remedy"]


def test_the_remedy_for_what_a_gpu_cannot_decode_is_a_command_that_puts_it_right(launch, tmp_path):
    folder = tmp_path / "five vendors"
    folder.mkdir()
    random = np.random.default_rng(1)
    with av.open(str(folder / "old.avi"), "w") as container:
        stream = container.add_stream("msmpeg4v2", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for pixels in random.integers(0, 256, (12, 64, 96), np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")))
        container.mux(stream.encode())
    table = pd.DataFrame({"video_id": ["a"], "patient_id": ["p"], "path": ["old.avi"]})
    table.to_csv(folder / "manifest.csv", index=False)
    done = launch("doctor.py", "--manifest", folder / "manifest.csv", "--json", "--num-workers", 1)
    (problem,) = json.loads(done.stdout)["videos"][0]["problems"]
    assert (problem["severity"], problem["kind"]) == ("warning", "codec msmpeg4v2")
    script, *arguments = shlex.split(problem["remedy"].split(", and use ")[0])
    done = launch(script.removeprefix("launch/"), *arguments)
    assert done.returncode == 0, done.stderr
    cured = folder / "transcoded" / "manifest.csv"
    done = launch("doctor.py", "--manifest", cured, "--json", "--num-workers", 1)
    (video,) = json.loads(done.stdout)["videos"]
    assert (video["num_decoded"], video["problems"]) == (12, [])


def test_a_broken_manifest_is_an_error_of_its_own(launch, tmp_path):
    done = launch("doctor.py", "--manifest", tmp_path / "absent.csv")
    assert done.returncode == 2
    assert "there is no such file" in done.stderr


@pytest.mark.parametrize(
    ("version", "status"), [("2.9.0", "fault"), ("2.9.0+cu128", "fault"), ("2.9.1", "ok"), ("2.15.0+cu132", "ok")]
)
def test_the_release_without_cudnn_conv3d_is_refused(version, status):
    assert environment._conv3d(version).status == status


def test_full_and_forbidden_disks_are_told_apart(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 5 << 30, "total": 64 << 20})
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda folder: usage)
    checks = {check.name: check for check in environment._disks(tmp_path / "not" / "yet" / "there")}
    assert (checks["disk"].status, checks["shared memory"].status) == ("warning", "warning")
    usage.free = 1 << 20
    assert next(environment._disks(tmp_path)).status == "fault"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_machine_without_gpu_is_a_warning():
    (check,) = environment._gpus()
    assert check.status in ("warning", "fault")
    assert check.remedy


@pytest.mark.gpu
def test_every_gpu_is_described():
    checks = list(environment._gpus())
    assert len(checks) == torch.cuda.device_count()
    assert all("GiB" in check.found for check in checks)
