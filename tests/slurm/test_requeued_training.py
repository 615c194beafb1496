"""Jobs that are interrupted on a real Slurm: nothing is lost, and the weights are those of the undisturbed run."""

import re

import pytest
from cluster import running_cluster
from runs import same, state
from trainings import (
    PATIENCE_S,
    REPOSITORY,
    TWO_NODES,
    arguments,
    environment,
    samples_of_steps,
    submitted,
    wait_for_steps,
)

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

NUM_STEPS = 12  # 3 epochs of 4 steps
STEP_S = 0.4  # long enough to be interrupted in, and for the second rank to be a step behind


@pytest.fixture(scope="module")
def undisturbed(cluster, tiny_study_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    job = submitted(cluster, *arguments(folder / "run", tiny_study_data), *TWO_NODES, ledger=folder)
    finished = cluster.wait(job, PATIENCE_S)
    assert (finished.state, finished.exit_code) == ("COMPLETED", 0), finished.log
    return folder


def assert_as_undisturbed(run, undisturbed):
    """Check weights bit for bit, and that no step of any rank was left out or saw other samples."""
    assert state(run)["global_step"] == NUM_STEPS
    assert same(state(run), state(undisturbed / "run"))
    seen, expected = samples_of_steps(run.parent), samples_of_steps(undisturbed)
    assert seen.keys() == expected.keys()
    for step, attempts in seen.items():
        assert all(samples == expected[step][0] for samples in attempts), step


def test_a_preempted_job_carries_on_though_its_ranks_are_at_different_steps(
    cluster, undisturbed, tiny_study_data, tmp_path
):
    words = [*arguments(tmp_path / "run", tiny_study_data, STEP_S), *TWO_NODES, "--slurm.partition=spare"]
    job = submitted(cluster, *words, ledger=tmp_path)
    wait_for_steps(cluster, job, tmp_path, rank=1, num_steps=2)
    # A job of the better partition takes both nodes, as another user's would.
    (tmp_path / "urgent.sh").write_text("#!/usr/bin/env bash\nsleep 1\n")
    options = ["--nodes=2", "--exclusive", "--output=/dev/null"]
    urgent = cluster.submit("urgent.sh", options=options, cwd=tmp_path)
    finished = cluster.wait(job, PATIENCE_S)
    assert (finished.state, finished.exit_code) == ("COMPLETED", 0), finished.log
    assert "SIGTERM: will save and stop after this step" in finished.log
    assert "Carrying on from" in finished.log
    assert cluster.properties("job", job)["Restarts"] == "1"
    assert cluster.properties("job", urgent)["JobState"] == "COMPLETED"
    assert_as_undisturbed(tmp_path / "run", undisturbed)
    # Asked to stop within an epoch, it lost no step and did none twice.
    assert {len(attempts) for attempts in samples_of_steps(tmp_path).values()} == {1}


def test_a_job_at_its_time_limit_queues_again_without_submitit_too(cluster, undisturbed, tiny_study_data, tmp_path):
    variables = environment(cluster, ledger=tmp_path)
    exported = ",".join(f"{name}={variables[name]}" for name in ("PYTHONPATH", "LEDGER"))
    job = cluster.submit(
        *("slurm/train.sbatch", *arguments(tmp_path / "run", tiny_study_data, STEP_S)),
        *("--trainer.accelerator=cpu", "--trainer.num_nodes=2", "--trainer.devices=1"),
        options=["--nodes=2", "--ntasks-per-node=1", f"--export=ALL,{exported}", f"--output={tmp_path}/%j.log"],
        cwd=REPOSITORY,
    )
    wait_for_steps(cluster, job, tmp_path, rank=0, num_steps=6)
    cluster.call("scancel", "--signal=USR1", job)  # as Slurm does before the limit, to the steps
    finished = cluster.wait(job, PATIENCE_S)
    assert (finished.state, finished.exit_code) == ("COMPLETED", 0), finished.log
    assert "SIGUSR1: will save and stop after this step" in finished.log
    assert "Carrying on from" in finished.log
    assert cluster.properties("job", job)["Restarts"] == "1"
    assert_as_undisturbed(tmp_path / "run", undisturbed)


def test_a_cancelled_job_saves_and_stays_cancelled(cluster, undisturbed, tiny_study_data, tmp_path):
    run = tmp_path / "run"
    job = submitted(cluster, *arguments(run, tiny_study_data, STEP_S), *TWO_NODES, ledger=tmp_path)
    wait_for_steps(cluster, job, tmp_path, rank=0, num_steps=6)
    cluster.call("scancel", job)
    finished = cluster.wait(job, 60)
    assert finished.state == "CANCELLED", finished.log
    assert cluster.properties("job", job)["Restarts"] == "0"
    assert re.search(r"Saved at step \d+ \(Slurm is ending the job", finished.log), finished.log
    # A new job carries on.
    resumed = submitted(cluster, *arguments(run, tiny_study_data), *TWO_NODES, "--resume", ledger=tmp_path)
    finished = cluster.wait(resumed, PATIENCE_S)
    assert (finished.state, finished.exit_code) == ("COMPLETED", 0), finished.log
    assert_as_undisturbed(run, undisturbed)


def test_a_job_whose_node_fails_starts_again_from_its_last_save(undisturbed, tiny_study_data, tmp_path):
    (tmp_path / "slurm").mkdir()
    with running_cluster(tmp_path / "slurm", node_timeout_s=10) as cluster:
        words = [*arguments(tmp_path / "run", tiny_study_data, STEP_S), *TWO_NODES]
        job = submitted(cluster, *words, ledger=tmp_path)
        wait_for_steps(cluster, job, tmp_path, rank=1, num_steps=7)  # the first epoch's save is behind
        cluster.cut_power("n2")
        cluster.wait_for_state(job, "PENDING", 120)
        cluster.call("scontrol", "hold", job)
        cluster.boot("n2")
        # Slurm repeats for a minute that n2 is to end the job, which by then would be the new start.
        cluster.wait_for_delivery(180)
        cluster.call("scontrol", "release", job)
        finished = cluster.wait(job, PATIENCE_S)
        assert (finished.state, finished.exit_code) == ("COMPLETED", 0), finished.log
        assert "Carrying on from" in finished.log
        assert int(cluster.properties("job", job)["Restarts"]) >= 1
    assert_as_undisturbed(tmp_path / "run", undisturbed)
