"""Pictures of validation videos for W&B: regions of interest under keyed hashes, never frames, names or paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wauve_dist.data.datasets import EvaluationClips
from wauve_dist.structures.pseudonyms import pseudonym

if TYPE_CHECKING:
    from wandb import Table

_LARGEST_SIDE = 112  # pixels
_NUM_MAPPED = 8
_RED, _BLUE = np.array([213, 94, 0]), np.array([0, 114, 178])  # told apart by the colour-blind (Okabe & Ito 2008)
_MOST_TINT = 0.6


Maps = Callable[[Tensor], Tensor]
"""Clips, uint8 [N, T, H, W], to float [N, T', H', W'], both on the CPU: where the network saw what, 0 is nothing."""


def video_table(
    videos: pd.DataFrame, clips: pd.DataFrame, dataset: EvaluationClips, key: bytes, maps: Maps | None
) -> Table:
    """List the validation videos, the worst errors first, each with the lesion in its most typical clip.

    That is the clip whose score is nearest to the video's; the picture is its middle frame's region of interest. The
    worst errors also show what the network saw there.

    Args:
        videos: video_id as index: label, score.
        clips: video_id, track_id, clip_index, score.
        dataset: of the same validation.
        key: secret behind the names of videos.
        maps: of the network; None leaves them out.
    """
    import wandb

    distance = (clips["score"] - clips["video_id"].map(videos["score"])).abs()
    typical = clips.loc[distance.groupby(clips["video_id"]).idxmin()]
    index_of = {name: index for index, name in enumerate(dataset.keys)}
    indices = [
        index_of[name] for name in zip(typical["video_id"], typical["track_id"], typical["clip_index"], strict=True)
    ]
    batch = dataset.__getitems__(indices)
    error = (videos["score"] - videos["label"]).abs()
    table = wandb.Table(columns=["video", "label", "score", "error", "lesion", "seen"], optional=True)
    order = sorted(range(len(batch.video_ids)), key=lambda row: -error[batch.video_ids[row]])
    mapped = order[:_NUM_MAPPED] if maps else []
    seen = dict(zip(mapped, maps(batch.clips[mapped]).numpy(), strict=True)) if maps else {}
    for row in order:
        video_id, clip_THW = batch.video_ids[row], batch.clips[row].numpy()
        label, score = int(videos.loc[video_id, "label"]), float(videos.loc[video_id, "score"])
        middle = clip_THW[len(clip_THW) // 2]
        table.add_data(
            pseudonym(key, video_id, "v"),
            label,
            score,
            float(error[video_id]),
            wandb.Image(_small(Image.fromarray(middle))),
            wandb.Image(_small(_overlay(middle, seen[row][len(seen[row]) // 2]))) if row in seen else None,
        )
    return table


def _small(picture: Image.Image) -> Image.Image:
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    return picture


def _overlay(frame_HW: NDArray[np.uint8], map_HW: NDArray[np.floating]) -> Image.Image:
    """Tint a frame where its map is high (red) and where it is below zero (blue), most where it is farthest from it."""
    height, width = frame_HW.shape
    strength = Image.fromarray(map_HW.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    share_HW1 = (np.asarray(strength) / max(float(np.abs(map_HW).max()), 1e-12))[..., None]
    tint = np.where(share_HW1 > 0, _RED, _BLUE)
    opacity = _MOST_TINT * np.abs(share_HW1)
    return Image.fromarray(((1 - opacity) * frame_HW[..., None] + opacity * tint).astype(np.uint8))
