import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

# Two threads that wait actively on a busy machine make a step several times slower; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def launch():
    """Run a script of launch/ as a user does; return the finished process."""

    def run(script, *arguments, timeout=600):
        argv = [sys.executable, str(REPOSITORY / "launch" / script), *map(str, arguments)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, cwd=REPOSITORY, check=False)

    return run


@pytest.fixture(scope="session")
def real_data():
    """Folder of public ultrasound, from WAUVE_REAL_DATA."""
    folder = os.environ.get("WAUVE_REAL_DATA")
    if not folder:
        pytest.skip("WAUVE_REAL_DATA is not set: it names the folder with cine/ and busi/")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_study_data(tmp_path_factory, launch):
    """Twelve small synthetic sweeps with their tracks, made by the commands a user would give."""
    folder = tmp_path_factory.mktemp("tiny") / "data"
    made = launch(
        *("prepare.py", "synthetic", "--out", folder, "--num-videos", 12, "--frame-size", 96),
        *("--min-frames", 24, "--max-frames", 28, "--val-fraction", 0.34, "--test-fraction", 0.33, "--seed", 3),
    )
    assert made.returncode == 0, made.stderr
    made = launch("prepare.py", "tracks", "--annotations", folder / "annotations.json", "--out", folder / "tracks")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory):
    """The demo's study shrunk to twelve sweeps and a few training steps; all else stays as it is."""
    import yaml

    configs, folder = REPOSITORY / "configs", tmp_path_factory.mktemp("configs")
    for name in ("detection", "classification"):
        config = yaml.safe_load((configs / name / "demo.yaml").read_text())
        config["trainer"] |= {"max_epochs": 1, "check_val_every_n_epoch": 1, "limit_train_batches": 3}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    study = yaml.safe_load((configs / "study" / "demo.yaml").read_text())
    study |= {"detector": str(folder / "detection.yaml"), "classifier": str(folder / "classification.yaml")}
    study["synthetic"] |= {"num_videos": 12, "frame_size": 96, "min_frames": 24, "max_frames": 28}
    study["synthetic"] |= {"val_fraction": 0.34, "test_fraction": 0.33}
    (folder / "study.yaml").write_text(yaml.safe_dump(study | {"resamples": 200}))
    return folder / "study.yaml"
