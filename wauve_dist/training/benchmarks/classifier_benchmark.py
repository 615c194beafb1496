"""How fast the classifiers train and infer, each side by side with its library's own model used the plain way.

Shapes: N clips, T frames, S side of a crop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from wauve_dist.data.augmentation import augment_clips
from wauve_dist.models.classifiers.clip_classifier import ClipClassifier
from wauve_dist.models.classifiers.i3d import PIXEL_MEAN, PIXEL_STD, I3DResNet50
from wauve_dist.models.classifiers.resnet import ResNet50
from wauve_dist.models.classifiers.timesformer import TimeSformer
from wauve_dist.models.memory_format import put_channels_last
from wauve_dist.structures.clips import CLIP_LENGTH
from wauve_dist.tasks.optimizers import build_optimizer
from wauve_dist.training.benchmarks.throughput import (
    Precision,
    Throughput,
    autocast,
    matrix_product_rate,
    measure_throughput,
    tuned_kernels,
)

_POOLED_FRAMES, _TRUNK_STRIDE = 4, 32  # of I3D's feature map: its frames, and the crop's side over its own
_PASSES = {"training": 3, "inference": 1}  # backward computes gradients of inputs and of weights


@dataclass(frozen=True)
class Comparison:
    """One of our networks and the model that its library offers.

    Attributes:
        library: name of the library's model.
        ours: takes the crop size, pixels; builds the network.
        reference: likewise; builds what takes normalised float images and gives logits, as many as clips.
        images: turns normalised clips [N, 3, T, S, S] into the reference's layout.
    """

    library: str
    ours: Callable[[int], ClipClassifier]
    reference: Callable[[int], nn.Module]
    images: Callable[[Tensor], Tensor]


def benchmark_classifier(
    device: torch.device,
    batch_size: int,
    crop_size: int,
    precision: Precision,
    with_compile: bool,
    networks: Sequence[str],
) -> Iterator[Throughput]:
    """Time each library's model first, then ours in several ways: training steps, then inference.

    The reference takes what its users give it: normalised float32 clips with three channels, in float32 (on a GPU
    TensorFloat-32). Ours takes grey uint8 clips and normalises them itself. Both find their clips on the device.

    Args:
        device: to run on.
        batch_size: clips a step.
        crop_size: side of the clips, pixels.
        precision: of ours.
        with_compile: time ``torch.compile`` too, whose first step takes minutes.
        networks: names of ``COMPARISONS``.

    Yields:
        Clips a second, after the rates of matrix products that their ``peak_share`` is of.
    """
    with tuned_kernels():
        rates = {kind: matrix_product_rate(device, kind) for kind in dict.fromkeys(("fp32", precision))}
        yield from rates.values()
        peaks = {kind: rate.per_s for kind, rate in rates.items()}
        for name in networks:
            yield from _compare(name, device, batch_size, crop_size, precision, with_compile, peaks)


def _compare(
    name: str,
    device: torch.device,
    batch_size: int,
    crop_size: int,
    precision: Precision,
    with_compile: bool,
    peaks: dict[Precision, float],
) -> Iterator[Throughput]:
    comparison = COMPARISONS[name]
    torch.manual_seed(0)
    ours = comparison.ours(crop_size).to(device)
    num_frames = ours.clip_length
    clips_NTSS = torch.randint(0, 256, (batch_size, num_frames, crop_size, crop_size), dtype=torch.uint8).to(device)
    labels = (torch.arange(batch_size, device=device) % 2).float()
    seeds = torch.arange(batch_size)
    work = 2 * num_macs(name, crop_size)

    def measure(task: str, way: str, step: Callable[[], object], kind: Precision) -> Throughput:
        measured = measure_throughput(f"{name} {task}", way, step, batch_size, device)
        return replace(measured, peak_share=measured.per_s * work * _PASSES[task] / peaks[kind])

    def both(way: str, model: nn.Module, take: Callable[[], Tensor], kind: Precision) -> Iterator[Throughput]:
        yield measure("training", way, _training_step(model.train(), take, labels, kind), kind)
        model.eval().zero_grad()
        yield measure("inference", way, _inference_step(model, take, kind), kind)

    def give_clips() -> Tensor:
        return clips_NTSS

    images = ((clips_NTSS.float() / 255 - PIXEL_MEAN) / PIXEL_STD).unsqueeze(1).repeat(1, 3, 1, 1, 1)
    images = comparison.images(images).contiguous()
    yield from both(
        f"{comparison.library}, eager, fp32", comparison.reference(crop_size).to(device), lambda: images, "fp32"
    )
    yield from both(way := f"ours, {precision}", ours, give_clips, precision)
    put_channels_last(ours)
    yield from both(way := f"{way}, channels last", ours, give_clips, precision)
    if with_compile:
        ours.compile()
        yield from both(way := f"{way}, compiled", ours, give_clips, precision)
    step = _training_step(ours.train(), lambda: augment_clips(clips_NTSS, seeds), labels, precision)
    yield measure("training", f"{way}, augmented", step, precision)


def num_macs(name: str, crop_size: int) -> int:
    """Count the multiply-accumulates of a forward pass of one clip through our network; torch counts two for each."""
    with torch.device("meta"):
        network = COMPARISONS[name].ours(crop_size)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, network.clip_length, crop_size, crop_size, dtype=torch.uint8))
    return int(counter.get_total_flops()) // 2


def pytorchvideo_i3d(crop_size: int) -> nn.Module:
    """Build PyTorchVideo's I3D ResNet-50 with one output; its pooling window fits ``crop_size`` pixels."""
    from pytorchvideo.models.hub import i3d_r50

    side = math.ceil(crop_size / _TRUNK_STRIDE)
    model: nn.Module = i3d_r50(pretrained=False, model_num_class=1, head_pool_kernel_size=(_POOLED_FRAMES, side, side))
    return model


def torchvision_resnet(crop_size: int) -> nn.Module:
    """Build torchvision's ResNet-50 with one output, which takes frames of any size."""
    from torchvision.models import resnet50

    model: nn.Module = resnet50(weights=None, num_classes=1)
    return model


class TransformersTimeSformer(nn.Module):
    """The base TimeSformer of ``transformers`` with one output, for clips of 8 frames of ``crop_size`` pixels."""

    def __init__(self, crop_size: int) -> None:
        super().__init__()
        from transformers import TimesformerConfig, TimesformerForVideoClassification

        options: dict[str, Any] = {"image_size": crop_size, "num_frames": CLIP_LENGTH, "num_labels": 1}
        config = TimesformerConfig(**options)
        self.model = TimesformerForVideoClassification(config)

    def forward(self, images_NT3SS: Tensor) -> Tensor:
        """Compute logits, float [N, 1]."""
        logits: Tensor = self.model(images_NT3SS).logits
        return logits


COMPARISONS = {
    "i3d": Comparison("PyTorchVideo i3d_r50", lambda _: I3DResNet50(dropout=0.5), pytorchvideo_i3d, lambda x: x),
    "resnet50": Comparison(
        "torchvision resnet50", lambda _: ResNet50(dropout=0.0), torchvision_resnet, lambda x: x.squeeze(2)
    ),
    "timesformer": Comparison(
        "transformers TimeSformer",
        lambda size: TimeSformer(size, patch_size=16, hidden_size=768, num_layers=12, num_heads=12, dropout=0.0),
        TransformersTimeSformer,
        lambda x: x.transpose(1, 2),
    ),
}


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
