"""FSDP2: parameters, gradients and optimiser state shared out among all processes (Zhao et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from wauve_dist.training.strategies.replication import broadcast_from_rank_zero

# Gathered and freed together. 4 MiB in float32: below it a message's latency outweighs its bytes.
_UNIT_PARAMETERS = 1 << 20


class FullyShardedStrategy(DDPStrategy):
    """Fully sharded data parallelism with torch's ``fully_shard``, in every precision and on every device.

    Lightning's own ``ModelParallelStrategy`` refuses fp16, the only half precision of Turing cards. A checkpoint is the
    same plain file that DDP writes: any strategy on any number of processes resumes it, and prediction loads it.
    """

    def setup(self, trainer: pl.Trainer) -> None:
        """Prepare for training."""
        # What is gathered in inference mode cannot take part in the next training step (pytorch #95957).
        trainer.fit_loop.epoch_loop.val_loop.inference_mode = False
        super().setup(trainer)

    def configure_ddp(self) -> None:
        """Shard the model in place of wrapping it; called when it is on its device, before the optimiser is built."""
        task = self.lightning_module
        assert task is not None
        broadcast_from_rank_zero(task.state_dict().values())
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for network in task.children():
            shard(network, mesh)

    def on_validation_start(self) -> None:
        """Hold the whole model, with rank 0's running statistics as under DDP.

        Ranks may have different numbers of batches to evaluate, so they cannot gather weights batch by batch.
        """
        assert self.lightning_module is not None
        broadcast_from_rank_zero(self.lightning_module.buffers())
        for unit in _units(self.lightning_module):
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()

    def on_validation_end(self) -> None:
        """Share the model out again."""
        assert self.lightning_module is not None
        for unit in _units(self.lightning_module):
            unit.set_reshard_after_forward(True, recurse=False)
            unit.reshard()

    def lightning_module_state_dict(self) -> dict[str, Tensor]:
        """Gather the whole weights; every rank must call it."""
        assert self.lightning_module is not None
        return {name: _whole(tensor) for name, tensor in self.lightning_module.state_dict().items()}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Gather the whole state of an optimiser, in the form of ``Optimizer.state_dict``; every rank must call it."""
        state: dict[str, Any] = super().optimizer_state(optimizer)
        whole = {
            index: {name: _whole(value) for name, value in of_parameter.items()}
            for index, of_parameter in state["state"].items()
        }
        return {**state, "state": whole}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take this process's share of the optimiser state that any strategy saved."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            shares = {
                index: {name: _share(value, parameters[index]) for name, value in of_parameter.items()}
                for index, of_parameter in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": shares})


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a network's parameters over ``mesh`` in units that are gathered just before their use and freed after it.

    Args:
        network: its ``forward`` uses its parameters; or that of its only child, whose methods it adds to.
        mesh: one-dimensional, over all processes.
    """
    while len(children := list(network.children())) == 1 and not list(network.parameters(recurse=False)):
        (network,) = children
    for child in network.children():
        _shard_units(child, mesh)
    fully_shard(network, mesh=mesh)


def _shard_units(module: nn.Module, mesh: DeviceMesh) -> int:
    """Shard the smallest sub-modules that reach a unit's size; return how many parameters are left to the parent."""
    num_left = sum(parameter.numel() for parameter in module.parameters(recurse=False))
    num_left += sum(_shard_units(child, mesh) for child in module.children())
    if num_left < _UNIT_PARAMETERS or isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        return num_left
    fully_shard(module, mesh=mesh)
    return 0


def _units(module: nn.Module) -> Iterator[FSDPModule]:
    return (unit for unit in module.modules() if isinstance(unit, FSDPModule))


def _whole(value: Any) -> Any:
    if isinstance(value, DTensor):
        value = value.full_tensor()
    return value.detach().cpu().clone() if isinstance(value, Tensor) else value


def _share(value: Any, parameter: Tensor) -> Any:
    assert isinstance(parameter, DTensor)
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        value = value.to(parameter.device)
        return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
    return value
