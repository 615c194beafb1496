"""DDP, tuned: every process holds the whole model and averages gradients while backward still runs (Li et al. 2020)."""

from __future__ import annotations

from typing import Literal

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel

GradientCompression = Literal["none", "fp16", "bf16"]

_HOOKS = {"fp16": default_hooks.fp16_compress_hook, "bf16": default_hooks.bf16_compress_hook}


class TunedDDPStrategy(DDPStrategy):
    """Lightning's DDP with gradients kept inside the buckets that are sent, and compression on every device.

    The graph counts as static: every loss of both tasks reaches every parameter, in a batch without a lesion too, so
    that DDP looks for the order of gradients once. Not so with accumulated batches, which torch's static graph refuses.

    Args:
        bucket_cap_mb: gradients that are sent together, MiB. A larger bucket wastes less time per message, a smaller
            one starts earlier.
        gradient_compression: send gradients in half precision, half the bytes; they are rounded, so results change.
            ``bf16`` needs a network library that knows it (NCCL >= 2.10, Gloo).
    """

    def __init__(
        self,
        bucket_cap_mb: int = 25,
        gradient_compression: GradientCompression = "none",
    ) -> None:
        super().__init__(bucket_cap_mb=bucket_cap_mb, gradient_as_bucket_view=True)
        self._gradient_compression = gradient_compression

    def setup(self, trainer: pl.Trainer) -> None:
        """Wrap the model."""
        self._ddp_kwargs["static_graph"] = trainer.accumulate_grad_batches == 1
        super().setup(trainer)

    def _register_ddp_hooks(self) -> None:
        # Lightning registers hooks on CUDA only, and elsewhere drops them without a word.
        if self._gradient_compression != "none":
            assert isinstance(self.model, DistributedDataParallel)
            self.model.register_comm_hook(None, _HOOKS[self._gradient_compression])
