import json

import numpy as np
import pytest
from PIL import Image

from wauve_dist.data.importers.coco import import_coco
from wauve_dist.data.importers.dataset import SourceDataError, write_dataset
from wauve_dist.structures.annotations import read_annotations
from wauve_dist.structures.tables import read_manifest

LABELS = ["benign"] * 12 + ["malignant"] * 8 + ["normal"] * 5
WIDTH, HEIGHT = 120, 90


def texture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12), np.uint8)
    return Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


@pytest.fixture
def content(tmp_path):
    """COCO of 25 images; 3 and 4 show the same picture, and so do 0 and 15, under different labels."""
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number, label in enumerate(LABELS):
        texture({4: 3, 15: 0}.get(number, number)).save(
            tmp_path / "images" / f"{label}_{number}.jpg", quality=70 + number
        )
        size = {"width": WIDTH, "height": HEIGHT, "label": label}
        images.append({"id": 100 + number, "file_name": f"images/{label}_{number}.jpg", **size})
        if label != "normal":
            box = [10.5, 20, 30, 40 + 0.25]
            category = {"benign": 1, "malignant": 2}[label]
            annotations.append({"id": number, "image_id": 100 + number, "category_id": category, "bbox": box})
    annotations.append({"id": 99, "image_id": 101, "category_id": 1, "bbox": [0, 0, WIDTH, HEIGHT]})
    categories = [{"id": 1, "name": "benign"}, {"id": 2, "name": "malignant"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def run(content, folder, seed=1):
    (folder / "coco.json").write_text(json.dumps(content))
    dataset = import_coco(folder / "coco.json", folder, 0.2, 0.2, seed)
    write_dataset(dataset, folder / "out")
    return dataset


def test_images_become_videos_of_one_frame_with_their_boxes(content, tmp_path):
    run(content, tmp_path)
    manifest = read_manifest(tmp_path / "out" / "manifest.csv").set_index("video_id")
    assert len(manifest) == 25
    assert manifest.loc[["benign_0", "malignant_12", "normal_24"], "label"].fillna(-1).tolist() == [0, 1, -1]
    assert manifest.loc["benign_7", "path"] == str(tmp_path / "images" / "benign_7.jpg")

    annotations = read_annotations(tmp_path / "out" / "annotations.json")
    assert len(annotations.frames) == 25
    assert set(annotations.frames["frame"]) == {0}
    assert len(annotations.boxes) == 21
    boxes = annotations.boxes[annotations.boxes["video_id"] == "benign_1"]
    assert boxes[["instance_id", "category_id", "x1", "y1", "x2", "y2"]].to_numpy().tolist() == [
        [0, 1, 10.5, 20, 40.5, 60.25],
        [1, 1, 0, 0, WIDTH, HEIGHT],
    ]
    assert not annotations.boxes["video_id"].str.startswith("normal").any()


def test_images_of_one_picture_are_one_patient_and_conflicting_labels_are_reported(content, tmp_path):
    notes = run(content, tmp_path).notes
    assert "4 images show 2 pictures" in notes[0]
    assert notes[1:] == ["Labelled differently though alike: benign_0, malignant_15."]
    manifest = read_manifest(tmp_path / "out" / "manifest.csv").set_index("video_id")
    assert manifest["patient_id"].nunique() == 23
    assert manifest.loc["benign_4", "patient_id"] == "benign_3"
    assert manifest.loc["benign_4", "split"] == manifest.loc["benign_3", "split"]


def test_without_a_label_field_the_boxes_decide(content, tmp_path):
    for image in content["images"]:
        del image["label"]
    run(content, tmp_path)
    labels = read_manifest(tmp_path / "out" / "manifest.csv")["label"]
    assert labels.fillna(-1).tolist() == [{"benign": 0, "malignant": 1, "normal": -1}[label] for label in LABELS]


def test_images_of_one_name_in_two_folders_stay_apart(content, tmp_path):
    (tmp_path / "more").mkdir()
    texture(77).save(tmp_path / "more" / "benign_0.jpg")
    content["images"].append({**content["images"][0], "id": 500, "file_name": "more/benign_0.jpg"})
    run(content, tmp_path)
    names = set(read_manifest(tmp_path / "out" / "manifest.csv")["video_id"])
    assert {"images_benign_0.jpg", "more_benign_0.jpg"} <= names
    assert len(names) == 26


def spoil(path, value):
    def change(content):
        *parents, key = path
        for parent in parents:
            content = content[parent]
        content[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil(["images", 3, "file_name"], "images/absent.jpg"), "'images/absent.jpg' is not in"),
        (spoil(["images", 3, "file_name"], "../coco.jpg"), "leaves the folder"),
        (spoil(["images", 3, "file_name"], "images/benign_2.jpg"), "listed more than once"),
        (spoil(["images", 3, "width"], WIDTH + 1), r"benign_3\.jpg: is 120x90 pixels, but .*coco\.json says 121x90"),
        (spoil(["images", 3, "label"], "cyst"), "'benign_3' has label 'cyst'. Use one of benign, malignant, normal"),
        (spoil(["annotations", 3, "bbox"], [100, 20, 30, 10]), r"annotation 3 \(benign_3\): box .* leaves its image"),
        (spoil(["annotations", 3, "bbox"], [100, 20, -3, 10]), "annotation 3 .* is empty"),
        (spoil(["annotations", 3, "image_id"], 999), "annotation 3 belongs to image 999, which is not listed"),
        (spoil(["annotations", 3, "category_id"], 3), "annotation 3 has category None; only benign and malignant"),
        (spoil(["categories"], [{"id": 1}]), "'categories' must be a list of objects with id, name"),
        (spoil(["images"], []), "lists no images"),
    ],
)
def test_faulty_input_is_refused_before_anything_is_written(content, tmp_path, change, message):
    change(content)
    with pytest.raises(SourceDataError, match=message):
        run(content, tmp_path)
    assert not (tmp_path / "out").exists()


