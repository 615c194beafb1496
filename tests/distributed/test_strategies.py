"""Two real processes over gloo: every strategy trains what DDP trains, and any of them resumes any checkpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # most of it imports, on a busy machine

WORKER = Path(__file__).with_name("strategy_worker.py")


@pytest.fixture(scope="session")
def train(tmp_path_factory):
    """Run jobs one after the other in the same processes; return what each left, by name."""

    def run(num_processes, *jobs, timeout=580):
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


VIDEOS = {"bag_size": 2, "num_epochs": 1, "optimizer": "sgd"}  # the loss of whole videos, whose clips attention weighs
HALF = {"task": "perceptron", "precision": "16-mixed", "clip": 0.5, "num_epochs": 6}


@pytest.fixture(scope="session")
def short_runs(train):
    """An epoch of I3D with frozen batch norms, a perceptron in fp16 under clipping, and I3D with attention pooling."""
    names = ("ddp", "fsdp2", "zero3")
    return train(
        2,
        *({"name": name, "strategy": name, "num_epochs": 1} for name in names),
        *({"name": f"{name} in fp16", "strategy": name, **HALF} for name in names),
        {"name": "zero3 resumed", "strategy": "zero3", "resume": "zero3 in fp16.epoch0", **HALF},
        *({"name": f"{name} of videos", "strategy": name, **VIDEOS} for name in ("ddp", "fsdp2")),
    )


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


@pytest.mark.parametrize("strategy", ["fsdp2", "zero3"])
def test_fp16_scales_skips_and_clips_as_under_ddp(short_runs, strategy):
    run, ddp = short_runs[f"{strategy} in fp16"], short_runs["ddp in fp16"]
    assert ddp.checkpoint["MixedPrecision"]["scale"] < 2**15  # gradients did overflow, more than once
    assert_equal(run, ddp, ROUNDING)


def test_zero_resumes_with_its_loss_scale(short_runs):
    run, resumed = short_runs["zero3 in fp16"], short_runs["zero3 resumed"]
    assert resumed.checkpoint["_AutocastPrecision"] == run.checkpoint["_AutocastPrecision"]
    assert len(resumed.losses) == len(run.losses) - 2
    for name, weight in run.weights.items():
        torch.testing.assert_close(resumed.weights[name], weight, atol=ROUNDING, rtol=0)


def test_two_processes_train_what_one_trains_with_twice_the_batch(train, short_runs):
    runs = train(
        1,
        {"name": "clips", "strategy": "none", "num_epochs": 1},
        {"name": "videos", "strategy": "none", **VIDEOS},
    )
    assert len(runs["clips"].losses) == len(runs["videos"].losses) == 2
    # A mean of means; AdamW divides gradients by their own size.
    assert_equal(short_runs["ddp"], runs["clips"], 1e-5)
    for strategy in ("ddp", "fsdp2"):
        assert_equal(short_runs[f"{strategy} of videos"], runs["videos"], 1e-5)
    assert any("attention" in name for name in runs["videos"].weights)


STRATEGIES = ["fsdp2", *(f"zero{stage}{offload}" for stage in (1, 2, 3) for offload in ("", "_offload"))]
RESUMED = [
    *(("ddp", name) for name in ("fsdp2", "zero1", "zero3")),
    *((name, "ddp") for name in ("fsdp2", "zero2", "zero3")),
    *(("zero1", "fsdp2"), ("zero3", "zero2")),
]


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


@pytest.mark.timeout(900)
def test_accumulated_batches_are_one_batch(train):
    names = ("ddp", "fsdp2", "zero2", "zero3")
    settings = {"accumulate": 2, "optimizer": "sgd", "num_epochs": 1}  # AdamW would hide a factor of the gradients
    runs = train(2, *({"name": name, "strategy": name, **settings} for name in names), timeout=800)
    for name in names:
        assert len(runs[name].losses) == 4
        assert_equal(runs[name], runs["ddp"], ROUNDING)
        (state,), (expected,) = (run.checkpoint["optimizer_states"] for run in (runs[name], runs["ddp"]))
        for index, of_parameter in expected["state"].items():
            torch.testing.assert_close(state["state"][index], of_parameter, atol=ROUNDING, rtol=1e-4)


# The norm of all gradients is summed in another order, and the clipped gradients reach batch norms over two frames and
# boxes that compete: a rounding of 1e-7 grew to 2e-4 in four steps, where a wrong gradient would be off by the rate.
DETECTOR_ROUNDING = 1e-3


@pytest.mark.timeout(900)
def test_the_detector_trains_alike_and_is_evaluated_with_rank_zero_s_statistics(train):
    names = ("ddp", "fsdp2", "zero2", "zero3")
    settings = {"task": "detection", "optimizer": "sgd", "clip": 1.0, "freezes_norms": False}
    runs = train(2, *({"name": name, "strategy": name, **settings} for name in names), timeout=800)
    for name in names:
        assert runs[name].losses[0] == runs["ddp"].losses[0]
        assert_equal(runs[name], runs["ddp"], DETECTOR_ROUNDING)
        first, second = runs[name].buffers
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_compressed_gradients_are_rounded_but_train(train):
    jobs = [{"name": how, "strategy": "ddp", "num_epochs": 1, "compression": how} for how in ("none", "fp16", "bf16")]
    runs = train(2, *jobs)
    for how in ("fp16", "bf16"):
        difference = max((runs[how].weights[k] - v).abs().max() for k, v in runs["none"].weights.items() if v.ndim)
        assert 0 < difference < 5e-3  # 0 would mean that nothing was compressed; AdamW moves a weight by 1e-3 a step
