"""Agents whose trials a stand-in for W&B's server chooses; the real client is in test_wandb_sweep.py."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from agents import REPOSITORY, Work, ended, wait_until
from wandb_grid import WandbGrid

from wauve_dist.sweeps.sweep import Sweep
from wauve_dist.sweeps.sweep_file import SweepRefused
from wauve_dist.sweeps.trials import NoTrialYet
from wauve_dist.sweeps.wandb_scheduler import WandbScheduler
from wauve_dist.sweeps.wandb_sweep import WandbSweep, register

sys.path.append(str(REPOSITORY / "tests" / "training"))

from wandb_server import serving


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


def told_of(work, server):
    WandbSweep(server.environment["WANDB_BASE_URL"], "me", "wauve_dist", "sweep1").write(work.out)
    return server.environment


def test_six_trials_on_three_agents_survive_a_failure_a_preemption_and_an_outage(work):
    points = {"behaviour": ["train", "fail"], "lr": [0.1, 0.2, 0.3]}
    work.create({**{name: {"values": values} for name, values in points.items()}, "seconds": {"value": 3.0}})
    grid = WandbGrid({**points, "seconds": [3.0]})
    with serving(answers=grid.answers()) as server:
        variables = told_of(work, server)
        preempted = work.agent(**variables)
        wait_until((work.out / "trials" / "0000" / "checkpoints" / "last.ckpt").exists)
        os.kill(preempted.pid, signal.SIGUSR1)
        first, _ = ended(preempted)
        agents = [work.agent(**variables) for _ in range(3)]
        wait_until(lambda: len(grid.given) == 3)
        server.is_down = True
        wait_until(lambda: any(b'"runState": "{}"' in body for body in server.dropped))  # an agent wants its next
        assert len(work.states()) == len(grid.given) < 6
        grid.offered_again.append("given0")
        server.is_down = False
        statuses, said = ended(*agents)
    assert (first, statuses) == ([128 + signal.SIGUSR1], [0, 0, 0]), said
    assert "W&B does not answer" in said
    trials = Sweep(work.out).trials()
    assert sorted(trial.state for trial in trials) == ["failed"] * 3 + ["finished"] * 3
    assert {trial.run_id: trial.parameters for trial in trials} == grid.given
    assert len(grid.given) == 6
    begun = [name for name, resumed, _ in work.started() if not resumed]
    assert sorted(begun) == [f"{number:04d}" for number in range(6)]
    assert [resumed for _, resumed, _ in work.started()].count(True) == 1


def test_a_trial_gets_its_run_by_wandbs_own_variables_and_one_that_wandb_stops_keeps_its_figure(work):
    work.create({"lr": {"values": [0.5, 0.6]}, "seconds": {"value": 5.0}})
    grid = WandbGrid({"lr": [0.5], "seconds": [5.0], "behaviour": ["train"]})  # as if stopped at the server after one
    with serving(answers=grid.answers()) as server:
        grid.to_stop.add("given0")
        agent = work.agent(**told_of(work, server))
        wait_until(lambda: work.started())
        environment = Path(f"/proc/{work.started()[0][2]}/environ").read_text().split("\0")
        statuses, said = ended(agent)
    assert statuses == [0], said
    assert {"WANDB_RUN_ID=given0", "WANDB_SWEEP_ID=sweep1", "WANDB_ENTITY=me"} <= set(environment)
    (path,) = (word.partition("=")[2] for word in environment if word.startswith("WANDB_SWEEP_PARAM_PATH="))
    assert yaml.safe_load(Path(path).read_text())["lr"] == {"value": 0.5}
    (trial,) = Sweep(work.out).trials()
    assert (trial.state, trial.run_id) == ("stopped", "given0")
    assert trial.value is not None


def test_what_is_no_outage_is_refused(work):
    work.create({"lr": {"values": [0.5, 0.6]}})
    grid = WandbGrid({"rate": [0.5]})
    with serving(answers=grid.answers()) as server:
        told_of(work, server)
        scheduler = WandbScheduler(Sweep(work.out), WandbSweep.read(work.out))
        with pytest.raises(SweepRefused, match=r"W&B wants a trial of rate, which is not what .* has as parameters"):
            scheduler.propose(0, [])
    with pytest.raises(NoTrialYet, match="W&B does not answer"):
        scheduler.propose(0, [])
    with serving() as server:
        told_of(work, server)
        server.status = 503
        with pytest.raises(NoTrialYet, match=r"W&B does not answer \(status 503\)"):
            WandbScheduler(Sweep(work.out), WandbSweep.read(work.out)).propose(0, [])
        server.status = 401
        with pytest.raises(SweepRefused, match=r"refuses an agent of me/wauve_dist/sweep1: status 401"):
            WandbScheduler(Sweep(work.out), WandbSweep.read(work.out)).propose(0, [])
        server.status = 200
        with pytest.raises(SweepRefused, match=r"no CreateAgent here.*Is WANDB_API_KEY set on this machine"):
            WandbScheduler(Sweep(work.out), WandbSweep.read(work.out)).propose(0, [])


def test_an_agent_does_not_wait_for_ever(work):
    work.create({"lr": {"values": [0.5, 0.6]}})
    with serving() as server:
        told_of(work, server)
        impatient = f"""
import runpy, sys
from wauve_dist.sweeps import agent
agent._RETRY_S = agent._PATIENCE_S = 0.1
sys.exit(runpy.run_path("launch/sweep.py")["main"](["agent", "{work.out}"]))
"""
        server.is_down = True
        done = subprocess.run(
            [sys.executable, "-c", impatient], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr.startswith("error: W&B does not answer")) == (2, True), done.stderr


def test_no_path_goes_to_wandb_with_a_sweep(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"parameters": {"data.manifest": {"values": [str(path), "b.csv"]}}}))
    with pytest.raises(SweepRefused, match=r"data\.manifest holds a path or free text, which would go to W&B"):
        register(path)
