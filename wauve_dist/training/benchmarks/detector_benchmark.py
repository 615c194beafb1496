"""How fast the lesion detector finds boxes, side by side with torchvision's Faster R-CNN used the plain way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from wauve_dist.models.detectors.faster_rcnn import LesionDetector, frames_to_images
from wauve_dist.training.benchmarks.throughput import Precision, Throughput, autocast, measure_throughput, tuned_kernels

# As in configs/detection/faster_rcnn_r34.yaml.
_ANCHOR_SIZES = (32, 64, 128, 256, 512)
_ANCHOR_RATIOS = (0.33, 0.5, 1.0, 2.0, 3.0)
_NUM_PROPOSALS, _NUM_SAMPLED_ROIS, _SCORE_THRESHOLD, _NMS_IOU, _MAX_DETECTIONS = 1000, 512, 0.05, 0.5, 100

# Torchvision resizes frames to a short side of 800 pixels and a long one of at most 1333: 1080p becomes 750x1333.
_SHORT_SIDE, _LONG_SIDE = 800, 1333
_SCREEN = (1080, 1920)
# Shares of proposals called lesions: ten of a thousand as by a trained detector, and the most work there can be.
_FEW, _NEARLY_ALL = 0.01, 0.99


class Workload(NamedTuple):
    """Frames to find lesions in.

    Attributes:
        name: in words.
        size: height and width, pixels.
        long_side: that ours resizes them to.
        share_called: of the proposals that the detectors call lesions.
    """

    name: str
    size: tuple[int, int]
    long_side: int
    share_called: float


def benchmark_detector(
    device: torch.device, batch_size: int, image_size: int, precision: Precision, with_compile: bool
) -> Iterator[Throughput]:
    """Time torchvision's Faster R-CNN with a ResNet-34 FPN frame by frame, then ours in several ways.

    On scan sectors, on whole screens at the same scale, and on sectors where nearly every proposal counts as a lesion.
    Frames lie on the device; ours brings its boxes into host memory. Prepared, it runs as in predictions: at once on a
    GPU, in turn on a CPU.

    Args:
        device: to run on.
        batch_size: frames a step of the batched ways.
        image_size: side of the square sectors, pixels; the screen is 1080p at 800, and shrinks with it.
        precision: of the ways that are not float32.
        with_compile: time a compiled detector on sectors too, which takes minutes to compile.

    Yields:
        Frames a second.
    """
    scale = image_size / _SHORT_SIDE
    sector = Workload(f"{image_size}x{image_size} sectors", (image_size, image_size), image_size, _FEW)
    height, width = (round(side * scale) for side in _SCREEN)
    screen = Workload(f"{width}x{height} screens", (height, width), round(_LONG_SIDE * scale), _FEW)
    crowded = sector._replace(name=f"{sector.name}, nearly all proposals lesions", share_called=_NEARLY_ALL)
    with tuned_kernels():
        for workload in (sector, screen, crowded):
            torch.manual_seed(0)
            frames = list(torch.randint(0, 256, (batch_size, *workload.size), dtype=torch.uint8).to(device))
            images = [image.contiguous() for image in frames_to_images(frames)]
            reference = torchvision_faster_rcnn(image_size).to(device).eval()
            ours = lesion_detector(workload.long_side).to(device).eval()
            equal_proposals((reference, ours.network), images)
            for network in (reference, ours.network):
                call_lesions(network, images, workload.share_called)
            yield _measure(workload, "torchvision FasterRCNN, eager, fp32", reference, images[:1], "fp32")
            yield from _ours(ours, workload, frames, precision, workload == sector, with_compile)


def _ours(
    detector: LesionDetector,
    workload: Workload,
    frames: list[Tensor],
    precision: Precision,
    in_all_ways: bool,
    with_compile: bool,
) -> Iterator[Throughput]:
    batches = (frames[:1], frames)
    if in_all_ways:
        for given in batches:
            yield _measure(workload, "ours in turn, fp32", detector.in_turn, given, "fp32")
            yield _measure(workload, "ours at once, fp32", detector.in_one_go, given, "fp32")
        yield _measure(workload, f"ours in turn, {precision}", detector.in_turn, frames, precision)
        yield _measure(workload, f"ours at once, {precision}", detector.in_one_go, frames, precision)
    detector.prepare_prediction()
    for given in batches:
        yield _measure(workload, f"ours, {precision}, prepared", detector, given, precision)
    if in_all_ways and with_compile:
        detector.batched.compile()
        for given in batches:
            way = f"ours at once, {precision}, prepared, compiled"
            yield _measure(workload, way, detector.in_one_go, given, precision)


def _measure(
    workload: Workload, way: str, find: Callable[[list[Tensor]], object], given: list[Tensor], precision: Precision
) -> Throughput:
    device = given[0].device

    @torch.inference_mode()
    def step() -> object:
        with autocast(device, precision):
            return find(given)

    return measure_throughput(workload.name, f"{way}, batch {len(given)}", step, len(given), device)


@torch.inference_mode()
def equal_proposals(networks: Sequence[FasterRCNN], images: list[Tensor]) -> None:
    """Hold networks to the fewest proposals that one of them makes of an image: time in the box head grows with them.

    How many an untrained network makes of a small image, up to the configured 1,000, is chance.

    Args:
        networks: in evaluation mode.
        images: float [3, H, W] each.
    """
    counts: list[int] = []
    for network in networks:
        hook = network.rpn.register_forward_hook(lambda _, __, proposed: counts.extend(map(len, proposed[0])))
        network(images)
        hook.remove()
    for network in networks:
        network.rpn._post_nms_top_n = dict.fromkeys(("training", "testing"), min(counts))


@torch.inference_mode()
def call_lesions(network: FasterRCNN, images: list[Tensor], share: float) -> None:
    """Have an untrained detector call a share of its proposals lesions, by the bias of its scores alone.

    Args:
        network: in evaluation mode.
        images: whose proposals count, float [3, H, W] each.
        share: 0..1.
    """
    margins: list[Tensor] = []
    predictor = network.roi_heads.box_predictor
    hook = predictor.register_forward_hook(lambda _, __, scored: margins.append(scored[0][:, 1] - scored[0][:, 0]))
    network(images)
    hook.remove()
    threshold = math.log(network.roi_heads.score_thresh / (1 - network.roi_heads.score_thresh))
    predictor.cls_score.bias[0] += torch.cat(margins).quantile(1 - share) - threshold


def torchvision_faster_rcnn(image_size: int) -> FasterRCNN:
    """Build torchvision's detector with its own ResNet-34 FPN, anchors and limits.

    Args:
        image_size: short side that frames are resized to, pixels; torchvision's own is 800.
    """
    backbone = resnet_fpn_backbone(backbone_name="resnet34", weights=None)
    long_side = round(_LONG_SIDE * image_size / _SHORT_SIDE)
    return FasterRCNN(backbone, num_classes=2, min_size=image_size, max_size=long_side)


def lesion_detector(image_size: int) -> LesionDetector:
    """Build our detector as it is trained at full scale.

    Args:
        image_size: long side that frames are resized to, pixels.
    """
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
