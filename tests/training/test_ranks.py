"""Ranks agree before the first step and after every step, and end together."""

import signal
import subprocess
import time
from types import SimpleNamespace

import pytest
from runs import argv, kill_group, start
from two_ranks import on_two_ranks

from wauve_dist.training import rank_agreement
from wauve_dist.training.rank_agreement import RankAgreement
from wauve_dist.training.stopping.step_votes import StepDecision, StepVotes


def agreement_of(rank, config_of_rank, batches_of_rank, code_of_rank):
    rank_agreement.source_hash = lambda: code_of_rank[rank]
    trainer = SimpleNamespace(num_training_batches=batches_of_rank[rank], global_step=0)
    try:
        RankAgreement(config_of_rank[rank]).on_train_start(trainer, None)
    except ValueError as error:
        return str(error)
    return "agreed"


@pytest.mark.parametrize(
    ("configs", "batches", "code", "expected"),
    [
        (["a: 1\nlr: 0.1", "a: 1\nlr: 0.1"], [8, 8], "xx", "agreed"),
        (
            ["a: 1\nlr: 0.1", "a: 1\nlr: 0.2"],
            [8, 8],
            "xx",
            "Rank 1 differs from rank 0 in its config: 'lr: 0.2', not 'lr: 0.1'.",
        ),
        (["a: 1", "a: 1"], [8, 7], "xx", "Rank 1 differs from rank 0 in its batches an epoch: '7', not '8'."),
        (["a: 1", "a: 1"], [8, 8], "xy", "Rank 1 differs from rank 0 in its code of wauve_dist: 'y', not 'x'."),
    ],
)
def test_a_rank_that_would_train_something_else_is_found_on_every_rank(configs, batches, code, expected, free_port):
    answers = on_two_ranks(agreement_of, free_port, configs, batches, code)
    assert answers[0] == answers[1]
    assert answers[0].startswith(expected)


def votes_of(rank, wishes_of_rank):
    votes, outcomes = StepVotes(), []
    for step, wish in enumerate(wishes_of_rank[rank]):
        time.sleep(0.02 * (step % 3) * (1 - rank))  # rank 0 straggles
        outcomes.append(votes.decision(wish))
    return outcomes, votes.decision_now(StepDecision.GO_ON)


def test_the_strongest_wish_of_any_rank_is_known_to_all_one_step_later(free_port):
    go, save, stop = StepDecision
    first, second = on_two_ranks(votes_of, free_port, [[go, save, go, go, stop], [go, go, go, save, go]])
    assert first == second
    assert first == ([go, go, save, go, save], stop)


def test_a_rank_that_fails_ends_the_run_with_its_own_traceback_first(tiny_study_data, tmp_path):
    log = tmp_path / "log.txt"
    process = start(argv(tmp_path / "run", tiny_study_data, "--model.fail_on_rank=1", devices=2), log)
    assert process.wait(150) != 0
    text = log.read_text()
    assert text.index("rank 1 failed:") < text.index("ZeroDivisionError: rank 1 met a bad batch")
    assert "rank 0 failed" not in text[: text.index("ZeroDivisionError")]


def test_a_killed_rank_ends_the_run_within_a_minute(tiny_study_data, tmp_path):
    log = tmp_path / "log.txt"
    process = start(argv(tmp_path / "run", tiny_study_data, "--model.step_s=0.2", devices=2), log, ledger=tmp_path)
    while not (tmp_path / "rank_1.jsonl").exists():
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.1)
    child = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
    assert len(child) == 1
    killed_s = time.monotonic()
    subprocess.run(["kill", f"-{signal.SIGKILL.value}", *child], check=True)
    assert process.wait(60) != 0
    print(f"ended after {time.monotonic() - killed_s:.1f} s")
    deadline = time.monotonic() + 10
    while is_alive(process):  # nothing is left behind
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_alive(process):
    try:
        kill_group(process, 0)
    except ProcessLookupError:
        return False
    return True
