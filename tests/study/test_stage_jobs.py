"""The body of a stage's job, run here in a process of its own; tests/slurm submits it."""

import hashlib
import subprocess
import sys

import pytest

RUN = """
import sys
from pathlib import Path
from wauve_dist.study.slurm_chain import StageJob
from wauve_dist.study.stages import Stage

root, sha256 = Path(sys.argv[1]), sys.argv[2]
stage = Stage("upper", Path("out"), ("upper.py", "out", "source.yaml"), (Path("source.yaml"),))
StageJob(stage, root / "launch", root, (), {Path("source.yaml"): sha256})()
"""
UPPER = """
import pathlib, sys
out, source = map(pathlib.Path, sys.argv[1:])
out.mkdir()
(out / "product").write_text(source.read_text().upper())
"""


@pytest.fixture
def run_body(tmp_path):
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "upper.py").write_text(UPPER)
    (tmp_path / "source.yaml").write_text("a")
    submitted_as = hashlib.sha256(b"a").hexdigest()

    def run():
        # From another folder: the job returns to the one that it was submitted in.
        command = [sys.executable, "-c", RUN, str(tmp_path), submitted_as]
        return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)

    return run


def test_the_body_runs_its_stage_once(run_body, tmp_path):
    done = run_body()
    assert (done.returncode, (tmp_path / "out" / "product").read_text()) == (0, "A"), done.stderr
    assert "upper: took" in done.stdout
    again = run_body()
    assert (again.returncode, again.stdout) == (0, "upper: done before, kept\n")


def test_a_config_that_changed_while_the_job_waited_is_refused(run_body, tmp_path):
    (tmp_path / "source.yaml").write_text("b")
    refused = run_body()
    assert refused.returncode == 1
    assert refused.stderr == ("error: source.yaml was changed after the study was submitted. Submit the study again.\n")
    assert not (tmp_path / "out").exists()


def test_a_failed_stage_fails_its_job_with_one_sentence(run_body, tmp_path):
    (tmp_path / "launch" / "upper.py").write_text("raise SystemExit(3)")
    failed = run_body()
    assert failed.returncode == 1
    assert "error: Stage upper failed with status 3" in failed.stderr
    assert "Traceback" not in failed.stderr
