"""DICOM ultrasound, single and multi-frame, into lossless grey videos without identifiers.

Of a file only the attributes of ``_READ`` are parsed. ``PatientID`` and ``SOPInstanceUID`` are among them, to be turned
into pseudonyms by a keyed hash (HMAC-SHA256); no other attribute that identifies (name, dates, institution, free text,
see the confidentiality profiles of DICOM PS3.15 annex E) is ever read. Names burned into the pixels lie outside the
ultrasound regions (PS3.3 C.8.5.5) and are blackened.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np
import pandas as pd
from PIL import Image
from rich.progress import track

from wauve_dist.data.decoding import GreyFrame
from wauve_dist.data.importers.dataset import ImportedDataset, SourceDataError
from wauve_dist.data.splits import draw_splits
from wauve_dist.structures.provenance import atomic_write
from wauve_dist.structures.pseudonyms import pseudonym, read_or_make_key
from wauve_dist.structures.tables import MANIFEST

if TYPE_CHECKING:
    from pydicom import Dataset

_READ = [
    *("SOPInstanceUID", "PatientID", "Manufacturer", "BurnedInAnnotation", "SequenceOfUltrasoundRegions"),
    *("NumberOfFrames", "FrameTime", "CineRate", "RecommendedDisplayFrameRate", "Rows", "Columns", "SamplesPerPixel"),
    *("PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelData"),
    *("PixelRepresentation", "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
]

# MPEG-2, MPEG-4 AVC and HEVC (PS3.5 annex A.4): one stream for all frames, which pydicom leaves to others.
_VIDEO_SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))

_DEFAULT_FPS = 30
_TWO_DIMENSIONAL, _TISSUE, _CENTIMETRES = 1, 1, 3  # PS3.3 C.8.5.5.1


class _Sector(NamedTuple):
    """Bounding box of the B-mode regions, pixels, x2 and y2 exclusive, and the size of a pixel where it is known."""

    x1: int
    y1: int
    x2: int
    y2: int
    mm_per_pixel: float | None


def import_dicom(
    source: Path, out: Path, key: Path, cases: Path | None, val_fraction: float, test_fraction: float, seed: int
) -> ImportedDataset:
    """Convert DICOM files to ``out/videos/*.mkv`` (FFV1, grey), black outside the ultrasound regions.

    The manifest gets columns sector_x1, sector_y1, sector_x2, sector_y2 (the scan sector, pixels) and mm_per_pixel.

    Args:
        source: a file, or a folder whose files are all tried, at any depth.
        out: folder to write into.
        key: secret file, made if it is not there; the same key gives the same pseudonyms.
        cases: CSV with a column ``file`` (relative to ``source``) and any of our columns but the ids and path, or None.
        val_fraction: share of the videos without split, 0..1.
        test_fraction: share of the videos without split, 0..1.
        seed: of the split.

    Raises:
        SourceDataError: no DICOM found, more than 8 bits a pixel, undecodable pixels, a file of ``cases`` is absent,
            a key among the data.
    """
    files, num_other = _dicom_files(source)
    if key.resolve().is_relative_to(out.resolve()):
        raise SourceDataError(f"--key {key}: lies in --out, and would be handed on with the data. Keep it elsewhere.")
    secret = read_or_make_key(key, "--key")
    folder = source if source.is_dir() else source.parent
    listed = _cases(cases, [file.relative_to(folder).as_posix() for file in files])
    (out / "videos").mkdir(parents=True, exist_ok=True)
    rows, counts = [], Counter[str]()
    for file in track(files, "DICOM"):
        dataset = _read(file)
        video_id = pseudonym(secret, str(dataset.get("SOPInstanceUID", "")) or file.relative_to(folder).as_posix(), "v")
        patient = str(dataset.get("PatientID", "") or "")
        counts["anonymous"] += not patient
        sector = _sector(dataset)
        counts["whole"] += sector is None
        counts["burned in"] += sector is None and dataset.get("BurnedInAnnotation") == "YES"
        target = out / "videos" / f"{video_id}.mkv"
        if target.exists():
            counts["repeated"] += 1
            continue
        _write_ffv1(target, _frames(dataset, file), sector, _fps(dataset))
        rows.append(
            {
                "video_id": video_id,
                "patient_id": pseudonym(secret, patient, "p") if patient else video_id,
                "path": str(target.resolve()),
                "vendor": str(dataset.get("Manufacturer", "")) or None,
                "file": file.relative_to(folder).as_posix(),
                **({} if sector is None else {f"sector_{s}": getattr(sector, s) for s in ("x1", "y1", "x2", "y2")}),
                "mm_per_pixel": sector.mm_per_pixel if sector else None,
            }
        )
    manifest = pd.DataFrame(rows)
    if listed is not None:
        manifest = manifest.merge(listed, on="file", how="left")
        counts["unlisted"] = int((~manifest["file"].isin(listed["file"])).sum())
    manifest = manifest.drop(columns="file")
    manifest["split"] = draw_splits(manifest, val_fraction, test_fraction, seed)
    notes = [
        f"{num_other} other files in the folder: passed over.",
        f"{counts['repeated']} files repeat another one's SOPInstanceUID: left out.",
        f"{counts['anonymous']} files without PatientID: each is a patient of its own.",
        f"{counts['whole']} files without ultrasound regions: their pixels are whole, burned-in text included; "
        f"{counts['burned in']} of them say that they have some.",
    ]
    if listed is not None:
        notes.append(f"{counts['unlisted']} files are not in {cases}.")
    return ImportedDataset(manifest, None, notes, {} if cases is None else {"cases": cases})


def _dicom_files(source: Path) -> tuple[list[Path], int]:
    from pydicom.misc import is_dicom

    if not source.exists():
        raise SourceDataError(f"{source}: there is no such file or folder. Correct --source.")
    tried = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    files = [path for path in tried if path.name != "DICOMDIR" and is_dicom(path)]
    if not files:
        raise SourceDataError(f"{source}: holds no DICOM file (128 bytes, then DICM). Correct --source.")
    return files, len(tried) - len(files)


def _cases(cases: Path | None, files: list[str]) -> pd.DataFrame | None:
    if cases is None:
        return None
    listed = pd.read_csv(cases, dtype=str)
    allowed = set(MANIFEST.columns) - {"video_id", "patient_id", "path", "vendor"}
    if "file" not in listed or (strange := sorted(set(listed) - allowed - {"file"})):
        wrong = "column 'file' is missing" if "file" not in listed else f"column {strange[0]!r} is not known"
        raise SourceDataError(f"{cases}: {wrong}. Use file and any of {', '.join(sorted(allowed))}.")
    if not (absent := listed[~listed["file"].isin(files)]).empty:
        raise SourceDataError(
            f"{cases} row {absent.index[0] + 2}: {absent['file'].iloc[0]!r} is no DICOM file of the source "
            f"({len(absent)} such rows). Give paths relative to --source."
        )
    if not (double := listed[listed["file"].duplicated()]).empty:
        raise SourceDataError(
            f"{cases} row {double.index[0] + 2}: {double['file'].iloc[0]!r} is listed twice. Keep one row."
        )
    return listed


def _read(file: Path) -> Dataset:
    from pydicom import dcmread

    dataset = dcmread(file, specific_tags=list(_READ))
    if "PixelData" not in dataset:
        raise SourceDataError(f"{file}: has no pixels. Move reports and the like out of the folder.")
    if dataset.get("BitsAllocated", 8) != 8:
        raise SourceDataError(f"{file}: has {dataset.BitsAllocated} bits a pixel; ultrasound has 8. Export it with 8.")
    return dataset


def _sector(dataset: Dataset) -> _Sector | None:
    regions = [
        region
        for region in dataset.get("SequenceOfUltrasoundRegions", None) or []
        if region.get("RegionSpatialFormat") == _TWO_DIMENSIONAL and region.get("RegionDataType") == _TISSUE
    ]
    if not regions:
        return None
    # Scanners disagree on whether the last row belongs to the region; one row more harms nobody.
    x1, y1 = (
        max(0, min(int(r[name].value) for r in regions)) for name in ("RegionLocationMinX0", "RegionLocationMinY0")
    )
    x2 = min(int(dataset.Columns), max(int(r.RegionLocationMaxX1) for r in regions) + 1)
    y2 = min(int(dataset.Rows), max(int(r.RegionLocationMaxY1) for r in regions) + 1)
    sizes = {
        round(10 * abs(float(r.PhysicalDeltaX)), 6)
        for r in regions
        if r.get("PhysicalUnitsXDirection") == _CENTIMETRES and "PhysicalDeltaX" in r
    }
    return _Sector(x1, y1, x2, y2, sizes.pop() if len(sizes) == 1 else None) if x1 < x2 and y1 < y2 else None


def _fps(dataset: Dataset) -> Fraction:
    for name in ("CineRate", "RecommendedDisplayFrameRate"):
        if float(dataset.get(name, 0) or 0) > 0:
            return Fraction(float(dataset[name].value)).limit_denominator(1001)
    if float(dataset.get("FrameTime", 0) or 0) > 0:
        return Fraction(1000 / float(dataset.FrameTime)).limit_denominator(1001)
    return Fraction(_DEFAULT_FPS)


def _frames(dataset: Dataset, file: Path) -> Iterator[GreyFrame]:
    """Yield uint8 [H, W] per frame, and refuse a number of frames other than the declared one."""
    num_frames = 0
    is_video = str(dataset.file_meta.TransferSyntaxUID).startswith(_VIDEO_SYNTAXES)
    try:
        for frame in _stream_frames(dataset) if is_video else _pixel_frames(dataset):
            num_frames += 1
            yield frame
    except (av.FFmpegError, RuntimeError, NotImplementedError, ValueError, AttributeError, EOFError) as error:
        raise SourceDataError(
            f"{file}: its pixels ({dataset.file_meta.TransferSyntaxUID.name}) cannot be decoded after "
            f"{num_frames} frames ({error}). Export it uncompressed or as JPEG baseline."
        ) from error
    declared = int(dataset.get("NumberOfFrames", 1) or 1)
    if num_frames != declared:
        raise SourceDataError(f"{file}: declares {declared} frames but holds {num_frames}. Export it again.")


def _stream_frames(dataset: Dataset) -> Iterator[GreyFrame]:
    from pydicom.encaps import generate_frames

    stream = io.BytesIO(b"".join(generate_frames(dataset.PixelData, number_of_frames=1)))
    with av.open(stream) as container:
        for frame in container.decode(video=0):
            yield np.ascontiguousarray(frame.to_ndarray(format="gray"))


def _pixel_frames(dataset: Dataset) -> Iterator[GreyFrame]:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import iter_pixels

    interpretation = dataset.PhotometricInterpretation
    for pixels in iter_pixels(dataset):
        if interpretation == "PALETTE COLOR":
            colours = apply_color_lut(pixels, dataset)
            pixels = (colours >> (8 * (colours.dtype.itemsize - 1))).astype(np.uint8)
        grey = np.asarray(Image.fromarray(pixels).convert("L"))
        yield 255 - grey if interpretation == "MONOCHROME1" else grey


def _write_ffv1(path: Path, frames: Iterator[GreyFrame], sector: _Sector | None, fps: Fraction) -> None:
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.pix_fmt = "gray"
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape
            if sector is not None:
                inside = np.zeros_like(frame)
                window = np.s_[sector.y1 : sector.y2, sector.x1 : sector.x2]
                inside[window] = frame[window]
                frame = inside
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode(None))
