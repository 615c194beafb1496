"""DeepSpeed's ZeRO (Rajbhandari et al. 2020): what every process of DDP holds twice, shared out among them.

Stage 1 shares out the optimiser's state, stage 2 the gradients too, stage 3 the parameters too.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.seed import reset_seed
from pytorch_lightning.plugins.precision import DeepSpeedPrecision
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from wauve_dist.training.strategies.replication import broadcast_from_rank_zero

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

_SECTION = "zero_optimization"
# Keys of a DeepSpeed JSON that say what the YAML says.
_SAID_BY_YAML = {
    "train_batch_size": "--data.batch_size",
    "train_micro_batch_size_per_gpu": "--data.batch_size",
    "gradient_accumulation_steps": "--trainer.accumulate_grad_batches",
    "gradient_clipping": "--trainer.gradient_clip_val",
    "fp16": "--trainer.precision 16-mixed",
    "bf16": "--trainer.precision bf16-mixed",
    "torch_autocast": "--trainer.precision",
    "optimizer": "--model.optimizer, --model.lr and --model.weight_decay",
    "scheduler": "--model.schedule and --model.warmup_fraction",
}
_SCALER_STATE = ("cur_scale", "cur_iter", "last_overflow_iter")
_AUTOCAST_DTYPES = {"16-mixed": "float16", "bf16-mixed": "bfloat16"}


def read_zero_config(path: Path) -> dict[str, Any]:
    """Read a DeepSpeed JSON that holds the section ``zero_optimization`` and nothing else.

    Raises:
        ValueError: no such file, no JSON, another key, or a ZeRO key that DeepSpeed does not know; the file, the key
            and where its value belongs are named.
    """
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from pydantic import ValidationError

    try:
        config = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ValueError(f"--trainer.strategy: there is no DeepSpeed config {path}.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: is not JSON ({error}).") from error
    if not isinstance(config, dict) or not isinstance(config.get(_SECTION), dict):
        raise ValueError(f"{path}: has no section {_SECTION!r}. See configs/deepspeed for complete examples.")
    for key in config.keys() - {_SECTION}:
        remedy = f"set {_SAID_BY_YAML[key]} instead" if key in _SAID_BY_YAML else "only ZeRO is configured here"
        raise ValueError(f"{path}: key {key!r} would compete with the training's YAML: remove it; {remedy}.")
    try:
        DeepSpeedZeroConfig(**config[_SECTION])
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"{path}, section {_SECTION!r}: {faults}.") from error
    return config


class ZeroStrategy(DeepSpeedStrategy):
    """ZeRO of any stage, on CUDA and on the CPU, that trains what DDP trains.

    Mixed precision is autocast over float32 weights, as in every other strategy (Lightning would cast weights, inputs
    and the boxes of the targets to half precision). A checkpoint is the same plain file that DDP writes, gathered
    parameter by parameter: any strategy on any number of processes resumes it, and prediction loads it.

    Args:
        config: JSON with the section ``zero_optimization`` only.

    Raises:
        ValueError: see :func:`read_zero_config`.
    """

    def __init__(self, config: str) -> None:
        if not torch.cuda.is_available():
            os.environ.setdefault("DS_ACCELERATOR", "cpu")  # read when deepspeed is first imported
        own = {"zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False}
        super().__init__(config={**read_zero_config(Path(config)), **own})
        self._parameter_groups: list[list[nn.Parameter]] = []
        self._validation = ExitStack()

    def setup_environment(self) -> None:
        """Join the other processes."""
        from deepspeed.accelerator import get_accelerator

        if (chosen := get_accelerator().device_name()) != self.root_device.type:
            raise ValueError(
                f"--trainer.accelerator asks for {self.root_device.type}, DeepSpeed has chosen {chosen}. "
                f"Set the environment variable DS_ACCELERATOR={self.root_device.type}."
            )
        precision = self.precision_plugin.precision
        if precision not in ("32-true", *_AUTOCAST_DTYPES):
            raise ValueError(f"--trainer.precision {precision} has no ZeRO. Use 32-true, 16-mixed or bf16-mixed.")
        self.precision_plugin = _AutocastPrecision(precision)  # type: ignore[arg-type]
        DDPStrategy.setup_environment(self)

    def setup_distributed(self) -> None:
        """Start the process group."""
        if self.root_device.type == "cuda":
            super().setup_distributed()
            return
        import deepspeed

        # Gloo suffices; this op, for inference on servers, would need a C++ compiler and 45 s.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        reset_seed()
        self.set_world_ranks()
        self._init_deepspeed_distributed()

    def setup(self, trainer: pl.Trainer) -> None:
        """Hand the model to DeepSpeed, with synchronised batch norms if the trainer asks for them."""
        if self._layer_sync is not None:
            assert self.model is not None
            self.model = self._layer_sync.apply(self.model)
        super().setup(trainer)

    def on_validation_start(self) -> None:
        """Hold the whole model, with rank 0's running statistics as under DDP.

        Ranks may have different numbers of batches to evaluate, so they cannot gather weights batch by batch.
        """
        assert self.lightning_module is not None
        broadcast_from_rank_zero(self.lightning_module.buffers())
        if self.zero_stage_3:
            self._validation.enter_context(_gathered(self.lightning_module, self.deepspeed_engine))

    def on_validation_end(self) -> None:
        """Share the model out again."""
        self._validation.close()

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """Load weights while they are whole, so that DeepSpeed makes its copies from them."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Let Lightning call :meth:`load_optimizer_state_dict`."""
        return True

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a plain checkpoint of any strategy."""
        return DDPStrategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load whole weights."""
        DDPStrategy.load_model_state_dict(self, checkpoint, strict)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write what was gathered, on rank 0."""
        DDPStrategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def lightning_module_state_dict(self) -> dict[str, Tensor]:
        """Gather the whole weights on rank 0, one at a time; every rank must call it."""
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters, ZeroParamStatus

        assert self.lightning_module is not None
        whole = {}
        for name, tensor in self.lightning_module.state_dict(keep_vars=True).items():
            is_shared_out = getattr(tensor, "ds_status", None) is ZeroParamStatus.NOT_AVAILABLE
            with GatheredParameters([tensor], enabled=is_shared_out):
                if self.is_global_zero:
                    whole[name] = tensor.detach().cpu().clone()
        return whole

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Gather the optimiser's state on rank 0 in the form of ``Optimizer.state_dict``; every rank must call it."""
        from deepspeed.utils import safe_get_full_optimizer_state

        self._link_state()
        inner = self._inner_optimizer
        flat_state: dict[str, Any] = next(iter(inner.state.values()), {})
        parameters = [parameter for group in self._parameter_groups for parameter in group]
        whole: dict[int, dict[str, Any]] = {}
        for index, parameter in enumerate(parameters if flat_state else []):
            gathered = {
                name: safe_get_full_optimizer_state(parameter, name) if _is_per_element(value) else value
                for name, value in flat_state.items()
            }
            if self.is_global_zero:
                whole[index] = {name: _detached(value) for name, value in gathered.items()}
        groups, start = [], 0
        for group, of_group in zip(inner.param_groups, self._parameter_groups, strict=True):
            groups.append({**group, "params": list(range(start, start := start + len(of_group)))})
        return {"state": whole, "param_groups": groups}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take this process's share of the optimiser state that any strategy saved."""
        (state,) = checkpoint["optimizer_states"]
        inner = self._inner_optimizer
        for group, saved in zip(inner.param_groups, state["param_groups"], strict=True):
            group.update({name: value for name, value in saved.items() if name != "params"})
        if not state["state"]:
            return
        example = next(iter(state["state"].values()))
        for flat in self._flat_partitions:
            inner.state[flat] = {
                name: torch.zeros_like(flat) if _is_per_element(value) else _detached(value)
                for name, value in example.items()
            }
        self._link_state()
        parameters = [parameter for group in self._parameter_groups for parameter in group]
        for index, parameter in enumerate(parameters):
            for name, value in state["state"][index].items():
                if _is_per_element(value):
                    self._set_share(parameter, name, value)

    def _link_state(self) -> None:
        """Show DeepSpeed where each parameter's state lies in the flat partitions of stages 1 and 2.

        It looks by itself, but after the first group's first step, when the other groups have no state yet.
        """
        zero = self.deepspeed_engine.optimizer
        if not self.zero_stage_3 and len(zero.optimizer.state) == len(self._flat_partitions):
            zero._hp_optimizer_states_linked = False
            zero._lazy_init_hp_params_optimizer_state()

    def _set_share(self, parameter: nn.Parameter, name: str, value: Tensor) -> None:
        from deepspeed.utils import (
            safe_get_local_optimizer_state,
            safe_set_full_optimizer_state,
            safe_set_local_optimizer_state,
        )

        if not self.zero_stage_3:
            safe_set_full_optimizer_state(parameter, value, name)
            return
        # The last ranks' shares are padded, which DeepSpeed's setter of whole tensors does not know.
        num_own = safe_get_local_optimizer_state(parameter, name).numel()
        padded = torch.zeros(num_own * self.world_size, dtype=value.dtype)
        padded[: value.numel()] = value.flatten()
        start = num_own * self.global_rank
        safe_set_local_optimizer_state(parameter, padded[start : start + num_own], name)

    @property
    def _inner_optimizer(self) -> Optimizer:
        inner: Optimizer = self.deepspeed_engine.optimizer.optimizer
        return inner

    @property
    def _flat_partitions(self) -> list[Tensor]:
        """What the inner optimiser steps: this process's share of all parameters, in float32."""
        zero = self.deepspeed_engine.optimizer
        flat: list[Tensor] = (
            zero.fp32_partitioned_groups_flat if self.zero_stage_3 else zero.single_partition_of_fp32_groups
        )
        return flat

    def _format_config(self) -> None:
        assert isinstance(self.config, dict)
        self._format_batch_size_and_grad_accum_config()
        if (dtype := _AUTOCAST_DTYPES.get(self.precision_plugin.precision)) is not None:
            # No module is "safe" to reduce its gradients in half precision: DDP averages in float32.
            self.config["torch_autocast"] = {"enabled": True, "dtype": dtype, "lower_precision_safe_modules": []}

    def _setup_model_and_optimizer(
        self,
        model: nn.Module,
        optimizer: Optimizer | None,
        lr_scheduler: LRScheduler | ReduceLROnPlateau | None = None,
    ) -> tuple[DeepSpeedEngine, Optimizer]:
        import deepspeed

        assert optimizer is not None
        self._parameter_groups = [list(group["params"]) for group in optimizer.param_groups]
        engine, zero_optimizer, _, _ = deepspeed.initialize(
            args=argparse.Namespace(device_rank=self.local_rank),  # Lightning's rank is None on the CPU
            config=self.config,
            model=model,
            model_parameters=[parameter for parameter in model.parameters() if parameter.requires_grad],
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            dist_init_required=False,
        )
        if self.precision_plugin.precision == "16-mixed":
            self._scale_losses(zero_optimizer)
        return engine, zero_optimizer

    def _scale_losses(self, zero_optimizer: Any) -> None:
        """Scale losses as DeepSpeed does for weights in fp16, with the values of torch's GradScaler.

        Under autocast it would use a GradScaler of each rank's own, which is neither lowered when a gradient overflows
        nor known to its clipping.
        """
        from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler

        assert isinstance(self.precision_plugin, _AutocastPrecision)
        self.precision_plugin.scaler = zero_optimizer.loss_scaler = DynamicLossScaler(
            init_scale=2.0**16, scale_window=2000, min_scale=1.0, delayed_shift=1, consecutive_hysteresis=False
        )
        zero_optimizer.torch_autocast_gradscaler = None
        zero_optimizer.dynamic_loss_scale = True


