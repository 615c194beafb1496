"""DDP, tuned: every process holds the whole model and averages gradients while backward still runs (Li et al. 2020)."""

from __future__ import annotations

from typing import Literal

from pytorch_lightning.strategies import DDPStrategy
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel

GradientCompression = Literal["none", "fp16", "bf16"]

_HOOKS = {"fp16": default_hooks.fp16_compress_hook, "bf16": default_hooks.bf16_compress_hook}


class TunedDDPStrategy(DDPStrategy):
    """Lightning's DDP with gradients kept inside the buckets that are sent, and compression on every device.

    Args:
        static_graph: the same parameters get a gradient in every step, so that DDP looks for them once. True of both
            tasks: every loss reaches every parameter, in a batch without a lesion too.
        bucket_cap_mb: gradients that are sent together, MiB. A larger bucket wastes less time per message, a smaller
            one starts earlier.
        gradient_compression: send gradients in half precision, half the bytes; they are rounded, so results change.
            ``bf16`` needs a network library that knows it (NCCL >= 2.10, Gloo).
    """

    def __init__(
        self,
        static_graph: bool = True,
        bucket_cap_mb: int = 25,
        gradient_compression: GradientCompression = "none",
    ) -> None:
        super().__init__(static_graph=static_graph, bucket_cap_mb=bucket_cap_mb, gradient_as_bucket_view=True)
        self._gradient_compression = gradient_compression

    def _register_ddp_hooks(self) -> None:
        # Lightning registers hooks on CUDA only, and elsewhere drops them without a word.
        if self._gradient_compression != "none":
            assert isinstance(self.model, DistributedDataParallel)
            self.model.register_comm_hook(None, _HOOKS[self._gradient_compression])
