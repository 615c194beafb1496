from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from barcodes import barcode, write_video

from wauve_dist.data import sector_manifest
from wauve_dist.data.decoding import decode_frames
from wauve_dist.data.sector_manifest import add_sectors
from wauve_dist.data.synthetic.cohort import draw_case
from wauve_dist.data.synthetic.video import SyntheticVideo
from wauve_dist.structures.sectors import sectors_of
from wauve_dist.structures.tables import read_manifest

SWEEP = SyntheticVideo(draw_case(7, 0), 256, 24, 24)


@pytest.fixture
def manifest(tmp_path):
    """A sweep, a still screen, and a video whose sector is known."""
    write_video(tmp_path / "sweep.avi", [frame.pixels for frame in SWEEP], options={"qmin": "2", "qmax": "3"})
    write_video(tmp_path / "still.avi", [barcode(9)] * 3)
    write_video(tmp_path / "known.avi", [barcode(number) for number in range(3)])
    rows = [("sweep", None, None, None, None), ("still", None, None, None, None), ("known", 1, 2, 30, 40)]
    table = pd.DataFrame(rows, columns=["video_id", "sector_x1", "sector_y1", "sector_x2", "sector_y2"])
    table.assign(patient_id=table["video_id"], path=table["video_id"] + ".avi", site="A").to_csv(
        tmp_path / "manifest.csv", index=False
    )
    return tmp_path / "manifest.csv"


def test_sectors_are_found_where_they_are_missing_and_whole_frames_are_named(manifest, tmp_path):
    said = add_sectors(manifest, tmp_path / "out", num_workers=0)
    rows = read_manifest(tmp_path / "out" / "manifest.csv")
    assert rows["site"].tolist() == ["A"] * 3
    sectors = sectors_of(rows)
    assert sectors["known"] == (1, 2, 30, 40)
    assert sectors["still"] == (0, 0, 128, 64)
    place = np.zeros((256, 256), bool)
    place[SWEEP.screen._place] = SWEEP.screen._inside
    rows_inside, columns_inside = (np.flatnonzero(place.any(axis=axis)) for axis in (1, 0))
    truth = (columns_inside[0], rows_inside[0], columns_inside[-1] + 1, rows_inside[-1] + 1)
    assert sectors["sweep"] == pytest.approx(truth, abs=6)
    assert "3 videos: 1 sectors were given, 1 found." in said
    assert "WARNING: in 1 videos too little moves" in said
    assert "sector_y2: still." in said


def test_a_long_video_is_examined_in_its_first_part_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sector_manifest, "_MAX_DECODED", 20)
    monkeypatch.setattr(sector_manifest, "_MAX_EXAMINED", 8)
    rng = np.random.default_rng(0)
    frames = np.zeros((60, 96, 128), np.uint8)
    frames[:18:3, 20:80, 10:60] = rng.integers(0, 256, (6, 60, 50))  # every third frame is looked at
    frames[1:20:3] = frames[30:] = rng.integers(0, 256, (96, 128))
    write_video(tmp_path / "long.mkv", list(frames), "ffv1", "gray")
    manifest = pd.DataFrame({"video_id": ["long"], "patient_id": ["p"], "path": ["long.mkv"]})
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    add_sectors(tmp_path / "manifest.csv", tmp_path / "out", num_workers=0)
    assert sectors_of(read_manifest(tmp_path / "out" / "manifest.csv"))["long"] == pytest.approx(
        (10, 20, 60, 80), abs=1
    )


def test_videos_that_cannot_be_read_are_all_named_and_nothing_is_written(manifest, tmp_path):
    for name in ("sweep", "still"):
        (tmp_path / f"{name}.avi").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"(?s)sweep\.avi.*\n.*still\.avi"):
        add_sectors(manifest, tmp_path / "out", num_workers=0)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.real
def test_real_clips_lose_their_black_margin_and_nothing_of_the_scan(real_data, tmp_path):
    said = add_sectors(real_data / "cine" / "manifest.csv", tmp_path / "out", num_workers=2)
    assert "20 found." in said
    rows = read_manifest(tmp_path / "out" / "manifest.csv")
    for row, sector in zip(rows.itertuples(), sectors_of(rows).values(), strict=True):
        frame = next(islice(decode_frames(Path(row.path)), 40, None))
        bright = frame > 48
        assert sector.cut(bright).sum() > 0.97 * bright.sum(), row.video_id
        rows_shown, columns_shown = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
        tight = (columns_shown[0], rows_shown[0], columns_shown[-1] + 1, rows_shown[-1] + 1)
        assert sector == pytest.approx(tight, abs=14), row.video_id
