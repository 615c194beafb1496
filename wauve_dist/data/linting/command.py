"""What launch/prepare.py lint does: a data set in; report.html, findings.csv and findings.json out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from wauve_dist import __version__
from wauve_dist.data.linting.boxes import box_findings
from wauve_dist.data.linting.cases import case_findings, class_balance
from wauve_dist.data.linting.duplicates import duplicate_findings
from wauve_dist.data.linting.findings import Finding, findings_table, worst_first
from wauve_dist.data.linting.frame_hashes import FrameHashes, hash_videos
from wauve_dist.data.linting.pictures import choose_offenders, draw_findings
from wauve_dist.data.linting.sectors import sector_findings
from wauve_dist.structures.annotations import parse_annotations
from wauve_dist.structures.provenance import atomic_write, claim_folder, sha256_of
from wauve_dist.structures.sectors import listed_sectors
from wauve_dist.structures.tables import MANIFEST, read_table

_MAX_LISTED = 500  # rows of the report; findings.csv has all


def lint(manifest: Path, annotations: Path | None, out: Path, num_workers: int) -> tuple[str, int]:
    """Check a data set and write the report.

    Unlike the stages, this reads tables that break their contract across rows: a patient in two splits, a missing
    video or a bad box is what it looks for.

    Args:
        manifest: a ``manifest.csv``; each row by itself must keep the contract.
        annotations: an ``annotations.json``, or None.
        out: folder to create; must be new or empty.
        num_workers: processes that decode.

    Returns:
        A summary for the console, and the number of errors.

    Raises:
        TableError: a file is missing, or is not such a table at all.
        FileExistsError: ``out`` holds something.
    """
    rows = read_table(manifest, MANIFEST)
    boxes = None if annotations is None else parse_annotations(annotations)
    claim_folder(out)
    paths = [manifest.resolve().parent / path for path in rows["path"]]
    hashes = hash_videos(paths, num_workers)
    found = [*_unreadable(rows, hashes), *duplicate_findings(rows, hashes, boxes), *case_findings(rows)]
    found += sector_findings(rows, None if boxes is None else boxes.boxes, hashes)
    if boxes is not None:
        found += box_findings(rows, boxes, hashes)
    findings = worst_first(found)
    pictures = draw_findings(
        choose_offenders(findings),
        dict(zip(rows["video_id"], paths, strict=True)),
        None if boxes is None else boxes.boxes,
        dict(zip(rows["video_id"], listed_sectors(rows), strict=True)),
    )
    num_errors = sum(finding.severity == "error" for finding in findings)
    counts: Counter[tuple[str, str]] = Counter((finding.severity, finding.check) for finding in findings)
    facts: dict[str, object] = {
        "videos": len(rows),
        "patients": int(rows["patient_id"].nunique()),
        "frames": int(hashes.num_frames.sum()),
        "boxes": None if boxes is None else len(boxes.boxes),
        "errors": num_errors,
        "warnings": len(findings) - num_errors,
        "not_looked_for": _not_looked_for(rows, boxes is not None),
        "sha256": {"manifest": sha256_of(manifest)}
        | ({} if annotations is None else {"annotations": sha256_of(annotations)}),
        "made_by": f"wauve_dist {__version__}",
    }
    table = findings_table(findings)
    with atomic_write(out / "findings.csv") as temporary:
        table.to_csv(temporary, index=False)
    with atomic_write(out / "findings.json") as temporary:
        records = json.loads(table.to_json(orient="records"))
        temporary.write_text(json.dumps({**facts, "findings": records}, indent=1) + "\n")
    with atomic_write(out / "report.html") as temporary:
        temporary.write_text(_page(facts, findings, counts, pictures, class_balance(rows)), encoding="utf-8")
    lines = [f"{facts['videos']} videos of {facts['patients']} patients, {facts['frames']} frames."]
    lines += [f"{number:>7} {severity}s {check}" for (severity, check), number in sorted(counts.items())]
    lines += [f"Not looked for: {what}." for what in _not_looked_for(rows, boxes is not None)]
    lines += [f"{num_errors} errors, {facts['warnings']} warnings: {out / 'report.html'}"]
    return "\n".join(lines), num_errors


def _not_looked_for(rows: pd.DataFrame, has_boxes: bool) -> list[str]:
    """Say what cannot be found for want of a file or a column, so that a clean report says no more than it knows."""
    columns = {
        "label": "contradictory labels, splits of one class",
        "split": "patients and copies in several splits",
        "site": "classes that a site gives away",
        "vendor": "classes that a vendor gives away",
    }
    missing = [] if has_boxes else ["bad boxes, for want of --annotations"]
    return missing + [f"{what}, for want of a column {name!r}" for name, what in columns.items() if name not in rows]


def _unreadable(rows: pd.DataFrame, hashes: FrameHashes) -> Iterator[Finding]:
    for place, error in hashes.errors.items():
        yield Finding(
            "error",
            "video-unreadable",
            f"{error} ({hashes.num_frames[place]} frames could be decoded.)",
            "See what is wrong with its file: launch/doctor.py --manifest.",
            str(rows["video_id"].iloc[place]),
        )


def _page(
    facts: dict[str, object],
    findings: list[Finding],
    counts: Counter[tuple[str, str]],
    pictures: dict[Finding, str],
    balance: dict[str, pd.DataFrame],
) -> str:
    environment = Environment(
        loader=PackageLoader("wauve_dist", "data/linting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        facts=facts,
        findings=findings[:_MAX_LISTED],
        num_left_out=max(0, len(findings) - _MAX_LISTED),
        counts=sorted(counts.items()),
        pictures=list(pictures.items()),
        balance={factor: table.reset_index(names=factor).to_dict("split") for factor, table in balance.items()},
    )
