"""A still of a video: the clips that speak most for malignant and least, each with its maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from wauve_dist.data.crops import crop_roi
from wauve_dist.data.decoding import GreyFrame
from wauve_dist.inference.annotator import Annotator, clip_label
from wauve_dist.inference.drawing import GREY, INK, WHITE, fitting, font, score_colour
from wauve_dist.inference.heat_drawing import colour_bar
from wauve_dist.structures.video_scores import mean_in_words, video_scores

WIDTH = 1920
_MARGIN, _GAP, _LETTER_SIZE = 28, 12, 24
_HEADER_HEIGHT, _TITLE_HEIGHT = 64, 44
_ROI_SIDE, _MAX_ROIS = 200, 4
_ROW_HEIGHT = 2 * _ROI_SIDE + _GAP


def extreme_clips(clips: pd.DataFrame) -> pd.DataFrame:
    """Return the clip with the highest score and that with the lowest, the first of equals; one row where it is one.

    Args:
        clips: rows of ``clips.parquet`` of a video, at least one.
    """
    scores = clips["score"]
    return clips.loc[list(dict.fromkeys((scores.idxmax(), scores.idxmin())))]


def frames_of(clips: pd.DataFrame, clip_length: int) -> set[int]:
    """Return the numbers of all frames of some clips."""
    return {int(start) + offset for start in clips["start_frame"] for offset in range(clip_length)}


def draw_contact_sheet(
    video_id: str, frames: Mapping[int, GreyFrame], tracks: pd.DataFrame, annotator: Annotator
) -> Image.Image:
    """Draw a row a clip: the frame in its middle with the box and with the map, then frames of the region alone.

    Args:
        video_id: stands above.
        frames: number to uint8 [H, W]; at least those of the extreme clips.
        tracks: rows of ``tracks.parquet`` of the video.
        annotator: of the video.

    Returns:
        RGB, ``WIDTH`` pixels wide; without a clip it says so.
    """
    clips, maps = annotator.clips, annotator.maps
    shown = clips if clips.empty else extreme_clips(clips)
    height = _HEADER_HEIGHT + len(shown) * (_TITLE_HEIGHT + _ROW_HEIGHT + _GAP) + _MARGIN
    sheet = Image.new("RGB", (WIDTH, height), INK)
    draw, middle = ImageDraw.Draw(sheet), _HEADER_HEIGHT // 2
    bar_left = WIDTH - _MARGIN
    if clips.empty:
        verdict, colour = "no clip: no lesion was followed long enough", GREY
    else:
        score = float(video_scores(clips).iloc[0])
        call = "malignant" if score >= annotator.call_threshold else "benign"
        count = f"{len(clips)} clips" if len(clips) > 1 else "1 clip"
        verdict, colour = (
            f"{call}: {mean_in_words(clips)} of {count} = {score:.2f}",
            score_colour(score, annotator.call_threshold),
        )
        bar = colour_bar(maps, _LETTER_SIZE - 4)
        bar_left -= bar.width
        sheet.paste(bar, (bar_left, (_HEADER_HEIGHT - bar.height) // 2))
    verdict_width = round(font(_LETTER_SIZE).getlength(verdict))
    title = fitting(video_id, _LETTER_SIZE, bar_left - verdict_width - 2 * _MARGIN - _GAP)
    draw.text((_MARGIN, middle), title, font=font(_LETTER_SIZE), fill=WHITE, anchor="lm")
    verdict_left = _MARGIN + round(font(_LETTER_SIZE).getlength(title)) + _MARGIN
    draw.text((verdict_left, middle), verdict, font=font(_LETTER_SIZE), fill=colour, anchor="lm")
    for row, clip in enumerate(shown.itertuples()):
        top = _HEADER_HEIGHT + row * (_TITLE_HEIGHT + _ROW_HEIGHT + _GAP)
        rank = "only clip" if len(clips) == 1 else ("highest", "lowest")[row] if len(shown) == 2 else "all alike"
        last_frame = clip.start_frame + maps.clip_length - 1
        when = f"frames {clip.start_frame} to {last_frame}" if maps.clip_length > 1 else f"frame {clip.start_frame}"
        text = f"{clip_label(clip.number, clip.score)}, {rank}, {when}"
        if "weight" in clips:
            text += f", weight {clip.weight:.2f}"
        text_colour = score_colour(clip.score, annotator.call_threshold)
        draw.text((_MARGIN, top + _TITLE_HEIGHT // 2), text, font=font(_LETTER_SIZE), fill=text_colour, anchor="lm")
        _draw_clip(sheet, top + _TITLE_HEIGHT, clip, frames, tracks, annotator)
    return sheet


def _draw_clip(
    sheet: Image.Image,
    top: int,
    clip: Any,
    frames: Mapping[int, GreyFrame],
    tracks: pd.DataFrame,
    annotator: Annotator,
) -> None:
    length = annotator.maps.clip_length
    middle_frame = clip.start_frame + length // 2
    frame = frames[middle_frame]
    rois_left = WIDTH - _MARGIN - _MAX_ROIS * (_ROI_SIDE + _GAP) + _GAP
    room_width = (rois_left - 2 * _GAP - _MARGIN) // 2
    factor = min(room_width / frame.shape[1], _ROW_HEIGHT / frame.shape[0])
    width, height = max(1, round(frame.shape[1] * factor)), max(1, round(frame.shape[0] * factor))
    for column, draw_frame in enumerate((annotator.detections, annotator.heat)):
        left = _MARGIN + column * (room_width + _GAP) + (room_width - width) // 2
        sheet.paste(
            draw_frame(middle_frame, frame, width, height, clip.track_id), (left, top + (_ROW_HEIGHT - height) // 2)
        )
    track = tracks[tracks["track_id"] == clip.track_id].set_index("frame")
    num_rois = min(length, _MAX_ROIS)
    for column in range(num_rois):
        number = clip.start_frame + (2 * column + 1) * length // (2 * num_rois)
        box_xyxy = track.loc[number, ["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
        crop = crop_roi(frames[number], box_xyxy, _ROI_SIDE, annotator.maps.roi_context)
        left = rois_left + column * (_ROI_SIDE + _GAP)
        ImageDraw.Draw(sheet).text(
            (left, top - 6), f"frame {number}", font=font(_LETTER_SIZE - 6), fill=GREY, anchor="ls"
        )
        sheet.paste(Image.fromarray(crop), (left, top))
        sheet.paste(annotator.heat_of_region(clip.track_id, number, crop), (left, top + _ROI_SIDE + _GAP))
