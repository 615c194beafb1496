from pathlib import Path

CONFIG = Path(__file__).parents[2] / "configs" / "detection" / "demo.yaml"


def test_a_training_with_detectron2_where_there_is_none_ends_with_the_line_that_installs_it(
    launch, tmp_path, monkeypatch
):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "detectron2.py").write_text("raise ModuleNotFoundError(\"No module named 'detectron2'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    # The manifest does not exist: a run that got as far as the data would complain about it.
    options = ("--data.manifest=/nowhere.csv", "--model.backend", "detectron2")
    answer = launch("train.py", "--config", CONFIG, "--out", tmp_path / "run", *options)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
    fault = answer.stderr.splitlines()[-1]
    assert fault.startswith("error: --model.backend detectron2: Detectron2 cannot be imported (No module named ")
    assert "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'. " in fault
