"""P-values corrected for being many, family by family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wauve_dist.evaluation.comparisons import adjusted_p_values
from wauve_dist.reporting.metrics import rounded
from wauve_dist.reporting.reader_section import AVERAGE, reader_names


def add_adjusted_p_values(document: Mapping[str, Any], method: str) -> None:
    """Set ``p_adjusted`` beside every ``p`` of a content of ``metrics.json``.

    A family is all tests between models, all of readers, all of reading times, or all between subgroups. The
    generalised score tests, which answer questions that other tests answer too, are families of their own.

    Args:
        document: see ``metrics_document``; changed in place.
        method: see ``adjusted_p_values``.
    """
    readers, subgroups = document.get("readers", {}), document.get("subgroups", {})
    times = readers.get("reading_times", {"readers": {}, "groups": []})
    families = [
        document["comparisons"],
        [
            row
            for name in ([*reader_names(readers), AVERAGE] if readers else [])
            for rows in readers[name]["p"].values()
            for row in rows
        ],
        [
            *(reader["test"] for reader in times["readers"].values() if "test" in reader),
            *(row for group in times["groups"] for rows in group["p"].values() for row in rows),
        ],
        [test for groups in subgroups.values() for test in groups["p"].values()],
    ]
    for rows in families:
        for is_score_test in (False, True):
            family = [row for row in rows if row["method"].startswith("generalised score") is is_score_test]
            for row, adjusted in zip(family, adjusted_p_values([row["p"] for row in family], method), strict=True):
                row["p_adjusted"] = rounded(float(adjusted))
