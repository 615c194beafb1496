import numpy as np
import pandas as pd
import pytest
from barcodes import barcode, write_video

from wauve_dist.data.decoding import VideoError, decode_frames
from wauve_dist.data.synthetic.cohort import draw_case
from wauve_dist.data.synthetic.video import SyntheticVideo
from wauve_dist.data.transcode_manifest import transcode_manifest
from wauve_dist.data.transcoding import TranscodeSettings, transcode_video
from wauve_dist.structures.tables import TableError

SETTINGS = TranscodeSettings("h264", 45.0, mask_screen=True)


def test_a_masked_video_shows_the_scan_as_it_was_and_no_text(tmp_path):
    sweep = SyntheticVideo(draw_case(7, 0), 256, 24, 24)
    source = write_video(tmp_path / "in.avi", [frame.pixels for frame in sweep], options={"qmin": "2", "qmax": "3"})
    done = transcode_video(source, tmp_path / "out.mp4", SETTINGS)
    originals, results = (np.stack(list(decode_frames(path))) for path in (source, tmp_path / "out.mp4"))
    text = sweep.screen._overlay > 100
    assert originals[:, text].mean() > 100
    assert results[:, text].max() < 16
    kept = results.max(axis=0) >= 16
    assert kept.mean() == pytest.approx(done.scan_share, abs=0.03)
    error = originals[:, kept].astype(float) - results[:, kept]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 45


def test_without_the_switch_the_screen_stays(tmp_path):
    source = write_video(tmp_path / "in.avi", [barcode(9)] * 3)
    assert transcode_video(source, tmp_path / "out.mp4", TranscodeSettings("h264", 45.0)).scan_share == 1
    assert next(decode_frames(tmp_path / "out.mp4")).max() > 200


def test_a_still_video_asks_for_the_place_of_its_scan(tmp_path):
    source = write_video(tmp_path / "in.avi", [barcode(9)] * 3)
    with pytest.raises(VideoError, match=r"in\.avi: too little moves in it .* Fill in sector_x1, sector_y1"):
        transcode_video(source, tmp_path / "out.mp4", SETTINGS)


def manifest_with(tmp_path, *sector):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.avi", [barcode(255)] * 3)
    rows = [("a", "p", "a.avi", *sector), ("b", "q", "b.avi", 0, 0, 128, 64)]
    columns = ["video_id", "patient_id", "path", "sector_x1", "sector_y1", "sector_x2", "sector_y2"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


def test_the_sector_of_the_manifest_is_used_and_a_changed_one_masks_anew(tmp_path):
    out = tmp_path / "out"
    text = transcode_manifest(manifest_with(tmp_path, 32, 16, 96, 48), None, out, SETTINGS, num_workers=0)
    assert "25 to 100 % of the frames were kept" in text
    frame = next(decode_frames(out / "videos" / "a.mp4")) > 100
    expected = np.zeros((64, 128), bool)
    expected[16:48, 32:96] = True
    np.testing.assert_array_equal(frame, expected)
    assert pd.read_csv(out / "transcoding.csv")["scan_share"].tolist() == [0.25, 1]

    other = (out / "videos" / "b.mp4").stat().st_ino
    transcode_manifest(manifest_with(tmp_path, 32, 16, 64, 48), None, out, SETTINGS, num_workers=0)
    assert pd.read_csv(out / "transcoding.csv")["scan_share"].tolist() == [0.125, 1]
    assert (out / "videos" / "b.mp4").stat().st_ino == other


@pytest.mark.parametrize(
    ("sector", "error", "message"),
    [
        ((32, 16, 96, None), ValueError, r"manifest\.csv row 2: 'a' must have all of sector_x1, sector_y1"),
        ((32, 16, 130, 48), ValueError, r"a\.avi: sector_x1, .* = 32, 16, 130, 48 is no rectangle within its 128x64"),
        ((-1, 16, 96, 48), TableError, r"column 'sector_x1': -1.0 must not be negative"),
    ],
)
def test_a_wrong_sector_is_refused(tmp_path, sector, error, message):
    with pytest.raises(error, match=message):
        transcode_manifest(manifest_with(tmp_path, *sector), None, tmp_path / "out", SETTINGS, num_workers=0)
