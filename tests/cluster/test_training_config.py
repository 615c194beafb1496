from copy import deepcopy
from pathlib import Path

import pandas as pd
import pytest

from wauve_dist.cluster.profile import read_profile
from wauve_dist.cluster.training_config import (
    TrainingRefused,
    check_inputs,
    check_run_folder,
    fit_to_profile,
    resolved_config,
)

ROOT = Path(__file__).parents[2]
TITAN = read_profile(ROOT / "slurm" / "titan_rtx_8.yaml")
CPU = read_profile(ROOT / "slurm" / "cpu.yaml")
CONFIG = {
    "weights": None,
    "data": {"init_args": {"batch_size": 8}},
    "trainer": {"accelerator": "auto", "devices": "auto", "num_nodes": 1},
}


def config_with(**trainer):
    config = deepcopy(CONFIG)
    config["trainer"] |= trainer
    return config


@pytest.mark.parametrize(
    ("profile", "trainer"),
    [
        (TITAN, {"accelerator": "gpu", "devices": 8, "num_nodes": 1}),
        (CPU, {"accelerator": "cpu", "devices": 2, "num_nodes": 1}),
    ],
)
def test_the_trainer_is_told_of_the_profile(profile, trainer):
    config = config_with()
    assert fit_to_profile(config, [], profile) == []
    assert config["trainer"] == trainer


def test_another_number_of_processes_than_the_yaml_wants_is_said_with_the_global_batches():
    config = config_with(accelerator="gpu", devices=8)
    two_nodes = read_profile(ROOT / "slurm" / "titan_rtx_8.yaml", ["--slurm.nodes=2"])
    [note] = fit_to_profile(config, [], two_nodes)
    assert "asks for 8 processes, this job has 16 (global batch 64 and 128)" in note
    assert config["trainer"] == {"accelerator": "gpu", "devices": 8, "num_nodes": 2}


@pytest.mark.parametrize(
    ("arguments", "trainer", "fault"),
    [
        (["--trainer.devices=4"], {"devices": 4}, r"--trainer\.devices is 4, but the profile gives 8.*gpus_per_node"),
        (["--trainer.devices", "4"], {"devices": "4"}, r"--trainer\.devices is 4"),
        (["--trainer.num_nodes=2"], {"num_nodes": 2}, r"--trainer\.num_nodes is 2.*--slurm\.nodes"),
        ([], {"accelerator": "cpu"}, r"trainer\.accelerator is cpu, but --slurm\.gpus_per_node is 8"),
    ],
)
def test_a_command_line_that_contradicts_the_profile_is_refused(arguments, trainer, fault):
    with pytest.raises(TrainingRefused, match=fault):
        fit_to_profile(config_with(**trainer), arguments, TITAN)


def test_a_command_line_that_agrees_is_taken():
    config = config_with(devices=8, accelerator="cuda")
    assert fit_to_profile(config, ["--trainer.devices=8", "--trainer.accelerator=cuda"], TITAN) == []


@pytest.fixture
def data(tmp_path):
    videos = [{"video_id": f"v{i}", "patient_id": f"p{i}", "path": f"v{i}.avi", "split": "train"} for i in range(3)]
    for video in videos:
        (tmp_path / video["path"]).touch()
    pd.DataFrame(videos).to_csv(tmp_path / "manifest.csv", index=False)
    (tmp_path / "tracks.parquet").touch()
    arguments = {"manifest": str(tmp_path / "manifest.csv"), "tracks": str(tmp_path / "tracks.parquet")}
    return {"weights": None, "data": {"init_args": {**arguments, "cache_dir": "absent", "clips_per_video": 2}}}


def test_files_are_looked_for_down_to_the_videos(data, tmp_path):
    check_inputs(data, CPU)
    (tmp_path / "v1.avi").unlink()
    with pytest.raises(ValueError, match=r"manifest\.csv row 3, column 'path': 'v1\.avi' \(v1\) does not exist"):
        check_inputs(data, CPU)
    (tmp_path / "tracks.parquet").unlink()
    with pytest.raises(TrainingRefused, match=r"--data\.tracks: there is no file .*tracks\.parquet"):
        check_inputs(data, CPU)
    with pytest.raises(TrainingRefused, match=r"--weights: there is no file last\.ckpt"):
        check_inputs(data | {"weights": "last.ckpt"}, CPU)


def test_more_processes_than_samples_are_refused(data):
    # 3 videos of 2 clips each.
    for num_processes in (6, 7):
        profile = read_profile(ROOT / "slurm" / "cpu.yaml", [f"--slurm.tasks_per_node={num_processes}"])
        if num_processes == 6:
            check_inputs(data, profile)
        else:
            with pytest.raises(TrainingRefused, match="at most 6 training samples for 7 processes"):
                check_inputs(data, profile)


def test_a_run_folder_must_be_free_or_resumable(tmp_path):
    check_run_folder(tmp_path / "new", resume=False)
    assert not (tmp_path / "new").exists()
    check_run_folder(tmp_path, resume=False)
    with pytest.raises(TrainingRefused, match=r"--resume: there is no .*last\.ckpt"):
        check_run_folder(tmp_path, resume=True)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    check_run_folder(tmp_path, resume=True)
    with pytest.raises(FileExistsError, match="already holds another run"):
        check_run_folder(tmp_path, resume=False)


def test_a_config_is_resolved_by_the_command_itself(tmp_path):
    config = resolved_config(
        ROOT / "launch",
        ["--config", str(ROOT / "configs/classification/i3d_r50.yaml"), "--out", "runs/x", "--model.lr=0.5"],
    )
    assert (config["out"], config["resume"], config["weights"]) == ("runs/x", False, None)
    assert config["model"]["init_args"]["lr"] == 0.5
    assert (config["trainer"]["devices"], config["data"]["init_args"]["batch_size"]) == (8, 8)
    with pytest.raises(TrainingRefused, match=r"^--model\.lrr is not an option|^lrr is not an option"):
        resolved_config(
            ROOT / "launch",
            ["--config", str(ROOT / "configs/classification/i3d_r50.yaml"), "--out", "x", "--model.lrr=1"],
        )
