"""Precise batch norm: statistics of the training clips in place of running averages (Wu & Johnson 2021)."""

from __future__ import annotations

from collections.abc import Iterable

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wauve_dist.data.datamodules import ClipDataModule


class PreciseBatchNorm(pl.Callback):
    """Computes batch norm statistics anew before each validation, for the very weights that are judged and saved.

    Running averages lag behind weights that move. List this callback behind ``EMAWeightAveraging``, if that is used:
    averaged weights then get statistics of their own. Frozen stages keep theirs.

    Args:
        num_batches: of augmented training clips on each process, those of the epoch; PySlowFast takes 200.

    Raises:
        ValueError: ``num_batches`` is not positive.
    """

    def __init__(self, num_batches: int) -> None:
        if num_batches < 1:
            raise ValueError(f"PreciseBatchNorm: num_batches is {num_batches}; at least 1 is needed.")
        self._num_batches = num_batches

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace the statistics, the same on every process."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ClipDataModule), "training clips come from a ClipDataModule"
        batches = data.training_clips_of(trainer.current_epoch, self._num_batches)
        pl_module.train()
        with trainer.precision_plugin.forward_context():
            replace_statistics(pl_module, (clips.to(pl_module.device) for clips in batches))
        pl_module.eval()


@torch.no_grad()
def replace_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of the batch norms that train to their mean over batches and processes.

    Args:
        network: takes a batch; norms of it that are in evaluation mode stay as they are.
        batches: at least one, as many on every process.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.training]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then takes the mean over all batches since the reset
    for batch in batches:
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        if dist.is_available() and dist.is_initialized():
            for statistic in (norm.running_mean, norm.running_var):
                assert statistic is not None, "a norm of a network that is judged keeps statistics"
                dist.all_reduce(statistic)
                statistic /= dist.get_world_size()
