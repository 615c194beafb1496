"""What both tasks optimise with: SGD or AdamW, linear warm-up, then cosine or step decay, set every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import nn

OptimizerName = Literal["sgd", "adamw"]
ScheduleName = Literal["cosine", "step"]


def optimizer_and_schedule(task: pl.LightningModule) -> Any:
    """Return what Lightning's ``configure_optimizers`` returns, from the task's hyperparameters.

    Read are ``optimizer``, ``lr``, ``weight_decay``, ``schedule``, ``warmup_fraction`` and ``milestones``.
    """
    hparams = task.hparams
    # A fused optimiser takes fp16's loss scale off by itself, after the point where Lightning would clip gradients.
    fused = task.trainer.precision != "16-mixed"
    optimizer = build_optimizer(task, hparams["optimizer"], hparams["lr"], hparams["weight_decay"], fused)
    num_steps = int(task.trainer.estimated_stepping_batches)
    factor = lr_factor(hparams["schedule"], num_steps, hparams["warmup_fraction"], hparams["milestones"])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def build_optimizer(
    model: nn.Module, name: OptimizerName, lr: float, weight_decay: float, fused: bool
) -> torch.optim.Optimizer:
    """Build an optimiser that decays weights, but neither biases nor the scales of norms (PySlowFast's recipe).

    Args:
        model: parameters with ``requires_grad=False`` are left out.
        name: ``sgd`` is Nesterov with momentum 0.9; ``adamw`` has betas 0.9 and 0.99 (UltraDet's).
        lr: peak learning rate, reached after the warm-up.
        weight_decay: per step, times the learning rate for AdamW.
        fused: update all parameters in one kernel; a fifth of the time on a CPU.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), fused=fused)


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
