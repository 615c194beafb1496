"""Two real processes over gloo: every strategy trains what DDP trains, and any of them resumes any checkpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name("strategy_worker.py")


@pytest.fixture(scope="session")
def train(tmp_path_factory):
    """Run jobs one after the other in the same processes; return what each left, by name."""

    def run(num_processes, *jobs, timeout=280):
        out = tmp_path_factory.mktemp("strategies")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
        done = subprocess.run(
            [*command, str(WORKER), str(out), json.dumps(jobs)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=WORKER.parents[2],  # overlays name their JSON relative to it
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr[-6000:]
        return {job["name"]: Result(out, job["name"], num_processes) for job in jobs}

    return run


class Result:
    def __init__(self, out, name, num_processes):
        # weights_only: a checkpoint holds tensors and plain values, whatever wrote it.
        self.checkpoint = torch.load(out / f"{name}.ckpt", weights_only=True)
        self.weights = self.checkpoint["state_dict"]
        of_ranks = [torch.load(out / f"{name}.{rank}.pt", weights_only=True) for rank in range(num_processes)]
        self.losses = torch.tensor([of_rank["losses"] for of_rank in of_ranks]).mean(dim=0)
        self.buffers = [of_rank["buffers"] for of_rank in of_ranks]


def assert_equal(result, reference, atol):
    torch.testing.assert_close(result.losses, reference.losses, atol=atol, rtol=0)
    assert result.weights.keys() == reference.weights.keys()
    for name, weight in reference.weights.items():
        torch.testing.assert_close(result.weights[name], weight, atol=atol, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


# Sums in another order, in float32: DeepSpeed steps flat partitions, whose kernels split into vectors elsewhere.
ROUNDING = 1e-6


@pytest.fixture(scope="session")
def short_runs(train):
    """One epoch with frozen batch norms, three ways."""
    return train(2, *({"name": name, "strategy": name, "num_epochs": 1} for name in ("ddp", "fsdp2", "zero3")))


@pytest.mark.parametrize("strategy", ["fsdp2", "zero3"])
def test_fully_sharded_training_is_ddp_s(short_runs, strategy):
    assert_equal(short_runs[strategy], short_runs["ddp"], ROUNDING)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "zero3"])
def test_every_strategy_writes_the_same_plain_checkpoint(short_runs, strategy):
    checkpoint, reference = short_runs[strategy].checkpoint, short_runs["ddp"].checkpoint
    assert checkpoint.keys() == reference.keys()
    assert checkpoint["hyper_parameters"] == reference["hyper_parameters"]
    (state,), (expected,) = checkpoint["optimizer_states"], reference["optimizer_states"]
    assert state["param_groups"] == expected["param_groups"]
    assert state["state"].keys() == expected["state"].keys()
    for index, of_parameter in expected["state"].items():
        torch.testing.assert_close(state["state"][index], of_parameter, atol=ROUNDING, rtol=0)


def test_two_processes_train_what_one_trains_with_twice_the_batch(train, short_runs):
    one = train(1, {"name": "one", "strategy": "none", "num_epochs": 1})["one"]
    assert len(one.losses) == 2
    assert_equal(short_runs["ddp"], one, 1e-5)  # a mean of means; AdamW divides gradients by their own size


STRATEGIES = ["fsdp2", *(f"zero{stage}{offload}" for stage in (1, 2, 3) for offload in ("", "_offload"))]
RESUMED = [
    *(("ddp", name) for name in ("fsdp2", "zero1", "zero3")),
    *((name, "ddp") for name in ("fsdp2", "zero2", "zero3")),
    *(("zero1", "fsdp2"), ("zero3", "zero2")),
]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_strategies_train_alike_and_resume_each_other_s_checkpoints(train):
    runs = train(
        2,
        *({"name": name, "strategy": name} for name in ("ddp", *STRATEGIES)),
        *({"name": f"{old} {new}", "strategy": new, "resume": f"{old}.epoch0"} for old, new in RESUMED),
        timeout=1100,
    )
    ddp = runs["ddp"]
    assert len(ddp.losses) == 4
    for name in STRATEGIES:
        assert_equal(runs[name], ddp, ROUNDING)
    for old, new in RESUMED:
        resumed = runs[f"{old} {new}"]
        assert resumed.checkpoint["global_step"] == 4
        torch.testing.assert_close(resumed.losses, ddp.losses[2:], atol=ROUNDING, rtol=0)
        for name, weight in ddp.weights.items():
            torch.testing.assert_close(resumed.weights[name], weight, atol=ROUNDING, rtol=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "settings",
    [
        {"task": "detection", "optimizer": "sgd", "clip": 1.0, "freezes_norms": False},
        {"task": "classification", "accumulate": 2},
    ],
    ids=["detector with batch norms, clipping and SGD", "classifier with accumulated batches"],
)
def test_the_rest_of_a_training_is_the_same_too(train, settings):
    names = ("ddp", "fsdp2", "zero2", "zero3")
    runs = train(2, *({"name": name, "strategy": name, **settings} for name in names), timeout=800)
    for name in names:
        assert_equal(runs[name], runs["ddp"], 1e-5)
        for of_rank in runs[name].buffers:  # every rank evaluated with rank 0's running statistics
            torch.testing.assert_close(of_rank, runs["ddp"].buffers[0], atol=1e-5, rtol=1e-5)
