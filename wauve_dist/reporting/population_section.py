"""Whether the groups of a report are alike: their part of metrics.json, and rows for its table and page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from wauve_dist.evaluation.population import Characteristic
from wauve_dist.reporting.wording import ABSENT

_DIAGNOSIS = {"0": "benign", "1": "malignant"}


def population_document(compared: Mapping[str, Sequence[Characteristic]]) -> dict[str, Any]:
    """The key ``populations`` of ``metrics.json``.

    Args:
        compared: name of the grouping to its characteristics.
    """
    return {
        name: {
            characteristic.name: {
                key: value for key, value in asdict(characteristic).items() if key != "name" and value != {}
            }
            for characteristic in characteristics
        }
        for name, characteristics in compared.items()
    }


def population_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The paper's Table 1: one row per number or category, with a text for each group.

    Args:
        document: the part ``populations`` of metrics.json, of one grouping.

    Returns:
        Rows with ``characteristic``, ``level``, ``groups`` (name to text), ``p`` and ``test``, the latter two in the
        first row of a characteristic only.
    """
    rows = []
    for name, found in document.items():
        lines: dict[str, dict[str, str]] = {}
        if "numbers" in found:
            lines["mean ± SD"] = {group: _mean(summary) for group, summary in found["numbers"].items()}
            lines["median (range)"] = {group: _median(summary) for group, summary in found["numbers"].items()}
        totals = {
            group: sum(counts[group] for counts in found.get("counts", {}).values()) for group in found["num_unknown"]
        }
        for category, counts in found.get("counts", {}).items():
            level = _DIAGNOSIS[category] if name == "label" else category
            lines[level] = {group: _share(count, totals[group]) for group, count in counts.items()}
        if any(found["num_unknown"].values()):
            lines["unknown"] = {group: str(count) for group, count in found["num_unknown"].items()}
        for number, (level, groups) in enumerate(lines.items()):
            test = {"p": found["p"], "test": found["method"]} if number == 0 else {"p": None, "test": ""}
            heading = ("diagnosis" if name == "label" else name) if number == 0 else ""
            rows.append({"characteristic": heading, "level": level, "groups": groups, **test})
    return rows


def _mean(summary: Mapping[str, Any]) -> str:
    return ABSENT if summary["sd"] is None else f"{summary['mean']:.1f} ± {summary['sd']:.1f}"


def _median(summary: Mapping[str, Any]) -> str:
    return ABSENT if not summary["n"] else f"{summary['median']:.1f} ({summary['low']:.1f} to {summary['high']:.1f})"


def _share(count: int, total: int) -> str:
    return f"{count} ({count / total:.1%})" if total else str(count)
