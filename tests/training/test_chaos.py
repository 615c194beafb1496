"""Twenty kills at random moments of a training on two processes change nothing."""

import contextlib
import json
import random
import signal
import subprocess
import time
import zipfile

import pytest
from runs import argv, finish, kill_group, same, start, state

NUM_KILLS = 20
NUM_EPOCHS = 40  # of 4 steps; a kill takes back less than it lets pass, so the run outlasts them


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_leave_no_trace(tiny_study_data, tmp_path):
    folders = {name: tmp_path / name for name in ("undisturbed", "killed")}
    for folder in folders.values():
        (folder / "ledger").mkdir(parents=True)
    options = (f"--trainer.max_epochs={NUM_EPOCHS}", "--save_every_minutes=0.003", "--async_save")
    log, ledger = folders["undisturbed"] / "log.txt", folders["undisturbed"] / "ledger"
    finish(argv(folders["undisturbed"] / "run", tiny_study_data, *options, devices=2), log, ledger)

    rng = random.Random(5)
    out, log, ledger = folders["killed"] / "run", folders["killed"] / "log.txt", folders["killed"] / "ledger"
    kills = ended = 0
    while not ended:
        saved = any((out / "checkpoints" / name).exists() for name in ("last.ckpt", "previous.ckpt"))
        resume = ["--resume"] if saved else []
        if not resume and out.exists():
            subprocess.run(["rm", "-r", out], check=True)  # killed before its first save
        step_s = 0.15 if kills < NUM_KILLS else 0.0
        command = argv(out, tiny_study_data, *options, f"--model.step_s={step_s}", *resume, devices=2)
        process = start(command, log, ledger)
        if kills < NUM_KILLS:
            # Some die while they start, most in their first epochs, in a step, a validation or a save.
            deadline = time.monotonic() + (rng.uniform(0, 8) if rng.random() < 0.15 else 60)
            lines = count_lines(ledger) + rng.randint(1, 6)
            while time.monotonic() < deadline and count_lines(ledger) < lines and process.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.3))
            kill_group(process, rng.choice([signal.SIGKILL, signal.SIGTERM]))
            kills += process.poll() is None or process.returncode != 0
        status = process.wait(300)  # a busy machine takes its time to leave
        assert status != 0 or kills == NUM_KILLS, "the run ended before its last kill"
        with contextlib.suppress(ProcessLookupError):
            kill_group(process)
        ended = kills >= NUM_KILLS and status == 0
        assert_no_file_is_corrupt(out)
    assert kills == NUM_KILLS
    assert same(state(out), state(folders["undisturbed"] / "run"))
    for rank in (0, 1):
        expected = effective_ledger(folders["undisturbed"] / "ledger", rank)
        assert effective_ledger(ledger, rank) == expected
        for epoch in range(NUM_EPOCHS):
            samples = [s for (e, _), batch in expected.items() if e == epoch for s in batch]
            assert len(samples) == len(set(samples)) == 16


def count_lines(ledger):
    file = ledger / "rank_0.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def assert_no_file_is_corrupt(out):
    for file in (out / "checkpoints").glob("[!.]*.ckpt"):
        with zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None


def effective_ledger(folder, rank):
    """Return (epoch, batch) to its samples, as last trained: a step after the last save is trained again."""
    steps = {}
    for line in (folder / f"rank_{rank}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        key = (entry["epoch"], entry["batch"])
        assert steps.setdefault(key, entry["samples"]) == entry["samples"], "a repeated step saw other samples"
    return steps
