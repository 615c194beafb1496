"""How fast the lesion detector finds boxes, side by side with torchvision's Faster R-CNN used the plain way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from wauve_dist.models.detectors.faster_rcnn import LesionDetector
from wauve_dist.training.benchmarks.throughput import Precision, Throughput, autocast, measure_throughput, tuned_kernels

# As in configs/detection/faster_rcnn_r34.yaml.
_ANCHOR_SIZES = (32, 64, 128, 256, 512)
_ANCHOR_RATIOS = (0.33, 0.5, 1.0, 2.0, 3.0)
_NUM_PROPOSALS, _NUM_SAMPLED_ROIS, _SCORE_THRESHOLD, _NMS_IOU, _MAX_DETECTIONS = 1000, 512, 0.05, 0.5, 100


def benchmark_detector(
    device: torch.device, batch_size: int, image_size: int, precision: Precision, with_compile: bool
) -> Iterator[Throughput]:
    """Time torchvision's Faster R-CNN with a ResNet-34 FPN frame by frame, then ours in several ways.

    Untrained networks call nearly every proposal a lesion, so that both suppress and return as many boxes as they ever
    can. Frames lie on the device.

    Args:
        device: to run on.
        batch_size: frames a step of the batched ways.
        image_size: side of the square frames, pixels.
        precision: of the ways that are not float32.
        with_compile: time a compiled backbone too, whose first step takes a minute.

    Yields:
        Frames a second.
    """
    torch.manual_seed(0)
    frames = list(torch.randint(0, 256, (batch_size, image_size, image_size), dtype=torch.uint8).to(device))
    images = [(frames[0].float() / 255).expand(3, -1, -1).contiguous()]

    def measure(way: str, model: nn.Module, given: list[Tensor], precision: Precision) -> Throughput:
        return measure_throughput(
            "inference", f"{way}, batch {len(given)}", _inference_step(model, given, precision), len(given), device
        )

    with tuned_kernels():
        reference = torchvision_faster_rcnn(image_size).to(device).eval()
        yield measure("torchvision FasterRCNN, eager, fp32", reference, images, "fp32")
        del reference
        ours = lesion_detector(image_size).to(device).eval()
        for given in (frames[:1], frames):
            yield measure("ours, fp32", ours, given, "fp32")
        yield measure(way := f"ours, {precision}", ours, frames, precision)
        ours.to(memory_format=torch.channels_last)
        yield measure(way := f"{way}, channels_last", ours, frames, precision)
        if with_compile:
            ours.network.backbone.compile()
            yield measure(f"{way}, compiled backbone", ours, frames, precision)


def torchvision_faster_rcnn(image_size: int) -> FasterRCNN:
    """Build torchvision's detector with its own ResNet-34 FPN, anchors and limits, for square frames of that side."""
    backbone = resnet_fpn_backbone(backbone_name="resnet34", weights=None)
    return FasterRCNN(backbone, num_classes=2, min_size=image_size, max_size=image_size)


def lesion_detector(image_size: int) -> LesionDetector:
    """Build our detector as it is trained at full scale."""
    return LesionDetector(
        image_size,
        _ANCHOR_SIZES,
        _ANCHOR_RATIOS,
        _NUM_PROPOSALS,
        _NUM_SAMPLED_ROIS,
        _SCORE_THRESHOLD,
        _NMS_IOU,
        _MAX_DETECTIONS,
    )


def _inference_step(model: nn.Module, given: list[Tensor], precision: Precision) -> Callable[[], object]:
    @torch.inference_mode()
    def step() -> object:
        with autocast(given[0].device, precision):
            return model(given)

    return step
