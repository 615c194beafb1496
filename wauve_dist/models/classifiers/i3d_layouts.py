"""What other projects call the tensors of an I3D ResNet-50, or of the 2D ResNet-50 that one is inflated from.

| project | stem | first 1x1 convolution of the second block of res3 |
|---|---|---|
| PyTorchVideo | blocks.0.conv.weight | blocks.3.res_blocks.1.branch2.conv_a.weight |
| PySlowFast | s1.pathway0_stem.conv.weight | s3.pathway0_res1.branch2.a.weight |
| Caffe2 | conv1_w | res3_1_branch2a_w |
| torchvision, timm | conv1.weight | layer2.1.conv1.weight |
| here | trunk.0.conv.weight | trunk.3.res_blocks.1.branch2.conv_a.weight |
"""

from __future__ import annotations

import re

from torch import Tensor

# Stage of the others to number in the trunk, whose number 2 is the pooling after res2.
_TRUNK_NUMBER = {"s2": 1, "s3": 3, "s4": 4, "s5": 5}
_TRUNK_NUMBER |= {"res2": 1, "res3": 3, "res4": 4, "res5": 5, "layer1": 1, "layer2": 3, "layer3": 4, "layer4": 5}

_CAFFE2_FIELD = {"w": "weight", "s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
_LETTER = {"1": "a", "2": "b", "3": "c"}

# A tensor outside the residual blocks: its pattern, its module here.
_OUTSIDE = [
    (r"blocks\.0\.(conv|norm)\.(?P<field>\w+)", r"trunk.0.\1"),
    (r"blocks\.6\.proj\.(?P<field>\w+)", "classifier"),
    (r"s1\.pathway0_stem\.conv\.(?P<field>\w+)", "trunk.0.conv"),
    (r"s1\.pathway0_stem\.bn\.(?P<field>\w+)", "trunk.0.norm"),
    (r"head\.projection\.(?P<field>\w+)", "classifier"),
    (r"conv1_(?P<caffe2>w)", "trunk.0.conv"),
    (r"res_conv1_bn_(?P<caffe2>\w+)", "trunk.0.norm"),
    (r"pred_(?P<caffe2>[wb])", "classifier"),
    (r"conv1\.(?P<field>weight)", "trunk.0.conv"),
    (r"bn1\.(?P<field>\w+)", "trunk.0.norm"),
    (r"fc\.(?P<field>\w+)", "classifier"),
]

# A tensor of a residual block: stage, block, and in its shortcut or in which of its convolutions a, b and c.
_IN_BLOCK = [
    (r"(?P<stage>s\d)\.pathway0_res(?P<block>\d+)\.branch1\.(?P<field>\w+)", "branch1_conv"),
    (r"(?P<stage>s\d)\.pathway0_res(?P<block>\d+)\.branch1_bn\.(?P<field>\w+)", "branch1_norm"),
    (r"(?P<stage>s\d)\.pathway0_res(?P<block>\d+)\.branch2\.(?P<letter>[abc])\.(?P<field>\w+)", "branch2.conv_"),
    (r"(?P<stage>s\d)\.pathway0_res(?P<block>\d+)\.branch2\.(?P<letter>[abc])_bn\.(?P<field>\w+)", "branch2.norm_"),
    (r"(?P<stage>res\d)_(?P<block>\d+)_branch1_(?P<caffe2>w)", "branch1_conv"),
    (r"(?P<stage>res\d)_(?P<block>\d+)_branch1_bn_(?P<caffe2>\w+)", "branch1_norm"),
    (r"(?P<stage>res\d)_(?P<block>\d+)_branch2(?P<letter>[abc])_(?P<caffe2>w)", "branch2.conv_"),
    (r"(?P<stage>res\d)_(?P<block>\d+)_branch2(?P<letter>[abc])_bn_(?P<caffe2>\w+)", "branch2.norm_"),
    (r"(?P<stage>layer\d)\.(?P<block>\d+)\.downsample\.0\.(?P<field>\w+)", "branch1_conv"),
    (r"(?P<stage>layer\d)\.(?P<block>\d+)\.downsample\.1\.(?P<field>\w+)", "branch1_norm"),
    (r"(?P<stage>layer\d)\.(?P<block>\d+)\.conv(?P<number>\d)\.(?P<field>\w+)", "branch2.conv_"),
    (r"(?P<stage>layer\d)\.(?P<block>\d+)\.bn(?P<number>\d)\.(?P<field>\w+)", "branch2.norm_"),
]


def own_name(name: str) -> str:
    """Return our name of a tensor that one of the projects named; an unknown name comes back as it is."""
    if found := re.fullmatch(r"blocks\.(\d\.res_blocks\..+)", name):
        return f"trunk.{found[1]}"
    for pattern, module in _OUTSIDE:
        if found := re.fullmatch(pattern, name):
            return f"{found.expand(module)}.{_field(found.groupdict())}"
    for pattern, module in _IN_BLOCK:
        if (found := re.fullmatch(pattern, name)) and found["stage"] in _TRUNK_NUMBER:
            parts = found.groupdict()
            letter = parts.get("letter") or _LETTER.get(parts.get("number", ""), "")
            block = f"trunk.{_TRUNK_NUMBER[parts['stage']]}.res_blocks.{parts['block']}"
            return f"{block}.{module}{letter}.{_field(parts)}"
    return name


def _field(parts: dict[str, str]) -> str:
    return parts["field"] if "field" in parts else _CAFFE2_FIELD.get(parts["caffe2"], parts["caffe2"])


def inflated(weight_OIHW: Tensor, num_frames: int) -> Tensor:
    """Spread a 2D kernel evenly over time, so that a still video gives what its frame gave (Carreira & Zisserman 2017).

    Args:
        weight_OIHW: of a 2D convolution.
        num_frames: of the 3D kernel, T.

    Returns:
        [O, I, T, H, W].
    """
    return weight_OIHW.unsqueeze(2).repeat(1, 1, num_frames, 1, 1) / num_frames
