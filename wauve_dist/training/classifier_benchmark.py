"""How fast I3D trains and infers, side by side with PyTorchVideo's own model used the plain way.

Shapes: N clips, T = 8 frames, S side of a crop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wauve_dist.data.augmentation import augment_clips
from wauve_dist.models.classifiers.i3d import PIXEL_MEAN, PIXEL_STD, I3DResNet50
from wauve_dist.structures.clips import CLIP_LENGTH
from wauve_dist.tasks.optimizers import build_optimizer
from wauve_dist.training.throughput import Precision, Throughput, autocast, measure_throughput, tuned_kernels

_POOLED_FRAMES, _TRUNK_STRIDE = 4, 32  # of the feature map: its frames, and the crop's side over its own


def benchmark_classifier(
    device: torch.device, batch_size: int, crop_size: int, precision: Precision, with_compile: bool
) -> Iterator[Throughput]:
    """Time PyTorchVideo's i3d_r50 first, then ours in several ways: training steps, then inference.

    The reference takes what its users give it: normalised float32 clips with three channels, in float32 (on a GPU
    TensorFloat-32). Ours takes grey uint8 clips and normalises them itself. Both find their clips on the device.

    Args:
        device: to run on.
        batch_size: clips a step.
        crop_size: side of the clips, pixels.
        precision: of ours.
        with_compile: time ``torch.compile`` too, whose first step takes minutes.

    Yields:
        Clips a second.
    """
    torch.manual_seed(0)
    clips_NTSS = torch.randint(0, 256, (batch_size, CLIP_LENGTH, crop_size, crop_size), dtype=torch.uint8).to(device)
    images = ((clips_NTSS.float() / 255 - PIXEL_MEAN) / PIXEL_STD).unsqueeze(1).repeat(1, 3, 1, 1, 1)
    labels = (torch.arange(batch_size, device=device) % 2).float()
    seeds = torch.arange(batch_size)

    def measure(way: str, model: nn.Module, take: Callable[[], Tensor], precision: Precision) -> Iterator[Throughput]:
        step = _training_step(model.train(), take, labels, precision)
        yield measure_throughput("training", way, step, batch_size, device)
        model.eval().zero_grad()
        yield measure_throughput("inference", way, _inference_step(model, take, precision), batch_size, device)

    def give_clips() -> Tensor:
        return clips_NTSS

    with tuned_kernels():
        reference = pytorchvideo_i3d(crop_size).to(device)
        yield from measure("PyTorchVideo i3d_r50, eager, fp32", reference, lambda: images, "fp32")
        del reference
        ours: nn.Module = I3DResNet50(dropout=0.5).to(device)
        yield from measure(way := f"ours, {precision}", ours, give_clips, precision)
        ours = ours.to(memory_format=torch.channels_last_3d)
        yield from measure(way := f"{way}, channels_last_3d", ours, give_clips, precision)
        if with_compile:
            ours.compile()
            yield from measure(way := f"{way}, compiled", ours, give_clips, precision)
        step = _training_step(ours.train(), lambda: augment_clips(clips_NTSS, seeds), labels, precision)
        yield measure_throughput("training", f"{way}, augmented", step, batch_size, device)


def pytorchvideo_i3d(crop_size: int) -> nn.Module:
    """Build PyTorchVideo's I3D ResNet-50 with one output; its pooling window fits ``crop_size`` pixels."""
    from pytorchvideo.models.hub import i3d_r50

    side = math.ceil(crop_size / _TRUNK_STRIDE)
    model: nn.Module = i3d_r50(pretrained=False, model_num_class=1, head_pool_kernel_size=(_POOLED_FRAMES, side, side))
    return model


def _training_step(
    model: nn.Module, take: Callable[[], Tensor], labels: Tensor, precision: Precision
) -> Callable[[], None]:
    optimizer = build_optimizer(model, "sgd", lr=1e-3, weight_decay=1e-4, fused=precision != "fp16")
    scaler = torch.amp.GradScaler(labels.device.type, enabled=precision == "fp16")

    def step() -> None:
        optimizer.zero_grad()
        with autocast(labels.device, precision):
            logits = model(take())
        loss = F.binary_cross_entropy_with_logits(logits.float().view(-1), labels)
        torch.autograd.backward(scaler.scale(loss))
        scaler.step(optimizer)
        scaler.update()

    return step


def _inference_step(model: nn.Module, take: Callable[[], Tensor], precision: Precision) -> Callable[[], Tensor]:
    @torch.inference_mode()
    def step() -> Tensor:
        clips = take()
        with autocast(clips.device, precision):
            logits: Tensor = model(clips)
        return logits

    return step
