"""A frame as pictures: the lesions in their boxes with the clips' probabilities, and the same frame with its maps."""

from __future__ import annotations

import pandas as pd
from PIL import Image, ImageDraw

from wauve_dist.data.crops import roi_square
from wauve_dist.data.decoding import GreyFrame
from wauve_dist.inference.drawing import GREEN, LINE, BoxXyxy, draw_box, draw_label, scaled, score_colour
from wauve_dist.inference.heat_drawing import tinted
from wauve_dist.inference.heat_maps import HeatMaps, PlacedMap, place

_LETTER_SIZE = 24


class Annotator:
    """Draws frames of one video, all to one colour scale.

    Clips are numbered from 1 in the order in which they start.

    Args:
        tracks: rows of ``tracks.parquet`` of this video.
        clips: rows of ``clips.parquet`` of this video.
        maps: of these clips.
        call_threshold: scores from here on are called malignant, 0..1.

    Attributes:
        clips: ``clips`` with their ``number``, in its order.
        maps: likewise.
        call_threshold: likewise.
    """

    def __init__(self, tracks: pd.DataFrame, clips: pd.DataFrame, maps: HeatMaps, call_threshold: float) -> None:
        self.clips = clips.sort_values(["start_frame", "track_id"], ignore_index=True)
        self.clips["number"] = self.clips.index + 1
        self.maps = maps
        self.call_threshold = call_threshold
        self._limit = maps.limit
        self._cells = maps.by_frame()
        self._boxes = dict(list(tracks.groupby("frame")))
        self._clip_at = {
            (clip.track_id, frame): clip
            for clip in self.clips.itertuples()
            for frame in range(clip.start_frame, clip.start_frame + maps.clip_length)
        }

    def detections(
        self, number: int, frame: GreyFrame, width: int, height: int, track_id: int | None = None
    ) -> Image.Image:
        """Draw green boxes; while a clip lasts its number and probability stand at its box, in the call's colour.

        Args:
            number: of the frame, from 0.
            frame: uint8 [H, W].
            width: of the picture, pixels.
            height: of the picture, pixels.
            track_id: of the only lesion to draw; None draws all.
        """
        picture = scaled(frame, width, height)
        boxes = self._scaled_boxes(number, frame, width, height, track_id)
        plates: list[BoxXyxy] = []
        for box_xyxy in boxes.values():
            draw_box(picture, box_xyxy, GREEN, width=2)
        for track, box_xyxy in boxes.items():
            if clip := self._clip_at.get((track, number)):
                colour = score_colour(clip.score, self.call_threshold)
                draw_label(picture, box_xyxy, clip_label(clip.number, clip.score), colour, _LETTER_SIZE, plates)
        return picture

    def heat(self, number: int, frame: GreyFrame, width: int, height: int, track_id: int | None = None) -> Image.Image:
        """Draw the maps over the regions that the classifier saw, each in a thin frame, and the boxes; as above."""
        boxes = self._scaled_boxes(number, frame, width, height, track_id)
        judged = {track: box for track, box in boxes.items() if (track, number) in self._cells}
        context = self.maps.roi_context
        picture = tinted(
            scaled(frame, width, height),
            [self._placed(track, number, box, context, height, width) for track, box in judged.items()],
            self.maps.kind,
            self._limit,
        )
        for box_xyxy in judged.values():
            left, top, side = roi_square(box_xyxy, context)
            ImageDraw.Draw(picture).rectangle((left, top, left + side, top + side), outline=LINE)
        for box_xyxy in boxes.values():
            draw_box(picture, box_xyxy, GREEN, width=2)
        return picture

    def heat_of_region(self, track_id: int, number: int, crop: GreyFrame) -> Image.Image:
        """Draw a clip's map over the region itself, uint8 [S, S]."""
        side = len(crop)
        placed = self._placed(track_id, number, (0, 0, side, side), 1, side, side)
        return tinted(scaled(crop, side, side), [placed], self.maps.kind, self._limit)

    def _placed(
        self, track_id: int, number: int, box_xyxy: BoxXyxy, context: float, height: int, width: int
    ) -> PlacedMap:
        return place(self._cells[track_id, number], self.maps.cell_grid, box_xyxy, context, height, width)

    def _scaled_boxes(
        self, number: int, frame: GreyFrame, width: int, height: int, track_id: int | None
    ) -> dict[int, BoxXyxy]:
        across, down = width / frame.shape[1], height / frame.shape[0]
        rows = self._boxes[number].itertuples() if number in self._boxes else ()
        return {
            row.track_id: (row.x1 * across, row.y1 * down, row.x2 * across, row.y2 * down)
            for row in rows
            if track_id in (None, row.track_id)
        }


def clip_label(number: int, score: float) -> str:
    """Name a clip and its probability as in Fig. 6 of Han et al. 2025."""
    return f"Clip {number}: prob = {score:.2f}"
