"""launch/study.py --slurm on a real Slurm: a job for each stage, each after the one before."""

import itertools
import re

import pytest
from trainings import TWO_NODES, followed, launch, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(2400)]

STUDY_S = 1800  # two minutes and a half on an idle machine
STAGES = ["data", "detector", "tracks", "classifier", "predictions", "report"]


def test_stages_are_jobs_one_after_the_other_and_a_done_study_is_not_submitted_again(cluster, tiny_study, tmp_path):
    words = ["--config", tiny_study, "--out", tmp_path / "study", *TWO_NODES, "--wait"]
    console = tmp_path / "console.txt"
    with followed(cluster, "study.py", *words, console=console) as process:
        wait_until(lambda: "A stage that fails" in console.read_text(), process, console)
        jobs = dict(re.findall(r"Job (\d+) \(study-(\w+)\) is in the queue", console.read_text()))
        assert list(jobs.values()) == STAGES
        [detector] = [number for number, stage in jobs.items() if stage == "detector"]
        log = tmp_path / "study.slurm" / f"{detector}.log"
        wait_until(lambda: log.exists() and "Starting with 2 processes" in log.read_text(), process, console)
        # Asked to stop, a training ends well; its stage is not done for all that, and the next one has to wait.
        cluster.call("scancel", "--signal=TERM", detector)
        assert process.wait(STUDY_S) == 0, console.read_text()
    assert "asks Slurm to start the job again" in log.read_text()
    ran = {stage: cluster.properties("job", number) for number, stage in jobs.items()}
    assert [ran[stage]["Restarts"] for stage in STAGES] == ["0", "1", "0", "0", "0", "0"]
    for before, after in itertools.pairwise(STAGES):
        assert ran[before]["EndTime"] <= ran[after]["StartTime"]
    assert [ran[stage]["NumNodes"] for stage in STAGES] == ["1", "2", "1", "2", "1", "1"]
    assert (tmp_path / "study" / "report" / "report.html").is_file()
    assert "Test set: 4 videos" in console.read_text()

    again = launch(cluster, "study.py", *words)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before, kept") == len(STAGES)
    assert "is in the queue" not in again.stdout


def test_a_stage_that_fails_cancels_those_after_it_and_says_so(cluster, tiny_study, tmp_path):
    words = ["--config", tiny_study, "--out", tmp_path / "study", *TWO_NODES, "--wait", "--synthetic.codec=nope"]
    done = launch(cluster, "study.py", *words)
    assert done.returncode == 1
    jobs = dict(re.findall(r"Job (\d+) \(study-(\w+)\) is in the queue", done.stdout))
    first, *others = jobs
    assert "argument --codec: invalid choice: 'nope'" in done.stdout
    assert "error: Stage data failed with status 2" in done.stdout
    assert f"Job {first} (study-data) is FAILED" in done.stderr
    assert "Slurm cancels what waits for it: study-detector, study-tracks" in done.stderr
    for job in others:
        cluster.wait_for_state(job, "CANCELLED", 30)
