import numpy as np
import pandas as pd
import pytest

from wauve_dist.data.linting.boxes import box_findings
from wauve_dist.data.linting.cases import case_findings, class_balance
from wauve_dist.data.linting.frame_hashes import FrameHashes
from wauve_dist.structures.annotations import Annotations

MANIFEST = pd.DataFrame({"video_id": ["a", "b", "c"], "label": pd.array([0, 1, pd.NA], "Int64")})
GOOD_BOX = ("a", 0, 0, 1, 10, 10, 30, 30)


def hashes(num_frames=(5, 5, 5), sizes=((64, 48),) * 3):
    empty = np.empty(0, np.uint64)
    return FrameHashes(
        np.empty(0, np.int32), np.empty(0, np.int32), empty, empty, empty, np.array(num_frames), np.array(sizes), {}
    )


def annotations(*boxes, videos="ab", num_frames=5):
    frames = [(video, frame, 64, 48) for video in videos for frame in range(num_frames)]
    return Annotations(
        pd.DataFrame(frames, columns=["video_id", "frame", "width", "height"]),
        pd.DataFrame(boxes, columns=["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]),
    )


def checks(*boxes, manifest=MANIFEST, **options):
    found = box_findings(manifest, annotations(*boxes, ("b", 0, 0, 2, 1, 1, 9, 9), **options), hashes())
    return [(f.check, f.video_id, f.frame) for f in found]


def test_good_boxes_give_no_finding():
    steps = [("a", frame, 0, 1, 10 + 2 * frame, 10, 30 + 2 * frame, 30) for frame in range(5)]
    assert checks(*steps) == []


@pytest.mark.parametrize(
    ("box", "check"),
    [
        (("a", 1, 0, 1, 30, 10, 10, 30), "box-negative"),
        (("a", 1, 0, 1, 10, 30, 30, 10), "box-negative"),
        (("a", 1, 0, 1, 10, 10, 10, 30), "box-empty"),
        (("a", 1, 0, 1, -1, 10, 20, 30), "box-outside"),
        (("a", 1, 0, 1, 10, 10, 30, 48.5), "box-outside"),
    ],
)
def test_impossible_boxes_are_errors(box, check):
    assert checks(GOOD_BOX, box) == [(check, "a", 1)]


def test_rounding_by_a_quarter_of_a_pixel_is_no_fault():
    assert checks(GOOD_BOX, ("a", 1, 0, 1, 8, 10, 30, 48.2)) == []


def test_two_boxes_of_one_instance_in_a_frame_are_errors():
    assert checks(GOOD_BOX, GOOD_BOX) == [("box-double", "a", 0)] * 2


def test_boxes_that_jump_or_burst_are_named_and_cuts_are_not():
    assert checks(GOOD_BOX, ("a", 1, 0, 1, 40, 10, 60, 30)) == [("box-jumps", "a", 1)]
    assert checks(GOOD_BOX, ("a", 1, 0, 1, 0, 0, 50, 40)) == [("box-jumps", "a", 1)]
    assert checks(GOOD_BOX, ("a", 1, 1, 1, 40, 10, 60, 30)) == []  # another lesion
    assert checks(GOOD_BOX, ("a", 4, 0, 1, 40, 10, 60, 30)) == []  # four frames later


def test_lesions_and_boxes_must_go_together():
    assert checks() == [("lesion-without-box", "a", None)]
    assert checks(videos="b") == [("lesion-without-box", "a", None)]
    found = checks(GOOD_BOX, ("c", 0, 0, 1, 1, 1, 9, 9), videos="abc")
    assert found == [("box-without-lesion", "c", None)]
    found = checks(GOOD_BOX, ("z", 0, 0, 1, 1, 1, 9, 9), videos="abz")
    assert found == [("box-without-video", "z", None)]


def test_a_box_must_have_the_category_of_its_label():
    assert checks(("a", 2, 0, 2, 10, 10, 30, 30)) == [("box-against-label", "a", 2)]


def test_annotations_must_fit_their_video():
    found = box_findings(MANIFEST, annotations(GOOD_BOX, ("b", 0, 0, 2, 1, 1, 9, 9)), hashes((5, 4, 5)))
    assert [(f.check, f.video_id) for f in found] == [("frame-beyond-end", "b")]
    found = box_findings(
        MANIFEST, annotations(GOOD_BOX, ("b", 0, 0, 2, 1, 1, 9, 9)), hashes(sizes=((64, 48), (32, 24), (64, 48)))
    )
    assert [(f.check, f.message) for f in found] == [("frame-size", "Annotated on 64x48 pixels, decoded 32x24.")]


def cases(**columns):
    count = len(next(iter(columns.values())))
    ids = {"video_id": [f"v{row}" for row in range(count)], "patient_id": [f"p{row}" for row in range(count)]}
    manifest = pd.DataFrame(ids | columns)
    return manifest.astype({"label": "Int64"}) if "label" in manifest else manifest


def test_a_patient_in_two_splits_is_an_error():
    found = list(case_findings(cases(patient_id=["p", "p", "q"], split=["train", "test", "test"])))
    assert [(f.severity, f.check, f.message) for f in found] == [
        ("error", "patient-leakage", "Patient 'p' is in test and train.")
    ]


def test_labels_that_contradict_are_warnings():
    found = list(case_findings(cases(patient_id=["p", "p", "q"], label=[0, 1, 1], birads=["3", "5", "2"])))
    assert [(f.check, f.video_id) for f in found] == [
        ("patient-with-both-labels", "v0"),
        ("birads-against-label", "v2"),
    ]


def test_a_split_of_one_class_is_an_error():
    found = list(case_findings(cases(label=[0, 1, 1, 1], split=["train", "train", "test", "test"])))
    assert [(f.check, f.message) for f in found] == [
        ("split-of-one-class", "All 2 labelled videos of test are labelled 1.")
    ]


def test_a_site_that_gives_the_class_away_is_named():
    label, site = [0] * 30 + [1] * 30, ["north"] * 30 + ["south"] * 30
    found = list(case_findings(cases(label=label, site=site)))
    assert [f.check for f in found] == ["class-by-origin"] * 3
    assert found[0].message == "All 30 videos of site 'north' are benign."
    assert "north 0 %, south 100 %" in found[2].message
    mixed = ["north", "south"] * 30
    assert list(case_findings(cases(label=label, site=mixed, vendor=mixed))) == []


def test_classes_are_counted_per_split_site_and_vendor():
    tables = class_balance(cases(label=[0, 1, None, 1], site=["n", "n", "s", None], split=["train"] * 4))
    assert set(tables) == {"site", "split"}
    assert tables["site"].to_dict("index") == {
        "n": {"benign": 1, "malignant": 1, "unlabelled": 0},
        "s": {"benign": 0, "malignant": 0, "unlabelled": 1},
        "unknown": {"benign": 0, "malignant": 1, "unlabelled": 0},
    }
