"""A whole synthetic data set on disk: videos, ``manifest.csv``, ``annotations.json``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from wauve_dist.data.synthetic.cohort import Case, assign_splits, draw_case
from wauve_dist.data.synthetic.encoding import CODECS
from wauve_dist.data.synthetic.rendering import VideoSettings, WrittenVideo, write_video
from wauve_dist.data.video_jobs import run_jobs
from wauve_dist.structures.annotations import Annotations, write_annotations
from wauve_dist.structures.provenance import claim_folder
from wauve_dist.structures.tables import MANIFEST, SPLITS, write_table

MIN_FRAMES = 16  # fewer leave no room for the lesion and for frames without it at both ends


class SyntheticDataError(ValueError):
    """A setting of ``launch/prepare.py synthetic`` is out of range; the message names flag, value and remedy."""


def generate(
    out: Path,
    num_videos: int,
    seed: int,
    settings: VideoSettings,
    val_fraction: float = 0.15,
    test_fraction: float = 0.25,
    num_workers: int = 1,
) -> Path:
    """Make a data set of freehand sweeps over breast lesions.

    A video depends on ``seed``, its index and ``settings`` alone: not on ``num_videos`` or ``num_workers``.
    Patients never cross splits, and every split is about half malignant.

    Args:
        out: folder to create; must be empty.
        num_videos: size of the data set.
        seed: of everything drawn.
        settings: of the videos.
        val_fraction: share of videos for validation.
        test_fraction: share of videos for testing.
        num_workers: processes to render with.

    Returns:
        path of ``manifest.csv``, which is written last: where it is, the data set is whole.

    Raises:
        SyntheticDataError: a setting out of range; nothing is written.
        FileExistsError: ``out`` is not empty.
    """
    _check(settings, num_videos, seed, val_fraction, test_fraction, num_workers)
    cases = [draw_case(seed, index, settings.focality) for index in range(num_videos)]
    splits = assign_splits(cases, val_fraction, test_fraction, seed)
    if empty := [
        name
        for name, fraction in zip(SPLITS, (1.0, val_fraction, test_fraction), strict=True)
        if fraction > 0 and name not in splits.values()
    ]:
        raise SyntheticDataError(
            f"--num-videos {num_videos} is too few: no patient is left for {' and '.join(empty)}. "
            "Ask for more videos, or set --val-fraction or --test-fraction to 0."
        )
    claim_folder(out)
    (out / "videos").mkdir()
    written = _write_videos(cases, settings, out / "videos", num_workers)

    recipe: dict[str, Any] = {"seed": seed, "num_videos": num_videos, **vars(settings)}
    write_annotations(_annotations(cases, written, settings.frame_size), out / "annotations.json", {})
    manifest = out / "manifest.csv"
    write_table(_manifest(cases, written, splits), manifest, MANIFEST, {}, **recipe)
    return manifest


def _check(
    settings: VideoSettings, num_videos: int, seed: int, val_fraction: float, test_fraction: float, num_workers: int
) -> None:
    faults = [
        message
        for wrong, message in (
            (num_videos < 1, f"--num-videos {num_videos}: give 1 or more"),
            (seed < 0, f"--seed {seed}: give 0 or more"),
            (num_workers < 1, f"--num-workers {num_workers}: give 1 or more"),
            (
                not 96 <= settings.frame_size <= 2048 or settings.frame_size % 2 == 1,
                f"--frame-size {settings.frame_size}: give an even number from 96 to 2048",
            ),
            (
                not MIN_FRAMES <= settings.min_frames <= settings.max_frames,
                f"--min-frames {settings.min_frames} --max-frames {settings.max_frames}: give "
                f"{MIN_FRAMES} <= min <= max",
            ),
            (not 0 <= settings.focality <= 1, f"--focality {settings.focality:g}: give a share from 0 to 1"),
            (settings.codec not in CODECS, f"--codec {settings.codec}: choose one of {', '.join(CODECS)}"),
            (
                min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1,
                f"--val-fraction {val_fraction:g} --test-fraction {test_fraction:g}: give fractions from 0 whose sum "
                "is below 1; the rest is for training",
            ),
        )
        if wrong
    ]
    if faults:
        raise SyntheticDataError("\n".join(faults))


def _write_videos(cases: list[Case], settings: VideoSettings, folder: Path, num_workers: int) -> list[WrittenVideo]:
    """Render and encode in parallel; the answer is in the order of ``cases``."""
    write = partial(write_video, settings=settings, folder=folder)
    return sorted(future.result() for future in run_jobs(write, cases, num_workers, "Synthetic sweeps"))


def _manifest(cases: list[Case], written: list[WrittenVideo], splits: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "video_id": case.video_id,
            "patient_id": case.patient_id,
            "path": f"videos/{case.video_id}.avi",
            "label": case.label,
            "split": splits[case.patient_id],
            "site": case.site,
            "vendor": case.vendor,
            "age": case.age,
            "lesion_size_mm": round(video.lesion_size_mm, 1),
            "birads": case.birads,
            "pathology": case.pathology,
        }
        for case, video in zip(cases, written, strict=True)
    )


def _annotations(cases: list[Case], written: list[WrittenVideo], frame_size: int) -> Annotations:
    frames = [
        (case.video_id, frame, frame_size, frame_size)
        for case, video in zip(cases, written, strict=True)
        for frame in range(len(video.boxes))
    ]
    boxes = [
        (case.video_id, frame, 0, 1 + case.label, *box)
        for case, video in zip(cases, written, strict=True)
        for frame, box in enumerate(video.boxes)
        if box is not None
    ]
    return Annotations(
        pd.DataFrame(frames, columns=["video_id", "frame", "width", "height"]),
        pd.DataFrame(boxes, columns=["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]),
    )
