import pytest

from wauve_dist.study.stages import Stage, StageError, remove_from

SCRIPT = """
import sys, pathlib
out, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
out.mkdir()
(out / "resumed").write_text(str("--resume" in sys.argv))
(out / "product").write_text(source.read_text().upper())
if int(sys.argv[3]): sys.exit(int(sys.argv[3]))
"""


@pytest.fixture
def make_stage(tmp_path):
    (tmp_path / "upper.py").write_text(SCRIPT)
    (tmp_path / "source").write_text("a")

    def make(status=0):
        source = tmp_path / "source"
        command = ("upper.py", str(tmp_path / "out"), str(source), str(status))
        return Stage("upper", tmp_path / "out", command, (source,))

    return make


def test_a_stage_runs_once_and_knows_that_it_is_done(make_stage, tmp_path):
    stage = make_stage()
    assert not stage.is_done()
    stage.run(tmp_path)
    assert (tmp_path / "out" / "product").read_text() == "A"
    assert make_stage().is_done()


def test_other_inputs_or_settings_are_refused_with_the_way_out(make_stage, tmp_path):
    make_stage().run(tmp_path)
    with pytest.raises(StageError, match="--redo upper"):
        make_stage(status=1).is_done()
    (tmp_path / "source").write_text("b")
    with pytest.raises(StageError, match="other settings or from other inputs"):
        make_stage().is_done()


def test_a_failed_stage_is_not_done_and_starts_over(make_stage, tmp_path):
    (tmp_path / "upper.py").write_text(SCRIPT + "raise SystemExit(3)")
    with pytest.raises(StageError, match="status 3"):
        make_stage().run(tmp_path)
    assert not make_stage().is_done()
    (tmp_path / "upper.py").write_text(SCRIPT)
    make_stage().run(tmp_path)  # the leftover folder would make the script's mkdir fail
    assert make_stage().is_done()


def test_a_missing_input_is_named(make_stage, tmp_path):
    stage = make_stage()
    (tmp_path / "source").unlink()
    with pytest.raises(StageError, match=r"Stage upper needs .*source, which no stage before it has made"):
        stage.run(tmp_path)
    assert not stage.record.exists()


def test_an_interrupted_training_resumes(make_stage, tmp_path):
    (tmp_path / "upper.py").write_text(SCRIPT.replace("out.mkdir()", "out.mkdir(exist_ok=True)"))
    (tmp_path / "out" / "checkpoints").mkdir(parents=True)
    (tmp_path / "out" / "checkpoints" / "last.ckpt").write_text("")
    make_stage().run(tmp_path)
    assert (tmp_path / "out" / "resumed").read_text() == "True"


def test_an_interrupted_training_does_not_resume_with_other_settings(make_stage, tmp_path):
    with pytest.raises(StageError, match="status 3"):
        make_stage(status=3).run(tmp_path)
    with pytest.raises(StageError, match="--redo upper"):
        make_stage(status=0).is_done()


def test_redo_removes_the_stage_and_what_follows(tmp_path):
    stages = [Stage(name, tmp_path / name, ("x.py",)) for name in ("one", "two", "three")]
    for stage in stages[:2]:
        stage.folder.mkdir()
        stage.record.parent.mkdir(exist_ok=True)
        stage.record.write_text("{}")
    remove_from("two", stages)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["one", "stages"]
    assert [entry.name for entry in (tmp_path / "stages").iterdir()] == ["one.json"]
    with pytest.raises(StageError, match="one, two, three"):
        remove_from("four", stages)
