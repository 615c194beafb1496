"""What other projects call the tensors of a Faster R-CNN ResNet-34 FPN, and how they lay out its last layer.

| project | second convolution of the first block of the second stage | norm of that | lateral convolution of P3 |
|---|---|---|---|
| torchvision, here | backbone.body.layer2.0.conv2.weight | backbone.body.layer2.0.bn2 | backbone.fpn.inner_blocks.1.0 |
| Detectron2 | backbone.bottom_up.res3.0.conv2.weight | backbone.bottom_up.res3.0.conv2.norm | backbone.fpn_lateral3 |
| torchvision's and timm's ImageNet network | layer2.0.conv2.weight | layer2.0.bn2 | |
| Detectron2's ImageNet network | res3.0.conv2.weight | res3.0.conv2.norm | |

Torchvision's first class is the background, which has boxes of its own that nothing reads; Detectron2's last class is
the background, without boxes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

_NUM_BLOCKS = {1: 3, 2: 4, 3: 6, 4: 3}
_SCORES = "roi_heads.box_predictor.cls_score"
_BOXES = "roi_heads.box_predictor.bbox_pred"

# Of torch's batch norm, which adds it to the variance.
_NORM_EPSILON = 1e-5


def _module_pairs() -> Iterator[tuple[str, str]]:
    """Yield each module that has tensors by its name in torchvision and in Detectron2."""
    body, bottom_up = "backbone.body", "backbone.bottom_up"
    yield f"{body}.conv1", f"{bottom_up}.stem.conv1"
    yield f"{body}.bn1", f"{bottom_up}.stem.conv1.norm"
    for stage, num_blocks in _NUM_BLOCKS.items():
        for block in range(num_blocks):
            ours, theirs = f"{body}.layer{stage}.{block}", f"{bottom_up}.res{stage + 1}.{block}"
            for number in (1, 2):
                yield f"{ours}.conv{number}", f"{theirs}.conv{number}"
                yield f"{ours}.bn{number}", f"{theirs}.conv{number}.norm"
            yield f"{ours}.downsample.0", f"{theirs}.shortcut"
            yield f"{ours}.downsample.1", f"{theirs}.shortcut.norm"
        for blocks, convolution in (("inner_blocks", "fpn_lateral"), ("layer_blocks", "fpn_output")):
            ours, theirs = f"backbone.fpn.{blocks}.{stage - 1}", f"backbone.{convolution}{stage + 1}"
            yield f"{ours}.0", theirs
            yield f"{ours}.1", f"{theirs}.norm"
    head = "proposal_generator.rpn_head"
    yield "rpn.head.conv.0.0", f"{head}.conv"
    yield "rpn.head.cls_logits", f"{head}.objectness_logits"
    yield "rpn.head.bbox_pred", f"{head}.anchor_deltas"
    yield "roi_heads.box_head.fc6", "roi_heads.box_head.fc1"
    yield "roi_heads.box_head.fc7", "roi_heads.box_head.fc2"


_TO_DETECTRON2 = dict(_module_pairs())
_FROM_DETECTRON2 = {theirs: ours for ours, theirs in _TO_DETECTRON2.items()}


def module_in_detectron2(name: str) -> str:
    """Return Detectron2's name of a module of torchvision's that has tensors; without a counterpart, the same name."""
    return _TO_DETECTRON2.get(name, name)


def to_detectron2(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Lay out torchvision's tensors as Detectron2's; gradients flow back.

    Args:
        weights: of torchvision's ``FasterRCNN``, by name; what has no counterpart keeps its name.
    """
    return _laid_out(
        weights, _TO_DETECTRON2, {_SCORES: lambda value: value.roll(-1, 0), _BOXES: lambda value: value[4:]}
    )


def from_detectron2(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Lay out Detectron2's tensors as torchvision's; the boxes of the background become zero.

    Args:
        weights: of Detectron2's ``GeneralizedRCNN``, by name; what has no counterpart keeps its name.
    """

    def with_background(value: Tensor) -> Tensor:
        return torch.cat([value.new_zeros(4, *value.shape[1:]), value])

    return _laid_out(weights, _FROM_DETECTRON2, {_SCORES: lambda value: value.roll(1, 0), _BOXES: with_background})


def _laid_out(
    weights: Mapping[str, Tensor], names: Mapping[str, str], changes: Mapping[str, Callable[[Tensor], Tensor]]
) -> dict[str, Tensor]:
    """Rename the modules of tensors, and change the tensors of some, which are named as before."""
    result = {}
    for name, value in weights.items():
        module, dot, field = name.rpartition(".")
        if module in changes:
            value = changes[module](value)
        result[f"{names.get(module, module)}{dot}{field}"] = value
    return result


def own_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Lay out the tensors of a file, whatever project wrote it, as torchvision's.

    A pyramid without norms, as both projects train on COCO, gets norms that change nothing but add its biases.

    Args:
        weights: of a whole detector or of an ImageNet network, by name; what has no counterpart keeps its name.
    """
    weights = {_in_detector(name): value for name, value in weights.items()}
    if any(name.startswith(("backbone.bottom_up.", "proposal_generator.")) for name in weights):
        weights = from_detectron2(weights)
    result: dict[str, Tensor] = {}
    for name, value in weights.items():
        # Until torchvision 0.13 these convolutions stood alone.
        name = re.sub(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2", name)
        name = re.sub(r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1", name)
        if found := re.fullmatch(r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.0\.bias", name):
            norm = f"{found[1]}.1"
            result |= {f"{norm}.weight": torch.ones_like(value), f"{norm}.bias": value}
            result[f"{norm}.running_mean"] = torch.zeros_like(value)
            result[f"{norm}.running_var"] = torch.full_like(value, 1 - _NORM_EPSILON)
        else:
            result[name] = value
    return result


def _in_detector(name: str) -> str:
    """Return the name that a tensor of an ImageNet network has in the same project's detector."""
    if re.match(r"(conv1|bn1|layer\d)\.", name):
        return f"backbone.body.{name}"
    if re.match(r"(stem|res\d)\.", name):
        return f"backbone.bottom_up.{name}"
    return name
