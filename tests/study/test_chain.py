from pathlib import Path

import pytest

from wauve_dist.study.chain import run_study, stages_of
from wauve_dist.study.config import read_study_config

DEMO = Path(__file__).parents[2] / "configs" / "study" / "demo.yaml"
OWN_DATA = ["--synthetic=null", "--manifest=my/manifest.csv", "--annotations=my/annotations.json"]


def test_every_stage_waits_for_what_the_one_before_it_made():
    stages = stages_of(read_study_config(DEMO, ["--out=runs/x"]))
    assert [stage.name for stage in stages] == ["data", "detector", "tracks", "classifier", "predictions", "report"]
    made = {DEMO.parents[1] / "detection" / "demo.yaml", DEMO.parents[1] / "classification" / "demo.yaml"}
    for stage in stages:
        for source in stage.inputs:
            assert source.parts[:2] == ("runs", "x") or source.resolve() in made
            if source.parts[0] == "runs":
                assert source.parts[2] in {earlier.name for earlier in stages[: stages.index(stage)]}


def test_own_data_replace_the_synthetic_ones_in_every_stage():
    stages = stages_of(read_study_config(DEMO, OWN_DATA))
    assert [stage.name for stage in stages] == ["detector", "tracks", "classifier", "predictions", "report"]
    by_name = {stage.name: " ".join(stage.command) for stage in stages}
    assert "--data.manifest=my/manifest.csv" in by_name["detector"]
    assert "--data.annotations=my/annotations.json" in by_name["detector"]
    assert "--videos=my/manifest.csv" in by_name["predictions"]


def test_training_tracks_can_come_from_the_detector():
    tracks = next(s for s in stages_of(read_study_config(DEMO, ["--training_tracks=detector"])) if s.name == "tracks")
    assert tracks.command[0] == "predict.py"
    assert "--classifier" not in " ".join(tracks.command)


@pytest.mark.parametrize("half", [OWN_DATA[1:], OWN_DATA[:2], ["--synthetic=null"]])
def test_data_given_twice_or_by_half_are_refused(half):
    with pytest.raises(ValueError, match="needs either 'synthetic' or both 'manifest' and 'annotations'"):
        read_study_config(DEMO, half)


def test_a_folder_that_holds_something_else_is_refused_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        run_study(read_study_config(DEMO, [f"--out={tmp_path}"]), tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
