"""From the scores of clips to the score of their video."""

from __future__ import annotations

import pandas as pd
from scipy.special import expit


def video_scores(clips: pd.DataFrame) -> pd.Series:
    """Give each video its score: the mean over its clips (Han et al. 2025), or with weights the sigmoid of its logit.

    Args:
        clips: rows of ``clips.parquet``.

    Returns:
        float64, 0..1, by video_id.
    """
    if "weight" not in clips:
        return clips.groupby("video_id")["score"].mean()
    scores: pd.Series = expit(video_logits(clips))
    return scores


def mean_in_words(clips: pd.DataFrame) -> str:
    """Say which mean it is."""
    return "weighted mean" if "weight" in clips else "mean"


def video_logits(clips: pd.DataFrame) -> pd.Series:
    """Average the logits of each video's clips by their weights (see ``models.attention_pooling``).

    Args:
        clips: video_id, logit, and weight, which sums to 1 in each video.

    Returns:
        float64, by video_id.
    """
    return (clips["weight"] * clips["logit"]).groupby(clips["video_id"]).sum()