class _AutocastPrecision(DeepSpeedPrecision):
    """Leaves the batch as it is: autocast converts what profits from it, and boxes need all their digits."""

    scaler: Any = None  # DeepSpeed's DynamicLossScaler under fp16

    def convert_input(self, data: Any) -> Any:
        return data

    def backward(  # type: ignore[override]  # as Lightning's own does
        self, tensor: Tensor, model: pl.LightningModule, optimizer: Any, *args: Any, **kwargs: Any
    ) -> None:
        # Lightning has divided the loss by the accumulated batches; DeepSpeed would do it once more.
        super().backward(tensor, model, optimizer, *args, scale_wrt_gas=False, **kwargs)

    def state_dict(self) -> dict[str, Any]:
        if self.scaler is None:
            return {}
        return {name: getattr(self.scaler, name) for name in _SCALER_STATE}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in _SCALER_STATE:
            setattr(self.scaler, name, state_dict[name])


@contextmanager
def _gathered(module: nn.Module, engine: DeepSpeedEngine) -> Iterator[None]:
    """Gather all parameters of ZeRO-3, and take away the hooks that would free them after each use."""
    from deepspeed.runtime.zero.partition_parameters import GatheredParameters

    offload = engine.optimizer.parameter_offload
    with GatheredParameters(list(module.parameters())):
        for hook in (*offload.forward_hooks, *offload.backward_hooks):
            hook.remove()
        offload.forward_hooks, offload.backward_hooks = [], []
        yield
        offload._register_deepspeed_module(offload.module)


def _is_per_element(value: Any) -> bool:
    """Tell state with a value per parameter element (momentum) from a count of steps."""
    return isinstance(value, Tensor) and value.ndim > 0


def _detached(value: Any) -> Any:
    return value.detach().cpu().clone() if isinstance(value, Tensor) else value
