"""Patients in several splits, labels that contradict each other, classes that a site or a scanner gives away."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from scipy.stats import chi2_contingency

from wauve_dist.data.linting.findings import Finding
from wauve_dist.structures.tables import SPLITS

_MIN_VIDEOS = 10  # fewer of one class only can be chance

# The share of malignant videos differs by site or vendor beyond what chance does once in a thousand data sets.
_MAX_CHANCE = 0.001


def case_findings(manifest: pd.DataFrame) -> Iterator[Finding]:
    """Check the rows of a manifest against each other.

    Args:
        manifest: rows of ``manifest.csv``; label, split, birads, site and vendor may be absent.
    """
    rows = manifest.reindex(columns=["video_id", "patient_id", "label", "split", "birads", "site", "vendor"])
    for patient, splits in rows.dropna(subset=["split"]).groupby("patient_id")["split"].unique().items():
        if len(splits) > 1:
            yield Finding(
                "error",
                "patient-leakage",
                f"Patient {patient!r} is in {' and '.join(sorted(splits))}.",
                "Put all videos of a patient into one split: launch/prepare.py split --redraw.",
                str(rows.loc[rows["patient_id"] == patient, "video_id"].iloc[0]),
            )
    known = rows.dropna(subset=["label"])
    for patient, labels in known.groupby("patient_id")["label"].unique().items():
        if len(labels) > 1:
            yield Finding(
                "warning",
                "patient-with-both-labels",
                f"Patient {patient!r} has benign and malignant videos.",
                "Right if these are different lesions; otherwise correct the labels.",
                str(known.loc[known["patient_id"] == patient, "video_id"].iloc[0]),
            )
    for row in known[(known["birads"] == "2") & (known["label"] == 1)].itertuples():
        yield Finding(
            "warning",
            "birads-against-label",
            "BI-RADS 2 is benign by definition, but the video is labelled malignant.",
            "Check the pathology; correct the label or the category.",
            str(row.video_id),
        )
    yield from _split_balance(rows)
    for factor in ("site", "vendor"):
        yield from _factor_balance(known, factor)


def class_balance(manifest: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Count videos by class for each split, site and vendor.

    Returns:
        Column of the manifest to a table with its values as rows and the columns benign, malignant, unlabelled.
    """
    names = manifest.get("label", pd.Series(pd.NA, index=manifest.index)).map({0: "benign", 1: "malignant"})
    names = names.astype(object).where(names.notna(), "unlabelled")
    return {
        factor: pd.crosstab(manifest[factor].astype(object).fillna("unknown"), names)
        .reindex(columns=["benign", "malignant", "unlabelled"], fill_value=0)
        .rename_axis(index=None, columns=None)
        for factor in ("split", "site", "vendor")
        if factor in manifest
    }


def _split_balance(rows: pd.DataFrame) -> Iterator[Finding]:
    for split in [split for split in SPLITS if (rows["split"] == split).any()]:
        labels = rows.loc[rows["split"] == split, "label"].dropna()
        if len(labels) and labels.nunique() < 2:
            yield Finding(
                "error",
                "split-of-one-class",
                f"All {len(labels)} labelled videos of {split} are labelled {labels.iloc[0]}.",
                "Split anew: launch/prepare.py split --redraw keeps the classes in proportion.",
            )


def _factor_balance(known: pd.DataFrame, factor: str) -> Iterator[Finding]:
    counts = pd.crosstab(known[factor], known["label"]).reindex(columns=[0, 1], fill_value=0)
    one_class = counts[(counts.min(axis=1) == 0) & (counts.sum(axis=1) >= _MIN_VIDEOS)]
    for level, (benign, malignant) in one_class.iterrows():
        yield Finding(
            "warning",
            "class-by-origin",
            f"All {benign + malignant} videos of {factor} {level!r} are {'malignant' if malignant else 'benign'}.",
            f"Add the other class from there, or report results without it: the {factor} gives the label away.",
            weight=float(benign + malignant),
        )
    if len(counts) > 1 and (counts.sum(axis=0) > 0).all():
        chance = chi2_contingency(counts).pvalue
        if chance < _MAX_CHANCE:
            shares = ", ".join(f"{level} {100 * row[1] / row.sum():.0f} %" for level, row in counts.iterrows())
            yield Finding(
                "warning",
                "class-by-origin",
                f"The share of malignant videos depends on {factor} (chi-square, p = {chance:.1g}): {shares}.",
                f"Report results per {factor}, and balance training by it: a model can learn the {factor} instead.",
            )
