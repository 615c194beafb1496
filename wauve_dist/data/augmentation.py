"""Augmentation of ultrasound: what another hand, probe or knob could have changed, and nothing else.

Images are never flipped upside down and never turned: depth has a meaning (posterior shadowing and enhancement, the
order of the tissue layers). Brightness changes are factors, so that black outside the scan sector stays black.
Parameters are drawn on the CPU from each sample's own seed, so that a sample looks the same on every device, in every
batch and on any number of processes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

MAX_ZOOM = 1.15  # the region of interest is up to this factor larger or smaller: boxes are not exact
MAX_SHIFT = 0.08  # of the crop's side, for the same reason
MAX_GAIN = 1.2  # overall gain knob
MAX_GAMMA = 1.25  # grey map of the screen
MAX_TILT = 0.25  # time-gain compensation: brightness from the top to the bottom of the crop
MAX_SPECKLE = 0.08  # standard deviation of the multiplicative noise
SHADOW_PROBABILITY = 0.15  # bad contact or a rib: a dark bar along the beam
MAX_SHADOW_DEPTH = 0.6  # share of the brightness that it takes
MAX_SHADOW_WIDTH = 0.12  # half width, of the crop's side

_MIX_STREAM = 1
_NUM_GRAINS = 32  # of the speckle, across the crop: about as coarse as speckle in an enlarged region


class _ClipParameters(NamedTuple):
    """One sample's draw; positions run from 0 at the left or top edge of the crop to 1 at the other."""

    flip: bool
    zoom: float
    shift_x: float
    shift_y: float
    gamma: float
    gain: float
    tilt: float
    speckle: float
    shadow_depth: float
    shadow_x: float
    shadow_top: float
    shadow_half_width: float


def augment_clips(clips: Tensor, sample_seeds: Tensor) -> Tensor:
    """Change each clip as its seed says, all frames of a clip alike.

    Args:
        clips: uint8 [N, T, S, S], on any device.
        sample_seeds: int64 [N], not negative; on the CPU, or reading them waits for the device.

    Returns:
        uint8 [N, T, S, S], on the same device. A zoom or shift mirrors at the crop's edge, for a black
        border would betray what was changed.
    """
    size, device = clips.shape[-1], clips.device
    parameters, noise = zip(*(_draw(int(seed)) for seed in sample_seeds), strict=True)
    # One transfer for all numbers: many small ones would hold the device up.
    values = torch.tensor(parameters, dtype=torch.float32).to(device)

    def column(name: str) -> Tensor:
        return values[:, _ClipParameters._fields.index(name)].view(-1, 1, 1, 1)

    mirror = 1 - 2 * column("flip")
    matrix = torch.zeros(len(clips), 2, 3, device=device)
    matrix[:, 0, 0] = (mirror * column("zoom")).flatten()
    matrix[:, 1, 1] = column("zoom").flatten()
    # grid_sample measures from -1 to 1, twice as long as our 0 to 1.
    matrix[:, 0, 2], matrix[:, 1, 2] = (2 * column("shift_x")).flatten(), (2 * column("shift_y")).flatten()
    grid = F.affine_grid(matrix, [len(clips), 1, size, size], align_corners=False)
    moved = F.grid_sample(clips.float() / 255, grid, padding_mode="reflection", align_corners=False)

    position = (torch.arange(size, device=device) + 0.5) / size
    x, depth = position.view(1, 1, 1, -1), position.view(1, 1, -1, 1)
    grains = torch.from_numpy(np.stack(noise)).to(device).unsqueeze(1)
    speckle = F.interpolate(grains, size=(size, size), mode="bilinear", align_corners=False)
    across = torch.exp(-(((x - column("shadow_x")) / column("shadow_half_width")) ** 4))
    below = torch.sigmoid((depth - column("shadow_top")) / 0.03)
    factor = (
        column("gain")
        * (1 + column("tilt") * (depth - 0.5))
        * (1 + column("speckle") * speckle)
        * (1 - column("shadow_depth") * across * below)
    )
    changed = moved.clamp(0, 1) ** column("gamma") * factor
    return (changed * 255).round().clamp(0, 255).to(torch.uint8)


def mix_clips(clips: Tensor, labels: Tensor, sample_seeds: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mix each clip and its label with the next one's (mix-up, Zhang et al. 2018); batches are in random order.

    A sample's share is a function of its own seed. Its partner depends on the batch, so on the number of processes.

    Args:
        clips: uint8 [N, T, S, S], on any device; of a batch of one, nothing changes.
        labels: float32 [N], on the same device.
        sample_seeds: int64 [N], not negative, on the CPU.
        alpha: shares are drawn from Beta(alpha, alpha); above 0, and the smaller, the closer to 0 and 1.

    Returns:
        Both, mixed; clips rounded to uint8.
    """
    drawn = [np.random.default_rng([int(seed), _MIX_STREAM]).beta(alpha, alpha) for seed in sample_seeds]
    shares = torch.tensor(drawn, dtype=torch.float32).to(clips.device)
    of_clip = shares.view(-1, 1, 1, 1)
    mixed = of_clip * clips + (1 - of_clip) * clips.roll(-1, 0)
    return mixed.round().to(torch.uint8), shares * labels + (1 - shares) * labels.roll(-1)


def augment_frame(
    frame: NDArray[np.uint8], boxes_xyxy: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Flip a whole frame sideways and change its grey map; boxes follow.

    Args:
        frame: uint8 [H, W].
        boxes_xyxy: float32 [K, 4], absolute pixels.
        rng: decides.

    Returns:
        New arrays of the same shapes and types.
    """
    flip, gamma, gain = rng.random() < 0.5, _factor(rng, MAX_GAMMA), _factor(rng, MAX_GAIN)
    levels = 255 * (np.arange(256) / 255) ** gamma * gain
    changed = levels.round().clip(0, 255).astype(np.uint8)[frame]
    if not flip:
        return changed, boxes_xyxy.copy()
    flipped = boxes_xyxy.copy()
    flipped[:, [0, 2]] = frame.shape[1] - boxes_xyxy[:, [2, 0]]
    return np.ascontiguousarray(changed[:, ::-1]), flipped


def _draw(seed: int) -> tuple[_ClipParameters, NDArray[np.float32]]:
    """Draw a sample's parameters, and float32 [G, G] standard normal noise for its speckle."""
    rng = np.random.default_rng(seed)
    parameters = _ClipParameters(
        flip=bool(rng.random() < 0.5),
        zoom=_factor(rng, MAX_ZOOM),
        shift_x=rng.uniform(-MAX_SHIFT, MAX_SHIFT),
        shift_y=rng.uniform(-MAX_SHIFT, MAX_SHIFT),
        gamma=_factor(rng, MAX_GAMMA),
        gain=_factor(rng, MAX_GAIN),
        tilt=rng.uniform(-MAX_TILT, MAX_TILT),
        speckle=rng.uniform(0, MAX_SPECKLE),
        shadow_depth=rng.uniform(0, MAX_SHADOW_DEPTH) if rng.random() < SHADOW_PROBABILITY else 0.0,
        shadow_x=rng.uniform(0, 1),
        shadow_top=rng.uniform(-0.2, 0.5),
        shadow_half_width=rng.uniform(MAX_SHADOW_WIDTH / 3, MAX_SHADOW_WIDTH),
    )
    return parameters, rng.standard_normal((_NUM_GRAINS, _NUM_GRAINS), dtype=np.float32)


def _factor(rng: np.random.Generator, largest: float) -> float:
    """Draw between 1 / largest and largest, as often below 1 as above."""
    return math.exp(rng.uniform(-1, 1) * math.log(largest))
