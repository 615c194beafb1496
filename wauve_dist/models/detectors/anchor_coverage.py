"""How anchors lie against the boxes that a detector learns from.

An anchor of a lesion's size may still miss it: on P6 anchors lie 64 pixels apart. So a box is compared with anchors
where torchvision's ``AnchorGenerator`` puts them, one of each ratio centred on every cell of the grid of each pyramid
level, for a frame that is resized and padded as for the network, in a batch of frames of its size. The region proposal
network learns an anchor as a lesion from an overlap of 0.7 on; a box that none reaches is learned by its best anchor
alone (Ren et al. 2015, section 3.1.2).

Shapes: N boxes or their frames, L pyramid levels, R ratios.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STRIDES = (4, 8, 16, 32)  # of P2 to P5; frames are padded to multiples of the last
_HALF, _LESION = 0.5, 0.7
_ENOUGH = 0.9  # share of boxes that an anchor should overlap by half; the few others have at least their best anchor
_NUM_WORST = 3
_PERCENTILES = (5, 50, 95)
_MOST_BOXES_OF_SEARCH = 2000
_STEPS_OF_SEARCH = (1.4, 1.2, 1.1)


class FramedBoxes(NamedTuple):
    """Boxes in their frames.

    Attributes:
        xyxy: [N, 4], pixels.
        frame_sizes: [N, 2], width and height of each box's frame, pixels.
    """

    xyxy: Floats
    frame_sizes: Floats

    @property
    def sides(self) -> Floats:
        """[N, 2], width and height."""
        return self.xyxy[:, 2:] - self.xyxy[:, :2]

    def resized(self, long_sides: Sequence[int]) -> FramedBoxes:
        """Resize frames to each of the long sides, as torchvision's transform does; several sizes give more boxes."""
        parts = []
        for long_side in long_sides:
            scale_N1 = long_side / self.frame_sizes.max(axis=1, keepdims=True)
            sizes_N2 = np.floor(self.frame_sizes * scale_N1)
            corners_N4 = self.xyxy * np.tile(sizes_N2 / self.frame_sizes, 2)
            parts.append((corners_N4, sizes_N2))
        return FramedBoxes(*map(np.concatenate, zip(*parts, strict=True)))


class Anchors(NamedTuple):
    """Settings of anchors.

    Attributes:
        sizes: side of the square anchor of levels P2 to P6, pixels of the resized frame.
        ratios: height / width.
    """

    sizes: Sequence[float]
    ratios: Sequence[float]

    def sides(self) -> Floats:
        """Return width and height of each level's anchors, rounded as torchvision does: [L, R, 2]."""
        roots_R = np.sqrt(np.asarray(self.ratios, np.float32))
        sizes_L1 = np.asarray(self.sizes, np.float32)[:, None]
        halves_LR2 = np.stack([(1 / roots_R) * sizes_L1, roots_R * sizes_L1], axis=-1) / 2
        return 2 * np.rint(halves_LR2).astype(np.float64)

    def best_ious(self, boxes: FramedBoxes) -> Floats:
        """Return the overlap (IoU, 0..1) of each box with the anchor that overlaps it most.

        Args:
            boxes: of resized frames.
        """
        sides_N2 = boxes.sides
        low_N2, high_N2 = boxes.xyxy[:, :2], boxes.xyxy[:, 2:]
        best_N = np.zeros(len(sides_N2))
        for (strides_N2, grid_N2), sides_R2 in zip(_grids(boxes.frame_sizes), self.sides(), strict=True):
            # An overlap shrinks with the distance along either axis, so the nearest cell has the best anchors.
            cells_N2 = np.clip(np.rint((low_N2 + high_N2) / 2 / strides_N2), 0, grid_N2 - 1) * strides_N2
            for sides_2 in sides_R2:
                shared_N2 = np.minimum(high_N2, cells_N2 + sides_2 / 2) - np.maximum(low_N2, cells_N2 - sides_2 / 2)
                shared_N = shared_N2.clip(0).prod(axis=1)
                best_N = np.maximum(best_N, shared_N / (sides_N2.prod(axis=1) + sides_2.prod() - shared_N))
        return best_N


