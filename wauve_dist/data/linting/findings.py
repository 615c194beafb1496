"""What the linter says: one finding per fault, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import pandas as pd

Severity = Literal["error", "warning"]


class Finding(NamedTuple):
    """A fault of the data.

    Attributes:
        severity: an error spoils results or stops training; a warning wants a look.
        check: name of the check, such as ``duplicate-across-splits``.
        message: what was found, with numbers.
        remedy: what to do.
        video_id: the video, or empty where it concerns the whole data set.
        frame: its frame, or None.
        other_video_id: the video that it collides with, or empty.
        other_frame: the frame of that.
        weight: how bad, to rank the findings of one check.
    """

    severity: Severity
    check: str
    message: str
    remedy: str
    video_id: str = ""
    frame: int | None = None
    other_video_id: str = ""
    other_frame: int | None = None
    weight: float = 0.0


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort: errors before warnings, then by check, weight and video."""
    return sorted(findings, key=lambda f: (f.severity, f.check, -f.weight, f.video_id, f.other_video_id, f.frame or 0))


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Rows of findings.csv, without the weight."""
    table = pd.DataFrame(list(findings), columns=Finding._fields).drop(columns="weight")
    return table.astype({"frame": "Int64", "other_frame": "Int64"})
