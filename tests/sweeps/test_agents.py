"""Ways in which agents and trainings end; the real training is in test_sweep_command.py."""

import csv
import os
import runpy
import signal
from pathlib import Path

import pytest
from agents import REPOSITORY, Work, ended, wait_until

from wauve_dist.sweeps.sweep import Sweep


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


def test_two_agents_run_every_configuration_once_and_end(work):
    work.create({"lr": {"values": [0.1, 0.2, 0.3]}, "behaviour": {"values": ["train", "fail"]}})
    (work.out / "trials").mkdir()
    (work.out / "trials" / ".0007.half-written.json").touch()  # of an agent that was killed
    statuses, said = ended(work.agent(), work.agent())
    assert statuses == [0, 0], said
    assert sorted(name for name, _, _ in work.started()) == [f"{number:04d}" for number in range(6)]
    with (work.out / "results.csv").open() as stream:
        table = list(csv.DictReader(stream))
    found = [(row["trial"], row["lr"], row["behaviour"], row["state"], row["val/loss"]) for row in table]
    assert found == [
        ("0", "0.1", "train", "finished", "0.2"),
        ("1", "0.2", "train", "finished", str(0.2 + 0.1)),
        ("2", "0.3", "train", "finished", "0.4"),
        ("3", "0.1", "fail", "failed", ""),
        ("4", "0.2", "fail", "failed", ""),
        ("5", "0.3", "fail", "failed", ""),
    ]
    assert "trial 3: failed (exit status 1: error: the manifest has no column 'label')" in said


def test_a_killed_training_goes_on_where_it_was_saved_and_one_that_always_dies_has_failed(work):
    work.create({"lr": {"value": 0.5}, "behaviour": {"values": ["kill_once", "kill"]}})
    statuses, said = ended(work.agent())
    assert statuses == [0], said
    first, second = Sweep(work.out).trials()
    assert (first.state, first.value, first.num_kills) == ("finished", 0.6, 1)
    assert (second.state, second.num_kills) == ("failed", 3)
    assert "exit status -9" in second.fault
    assert [(name, resumed) for name, resumed, _ in work.started()] == [
        *(("0000", False), ("0000", True)),
        *(("0001", False), ("0001", True), ("0001", True)),
    ]


def test_the_trial_of_a_killed_agent_stops_by_itself_and_the_next_agent_resumes_it(work):
    work.create({"lr": {"value": 0.5}, "seconds": {"value": 5.0}})
    first = work.agent()
    wait_until(lambda: (work.out / "trials" / "0000" / "checkpoints" / "last.ckpt").exists())
    first.kill()
    first.communicate()
    training = work.started()[0][2]
    statuses, said = ended(work.agent())  # while the orphan saves, its trial is not to be had
    assert statuses == [0], said
    wait_until(lambda: not Path(f"/proc/{training}").exists())
    if work.states() == ["running"]:
        assert "No trial is left to take; 1 are run by other agents" in said
        statuses, said = ended(work.agent())
    assert work.states() == ["finished"], said
    assert [resumed for _, resumed, _ in work.started()] == [False, True]


def test_a_signal_stops_agent_and_training_and_the_next_agent_goes_on(work):
    work.create({"lr": {"values": [0.5, 0.6]}, "seconds": {"value": 3.0}})
    first = work.agent()
    wait_until(lambda: (work.out / "trials" / "0000" / "checkpoints" / "last.ckpt").exists())
    os.kill(first.pid, signal.SIGUSR1)
    statuses, said = ended(first)
    assert statuses == [128 + signal.SIGUSR1], said
    assert work.states() == ["running"]
    assert Sweep(work.out).trials()[0].num_kills == 0
    statuses, said = ended(work.agent())
    assert work.states() == ["finished", "finished"], said
    assert [(name, resumed) for name, resumed, _ in work.started()] == [
        *(("0000", False), ("0000", True), ("0001", False)),
    ]


def test_a_stopped_sweep_frees_its_agents_and_goes_on_where_its_trials_were_saved(work, capsys):
    main = runpy.run_path(str(REPOSITORY / "launch" / "sweep.py"))["main"]

    def command(*words):
        status = main([str(word) for word in words])
        return status, "".join(capsys.readouterr())

    work.create({"lr": {"values": [0.5, 0.6, 0.7]}, "seconds": {"value": 4.0}})
    agents = [work.agent(), work.agent()]
    wait_until(lambda: len(list(work.out.glob("trials/*/checkpoints/last.ckpt"))) == 2)
    assert command("stop", work.out) == (0, "")
    statuses, said = ended(*agents, work.agent())
    assert statuses == [0, 0, 0], said
    assert said.count(f"The sweep is stopped. Undo with: launch/sweep.py stop {work.out} --undo") == 3
    assert work.states() == ["running", "running"]
    assert [trial.num_kills for trial in Sweep(work.out).trials()] == [0, 0]
    status, said = command("submit", work.out, "--agents=1", "--slurm=slurm/cpu.yaml")
    assert (status, f"{work.out} is stopped. Undo that first:" in said) == (2, True)
    assert "The sweep is stopped; trials that had begun go on after:" in command("status", work.out)[1]
    assert command("stop", work.out, "--undo") == (0, "")
    statuses, said = ended(work.agent(), work.agent())
    assert work.states() == ["finished"] * 3, said
    runs = sorted((name, resumed) for name, resumed, _ in work.started())
    assert runs == [("0000", False), ("0000", True), ("0001", False), ("0001", True), ("0002", False)]


def test_a_trial_without_promise_is_stopped_early_and_keeps_its_figure(work):
    work.create(
        {"lr": {"values": [0.1, 0.2, 9.0]}, "seconds": {"value": 2.0}},
        early_terminate={"type": "hyperband", "min_iter": 2, "eta": 3},
    )
    statuses, said = ended(work.agent())
    assert statuses == [0], said
    assert work.states() == ["finished", "finished", "stopped"]
    value = Sweep(work.out).trials()[2].value
    assert 9.1 < value <= 9.5  # it had validated twice at least, and not ten times


def test_agents_refuse_a_folder_without_a_sweep(work):
    statuses, said = ended(work.agent())
    assert "holds no sweep. Make one: launch/sweep.py create SWEEP.yaml --out" in said
    assert statuses == [1]
