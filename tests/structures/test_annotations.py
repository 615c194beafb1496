import json

import pandas as pd
import pytest

from wauve_dist.structures.annotations import Annotations, read_annotations, write_annotations
from wauve_dist.structures.tables import TableError

# One video of two frames in the schema of BUV / CVA-Net: a lesion in the first, none in the second.
CONTENT = {
    "categories": [{"id": 1, "name": "benign"}, {"id": 2, "name": "malignant"}],
    "videos": [{"id": 5, "name": "malignant/x1"}],
    "images": [
        {"id": 10, "file_name": "malignant/x1/000000.png", "height": 80, "width": 100, "video_id": 5, "frame_id": 0},
        {"id": 11, "file_name": "malignant/x1/000001.png", "height": 80, "width": 100, "video_id": 5, "frame_id": 1},
    ],
    "annotations": [
        {"id": 1, "video_id": 5, "image_id": 10, "category_id": 2, "instance_id": 3, "bbox": [10, 20, 30, 40]}
    ],
}


def write(tmp_path, change=lambda content: None):
    content = json.loads(json.dumps(CONTENT))
    change(content)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_boxes_become_corners_and_frames_without_a_lesion_stay(tmp_path):
    annotations = read_annotations(write(tmp_path))
    assert annotations.frames.to_dict("list") == {
        "video_id": ["malignant/x1"] * 2,
        "frame": [0, 1],
        "width": [100, 100],
        "height": [80, 80],
    }
    box = annotations.boxes.iloc[0]
    assert [box.video_id, box.frame, box.instance_id, box.category_id] == ["malignant/x1", 0, 3, 2]
    assert [box.x1, box.y1, box.x2, box.y2] == [10, 20, 40, 60]


def test_what_is_written_reads_back(tmp_path):
    first = read_annotations(write(tmp_path))
    write_annotations(first, tmp_path / "again.json", {})
    second = read_annotations(tmp_path / "again.json")
    pd.testing.assert_frame_equal(second.frames, first.frames)
    pd.testing.assert_frame_equal(second.boxes, first.boxes, check_dtype=False)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (
            [80, 20, 30, 40],
            r"annotation 1 \(video 'malignant/x1', frame 0\): box \[80, 20, 30, 40\].*leaves its frame of",
        ),
        ([-3, 20, 30, 40], "leaves its frame of 100x80 pixels. Clip or remove it"),
        ([10, 20, 0, 40], "is empty or negative. Correct or remove it"),
        ([10, 20, 5, -40], "is empty or negative"),
    ],
)
def test_a_box_that_leaves_its_frame_or_is_empty_is_refused(tmp_path, box, expected):
    path = write(tmp_path, lambda content: content["annotations"][0].update(bbox=box))
    with pytest.raises(TableError, match=expected):
        read_annotations(path)


def test_a_box_outside_is_not_written_either(tmp_path):
    frames = pd.DataFrame({"video_id": ["a"], "frame": [0], "width": [10], "height": [10]})
    boxes = frames.iloc[:, :2].assign(instance_id=0, category_id=1, x1=5.0, y1=5.0, x2=15.0, y2=8.0)
    with pytest.raises(TableError, match="leaves its frame"):
        write_annotations(Annotations(frames, boxes), tmp_path / "x.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_frame_listed_twice_is_refused(tmp_path):
    path = write(tmp_path, lambda content: content["images"][1].update(frame_id=0))
    with pytest.raises(TableError, match="frame 0 of video 'malignant/x1' is listed twice"):
        read_annotations(path)


def test_an_annotation_of_an_unlisted_image_is_refused(tmp_path):
    path = write(tmp_path, lambda content: content["annotations"][0].update(image_id=99))
    with pytest.raises(TableError, match="names an image that is not listed"):
        read_annotations(path)


def test_plain_coco_and_plain_text_are_refused_with_the_remedy(tmp_path):
    path = write(tmp_path, lambda content: content.pop("videos"))
    with pytest.raises(TableError, match="import coco"):
        read_annotations(path)
    path.write_text("not json")
    with pytest.raises(TableError, match="is not JSON"):
        read_annotations(path)
