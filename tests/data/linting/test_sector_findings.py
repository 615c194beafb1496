import base64
import io

import numpy as np
import pandas as pd
from barcodes import write_video
from PIL import Image

from wauve_dist.data.linting.findings import Finding
from wauve_dist.data.linting.frame_hashes import FrameHashes
from wauve_dist.data.linting.pictures import draw_findings
from wauve_dist.data.linting.sectors import sector_findings
from wauve_dist.structures.sectors import Sector
from wauve_dist.structures.tables import SECTOR_COLUMNS

EMPTY = np.empty(0, np.uint64)
HASHES = FrameHashes(
    np.empty(0, np.int32),
    np.empty(0, np.int32),
    EMPTY,
    EMPTY,
    EMPTY,
    np.array([5, 5]),
    np.array([(64, 48), (64, 48)]),
    {},
)


def found(a, b, *boxes):
    manifest = pd.DataFrame([("a", *a), ("b", *b)], columns=["video_id", *SECTOR_COLUMNS])
    table = pd.DataFrame(boxes, columns=["video_id", "frame", "x1", "y1", "x2", "y2"])
    return list(sector_findings(manifest, table, HASHES))


NOWHERE = (np.nan,) * 4


def test_boxes_within_their_sectors_and_manifests_without_sectors_are_fine():
    assert (
        found((8, 6, 56, 42), (0, 0, 64, 48), ("a", 0, 8, 6, 30, 42), ("a", 1, 7.2, 6, 30, 20), ("c", 0, 0, 0, 1, 1))
        == []
    )
    assert found(NOWHERE, NOWHERE, ("a", 0, 0, 0, 30, 42)) == []


def test_boxes_that_a_sector_cuts_are_a_warning_and_boxes_outside_an_error():
    boxes = [("a", 0, 5, 6, 30, 20), ("a", 3, 20, 10, 60, 20), ("a", 4, 20, 10, 30, 20), ("b", 2, 1, 1, 7, 7)]
    cut, outside = found((8, 6, 56, 42), (8, 6, 56, 42), *boxes)
    assert (cut.severity, cut.check, cut.video_id, cut.frame) == ("warning", "box-out-of-sector", "a", 3)
    assert cut.message == "2 boxes reach out of the sector, by up to 4 pixels; 0 lie outside."
    assert (outside.severity, outside.video_id, outside.frame) == ("error", "b", 2)


def test_a_missing_sector_and_one_that_leaves_the_frame_are_errors():
    missing, outside = found(NOWHERE, (0, 0, 65, 48))
    assert (missing.severity, missing.check, missing.video_id) == ("error", "sector-missing", "a")
    assert (outside.severity, outside.check, outside.video_id) == ("error", "sector-outside", "b")
    assert "(0, 0, 65, 48) is no rectangle within the frames of 64x48 pixels" in outside.message


def test_pictures_of_the_report_are_black_around_the_sector(tmp_path):
    path = write_video(tmp_path / "a.mkv", [np.full((180, 240), 255, np.uint8)] * 2, "ffv1", "gray")
    finding = Finding("warning", "box-out-of-sector", "text", "remedy", "a", 1)
    for sector, num_white in ((None, 180 * 240), (Sector(40, 60, 100, 140), 60 * 80)):
        uri = draw_findings([finding], {"a": path}, None, {"a": sector})[finding]
        picture = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("L")
        white = np.asarray(picture) > 128
        assert white.shape == (180, 240)
        assert white.sum() == num_white
        assert white[60:140, 40:100].all()