class AnchorCoverage(NamedTuple):
    """How boxes are covered.

    Attributes:
        boxes: of resized frames.
        anchors: that are to cover them.
        best_ious: [N], overlap of each with its best anchor, 0..1.
    """

    boxes: FramedBoxes
    anchors: Anchors
    best_ious: Floats

    def share(self, iou: float) -> float:
        """Return the share of boxes whose best anchor overlaps them by at least ``iou``."""
        return float((self.best_ious >= iou).mean())

    def figures(self) -> dict[str, float]:
        """Return what a run's record keeps, lengths in pixels of the resized frame."""
        sides = dict(zip(("width", "height"), self.boxes.sides.T, strict=True))
        percentiles = {f"{name}_{p}": float(np.percentile(sides[name], p)) for name in sides for p in _PERCENTILES}
        shares = {"iou50_share": self.share(_HALF), "iou70_share": self.share(_LESION)}
        return {"boxes": len(self.best_ious), **percentiles, **shares}

    def lines(self) -> list[str]:
        """Say it in two lines."""
        width, height = (self._percentiles(sides) for sides in self.boxes.sides.T)
        return [
            f"Anchors: {len(self.best_ious)} training boxes, in pixels of the resized frame and for 5 / 50 / 95 % of "
            f"them: width {width}, height {height}.",
            f"The best anchor overlaps (IoU) {self.share(_HALF):.1%} of them by at least {_HALF}, "
            f"{self.share(_LESION):.1%} by {_LESION}; worst off: {', '.join(self._worst())}.",
        ]

    def warning(self) -> str | None:
        """Return what is wrong and what to do, None if nothing is."""
        if (share := self.share(_HALF)) >= _ENOUGH:
            return None
        better = fitted_anchors(self.boxes, len(self.anchors.ratios))
        reached = coverage(better, self.boxes).share(_HALF)
        sizes, ratios = (",".join(f"{value:g}" for value in values) for values in better)
        return (
            f"Only {share:.1%} of the training boxes have an anchor that overlaps them by {_HALF} or more (wanted: "
            f"{_ENOUGH:.0%}); the others are hard to learn. --model.anchor_sizes '[{sizes}]' --model.anchor_ratios "
            f"'[{ratios}]' would reach {reached:.1%}; a larger --model.image_size brings anchors closer together."
        )

    @staticmethod
    def _percentiles(values_N: Floats) -> str:
        return " / ".join(f"{value:.0f}" for value in np.percentile(values_N, _PERCENTILES))

    def _worst(self) -> Iterator[str]:
        shown: dict[str, float] = {}
        for row in self.best_ious.argsort(kind="stable"):
            shown.setdefault("{:.0f}x{:.0f}".format(*self.boxes.sides[row]), self.best_ious[row])
            if len(shown) == _NUM_WORST:
                break
        return (f"{size} ({iou:.2f})" for size, iou in shown.items())


def coverage(anchors: Anchors, boxes: FramedBoxes) -> AnchorCoverage:
    """Measure how anchors cover boxes of resized frames, at least one."""
    return AnchorCoverage(boxes, anchors, anchors.best_ious(boxes))


def fitted_anchors(boxes: FramedBoxes, num_ratios: int) -> Anchors:
    """Search for anchors that overlap as many boxes as can be by half, and then all as much as can be.

    One value is changed at a time while that helps. Sizes start evenly spread over the boxes' on a logarithmic scale,
    and never fall from one level to the next.

    Args:
        boxes: of resized frames; of very many an even choice.
        num_ratios: of the anchors.
    """
    step = math.ceil(len(boxes.xyxy) / _MOST_BOXES_OF_SEARCH)
    boxes = FramedBoxes(boxes.xyxy[::step], boxes.frame_sizes[::step])
    widths_N, heights_N = boxes.sides.T
    num_sizes = len(_STRIDES) + 1
    smallest, largest = np.percentile(np.sqrt(widths_N * heights_N), (5, 95))
    ratios = np.quantile(heights_N / widths_N, (np.arange(num_ratios) + 0.5) / num_ratios)
    values = np.concatenate([np.geomspace(smallest, largest, num_sizes), ratios])

    def rounded(values: Floats) -> Anchors:
        return Anchors(np.rint(values[:num_sizes]).clip(1).tolist(), np.round(values[num_sizes:], 2).tolist())

    def merit(values: Floats) -> tuple[float, float]:
        ious_N = rounded(values).best_ious(boxes)
        return float((ious_N >= _HALF).mean()), float(ious_N.mean())

    best = merit(values)
    for factor in _STEPS_OF_SEARCH:
        changes = [(index, change) for index in range(len(values)) for change in (factor, 1 / factor)]
        helped = True
        while helped:
            helped = False
            for index, change in changes:
                tried = values.copy()
                tried[index] *= change
                if (np.diff(tried[:num_sizes]) >= 0).all() and (found := merit(tried)) > best:
                    best, values, helped = found, tried, True
    sizes, ratios_found = rounded(values)
    return Anchors(sizes, sorted(ratios_found))


def _grids(frame_sizes_N2: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Yield the distance of cells and their number along x and y, of P2 to P6."""
    padded_N2 = np.ceil(frame_sizes_N2 / _STRIDES[-1]) * _STRIDES[-1]
    for stride in _STRIDES:
        yield np.full_like(padded_N2, stride), padded_N2 / stride
    # P6 has every second cell of P5; where those are odd in number, torchvision puts its cells closer than 64.
    grid_N2 = np.ceil(padded_N2 / _STRIDES[-1] / 2)
    yield padded_N2 // grid_N2, grid_N2
