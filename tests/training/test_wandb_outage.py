"""No server stops or holds up a training, and a finish, a stop and a crash are told apart; W&B's real client."""

import signal
import subprocess
import time

import pytest
from runs import argv, finish, kill_group, start
from wandb_files import history, records
from wandb_server import serving

pytestmark = pytest.mark.slow


def with_wandb(out, data, *options, mode):
    return [*(word for word in argv(out, data, *options) if word != "--wandb=disabled"), f"--wandb={mode}"]


def exit_code(run):
    (code,) = (record.exit.exit_code for record in records(run) if record.WhichOneof("record_type") == "exit")
    return code


def leave_to(monkeypatch, server):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def test_a_silent_server_costs_a_training_nothing_but_the_wait_at_its_end(tiny_study_data, tmp_path, monkeypatch):
    out, log = tmp_path / "run", tmp_path / "log.txt"
    with serving(silent=True) as server:
        leave_to(monkeypatch, server)
        finish(with_wandb(out, tiny_study_data, mode="online"), log)
    (run,) = (out / "wandb").glob("offline-run-*")
    assert "the server did not take the whole run within 30 s" in log.read_text()
    assert f"upload with: wandb sync {run}" in log.read_text()
    assert len([row for row in history(run) if "val/auc" in row]) == 3
    assert exit_code(run) == 0
    left_behind = subprocess.run(["pgrep", "-f", str(run)], capture_output=True, text=True, check=False)
    assert left_behind.stdout == ""


def test_an_online_run_gets_to_the_server(tiny_study_data, tmp_path, monkeypatch):
    with serving(silent=False) as server:
        leave_to(monkeypatch, server)
        finish(with_wandb(tmp_path / "run", tiny_study_data, mode="online"), tmp_path / "log.txt")
        received = b"".join(server.received)
    for figure in (b"val/auc_low", b"train/clips_per_s", b"best/epoch"):
        assert figure in received


def test_without_an_account_nobody_is_asked_and_the_run_is_there_to_be_uploaded(tiny_study_data, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # no .netrc
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    out, log = tmp_path / "run", tmp_path / "log.txt"
    finish(with_wandb(out, tiny_study_data, mode="online"), log)
    assert f"the run was not uploaded; {out / 'wandb' / 'upload.log'} says why" in log.read_text()
    (run,) = (out / "wandb").glob("offline-run-*")
    assert f"upload with: wandb sync {run}" in log.read_text()


def test_a_crash_and_a_stop_are_no_finish_and_a_resumed_run_keeps_its_id_and_its_curve(tiny_study_data, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.txt"
    process = start(with_wandb(out, tiny_study_data, "--model.signal_in=validation", mode="offline"), log)
    assert process.wait(150) == 128 + signal.SIGTERM
    (stopped,) = (out / "wandb").glob("offline-run-*")
    assert exit_code(stopped) == 128 + signal.SIGTERM
    time.sleep(1)  # a run's folder is named by the second
    finish(with_wandb(out, tiny_study_data, "--resume", mode="offline"), log)
    (resumed,) = set((out / "wandb").glob("offline-run-*")) - {stopped}
    assert exit_code(resumed) == 0
    ids = {record.run.run_id for run in (stopped, resumed) for record in records(run) if record.run.run_id}
    assert len(ids) == 1
    epochs = [row["epoch"] for run in (stopped, resumed) for row in history(run) if "val/auc" in row]
    assert epochs == [0, 1, 2]
    crash = start(with_wandb(tmp_path / "crash", tiny_study_data, "--model.fail_on_rank=0", mode="offline"), log)
    assert crash.wait(150) == 1
    (crashed,) = (tmp_path / "crash" / "wandb").glob("offline-run-*")
    assert exit_code(crashed) == 1


def test_a_run_outlives_wandbs_client(tiny_study_data, tmp_path):

    out, log = tmp_path / "run", tmp_path / "log.txt"
    command = with_wandb(out, tiny_study_data, "--model.step_s=0.3", mode="offline")
    process = start(command, log, ledger=tmp_path)
    try:
        while not (tmp_path / "rank_0.jsonl").exists():
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.1)
        listed = subprocess.run(
            ["pgrep", "-P", str(process.pid), "wandb-core"], capture_output=True, text=True, check=True
        )
        (client,) = listed.stdout.split()
        subprocess.run(["kill", "-9", client], check=True)
        assert process.wait(150) == 0, log.read_text()[-3000:]
    finally:
        if process.poll() is None:
            kill_group(process)
    assert log.read_text().count("its client has died") == 1
    assert "Best checkpoint" in log.read_text()
