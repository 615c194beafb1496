"""A scan of grey levels up to 99 in a screen of white text: what training reads and keeps may hold no white."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from barcodes import write_video

from wauve_dist.data import crop_cache
from wauve_dist.data.array_cache import cached_arrays
from wauve_dist.data.crop_cache import crop_recipes
from wauve_dist.data.crops import CROP_VERSIONS, crop_roi
from wauve_dist.data.datamodules import ClipDataModule, FrameDataModule
from wauve_dist.data.decoding import VideoError, decode_frames
from wauve_dist.structures.annotations import Annotations, write_annotations
from wauve_dist.structures.sectors import Sector
from wauve_dist.structures.tables import SECTOR_COLUMNS, TableError

HEIGHT, WIDTH, NUM_FRAMES = 48, 64, 10
SECTOR = Sector(12, 8, 56, 44)
WHITE = 255
BOX = (14.25, 10.0, 34.0, 28.5)  # with context the region reaches out of the sector


def screen(number):
    frame = np.full((HEIGHT, WIDTH), WHITE, np.uint8)
    scan = np.random.default_rng(number).integers(1, 100, (HEIGHT, WIDTH), np.uint8)
    SECTOR.cut(frame)[:] = SECTOR.cut(scan)
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screens")
    for video in ("v0", "v1"):
        write_video(folder / f"{video}.mkv", [screen(number) for number in range(NUM_FRAMES)], "ffv1", "gray")
    rows = [(video, 0, frame, *BOX, 0.9, False) for video in ("v0", "v1") for frame in range(NUM_FRAMES)]
    columns = ["video_id", "track_id", "frame", "x1", "y1", "x2", "y2", "score", "interpolated"]
    pd.DataFrame(rows, columns=columns).to_parquet(folder / "tracks.parquet")
    return folder


def manifest_of(folder, *sectors):
    rows = {"video_id": ["v0", "v1"], "patient_id": ["p0", "p1"], "path": ["v0.mkv", "v1.mkv"]}
    manifest = pd.DataFrame({**rows, "label": [0, 1], "split": ["train", "val"]})
    if sectors:
        manifest[list(SECTOR_COLUMNS)] = sectors
    manifest.to_csv(folder / "manifest.csv", index=False)
    return str(folder / "manifest.csv")


def clips(folder, cache_dir, *sectors):
    options = dict(crop_size=16, roi_context=1.5, clips_per_video=2, batch_size=2, num_workers=0, seed=1)
    tracks = str(folder / "tracks.parquet")
    data = ClipDataModule(manifest_of(folder, *sectors), tracks, cache_dir=str(cache_dir), **options)
    data.setup("fit")
    return data


def frames(folder, cache_dir, *sectors, boxes=(BOX,), width=WIDTH):
    listed = [(video, frame, width, HEIGHT) for video in ("v0", "v1") for frame in (2, 5)]
    drawn = [("v1", 5, number, 1, *box) for number, box in enumerate(boxes)]
    columns = ["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]
    annotations = Annotations(
        pd.DataFrame(listed, columns=["video_id", "frame", "width", "height"]), pd.DataFrame(drawn, columns=columns)
    )
    write_annotations(annotations, folder / "annotations.json", {})
    options = dict(frames_per_video=2, batch_size=2, num_workers=0, seed=1, cache_dir=str(cache_dir))
    data = FrameDataModule(manifest_of(folder, *sectors), str(folder / "annotations.json"), **options)
    data.setup("fit")
    return data


def brightest_kept(cache_dir):
    kept = [np.load(path) for path in cache_dir.glob("*.npy")]
    assert len(kept) == 2
    return max(array.max() for array in kept)


def test_cached_crops_hold_the_scan_as_it_is_and_nothing_of_what_is_around_it(folder, tmp_path):
    [whole] = clips(folder, tmp_path / "whole").val_dataloader()
    [cut] = clips(folder, tmp_path / "cut", SECTOR, SECTOR).val_dataloader()
    assert brightest_kept(tmp_path / "whole") == WHITE
    assert brightest_kept(tmp_path / "cut") < 100
    masked = np.where(screen(3) == WHITE, 0, screen(3)).astype(np.uint8)
    np.testing.assert_array_equal(cut.clips[0, 3], crop_roi(masked, np.array(BOX), 16, 1.5))
    deep = np.s_[:, :, 5:, 5:]
    np.testing.assert_array_equal(cut.clips[deep], whole.clips[deep])


def test_the_detector_sees_the_sector_only_with_boxes_where_it_sees_the_lesions(folder, tmp_path):
    [whole] = frames(folder, tmp_path / "whole").val_dataloader()
    [cut] = frames(folder, tmp_path / "cut", SECTOR, SECTOR).val_dataloader()
    assert brightest_kept(tmp_path / "whole") == WHITE
    assert brightest_kept(tmp_path / "cut") < 100
    for row, number in enumerate((2, 5)):
        np.testing.assert_array_equal(whole.frames[row], screen(number))
        np.testing.assert_array_equal(cut.frames[row], screen(number)[8:44, 12:56])
    assert whole.boxes_xyxy[1].tolist() == [list(BOX)]
    assert cut.boxes_xyxy[1].tolist() == [[2.25, 2.0, 22.0, 20.5]]
    assert cut.boxes_xyxy[0].shape == (0, 4)


def test_a_box_is_cut_at_the_sector_s_edge_with_a_warning_and_refused_outside(folder, tmp_path):
    with pytest.warns(UserWarning, match="1 of 2 boxes reach out of their video's sector"):
        data = frames(folder, tmp_path, SECTOR, SECTOR, boxes=[BOX, (40, 4, 60, 20)])
    [batch] = data.val_dataloader()
    assert batch.boxes_xyxy[1].tolist() == [[2.25, 2.0, 22.0, 20.5], [28, 0, 44, 12]]
    with pytest.raises(ValueError, match=r"1 boxes lie outside the sectors .* frame 5 of 'v1'.*prepare\.py lint"):
        frames(folder, tmp_path, SECTOR, SECTOR, boxes=[BOX, (1, 1, 12, 7)])


def test_sectors_that_do_not_fit_are_refused(folder, tmp_path):
    for make in (clips, frames):
        with pytest.raises(TableError, match="for 1 of 2 videos; the first without is 'v0'"):
            make(folder, tmp_path, (None,) * 4, SECTOR)
        with pytest.raises(ValueError, match=r"v.\.mkv: sector_x1.* no rectangle within its 64x48 pixels"):
            make(folder, tmp_path, (0, 0, WIDTH + 1, HEIGHT), (0, 0, WIDTH + 1, HEIGHT))


def test_a_run_does_not_go_on_with_sectors_that_it_was_not_begun_with(folder, tmp_path):
    whole, cut = frames(folder, tmp_path), frames(folder, tmp_path, SECTOR, SECTOR)
    whole.train_dataloader(), cut.train_dataloader()
    cut.load_state_dict(cut.state_dict())
    with pytest.raises(ValueError, match=r"begun on sectors, and by its sector_ columns .* now asks for whole frames"):
        whole.load_state_dict(cut.state_dict())
    before_sectors = {name: value for name, value in whole.state_dict().items() if name != "on_sectors"}
    whole.load_state_dict(before_sectors)
    with pytest.raises(ValueError, match="begun on whole frames"):
        cut.load_state_dict(before_sectors)


def test_decoding_with_a_sector_beyond_the_frame_names_the_video(folder):
    with pytest.raises(VideoError, match=r"v0\.mkv: sector_x1"):
        list(decode_frames(folder / "v0.mkv", "pyav", Sector(0, 0, WIDTH, HEIGHT + 1)))


def test_another_sector_or_version_of_the_cropping_gives_crops_another_name(folder, tmp_path, monkeypatch):
    def path(**sectors):
        tracks = pd.read_parquet(folder / "tracks.parquet")
        recipes = crop_recipes({"v0": folder / "v0.mkv"}, tracks, 16, 1.5, "pyav", sectors)
        return cached_arrays(list(recipes.values()), tmp_path, 0, "Crops")[0]

    paths = [path(), path(v0=SECTOR), path(v0=SECTOR._replace(x2=SECTOR.x2 - 1))]
    monkeypatch.setattr(crop_cache, "CROP_VERSIONS", {"pyav": CROP_VERSIONS["pyav"] + 1})
    assert len({*paths, path()}) == 4


# What each version of the cropping makes of the same frame. Where crop_roi gives other pixels, raise the versions.
CROPS_OF_VERSION = {1: "25759ef6a1f6cd42"}


def test_other_pixels_need_another_version_of_the_cropping():
    frame = np.random.default_rng(5).integers(0, 256, (90, 120), np.uint8)
    boxes = [(30, 20, 70, 50), (3.3, 40.8, 25.1, 88.6), (100, 10, 140, 30), (50.5, 50.5, 53, 52)]
    crops = [crop_roi(frame, np.array(box), 24, context) for box in boxes for context in (1.0, 1.5)]
    assert hashlib.sha256(np.stack(crops).tobytes()).hexdigest()[:16] == CROPS_OF_VERSION[CROP_VERSIONS["pyav"]]
