"""Pictures of validation videos for W&B: regions of interest under keyed hashes, never frames, names or paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wauve_dist.data.datasets import EvaluationClips
from wauve_dist.models.class_activation import cell_grid, interpolation
from wauve_dist.models.classifiers.clip_classifier import MapKind
from wauve_dist.models.map_colours import coloured
from wauve_dist.structures.pseudonyms import pseudonym

if TYPE_CHECKING:
    from wandb import Table

_LARGEST_SIDE = 112  # pixels
_NUM_MAPPED = 8


class Maps(NamedTuple):
    """Where a network saw what.

    Attributes:
        kind: of its maps.
        of_clips: clips, uint8 [N, T, S, S], to float32 [N, T', H', W'], both on the CPU.
    """

    kind: MapKind
    of_clips: Callable[[Tensor], Tensor]


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
    seen: dict[int, Image.Image] = {}
    if maps:
        mapped = order[:_NUM_MAPPED]
        for row, map_THW in zip(mapped, maps.of_clips(batch.clips[mapped]).numpy(), strict=True):
            seen[row] = _mapped(_middle(batch.clips[row].numpy()), _middle(map_THW), maps.kind)
    for row in order:
        video_id = batch.video_ids[row]
        label, score = int(videos.loc[video_id, "label"]), float(videos.loc[video_id, "score"])
        table.add_data(
            pseudonym(key, video_id, "v"),
            label,
            score,
            float(error[video_id]),
            wandb.Image(_small(Image.fromarray(_middle(batch.clips[row].numpy())))),
            wandb.Image(_small(seen[row])) if row in seen else None,
        )
    return table


def _middle(frames: NDArray[Any]) -> NDArray[Any]:
    middle: NDArray[Any] = frames[len(frames) // 2]
    return middle


def _small(picture: Image.Image) -> Image.Image:
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    return picture


def _mapped(frame_SS: NDArray[np.uint8], map_HW: NDArray[np.float32], kind: MapKind) -> Image.Image:
    """Colour a region by its map, the strongest value most."""
    side = len(frame_SS)
    down, across = (interpolation(cells, cell_grid(kind, cells, side), 0, side, range(side)) for cells in map_HW.shape)
    limit = max(float(np.abs(map_HW).max()), np.finfo(np.float32).tiny)
    return coloured(Image.fromarray(frame_SS).convert("RGB"), down @ map_HW @ across.T, kind, limit)
