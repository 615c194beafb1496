"""A run that was stopped or killed ends in the weights of the undisturbed one, bit for bit."""

import signal
import time

import pytest
from runs import argv, finish, kill_group, same, start, state


@pytest.fixture(scope="module")
def undisturbed(tiny_study_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(argv(out, tiny_study_data), out.parent / "log.txt")
    return out


def wait_for(log, ledger, lines, process, timeout=120):
    deadline = time.monotonic() + timeout
    file = ledger / "rank_0.jsonl"
    while not file.exists() or len(file.read_text().splitlines()) < lines:
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def slow_steps(out, data, *options, devices=1):
    return argv(out, data, "--model.step_s=0.1", *options, devices=devices)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_within_an_epoch_saves_and_the_resumed_run_is_exact(number, undisturbed, tiny_study_data, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.txt"
    process = start(slow_steps(out, tiny_study_data), log, ledger=tmp_path)
    wait_for(log, tmp_path, 6, process)
    kill_group(process, number)
    kill_group(process, signal.SIGTERM)  # a second request changes nothing
    assert process.wait(60) == 128 + number
    assert f"{number.name}: will save and stop after this step" in log.read_text()
    assert "--resume" in log.read_text()
    assert state(out)["global_step"] % 8 > 0  # within an epoch
    finish(argv(out, tiny_study_data, "--resume"), log)
    assert same(state(out), state(undisturbed))
    assert same(state(out, "best.ckpt"), state(undisturbed, "best.ckpt"))
    assert sorted(file.name for file in (out / "checkpoints").glob("*.ckpt")) == ["best.ckpt", "last.ckpt"]


def test_killed_in_mid_epoch_it_goes_on_from_the_last_timed_save(undisturbed, tiny_study_data, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.txt"
    process = start(slow_steps(out, tiny_study_data, "--save_every_minutes=0.005"), log, ledger=tmp_path)
    wait_for(log, tmp_path, 12, process)
    kill_group(process)
    process.wait(10)
    finish(argv(out, tiny_study_data, "--resume"), log)
    assert same(state(out), state(undisturbed))


def test_a_signal_before_the_first_step_stops_without_a_save(tiny_study_data, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.txt"
    process = start(slow_steps(out, tiny_study_data), log)
    time.sleep(1.5)  # it is importing torch
    kill_group(process, signal.SIGUSR1)
    assert process.wait(60) == 128 + signal.SIGUSR1
    assert "Stopped before the first step" in log.read_text()
    assert not list((out / "checkpoints").glob("*.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["validation", "save"])
def test_a_signal_that_comes_between_two_epochs_stops_after_the_save(where, undisturbed, tiny_study_data, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.txt"
    process = start(argv(out, tiny_study_data, f"--model.signal_in={where}"), log)
    assert process.wait(120) == 128 + signal.SIGTERM
    assert state(out)["global_step"] in (16, 17)  # noticed before, or while, the epoch's last save was made
    finish(argv(out, tiny_study_data, "--resume"), log)
    assert same(state(out), state(undisturbed))
    assert same(state(out, "best.ckpt"), state(undisturbed, "best.ckpt"))


def test_a_damaged_save_is_refused_loudly_and_the_one_before_it_used(undisturbed, tiny_study_data, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.txt"
    process = start(slow_steps(out, tiny_study_data), log, ledger=tmp_path)
    wait_for(log, tmp_path, 12, process)  # one epoch is saved
    kill_group(process, signal.SIGTERM)
    process.wait(60)
    last = out / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-500])
    finish(argv(out, tiny_study_data, "--resume"), log)
    assert "last.ckpt is not a whole checkpoint" in log.read_text()
    assert "Carrying on from" in log.read_text()
    assert same(state(out), state(undisturbed))


def test_a_not_finite_loss_ends_the_run_with_its_videos(tiny_study_data, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.txt"
    process = start(argv(out, tiny_study_data, "--model.nan_at_step=10"), log)
    assert process.wait(120) == 2
    assert "error: The training loss became nan in epoch 1, batch 2" in log.read_text()
    assert "on the videos v0" in log.read_text()
    assert state(out)["global_step"] == 8  # the last save is from before


def test_another_global_batch_is_refused_with_the_way_to_carry_on(undisturbed, tiny_study_data, tmp_path):
    import shutil

    out, log = tmp_path / "run", tmp_path / "log.txt"
    shutil.copytree(undisturbed, out)
    process = start(argv(out, tiny_study_data, "--resume", "--data.batch_size=2", "--trainer.max_epochs=4"), log)
    assert process.wait(120) == 2
    assert "saved with 4 samples a step over all processes, and now a step has 2" in log.read_text()
    assert "--data.batch_size 4" in log.read_text()
