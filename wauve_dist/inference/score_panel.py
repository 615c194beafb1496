"""The panel below an overlay: clip probabilities and their running mean over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.special import expit

from wauve_dist.inference.drawing import BLUE, GREY, INK, LINE, RED, WHITE, font, score_colour
from wauve_dist.structures.video_scores import mean_in_words

PANEL_WIDTH, PANEL_HEIGHT = 1920, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 28, 66, 42
_HEADER_Y, _LEGEND_LEFT = 30, 600
_HEADER_SIZE, _SIZE = 24, 18  # of letters, pixels: legible on a screen of 1080 lines
_SUPERSAMPLING = 3  # Pillow draws lines without smoothing
_MAX_TICKS = 8
_TICK_STEPS_S = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


class ScorePanel:
    """Drawn once; each frame then shows the past bright, the future dim, and a cursor between them.

    Args:
        num_frames: of the video.
        fps: frames per second.
        clips: rows of ``clips.parquet`` of the video.
        clip_length: frames of a clip.
        call_threshold: scores from here on are called malignant, 0..1.
    """

    def __init__(
        self, num_frames: int, fps: float, clips: pd.DataFrame, clip_length: int, call_threshold: float
    ) -> None:
        self._num_frames = num_frames
        self._fps = fps
        self._threshold = call_threshold
        self._mean_in_words = mean_in_words(clips)
        self._mean, self._num_ended = running_mean(clips, clip_length, num_frames)
        self._past = self._drawn(clips, clip_length)
        self._future = Image.blend(Image.new("RGB", self._past.size, INK), self._past, 0.35)
        # The legend and the axes belong to no time.
        self._future.paste(self._past.crop((0, 0, PANEL_WIDTH, _TOP - 8)))
        self._future.paste(self._past.crop((0, 0, _LEFT, PANEL_HEIGHT)))
        axis_top = PANEL_HEIGHT - _BOTTOM + 1
        self._future.paste(self._past.crop((0, axis_top, PANEL_WIDTH, PANEL_HEIGHT)), (0, axis_top))

    def at(self, frame: int) -> Image.Image:
        """Return the panel at that frame, RGB, PANEL_WIDTH by PANEL_HEIGHT."""
        now = round(self._x(frame + 1))
        panel = self._future.copy()
        panel.paste(self._past.crop((0, 0, now, PANEL_HEIGHT)))
        draw = ImageDraw.Draw(panel)
        draw.line((now, _TOP - 4, now, PANEL_HEIGHT - _BOTTOM), fill=WHITE)
        if num_ended := self._num_ended[frame]:
            mean = self._mean[frame]
            call = "malignant" if mean >= self._threshold else "benign"
            text = f"{call}: {self._mean_in_words} of {num_ended} {'clip' if num_ended == 1 else 'clips'} = {mean:.2f}"
            draw.text(
                (_LEFT, _HEADER_Y), text, font=font(_HEADER_SIZE), fill=score_colour(mean, self._threshold), anchor="lm"
            )
        else:
            draw.text((_LEFT, _HEADER_Y), "no clip yet", font=font(_HEADER_SIZE), fill=GREY, anchor="lm")
        clock = f"{(frame + 1) / self._fps:.1f} of {self._num_frames / self._fps:.1f} s"
        draw.text((PANEL_WIDTH - _RIGHT, _HEADER_Y), clock, font=font(_HEADER_SIZE), fill=GREY, anchor="rm")
        return panel

    def _drawn(self, clips: pd.DataFrame, clip_length: int) -> Image.Image:
        k = _SUPERSAMPLING
        large = Image.new("RGB", (PANEL_WIDTH * k, PANEL_HEIGHT * k), INK)
        draw = ImageDraw.Draw(large)
        left, right = self._x(0) * k, self._x(self._num_frames) * k
        for value in (0.0, 0.5, 1.0):
            draw.line((left, self._y(value) * k, right, self._y(value) * k), fill=LINE, width=k)
            draw.text((left - 12 * k, self._y(value) * k), f"{value:g}", font=font(_SIZE * k), fill=GREY, anchor="rm")
        for tick_s in self._ticks_s():
            x = self._x(tick_s * self._fps) * k
            draw.line((x, self._y(0) * k, x, (self._y(0) + 4) * k), fill=GREY, width=k)
            label = f"{tick_s:g} s"
            centre = min(x, PANEL_WIDTH * k - font(_SIZE * k).getlength(label) / 2)
            draw.text((centre, (self._y(0) + 10) * k), label, font=font(_SIZE * k), fill=GREY, anchor="mt")
        dash = 6 * k
        for x in np.arange(left, right, 2 * dash):
            y = self._y(self._threshold) * k
            draw.line((x, y, min(x + dash, right), y), fill=GREY, width=k)
        for clip in clips.itertuples():
            x1, x2 = self._x(clip.start_frame) * k, self._x(clip.start_frame + clip_length) * k
            y = self._y(clip.score) * k
            draw.line((x1, y, x2 - k, y), fill=score_colour(clip.score, self._threshold), width=7 * k)
        curve = [
            (self._x(frame + step) * k, self._y(self._mean[frame]) * k)
            for frame in np.flatnonzero(self._num_ended)
            for step in (0, 1)
        ]
        if curve:
            draw.line(curve, fill=WHITE, width=2 * k, joint="curve")
        self._draw_legend(draw)
        return large.resize((PANEL_WIDTH, PANEL_HEIGHT), Image.Resampling.BOX)

    def _draw_legend(self, draw: ImageDraw.ImageDraw) -> None:
        k, letters = _SUPERSAMPLING, font(_SIZE * _SUPERSAMPLING)
        x, y = _LEGEND_LEFT * k, _HEADER_Y * k
        for text, colour, thickness in (
            (f"clip from {self._threshold:g}: malignant", RED, 7),
            ("below: benign", BLUE, 7),
            (f"{self._mean_in_words} of the clips so far", WHITE, 2),
        ):
            draw.line((x, y, x + 16 * k, y), fill=colour, width=thickness * k)
            draw.text((x + 22 * k, y), text, font=letters, fill=GREY, anchor="lm")
            x += 54 * k + round(draw.textlength(text, font=letters))

    def _ticks_s(self) -> NDArray[np.float64]:
        duration_s = self._num_frames / self._fps
        step_s = next((step for step in _TICK_STEPS_S if duration_s / step <= _MAX_TICKS), _TICK_STEPS_S[-1])
        return np.arange(0, duration_s + 1e-9, step_s)

    def _x(self, frame: float) -> float:
        return _LEFT + frame / self._num_frames * (PANEL_WIDTH - _LEFT - _RIGHT)

    def _y(self, score: float) -> float:
        return PANEL_HEIGHT - _BOTTOM - score * (PANEL_HEIGHT - _TOP - _BOTTOM)


def running_mean(
    clips: pd.DataFrame, clip_length: int, num_frames: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Average the clips that have ended by each frame, at the end as ``video_scores`` does.

    Returns:
        Means, float64 [num_frames], NaN before the first clip has ended; numbers of clips, int64 [num_frames].
    """
    last_frames = clips["start_frame"].to_numpy() + clip_length - 1
    is_weighted = "weight" in clips
    # A weight so small that it is 0 in float64 would leave the first clips without a mean.
    weights = clips["weight"].clip(lower=np.finfo(np.float64).tiny) if is_weighted else np.ones(len(clips))
    values = clips["logit"] if is_weighted else clips["score"]
    totals = np.bincount(last_frames, weights=weights * values, minlength=num_frames).cumsum()
    weight_sums = np.bincount(last_frames, weights=weights, minlength=num_frames).cumsum()
    counts = np.bincount(last_frames, minlength=num_frames).cumsum()
    means = np.divide(totals, weight_sums, out=np.full(num_frames, np.nan), where=counts > 0)
    return expit(means) if is_weighted else means, counts
