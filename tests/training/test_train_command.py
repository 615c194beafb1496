"""What launch/train.py refuses."""

from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[2] / "configs" / "classification" / "demo.yaml"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (
            "--model.lrr=1",
            "lrr is not an option. Did you mean lr? Valid names: activation_checkpointing, ",
        ),
        ("--data.crop_sice=64", "Did you mean crop_size?"),
        ("--trainer.max_epoch=3", "--trainer.max_epoch is not an option. Did you mean trainer.max_epochs?"),
        ("--model.lr=fast", "Expected a <class 'float'>. Got value: fast"),
    ],
)
def test_a_wrong_key_or_value_is_refused_before_data_are_touched(launch, tmp_path, wrong, expected):
    # The manifest does not exist: a run that got as far as the data would complain about it.
    answer = launch("train.py", "--config", CONFIG, "--out", tmp_path / "run", "--data.manifest=/nowhere.csv", wrong)
    assert answer.returncode == 2
    assert expected in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "run").exists()


def test_a_mistyped_key_in_the_yaml_is_refused_with_the_valid_names(launch, tmp_path):
    (tmp_path / "x.yaml").write_text(CONFIG.read_text().replace("dropout:", "dropuot:"))
    answer = launch("train.py", "--config", tmp_path / "x.yaml", "--out", tmp_path / "run")
    assert answer.returncode == 2
    assert "dropuot is not an option" in answer.stderr
    assert "Did you mean dropout? Valid names: dropout." in answer.stderr


def test_a_used_run_folder_is_refused(launch, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    answer = launch("train.py", "--config", CONFIG, "--out", tmp_path)
    assert answer.returncode == 2
    assert "already holds another run (notes.txt)" in answer.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_resume_without_a_checkpoint_says_so(launch, tmp_path):
    answer = launch("train.py", "--config", CONFIG, "--out", tmp_path / "run", "--resume")
    assert answer.returncode == 2
    assert "last.ckpt is missing; " in answer.stderr
    assert "previous.ckpt is missing. Check --out" in answer.stderr


def test_a_missing_manifest_is_one_sentence(launch, tmp_path):
    answer = launch("train.py", "--config", CONFIG, "--out", tmp_path / "run", "--data.manifest=/nowhere.csv")
    assert answer.returncode == 2
    assert "/nowhere.csv: there is no such file" in answer.stderr
    assert list((tmp_path / "run").iterdir()) == []  # the corrected command may use the folder
