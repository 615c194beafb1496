"""How fast several processes train: through our trainer against a bare torch loop, and under every strategy."""

from __future__ import annotations

import copy
import math
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import Strategy
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from wauve_dist.data.batches import ClipBatch
from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.structures.clips import CLIP_LENGTH
from wauve_dist.tasks.classification import ClassificationTask
from wauve_dist.tasks.optimizers import build_optimizer
from wauve_dist.training.finite_loss import FiniteLoss
from wauve_dist.training.rank_agreement import RankAgreement
from wauve_dist.training.step_seeds import StepSeeds
from wauve_dist.training.stopping.last_checkpoint import LastCheckpoint
from wauve_dist.training.stopping.stop_signals import STOP_SIGNALS
from wauve_dist.training.strategies.ddp import TunedDDPStrategy
from wauve_dist.training.strategies.deepspeed import ZeroStrategy
from wauve_dist.training.strategies.fsdp import FullyShardedStrategy

STRATEGIES = ("ddp", "zero1", "zero2", "zero3", "fsdp2")
_NUM_WARM_UP_STEPS = 3  # the graph is traced, buckets are rebuilt, and the allocator grows, in the first
_STEPS_A_REPETITION = 3
_LR, _WEIGHT_DECAY, _DROPOUT = 1e-3, 1e-4, 0.5

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Workload:
    """What is trained: I3D ResNet-50 on random clips, in float32.

    Attributes:
        num_processes: on this machine, one GPU each where there are any.
        batch_size: clips a process and step.
        crop_size: side of the clips, pixels.
        num_repetitions: timings of everything; their median is reported.
    """

    num_processes: int
    batch_size: int
    crop_size: int
    num_repetitions: int


@dataclass(frozen=True)
class TrainerOverhead:
    """Step times of the same training, alternating in the same processes.

    Attributes:
        ours_s: of our trainer with the callbacks of launch/train.py, a mean for each repetition.
        bare_s: of a bare torch DDP loop.
        votes_s: what each step of ours spent on the ranks' agreement to save or to stop.
    """

    ours_s: list[float]
    bare_s: list[float]
    votes_s: list[float]

    @property
    def ratios(self) -> list[float]:
        """Throughput of ours over that of the bare loop, for each repetition."""
        return [bare / ours for ours, bare in zip(self.ours_s, self.bare_s, strict=True)]


@dataclass(frozen=True)
class StrategyCost:
    """What a strategy costs.

    Attributes:
        strategy: its name in configs/strategy.
        step_s: durations of the steps after the warm-up, on rank 0.
        peak_memory_bytes: of the process that took most; resident memory on the CPU, tensors on a GPU.
    """

    strategy: str
    step_s: list[float]
    peak_memory_bytes: int


def measure_trainer_overhead(workload: Workload, callbacks: Sequence[pl.Callback] = ()) -> TrainerOverhead:
    """Train with our trainer and with a bare loop in turn, so that what else the machine does falls on both alike.

    Args:
        workload: to train.
        callbacks: to measure beside those of launch/train.py.
    """
    return in_processes(workload, _alternate, workload, callbacks)[0]


def measure_strategy(workload: Workload, strategy: str) -> StrategyCost:
    """Train a few steps in fresh processes.

    Args:
        workload: to train.
        strategy: one of ``STRATEGIES``.
    """
    of_ranks = in_processes(workload, _train_under, workload, strategy)
    return StrategyCost(strategy, of_ranks[0][0], max(peak for _, peak in of_ranks))


def print_distributed_benchmark(workload: Workload) -> None:
    """Measure and print both."""
    overhead = measure_trainer_overhead(workload)
    print(f"ours: {spread(overhead.ours_s, 's')} a step; bare torch DDP loop: {spread(overhead.bare_s, 's')}")
    print(f"throughput of ours over the bare loop's: {spread(overhead.ratios, '')}, {workload.num_repetitions} pairs")
    vote_s, step_s = statistics.median(overhead.votes_s), statistics.median(overhead.ours_s)
    print(f"the vote on stopping: {1e6 * vote_s:.0f} µs a step, {100 * vote_s / step_s:.3f} % of it\n")
    print("| strategy | s a step (fastest to slowest) | peak memory a process |\n|---|---|---|")
    for strategy in STRATEGIES:
        cost = measure_strategy(workload, strategy)
        print(f"| {strategy} | {spread(cost.step_s, '')} | {cost.peak_memory_bytes / 1e9:.2f} GB |", flush=True)


def spread(values: Sequence[float], unit: str) -> str:
    """Return the median, the smallest and the largest value in words."""
    return f"{statistics.median(values):.3f}{f' {unit}' if unit else ''} ({min(values):.3f} to {max(values):.3f})"


