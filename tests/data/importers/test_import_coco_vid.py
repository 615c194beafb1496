import json

import numpy as np
import pytest
from barcodes import barcode, write_video
from PIL import Image

from wauve_dist.data.importers.coco_vid import import_coco_vid
from wauve_dist.data.importers.dataset import SourceDataError, write_dataset
from wauve_dist.structures.annotations import read_annotations
from wauve_dist.structures.tables import TableError, read_manifest


@pytest.fixture
def content(tmp_path):
    """Two AVI files, named with and without suffix, and a folder of three frames without a box."""
    for name in ("one.avi", "two.avi"):
        write_video(tmp_path / name, [barcode(number) for number in range(6)])
    (tmp_path / "three").mkdir()
    for number in range(3):
        Image.fromarray(np.full((64, 128), 40 * number, np.uint8)).save(tmp_path / "three" / f"{number}.png")
    names = {1: "one.avi", 2: "two", 3: "three"}
    images = [
        {
            "id": 10 * video + frame,
            "file_name": f"{name}/{frame}.png",
            "video_id": video,
            "frame_id": frame,
            "width": 128,
            "height": 64,
        }
        for video, name in names.items()
        for frame in range(3)
    ]
    return {
        "categories": [{"id": 5, "name": "malignant"}, {"id": 6, "name": "benign"}],
        "videos": [{"id": number, "name": name} for number, name in names.items()],
        "images": images,
        "annotations": [
            {"id": 1, "image_id": 11, "category_id": 5, "instance_id": 4, "bbox": [10, 5, 30, 20]},
            {"id": 2, "image_id": 20, "category_id": 6, "bbox": [1, 2, 3, 4]},
        ],
    }


def run(content, folder):
    (folder / "vid.json").write_text(json.dumps(content))
    dataset = import_coco_vid(folder / "vid.json", folder, 0.0, 0.0, seed=1)
    write_dataset(dataset, folder / "out")
    return dataset


def test_videos_take_the_label_of_their_boxes(content, tmp_path):
    assert run(content, tmp_path).notes == ["1 videos have no box and so no label."]
    manifest = read_manifest(tmp_path / "out" / "manifest.csv").set_index("video_id")
    assert manifest["label"].fillna(-1).to_dict() == {"one.avi": 1, "two": 0, "three": -1}
    assert manifest.loc["two", "path"] == str(tmp_path / "two.avi")
    boxes = read_annotations(tmp_path / "out" / "annotations.json").boxes
    assert boxes.to_numpy().tolist() == [["one.avi", 1, 4, 2, 10, 5, 40, 25], ["two", 0, 0, 1, 1, 2, 4, 6]]


def test_boxes_of_both_categories_leave_the_label_open(content, tmp_path):
    content["annotations"][1]["image_id"] = 12
    assert "1 videos have boxes of both categories and so no label: one.avi." in run(content, tmp_path).notes


def spoiled(content, part, row, key, value):
    content[part][row][key] = value
    return content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("videos", 0, "name", "four"), r"video 'four': there is neither a folder nor a file in .*Correct --videos"),
        (("videos", 0, "name", "../one.avi"), r"'\.\./one\.avi' leaves the folder"),
        (("images", 0, "video_id", 9), "image 10 belongs to video 9, which is not listed"),
        (("images", 8, "file_name", "three/9.png"), r"'three/9\.png' is not in"),
        (("annotations", 0, "image_id", 99), "annotation 1 names image 99, which is not listed"),
        (("categories", 0, "name", "cyst"), "boxes of category 'cyst'; only benign and malignant are known"),
    ],
)
def test_faults_are_named_with_their_remedy(content, tmp_path, change, message):
    with pytest.raises(SourceDataError, match=message):
        run(spoiled(content, *change), tmp_path)


def test_a_box_outside_its_frame_is_refused(content, tmp_path):
    with pytest.raises(TableError, match="leaves its frame of 128x64"):
        run(spoiled(content, "annotations", 0, "bbox", [100, 5, 60, 20]), tmp_path)


def test_plain_coco_is_sent_to_its_own_format(content, tmp_path):
    del content["videos"]
    with pytest.raises(SourceDataError, match="import coco`"):
        run(content, tmp_path)
