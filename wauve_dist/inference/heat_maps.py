"""The maps of a video's clips: coarse cells, brought to the pixels of the region that the classifier saw.

Shapes: T frames of a clip; T', H', W' cells of its map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from wauve_dist.data.crops import roi_square
from wauve_dist.data.track_crops import FrameCutter
from wauve_dist.inference.drawing import BoxXyxy
from wauve_dist.inference.pipeline import Classifier, batches, cut_clips
from wauve_dist.models.class_activation import CellGrid, cell_grid, even_grid, interpolation
from wauve_dist.models.classifiers.clip_classifier import MapKind
from wauve_dist.structures.clips import Clip

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class HeatMaps:
    """Maps of all clips of a video.

    Attributes:
        kind: what their values are.
        clip_length: T.
        crop_size: side of the clips, pixels.
        roi_context: side of the region over the longer side of the lesion's box.
        cells: of each clip, float32 [T', H', W'].
    """

    kind: MapKind
    clip_length: int
    crop_size: int
    roi_context: float
    cells: Mapping[Clip, Float32Array]

    @property
    def limit(self) -> float:
        """The largest absolute value of any clip: one colour scale for the whole video, so that nothing flickers."""
        return max((float(np.abs(cells).max()) for cells in self.cells.values()), default=0.0) or 1.0

    @property
    def grid(self) -> tuple[int, int]:
        """H' and W'; there is at least one clip."""
        rows, columns = next(iter(self.cells.values())).shape[1:]
        return rows, columns

    @property
    def cell_grid(self) -> CellGrid:
        """Where the cells lie along a side of the region, which is square as the clips are."""
        return cell_grid(self.kind, self.grid[0], self.crop_size)

    def by_frame(self) -> dict[tuple[int, int], Float32Array]:
        """Interpolate linearly in time.

        Returns:
            (track_id, frame) to float32 [H', W'].
        """
        if not self.cells:
            return {}
        num_cells = len(next(iter(self.cells.values())))
        weights = interpolation(num_cells, even_grid(num_cells), 0, self.clip_length, range(self.clip_length))
        return {
            (clip.track_id, clip.start_frame + offset): cells
            for clip, coarse in self.cells.items()
            for offset, cells in enumerate(np.tensordot(weights, coarse, 1))
        }


class PlacedMap(NamedTuple):
    """The part of a map that lies in a picture.

    Attributes:
        rows: of the picture.
        columns: of the picture.
        pixels: float32 [rows, columns].
    """

    rows: slice
    columns: slice
    pixels: Float32Array


def find_maps(
    cut: FrameCutter,
    tracks: pd.DataFrame,
    clips: pd.DataFrame,
    classifier: Classifier,
    batch_size: int,
) -> HeatMaps:
    """Compute the maps of clips that have been scored; holds the frames of one batch of clips at a time.

    Args:
        cut: cuts boxes out of the video.
        tracks: rows of ``tracks.parquet`` of this video.
        clips: rows of ``clips.parquet`` of this video.
        classifier: that scored them.
        batch_size: clips a call of the network.
    """
    chosen = [Clip(*row) for row in clips[list(Clip._fields)].itertuples(index=False)]
    cells: dict[Clip, Float32Array] = {}
    for batch in batches(cut_clips(cut, tracks, chosen, classifier), batch_size):
        crops = torch.from_numpy(np.stack([crops for _, crops in batch])).to(classifier.device)
        with torch.inference_mode():
            maps = classifier.classifier.maps(crops).float().cpu().numpy()
        cells.update(zip((clip for clip, _ in batch), maps, strict=True))
    return HeatMaps(
        classifier.classifier.map_kind,
        classifier.clip_rule.clip_length,
        classifier.hparams.crop_size,
        classifier.hparams.roi_context,
        cells,
    )


def place(cells: Float32Array, grid: CellGrid, box_xyxy: BoxXyxy, context: float, height: int, width: int) -> PlacedMap:
    """Put a map back where ``data.crops.crop_roi`` cut its region, interpolating linearly between the cells' centres.

    Args:
        cells: [H', W'].
        grid: where they lie along either side of the region.
        box_xyxy: the lesion's box, pixels of the picture.
        context: side of the region over the box's longer side.
        height: of the picture, pixels.
        width: of the picture, pixels.
    """
    left, top, side = roi_square(box_xyxy, context)
    rows, columns = _pixels_within(top, top + side, height), _pixels_within(left, left + side, width)
    down = interpolation(cells.shape[0], grid, top, top + side, rows)
    across = interpolation(cells.shape[1], grid, left, left + side, columns)
    return PlacedMap(slice(rows.start, rows.stop), slice(columns.start, columns.stop), down @ cells @ across.T)


def _pixels_within(start: float, stop: float, size: int) -> range:
    """Pixels of a picture whose centres lie in a stretch."""
    return range(*(min(max(round(edge), 0), size) for edge in (start, stop)))
