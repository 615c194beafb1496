"""What launch/doctor.py does: say whether training can start here, with these videos."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from rich.console import Console

from wauve_dist.data.video_health import Problem, VideoHealth, diagnose, diagnose_sector, examine_video
from wauve_dist.data.video_jobs import run_jobs
from wauve_dist.structures.sectors import listed_sectors
from wauve_dist.structures.tables import MANIFEST, read_table
from wauve_dist.training.environment import Check, check_environment

_MAX_NAMED = 5  # videos of one problem that the console names


class ExaminedVideo(NamedTuple):
    """A video and what is wrong with it.

    Attributes:
        video_id: of the manifest.
        path: its file.
        health: what was measured.
        problems: what follows; empty for a video that is well.
    """

    video_id: str
    path: Path
    health: VideoHealth
    problems: list[Problem]


def doctor(manifest: Path | None, out: Path, num_workers: int, as_json: bool) -> bool:
    """Examine the environment and then every video; print what was found.

    Args:
        manifest: a ``manifest.csv``, or None for the environment alone.
        out: folder that runs will be written to.
        num_workers: processes that examine videos.
        as_json: print JSON instead of text.

    Returns:
        Whether training can start: there is no fault.

    Raises:
        TableError: the manifest is missing or broken.
    """
    rows = None if manifest is None else read_table(manifest, MANIFEST)
    checks = check_environment(out)
    videos: list[ExaminedVideo] = []
    if rows is not None and manifest is not None:
        videos = _examine(rows, manifest, num_workers)
    can_start = not any(check.status == "fault" for check in checks) and not any(
        problem.severity == "fault" for video in videos for problem in video.problems
    )
    if as_json:
        print(json.dumps(_document(can_start, checks, videos), indent=1))
    else:
        _print(can_start, checks, videos)
    return can_start


def _examine(rows: pd.DataFrame, manifest: Path, num_workers: int) -> list[ExaminedVideo]:
    paths = [manifest.resolve().parent / path for path in rows["path"]]
    sectors = listed_sectors(rows)
    any_sector = any(sector is not None for sector in sectors)
    found = [future.result() for future in run_jobs(examine_video, paths, num_workers, "Examining")]
    return [
        ExaminedVideo(
            video_id,
            path,
            health,
            diagnose(health, manifest) + diagnose_sector(sector, any_sector, health, manifest),
        )
        for video_id, path, health, sector in zip(rows["video_id"], paths, found, sectors, strict=True)
    ]


def _document(can_start: bool, checks: list[Check], videos: list[ExaminedVideo]) -> dict[str, object]:
    return {
        "can_start": can_start,
        "environment": [check._asdict() for check in checks],
        "videos": [
            {
                "video_id": video.video_id,
                "path": str(video.path),
                **video.health._asdict(),
                "container": video.health.container and video.health.container._asdict(),
                "problems": [problem._asdict() for problem in video.problems],
            }
            for video in videos
        ],
    }


def _print(can_start: bool, checks: list[Check], videos: list[ExaminedVideo]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    marks = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "fault": "[bold red]FAULT  [/]"}
    for check in checks:
        console.print(f"{marks[check.status]} {check.name}: ", end="")
        console.print(check.found, markup=False)
        if check.consequence:
            console.print(f"          {check.consequence}\n          Remedy: {check.remedy}", markup=False)
    groups: dict[tuple[str, str], list[tuple[ExaminedVideo, Problem]]] = defaultdict(list)
    for video in videos:
        for problem in video.problems:
            groups[problem.severity, problem.kind].append((video, problem))
    for (severity, kind), cases in sorted(groups.items()):
        console.print(f"{marks[severity]} {kind}: {len(cases)} of {len(videos)} videos")
        # What is said alike of several videos is said once.
        alike: dict[tuple[str, str], list[str]] = defaultdict(list)
        for video, problem in cases:
            alike[problem.consequence, problem.remedy].append(video.video_id)
        remedies = {remedy for _, remedy in alike}
        for (consequence, remedy), video_ids in list(alike.items())[:_MAX_NAMED]:
            named = ", ".join(video_ids[:_MAX_NAMED])
            if len(video_ids) > _MAX_NAMED:
                named += f" and {len(video_ids) - _MAX_NAMED} more (--json lists all)"
            console.print(f"          {named}: {consequence}", markup=False)
            if len(remedies) > 1:
                console.print(f"              Remedy: {remedy}", markup=False)
        if len(alike) > _MAX_NAMED:
            num_left = len(cases) - sum(map(len, list(alike.values())[:_MAX_NAMED]))
            console.print(f"          … and {num_left} more videos; --json lists all")
        if len(remedies) == 1:
            console.print(f"          Remedy: {remedies.pop()}", markup=False)
    if videos:
        num_faulty = sum(any(problem.severity == "fault" for problem in video.problems) for video in videos)
        num_well = sum(not video.problems for video in videos)
        num_frames = sum(video.health.num_decoded for video in videos)
        console.print(
            f"{len(videos)} videos, {num_frames} frames: {num_faulty} with a fault, "
            f"{len(videos) - num_faulty - num_well} with warnings only, {num_well} without any."
        )
    console.print("Training can start." if can_start else "[bold red]Training cannot start.[/]")
