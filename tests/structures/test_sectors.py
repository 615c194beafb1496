import numpy as np
import pandas as pd
import pytest

from wauve_dist.structures.sectors import Sector, clip_to_sectors, listed_sectors, sectors_of
from wauve_dist.structures.tables import MANIFEST, SECTOR_COLUMNS, TableError, validated


def videos(*sectors):
    rows = [(f"v{number}", f"p{number}", "v.avi", *sector) for number, sector in enumerate(sectors)]
    return pd.DataFrame(rows, columns=["video_id", "patient_id", "path", *SECTOR_COLUMNS])


def test_a_sector_is_cut_out_and_all_around_it_is_black():
    frame = np.arange(1, 41, dtype=np.uint8).reshape(5, 8)
    sector = Sector(2, 1, 6, 4)
    assert sector.cut(frame).tolist() == [[11, 12, 13, 14], [19, 20, 21, 22], [27, 28, 29, 30]]
    masked = sector.blacken_around(frame)
    assert masked[1:4, 2:6].tolist() == sector.cut(frame).tolist()
    assert np.count_nonzero(masked) == 12
    assert frame.min() == 1, "the frame itself stays"


@pytest.mark.parametrize("wrong", [(2, 1, 2, 4), (-1, 1, 6, 4), (2, 1, 9, 4), (2, 4, 6, 1)])
def test_a_sector_that_is_empty_or_leaves_the_frame_does_not_lie_within(wrong):
    assert not Sector(*wrong).lies_within(8, 5)
    assert Sector(0, 0, 8, 5).lies_within(8, 5)


def test_boxes_are_cut_at_the_edges_and_come_back_to_the_frame():
    sector = Sector(10, 20, 110, 90)
    rows = [("a", 30.25, 40.5, 50.75, 60), ("a", 0, 0, 40, 200), ("b", 0, 0, 9, 7), ("a", 0, 0, 9, 9)]
    boxes = pd.DataFrame(rows, columns=["video_id", "x1", "y1", "x2", "y2"])
    clipped = clip_to_sectors(boxes, {"a": sector, "b": Sector(2, 3, 8, 8)})
    assert clipped.dtype == np.float32
    assert clipped.tolist() == [[30.25, 40.5, 50.75, 60], [10, 20, 40, 90], [2, 3, 8, 7], [10, 20, 10, 20]]
    in_cut_out = clipped[0] - sector.shift_xyxy
    assert in_cut_out.tolist() == [20.25, 20.5, 40.75, 40]
    assert (in_cut_out + sector.shift_xyxy).tolist() == clipped[0].tolist()


def test_either_all_videos_have_a_sector_or_none():
    nowhere = (np.nan,) * 4
    assert sectors_of(videos((1, 2, 30.4, 40.6), (0, 0, 5, 5))) == {"v0": (1, 2, 30, 41), "v1": (0, 0, 5, 5)}
    assert sectors_of(videos(nowhere, nowhere)) == {}
    assert sectors_of(videos(nowhere).drop(columns=list(SECTOR_COLUMNS))) == {}
    assert listed_sectors(videos(nowhere, (0, 0, 5, 5))) == [None, (0, 0, 5, 5)]
    with pytest.raises(TableError, match=r"for 1 of 2 videos; the first without is 'v0'.*prepare\.py sectors"):
        sectors_of(videos(nowhere, (0, 0, 5, 5)))


def test_a_manifest_with_part_of_a_sector_is_refused(tmp_path):
    half = videos((1, 2, 30, 40), (1, 2, np.nan, 40))
    message = r"row 3: 'v1' must have all of sector_x1, sector_y1, sector_x2, sector_y2, or none"
    with pytest.raises(TableError, match=message):
        validated(half, MANIFEST, tmp_path / "manifest.csv")
    with pytest.raises(TableError, match="must have all of sector_x1"):
        validated(half.drop(columns="sector_y2"), MANIFEST, tmp_path / "manifest.csv")
