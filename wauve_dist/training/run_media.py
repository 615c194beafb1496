"""Pictures of validation videos for W&B: regions of interest under keyed hashes, never frames, names or paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from wauve_dist.data.datasets import EvaluationClips
from wauve_dist.structures.pseudonyms import pseudonym

if TYPE_CHECKING:
    from wandb import Table

_LARGEST_SIDE = 112  # pixels


def video_table(videos: pd.DataFrame, clips: pd.DataFrame, dataset: EvaluationClips, key: bytes) -> Table:
    """List the validation videos, the worst errors first, each with the lesion in its most typical clip.

    That is the clip whose score is nearest to the video's; the picture is its middle frame's region of interest.

    Args:
        videos: video_id as index: label, score.
        clips: video_id, track_id, clip_index, score.
        dataset: of the same validation.
        key: secret behind the names of videos.
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
    table = wandb.Table(columns=["video", "label", "score", "error", "lesion"])
    for video_id, clip in sorted(
        zip(batch.video_ids, batch.clips.numpy(), strict=True), key=lambda row: -error[row[0]]
    ):
        label, score = int(videos.loc[video_id, "label"]), float(videos.loc[video_id, "score"])
        lesion = wandb.Image(_small(clip[len(clip) // 2]))
        table.add_data(pseudonym(key, video_id, "v"), label, score, float(error[video_id]), lesion)
    return table


def _small(crop: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(crop)
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    return picture
