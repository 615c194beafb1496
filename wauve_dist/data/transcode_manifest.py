"""What launch/prepare.py transcode does: a manifest in, its videos transcoded and the same manifest of them out."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pandas as pd

from wauve_dist.data.transcoding import Transcoded, TranscodeSettings, transcode_video
from wauve_dist.data.video_jobs import run_jobs
from wauve_dist.structures.annotations import read_annotations, write_annotations
from wauve_dist.structures.provenance import (
    atomic_write,
    claim_folder,
    read_provenance,
    sha256_of,
    write_provenance,
)
from wauve_dist.structures.sectors import Sector, listed_sectors
from wauve_dist.structures.tables import MANIFEST, listed, read_manifest, write_table

_CLAIM = "settings.json"
_MIN_PSNR_RANGE_DB = (30.0, 55.0)  # below, speckle is lost; above, eight bits end


class _Job(NamedTuple):
    """A video to transcode."""

    video_id: str
    source: Path
    target: Path
    settings: TranscodeSettings
    sector: Sector | None

    @property
    def record(self) -> dict[str, object]:
        """What decides the result beside the original, as JSON values."""
        return {**self.settings._asdict(), "sector_xyxy": None if self.sector is None else list(self.sector)}


def transcode_manifest(
    manifest: Path, annotations: Path | None, out: Path, settings: TranscodeSettings, num_workers: int
) -> str:
    """Write ``out/videos/*.mp4``, ``out/transcoding.csv`` (what was measured) and, when all is done, the manifest.

    A video that is whole in ``out``, made of the same original with the same settings, is not made again, so a run
    that was killed goes on where it was. Originals are only read.

    Args:
        manifest: the videos; its rows and ids are kept, its paths replaced.
        annotations: boxes of the videos, or None. They are copied; where a video was padded to an even size, with
            its new frame size.
        out: new, empty, or of an earlier run with the same settings.
        settings: see there.
        num_workers: processes; 0 works in this one. The result does not depend on it.

    Returns:
        A summary for the console.

    Raises:
        ValueError: a setting outside its range, a broken table, another run's settings, or all videos that could not
            be transcoded, one per line; the others stay in ``out`` and are not made again.
        FileExistsError: ``out`` holds something else.
    """
    low, high = _MIN_PSNR_RANGE_DB
    if not low <= settings.min_psnr_db <= high:
        raise ValueError(f"--min-psnr {settings.min_psnr_db:g} must lie between {low:g} and {high:g} dB.")
    if num_workers < 0:
        raise ValueError(f"--num-workers {num_workers} must not be negative.")
    rows = read_manifest(manifest)
    boxes = None if annotations is None else read_annotations(annotations)
    names = [_file_name(video_id) for video_id in rows["video_id"]]
    jobs = [
        _Job(video_id, Path(source), out / name, settings, sector)
        for video_id, source, name, sector in zip(
            rows["video_id"], rows["path"], names, listed_sectors(rows), strict=True
        )
    ]
    with _claimed(out, settings):
        report = _transcode_all(jobs, num_workers)
    table = pd.DataFrame(report).assign(video_id=rows["video_id"])
    table = table[["video_id", *Transcoded._fields]]
    with atomic_write(out / "transcoding.csv") as temporary:
        table.to_csv(temporary, index=False)
    if boxes is not None and annotations is not None:
        sizes = table.set_index("video_id")[["width", "height"]]
        sizes += sizes % 2
        listed = boxes.frames["video_id"].isin(sizes.index)
        frames = boxes.frames.copy()
        for side in ("width", "height"):
            frames.loc[listed, side] = frames.loc[listed, "video_id"].map(sizes[side])
        write_annotations(boxes._replace(frames=frames), out / "annotations.json", {"annotations": annotations})
    write_table(rows.assign(path=names), out / "manifest.csv", MANIFEST, {"manifest": manifest}, **settings._asdict())
    return _summary(table, boxes is not None, out)


def _file_name(video_id: str) -> str:
    """Any id as a file of ``out``; none is hidden, for hidden ones are what a killed run left."""
    name = quote(video_id, safe=" ")
    return f"videos/{'%2E' + name[1:] if name.startswith('.') else name}.mp4"


@contextmanager
def _claimed(out: Path, settings: TranscodeSettings) -> Iterator[None]:
    """Hold ``out`` against other runs, and clear away what a killed one left half done."""
    claim = out / _CLAIM
    if not claim.exists():
        claim_folder(out)
        with atomic_write(claim) as temporary:
            temporary.write_text(json.dumps(settings._asdict()) + "\n")
    elif (begun_with := json.loads(claim.read_text())) != settings._asdict():
        raise ValueError(
            f"{out}: was begun with {begun_with}, now {settings._asdict()} is asked for. Choose another --out, or give "
            "the same --codec and --min-psnr, with --mask-screen or without as before."
        )
    with claim.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{out}: another run is at work there. Wait for it, or choose another --out.") from error
        for leftover in (out / "videos").glob(".*"):
            leftover.unlink()
        yield


def _transcode_all(jobs: Sequence[_Job], num_workers: int) -> list[Transcoded]:
    futures = run_jobs(_transcode, jobs, num_workers, "transcoding")
    faults = [str(error) for future in futures if (error := future.exception()) is not None]
    if faults:
        raise ValueError(
            f"{listed(faults)}\n{len(faults)} of {len(jobs)} videos could not be transcoded, so no manifest was "
            "written. Correct them or drop their rows, and give the same command again: the others are not made anew."
        )
    return [future.result() for future in futures]


def _transcode(job: _Job) -> Transcoded:
    if (done := _earlier(job)) is not None:
        return done
    with atomic_write(job.target) as temporary:
        measured = transcode_video(job.source, temporary, job.settings, job.sector)
    # The record comes second: a video without one was not finished.
    write_provenance(job.target, {"video": job.source}, **job.record, measured=measured._asdict())
    return measured


def _earlier(job: _Job) -> Transcoded | None:
    """What was measured when the very same was made before; a result that was changed since does not count."""
    if not job.target.exists():
        return None
    try:
        record = read_provenance(job.target)
    except ValueError:
        return None
    if record is None or record["made_from"] != {"video": sha256_of(job.source)}:
        return None
    settings = record["settings"]
    assert isinstance(settings, dict)
    measured = settings.pop("measured")
    return Transcoded(**measured) if settings == job.record else None


def _summary(table: pd.DataFrame, has_boxes: bool, out: Path) -> str:
    worst = table.loc[table["worst_psnr_db"].idxmin()]
    lines = [
        f"{len(table)} videos, {table['num_frames'].sum()} frames: every frame was decoded again and is in its place.",
        f"PSNR: {table['psnr_db'].min():.1f} dB or more in every video; the worst frame has "
        f"{worst['worst_psnr_db']:.1f} dB ({worst['video_id']}).",
        f"{table['source_bytes'].sum() / 1e6:.1f} MB became {table['num_bytes'].sum() / 1e6:.1f} MB.",
    ]
    if (shares := 100 * table["scan_share"]).min() < 100:
        lines.append(
            f"{shares.min():.0f} to {shares.max():.0f} % of the frames were kept, the rest is black. So are bright "
            "marks within the scan that stand still, be they ink or tissue: look at some of the videos."
        )
    if num_padded := int((table["padding"] != "0x0").sum()):
        lines.append(
            f"{num_padded} videos of odd size got a column or row at the right or bottom (transcoding.csv); "
            + ("annotations.json has their new size." if has_boxes else "give --annotations to have it corrected too.")
        )
    return "\n".join([*lines, str(out / "manifest.csv")])