def test_boxes_of_both_kinds_in_an_unlabelled_image_are_refused(content, tmp_path):
    del content["images"][1]["label"]
    content["annotations"][-1]["category_id"] = 2
    with pytest.raises(
        SourceDataError, match=r"'benign_1' has boxes of benign and malignant\. Give it a field 'label'"
    ):
        run(content, tmp_path)


def test_a_used_folder_is_refused(content, tmp_path, launch):
    run(content, tmp_path)
    before = (tmp_path / "out" / "manifest.csv").read_bytes()
    sources = ("--annotations", tmp_path / "coco.json", "--images", tmp_path)
    failed = launch("prepare.py", "import", "coco", *sources, "--out", tmp_path / "out", "--seed", 2)
    assert failed.returncode != 0
    assert "already holds another run" in failed.stderr
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == before


def test_the_command_explains_itself_and_its_errors(launch, tmp_path):
    missing = ("--annotations", tmp_path / "absent.json", "--images", tmp_path, "--out", tmp_path / "out")
    failed = launch("prepare.py", "import", "coco", *missing)
    assert failed.returncode != 0
    assert failed.stderr == f"error: {tmp_path / 'absent.json'}: there is no such file. Correct --annotations.\n"


@pytest.mark.real
def test_busi_is_imported_with_its_known_duplicates_kept_together(launch, real_data, tmp_path):
    busi = real_data / "busi"
    options = ("--annotations", busi / "annotations.json", "--images", busi, "--out", tmp_path / "busi")
    done = launch("prepare.py", "import", "coco", *options)
    assert done.returncode == 0, done.stderr
    assert "665 boxes in 780 frames" in done.stdout
    manifest = read_manifest(tmp_path / "busi" / "manifest.csv")
    assert manifest["label"].fillna(-1).value_counts().to_dict() == {0: 437, 1: 210, -1: 133}
    assert len(read_annotations(tmp_path / "busi" / "annotations.json").boxes) == 665
    assert 600 < manifest["patient_id"].nunique() < 625
    assert manifest["split"].value_counts(normalize=True)["test"] == pytest.approx(0.25, abs=0.02)