def in_processes(workload: Workload, function: Callable[..., _Result], *arguments: object) -> list[_Result]:
    """Call the function in every process of a new group; return the results by rank."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=workload.num_processes,
        run_id="benchmark",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="spawn",
    )
    results: dict[int, _Result] = elastic_launch(config, function)(*arguments)
    return [results[rank] for rank in range(workload.num_processes)]


def _alternate(workload: Workload, callbacks: Sequence[pl.Callback]) -> TrainerOverhead:
    alternation = _Alternation(workload)
    num_steps = _NUM_WARM_UP_STEPS + workload.num_repetitions * _STEPS_A_REPETITION
    with tempfile.TemporaryDirectory() as folder:
        last = _TimedLastCheckpoint(Path(folder), every_minutes=math.inf, signals=STOP_SIGNALS)
        ours = [RankAgreement(""), StepSeeds(0), FiniteLoss(), *callbacks, last, alternation]
        fit_workload(workload, TunedDDPStrategy(), ours, num_steps)
    return TrainerOverhead(alternation.ours_s, alternation.bare_s, last.votes_s[_NUM_WARM_UP_STEPS:])


def _train_under(workload: Workload, strategy: str) -> tuple[list[float], int]:
    """Return the durations of the steps, and the most memory that this process took, bytes."""
    clock = _Clock()
    built = {"ddp": TunedDDPStrategy, "fsdp2": FullyShardedStrategy}.get(strategy)
    num_steps = _NUM_WARM_UP_STEPS + 1 + workload.num_repetitions
    fit_workload(workload, built() if built else ZeroStrategy(f"configs/deepspeed/{strategy}.json"), [clock], num_steps)
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
    return [end - start for start, end in pairwise(clock.ends_s[_NUM_WARM_UP_STEPS:])], peak


def fit_workload(
    workload: Workload,
    strategy: Strategy,
    callbacks: Sequence[pl.Callback],
    num_steps: int,
    loggers: Sequence[Logger] = (),
) -> None:
    """Train in this process, one of the workload's; loggers get the figures of every step."""
    pl.seed_everything(0)
    task = ClassificationTask(
        I3DResNet50(dropout=_DROPOUT),
        crop_size=workload.crop_size,
        roi_context=1.3,
        optimizer="adamw",
        lr=_LR,
        lr_batch_size=None,
        weight_decay=_WEIGHT_DECAY,
        schedule="cosine",
        warmup_fraction=0.0,
    )
    trainer = pl.Trainer(
        strategy=strategy,
        devices=workload.num_processes,
        max_steps=num_steps,
        callbacks=list(callbacks),
        logger=list(loggers),
        log_every_n_steps=1 if loggers else None,
        enable_checkpointing=any(isinstance(callback, LastCheckpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(task, _loader(workload, num_steps + 1))  # an epoch that does not end: its end would save


class _Clock(pl.Callback):
    def __init__(self) -> None:
        self.ends_s: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends_s.append(time.perf_counter())


class _TimedLastCheckpoint(LastCheckpoint):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.votes_s: list[float] = []

    def on_train_batch_end(self, *arguments: Any) -> None:
        start_s = time.perf_counter()
        super().on_train_batch_end(*arguments)
        self.votes_s.append(time.perf_counter() - start_s)


class _Alternation(pl.Callback):
    """After every few steps of the trainer, runs as many of the bare loop; the last of the callbacks."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._bare_steps: Iterator[None] = iter(())
        self._num_steps, self._start_s = 0, 0.0
        self.ours_s: list[float] = []
        self.bare_s: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        num_steps = _NUM_WARM_UP_STEPS + self._workload.num_repetitions * _STEPS_A_REPETITION
        self._bare_steps = _bare_steps(self._workload, pl_module, num_steps)

    def on_train_batch_end(self, *_: Any) -> None:
        self._num_steps += 1
        num_timed = self._num_steps - _NUM_WARM_UP_STEPS
        if num_timed < 0 or num_timed % _STEPS_A_REPETITION:
            return
        if num_timed == 0:
            self._run_bare(_NUM_WARM_UP_STEPS)
        else:
            self.ours_s.append((_now_s() - self._start_s) / _STEPS_A_REPETITION)
            self.bare_s.append(self._run_bare(_STEPS_A_REPETITION) / _STEPS_A_REPETITION)
        dist.barrier()
        self._start_s = _now_s()

    def _run_bare(self, num_steps: int) -> float:
        dist.barrier()
        start_s = _now_s()
        for _ in range(num_steps):
            next(self._bare_steps)
        return _now_s() - start_s


def _bare_steps(workload: Workload, task: pl.LightningModule, num_steps: int) -> Iterator[None]:
    """Train a copy of the task's model the way that torch's tutorial does, a step for each ``next``."""
    device = task.device
    model = DistributedDataParallel(
        copy.deepcopy(task.classifier),
        device_ids=[device.index] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        static_graph=True,
    )
    optimizer = build_optimizer(model, "adamw", _LR, _WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for batch in _loader(workload, num_steps):
        optimizer.zero_grad()
        logits = model(batch.clips.to(device))
        torch.autograd.backward(F.binary_cross_entropy_with_logits(logits.float(), batch.labels.to(device)))
        optimizer.step()
        schedule.step()
        yield


def _now_s() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class _Clips(Dataset[ClipBatch]):
    """The same random clips as often as asked, as cheap as a warm cache."""

    def __init__(self, workload: Workload, num_batches: int) -> None:
        self._num_batches, size = num_batches, workload.crop_size
        number = torch.arange(workload.batch_size)
        names = [f"video {n}" for n in number.tolist()]
        clips = torch.randint(0, 256, (workload.batch_size, CLIP_LENGTH, size, size), dtype=torch.uint8)
        self._batch = ClipBatch(clips, (number % 2).float(), number, names, names, number, number)

    def __len__(self) -> int:
        return self._num_batches * len(self._batch.labels)

    def __getitems__(self, indices: Sequence[int]) -> ClipBatch:
        return self._batch._replace(clips=self._batch.clips.clone())


def _loader(workload: Workload, num_batches: int) -> DataLoader[ClipBatch]:
    return DataLoader(_Clips(workload, num_batches), workload.batch_size, collate_fn=_as_is)


def _as_is(batch: Any) -> Any:
    """Stand in for collating: the data set returns whole batches."""
    return batch
