"""The detector's figures by group, for the report's page and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from wauve_dist.reporting.detector_section import START_SCORE

_WORDS = {
    "ap50_interval": ("AP50", "average precision of boxes, IoU 0.50"),
    "lesion_recall": ("Lesions found", "share with a true-positive track"),
    "track_recall": ("Track recall", "share of lesion boxes under a track"),
    "track_purity": ("Track purity", "share of a track's boxes on its lesion"),
    "idf1": ("IDF1", "boxes explained by one track per lesion"),
    "interruptions_per_lesion": ("Interruptions", "times that the cover of a lesion breaks off and comes back"),
    "false_positive_tracks_per_video": ("False tracks per video", "less than half on one lesion"),
    "false_positive_tracks_per_minute": ("False tracks per minute", "of annotated video"),
    "false_positive_boxes_per_frame": ("False boxes per frame", f"of score {START_SCORE:g} or more, no lesion there"),
}


def detector_table(document: Mapping[str, Any]) -> pd.DataFrame:
    """A row per figure with an interval, of all videos and of the groups, from ``detector_document``."""
    everyone = {f"{name}_interval": document[f"{name}_interval"] for name in ("ap", "ap50", "ap75")}
    groups = {"all": everyone | document.get("tracks", {}), **document["groups"]}
    columns = ("value", "ci_low", "ci_high", "numerator", "denominator", "method")
    return pd.DataFrame(
        [
            {"group": group, "metric": name.removesuffix("_interval")} | {key: figure.get(key) for key in columns}
            for group, figures in groups.items()
            for name, figure in figures.items()
            if isinstance(figure, Mapping)
        ]
    )


def detector_rows(document: Mapping[str, Any]) -> dict[str, Any]:
    """The table of tracks and groups in the report, from ``detector_document``: groups as columns."""
    tracks = document.get("tracks", {})
    columns = {"all": {"ap50_interval": document["ap50_interval"], **tracks}, **document["groups"]}
    names = {"all": "All", "without_lesion": "Without a lesion"}
    sizes = {"all": document["num_videos"]}
    return {
        "tracked": bool(tracks),
        "timed": "false_positive_tracks_per_minute" in tracks,
        "groups": [
            {
                "name": names.get(
                    group, group.replace("lesion_size_mm", "").replace("<=", "≤ ").replace(">", "> ") + " mm"
                ),
                "num_videos": sizes.get(group) or figures["num_videos"],
            }
            for group, figures in columns.items()
        ],
        "rows": [
            {"name": name, "words": words, "cells": [figures.get(key) for figures in columns.values()]}
            for key, (name, words) in _WORDS.items()
            if any(figures.get(key) for figures in columns.values())
        ],
    }
