"""Which strategy fits a model and its cards, from the bytes that each one keeps and sends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch

from wauve_dist.tasks.optimizers import OptimizerName

# Values that an optimiser keeps per parameter: SGD its momentum, AdamW both moments.
_VALUES_PER_PARAMETER = {"sgd": 1, "adamw": 2}
# State beyond half of a device would leave activations, which decide the batch, the smaller half.
_STATE_SHARE = 0.5


@dataclass(frozen=True)
class ModelState:
    """Bytes that one whole copy of a model takes in training.

    Attributes:
        parameters: of all parameters.
        gradients: of those that are trained.
        optimizer: of the optimiser's state.
    """

    parameters: int
    gradients: int
    optimizer: int

    def kept_by(self, strategy: str, num_processes: int) -> float:
        """Return the bytes of state a process under ``strategy``, as Rajbhandari et al. 2020 (section 5) count them.

        DeepSpeed steps a second copy of the weights (its master copy, of float32 weights too), shared out from stage 1.

        Args:
            strategy: ``ddp``, ``zero1``, ``zero2``, ``zero3`` or ``fsdp2``.
            num_processes: that share.
        """
        master = self.gradients
        return {
            "ddp": self.parameters + self.gradients + self.optimizer,
            "zero1": self.parameters + self.gradients + (master + self.optimizer) / num_processes,
            "zero2": self.parameters + (self.gradients + master + self.optimizer) / num_processes,
            "zero3": (self.parameters + self.gradients + master + self.optimizer) / num_processes,
            "fsdp2": (self.parameters + self.gradients + self.optimizer) / num_processes,
        }[strategy]

    def sent_by(self, strategy: str, num_processes: int) -> float:
        """Return the bytes that a process sends a step with ring algorithms.

        DDP reduces gradients, which is a reduce-scatter and an all-gather. ZeRO-1 and 2 gather weights in place of
        averaged gradients. ZeRO-3 and FSDP2 gather the weights twice, for forward and for backward.
        """
        num_passes = 3 if strategy in ("zero3", "fsdp2") else 2
        return num_passes * (num_processes - 1) / num_processes * self.gradients


def model_state(module: torch.nn.Module, optimizer: OptimizerName) -> ModelState:
    """Measure a module whose parameters are still whole."""
    sizes = [
        (parameter.numel() * parameter.element_size(), parameter.requires_grad) for parameter in module.parameters()
    ]
    trained = sum(size for size, is_trained in sizes if is_trained)
    return ModelState(sum(size for size, _ in sizes), trained, _VALUES_PER_PARAMETER[optimizer] * trained)


def advise(state: ModelState, num_processes: int, device: str, device_bytes: int) -> list[str]:
    """Say in at most three lines which strategy fits, and what the others would save and cost.

    Args:
        state: of the model.
        num_processes: one per device, over all nodes.
        device: its name.
        device_bytes: its memory.
    """
    kept = {name: state.kept_by(name, num_processes) for name in ("ddp", "zero1", "zero2", "zero3", "fsdp2")}
    fitting = [name for name in ("ddp", "zero1", "zero2", "fsdp2") if kept[name] <= _STATE_SHARE * device_bytes]
    advised = fitting[0] if fitting else "zero3_offload"
    lines = [
        f"Strategy: {advised} fits. Weights, gradients and optimiser state take {_gb(kept['ddp'])} a process under "
        f"ddp, {kept['ddp'] / device_bytes:.1%} of the {_gb(device_bytes)} of {device}; activations take the rest."
    ]
    if num_processes == 1:
        return [*lines, "With one process there is nothing to share out: ZeRO and FSDP2 would only add work."]
    lines.append(
        "Of that would stay: "
        + ", ".join(f"{name} {_gb(kept[name])}" for name in ("zero1", "zero2", "zero3", "fsdp2"))
        + f" ({num_processes} processes)."
    )
    once, more = state.sent_by("ddp", num_processes), state.sent_by("fsdp2", num_processes)
    if advised == "ddp":
        lines.append(
            f"They are slower here: ddp sends {_gb(once)} a process and step while backward runs; zero1 and zero2 send "
            f"as much, but half of it after the step, with nothing to hide behind; zero3 and fsdp2 send {_gb(more)}."
        )
    return lines


class StrategyAdvice(pl.Callback):
    """Prints the advice once, on rank 0, before the strategy takes the model apart."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Print it before training."""
        if stage == "fit" and trainer.is_global_zero:
            state = model_state(pl_module, pl_module.hparams["optimizer"])
            print("\n".join(advise(state, trainer.world_size, *_device(trainer.strategy.root_device))))


def _device(device: torch.device) -> tuple[str, int]:
    """Return a device's name and memory in bytes."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return str(properties.name), int(properties.total_memory)
    (total,) = (line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return "this host", 1024 * int(total.split()[1])


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
