"""What both tasks optimise with: SGD or AdamW, linear warm-up, then cosine or step decay, set every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import nn
from torch.distributed.tensor import DTensor

OptimizerName = Literal["sgd", "adamw"]
ScheduleName = Literal["cosine", "step"]


def optimizer_and_schedule(task: pl.LightningModule, stages: Sequence[nn.Module] = (), layer_decay: float = 1.0) -> Any:
    """Return what Lightning's ``configure_optimizers`` returns, from the task's hyperparameters.

    Read are ``optimizer``, ``lr``, ``lr_batch_size``, ``weight_decay``, ``schedule``, ``warmup_fraction`` and
    ``milestones``.

    Args:
        task: with its trainer.
        stages: see ``build_optimizer``.
        layer_decay: see ``build_optimizer``.
    """
    hparams, trainer = task.hparams, task.trainer
    # A fused optimiser takes fp16's loss scale off by itself, after the point where Lightning would clip gradients, and
    # Lightning refuses to clip those of bf16 too. Torch has no fused SGD of sharded parameters.
    is_sharded = any(isinstance(parameter, DTensor) for parameter in task.parameters())
    fused = trainer.precision not in ("16-mixed", "bf16-mixed") and not (is_sharded and hparams["optimizer"] == "sgd")
    optimizer = build_optimizer(
        task, hparams["optimizer"], hparams["lr"], hparams["weight_decay"], fused, stages, layer_decay
    )
    num_steps = int(trainer.estimated_stepping_batches)
    factor = lr_factor(hparams["schedule"], num_steps, hparams["warmup_fraction"], hparams["milestones"])
    scale = _lr_scale_of_run(task)
    # A factor, not a base rate: that is saved with a checkpoint, and would survive a change of the number of processes.
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: scale * factor(step))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _lr_scale_of_run(task: pl.LightningModule) -> float:
    trainer, lr_batch_size = task.trainer, task.hparams["lr_batch_size"]
    if lr_batch_size is None:
        return 1.0
    trainer.fit_loop.setup_data()  # with max_steps in place of max_epochs, nobody has asked for the loader yet
    per_process = trainer.train_dataloader.batch_size  # type: ignore[union-attr]
    num_accumulated = trainer.accumulate_grad_batches
    batch_size = per_process * trainer.world_size * num_accumulated
    scale = lr_scale(task.hparams["optimizer"], batch_size, lr_batch_size)
    rank_zero_info(
        f"Global batch {batch_size} = {per_process} a process x {trainer.world_size} processes x {num_accumulated} "
        f"accumulated; --model.lr {task.hparams['lr']:g} is for {lr_batch_size}, so the peak rate is "
        f"{task.hparams['lr'] * scale:g}"
    )
    return scale


def lr_scale(name: OptimizerName, batch_size: int, lr_batch_size: int) -> float:
    """Return the factor by which a learning rate changes with the batch.

    Linear for ``sgd`` (Goyal et al. 2017, arXiv:1706.02677). The square root for ``adamw`` (Malladi et al. 2022,
    arXiv:2205.10287), whose betas and epsilon stay as they are.

    Args:
        name: of the optimiser.
        batch_size: samples of a step over all processes and accumulated batches.
        lr_batch_size: such a batch size, the one that the learning rate was chosen for.

    Raises:
        ValueError: ``lr_batch_size`` is not positive.
    """
    if lr_batch_size < 1:
        raise ValueError(
            f"lr_batch_size (--model.lr_batch_size) is {lr_batch_size}; it needs the global batch size that --model.lr "
            "was chosen for, or null to use the rate as it is."
        )
    ratio = batch_size / lr_batch_size
    return ratio if name == "sgd" else math.sqrt(ratio)


def build_optimizer(
    model: nn.Module,
    name: OptimizerName,
    lr: float,
    weight_decay: float,
    fused: bool,
    stages: Sequence[nn.Module] = (),
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """Build an optimiser that decays weights, but neither biases nor the scales of norms (PySlowFast's recipe).

    Args:
        model: parameters with ``requires_grad=False`` are left out.
        name: ``sgd`` is Nesterov with momentum 0.9; ``adamw`` has betas 0.9 and 0.99 (UltraDet's).
        lr: peak learning rate, reached after the warm-up.
        weight_decay: per step, times the learning rate for AdamW.
        fused: update all parameters in one kernel; a fifth of the time on a CPU.
        stages: parts of the model from its input on, for ``layer_decay``; what is in none of them is its head.
        layer_decay: the last stage learns at this times the head's rate, the one before it at the square of it, and
            so on (Howard & Ruder 2018); 1 trains all alike.

    Raises:
        ValueError: ``layer_decay`` is not above 0 and up to 1.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(
            f"layer_decay (--model.layer_decay) is {layer_decay}; it must be above 0 and at most 1, which trains all "
            "layers at the same rate."
        )
    distance_of = {
        parameter: len(stages) - number for number, stage in enumerate(stages) for parameter in stage.parameters()
    }
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    for parameter in model.parameters():
        if parameter.requires_grad:
            rate = layer_decay ** distance_of.get(parameter, 0)
            groups.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    described = [
        {"params": parameters, "lr": lr * rate, "weight_decay": weight_decay if is_decayed else 0.0}
        for (rate, is_decayed), parameters in groups.items()
    ]
    if name == "sgd":
        return torch.optim.SGD(described, lr=lr, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(described, lr=lr, betas=(0.9, 0.99), fused=fused)


def lr_factor(
    name: ScheduleName, num_steps: int, warmup_fraction: float, milestones: Sequence[float]
) -> Callable[[int], float]:
    """Return the learning rate's factor, 0..1, as a function of the optimiser step.

    Args:
        name: ``cosine`` falls to 0 at the end; ``step`` divides by 10 at each milestone.
        num_steps: optimiser steps of the whole training.
        warmup_fraction: share of the steps in which the factor rises linearly from 0.01 to 1, 0..1.
        milestones: shares of the training at which ``step`` divides, each 0..1; unused by ``cosine``.
    """
    num_warmup = round(warmup_fraction * num_steps)

    def factor(step: int) -> float:
        if step < num_warmup:
            return 0.01 + 0.99 * step / num_warmup
        if name == "step":
            return float(0.1 ** sum(step >= milestone * num_steps for milestone in milestones))
        progress = (step - num_warmup) / max(1, num_steps - num_warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor
