"""How many items a second a step handles: warmed up, synchronised, the median of several repetitions."""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["fp32", "fp16", "bf16"]

_AUTOCAST_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
_NUM_WARM_UP_STEPS = 3  # kernels are chosen and compiled, and the allocator grows, in the first
_NUM_REPETITIONS = 7
_REPETITION_S = 0.5  # long beside the clock's and the launch queue's jitter
_MATRIX_SIDE = {"cuda": 8192, "cpu": 1024}  # large enough to be limited by arithmetic


@dataclass(frozen=True)
class Throughput:
    """Speed of one way to do a task.

    Attributes:
        task: in words, such as ``training``.
        way: in words.
        per_s: items a second, median of seven repetitions.
        slowest: items a second of the slowest repetition.
        fastest: items a second of the fastest repetition.
        peak_memory_gb: most memory that tensors took on the GPU, 1e9 bytes; None on the CPU, where it is not measured.
        peak_share: operations a second over those of ``matrix_product_rate`` in the same run; None where not known.
    """

    task: str
    way: str
    per_s: float
    slowest: float
    fastest: float
    peak_memory_gb: float | None
    peak_share: float | None = None


def measure_throughput(
    task: str, way: str, step: Callable[[], object], num_items: int, device: torch.device
) -> Throughput:
    """Repeat ``step`` and time it.

    Args:
        task: what is done, in words.
        way: how, in words.
        step: handles a batch; the same work every time.
        num_items: in a batch.
        device: that it runs on; waited for before the clock is read.
    """
    if on_gpu := device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(_NUM_WARM_UP_STEPS - 1):
        step()
    step_s = _duration_s(step, 1, device)
    num_steps = math.ceil(_REPETITION_S / step_s)
    rates = sorted(num_items * num_steps / _duration_s(step, num_steps, device) for _ in range(_NUM_REPETITIONS))
    peak_memory_gb = torch.cuda.max_memory_allocated(device) / 1e9 if on_gpu else None
    return Throughput(task, way, statistics.median(rates), rates[0], rates[-1], peak_memory_gb)


def matrix_product_rate(device: torch.device, precision: Precision) -> Throughput:
    """Measure how many operations a second the device reaches at their simplest: a product of square matrices."""
    side = _MATRIX_SIDE[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=_AUTOCAST_DTYPES.get(precision)) for _ in range(2))
    return measure_throughput(
        "operations", f"{side}x{side} matrix product, {precision}", lambda: left @ right, 2 * side**3, device
    )


def _duration_s(step: Callable[[], object], num_steps: int, device: torch.device) -> float:
    _wait_for(device)
    start_s = time.perf_counter()
    for _ in range(num_steps):
        step()
    _wait_for(device)
    return time.perf_counter() - start_s


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which a forward pass runs at that precision; none for ``fp32``."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, _AUTOCAST_DTYPES[precision])


@contextmanager
def tuned_kernels() -> Iterator[None]:
    """Let cuDNN try its algorithms and use TensorFloat-32 for float32, for every way alike."""
    cudnn, cublas = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.allow_tf32, cublas.allow_tf32
    cudnn.benchmark, cudnn.allow_tf32, cublas.allow_tf32 = True, True, True
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32, cublas.allow_tf32 = before


def machine_facts(device: torch.device) -> str:
    """Describe in one line what the figures were measured on."""
    facts = [f"torch {torch.__version__}", f"Python {platform.python_version()}"]
    if device.type == "cuda":
        memory_gb = torch.cuda.get_device_properties(device).total_memory / 1e9
        return ", ".join(
            [
                f"{torch.cuda.get_device_name(device)} ({memory_gb:.0f} GB)",
                *facts,
                f"CUDA {torch.version.cuda}",
                f"cuDNN {torch.backends.cudnn.version()}",  # type: ignore[no-untyped-call]
            ]
        )
    return ", ".join([f"{platform.machine()} CPU, {torch.get_num_threads()} threads", *facts])


def print_throughputs(throughputs: Iterable[Throughput], unit: str, device: torch.device) -> None:
    """Print each as it comes, with its ratio to the first of the same task, the reference.

    Args:
        throughputs: of the same device; the reference of a task before the others.
        unit: such as ``clips/s``.
        device: that they are measured on.
    """
    print(machine_facts(device))
    references: dict[str, float] = {}
    if device.type == "cpu":
        print("memory: not measured on a CPU")
    for measured in throughputs:
        if measured.task == "operations":
            print(f"{measured.way}: {measured.per_s / 1e12:,.2f} TFLOP/s, the peak of the shares below", flush=True)
            continue
        reference = references.setdefault(measured.task, measured.per_s)
        memory = "" if measured.peak_memory_gb is None else f", peak {measured.peak_memory_gb:.1f} GB"
        share = "" if measured.peak_share is None else f", {100 * measured.peak_share:.0f} % of the peak"
        print(
            f"{measured.task}, {measured.way}: {measured.per_s:,.1f} {unit} "
            f"({measured.slowest:,.1f} to {measured.fastest:,.1f}), "
            f"{measured.per_s / reference:.2f} times the reference{memory}{share}",
            flush=True,
        )
