"""A generated archive in BUV's layout, with the faults that the published one is known for."""

import json

import numpy as np
import pytest
from PIL import Image

from wauve_dist.data.importers.buv import BUV, ULTRADET, import_buv
from wauve_dist.data.importers.dataset import SourceDataError, write_dataset
from wauve_dist.structures.annotations import read_annotations
from wauve_dist.structures.tables import read_manifest

WIDTH, HEIGHT, NUM_FRAMES = 48, 32, 5

TRAINING = [
    "benign/aaaa000000000001",
    "benign/aaaa000000000002",
    "benign/aaaa000000000003",
    "benign/x66ef02e7f1b9a0ef",  # to leave out
    "benign/x63c9ba1377f35bf6",  # malignant in truth, and of the patient of the next one
    "malignant/2390fbea047347b",
    "malignant/bbbb000000000001",
    "malignant/bbbb000000000002",
    "benign/cccc000000000001",  # shares two frames with the next one
    "malignant/cccc000000000001",
    "benign/x1282311c38f808f",  # the same video as a held-out one
]
HELD_OUT = ["malignant/x9c1c965d274c457", "benign/dddd000000000001", "malignant/dddd000000000002"]


@pytest.fixture
def archive(tmp_path):
    for number, name in enumerate(TRAINING + HELD_OUT):
        folder = tmp_path / "rawframes" / name
        folder.mkdir(parents=True)
        for frame in range(NUM_FRAMES):
            twin = TRAINING.index("benign/cccc000000000001")
            source = twin if name == "malignant/cccc000000000001" and frame < 2 else number
            pixels = np.random.default_rng([source, frame]).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
            Image.fromarray(pixels).save(folder / f"{10 + frame:06d}.png")
    return tmp_path


def coco_vid(names, first_image, one_class=False):
    images, boxes = [], []
    for video, name in enumerate(names):
        for frame in range(NUM_FRAMES):
            image = first_image + len(images)
            size = {"width": WIDTH, "height": HEIGHT}
            # frame_id counts the files as they are named, not from 0.
            images.append(
                {
                    "id": image,
                    "file_name": f"{name}/{10 + frame:06d}.png",
                    "video_id": video,
                    "frame_id": 10 + frame,
                    **size,
                }
            )
            if frame < 4:
                category = 1 if one_class or name.startswith("benign") else 2
                box = {0: [30, 20, -10, -8], 1: [-3, 4, 10, 10], 2: [10, 10, 8, 8], 3: [40, 4, 20, 10]}[frame]
                boxes.append(
                    {
                        "id": 7 * image,
                        "video_id": video,
                        "image_id": image,
                        "category_id": category,
                        "instance_id": video,
                        "bbox": box,
                    }
                )
    categories = (
        [{"id": 1, "name": "lesion"}] if one_class else [{"id": 1, "name": "benign"}, {"id": 2, "name": "malignant"}]
    )
    videos = [{"id": video, "name": name} for video, name in enumerate(names)]
    return {"categories": categories, "videos": videos, "images": images, "annotations": boxes}


def write_parts(folder, layout, one_class=False):
    (folder / layout.training).write_text(json.dumps(coco_vid(TRAINING, 1, one_class)))
    (folder / layout.held_out).write_text(json.dumps(coco_vid(HELD_OUT, 1000, one_class)))


def imported(folder, layout=BUV, keep_errata=False):
    dataset = import_buv(folder, layout, keep_errata, val_fraction=0.25, seed=1)
    write_dataset(dataset, folder / "out")
    tables = (
        read_manifest(folder / "out" / "manifest.csv").set_index("video_id"),
        read_annotations(folder / "out" / "annotations.json"),
    )
    return dataset.notes, *tables


def test_errata_are_put_right_and_counted(archive):
    write_parts(archive, BUV)
    notes, manifest, _ = imported(archive)
    assert notes[:5] == [
        "1 videos left out as faulty.",
        "1 videos relabelled from benign to malignant.",
        "4 videos share frames with another one; 4 of them lie in both classes: label unknown.",
        "6 videos are of 3 patients with several.",
        "1 training videos left out because their patient is in the test part: benign/x1282311c38f808f.",
    ]
    assert "benign_x66ef02e7f1b9a0ef" not in manifest.index
    assert "benign_x1282311c38f808f" not in manifest.index
    assert manifest.loc["benign_x63c9ba1377f35bf6", "label"] == 1
    assert (
        manifest.loc["benign_x63c9ba1377f35bf6", "patient_id"]
        == manifest.loc["malignant_2390fbea047347b", "patient_id"]
    )
    twins = manifest.loc[["benign_cccc000000000001", "malignant_cccc000000000001"]]
    assert twins["label"].isna().all()
    assert len(set(twins["patient_id"])) == len(set(twins["split"])) == 1
    assert manifest.loc["malignant_x9c1c965d274c457", ["split"]].tolist() == ["test"]
    assert set(manifest.loc[[name.replace("/", "_") for name in HELD_OUT], "split"]) == {"test"}
    assert manifest["split"].isin(["train", "val"]).sum() == 9
    assert (manifest["split"] == "val").any()


def test_the_archive_can_be_had_as_published(archive):
    write_parts(archive, BUV)
    notes, manifest, annotations = imported(archive, keep_errata=True)
    assert notes[0] == "Errata of the published data are kept: --keep-errata."
    assert len(manifest) == manifest["patient_id"].nunique() == len(TRAINING + HELD_OUT)
    assert manifest.loc["benign_x63c9ba1377f35bf6", "label"] == 0
    assert manifest["label"].notna().all()
    assert len(annotations.boxes) == 4 * len(manifest)


def test_boxes_are_repaired_and_their_frames_counted_as_they_are_decoded(archive):
    write_parts(archive, BUV)
    notes, manifest, annotations = imported(archive)
    boxes = annotations.boxes[annotations.boxes["video_id"] == "benign_aaaa000000000001"]
    assert boxes[["frame", "x1", "y1", "x2", "y2"]].to_numpy().tolist() == [
        [0, 20, 12, 30, 20],
        [1, 0, 4, 7, 14],
        [2, 10, 10, 18, 18],
        [3, 40, 4, 48, 14],
    ]
    num_videos = len(TRAINING + HELD_OUT)
    assert f"{num_videos} boxes of negative width or height: corners put in order." in notes
    assert f"{2 * num_videos} boxes that left their frame: clipped to it." in notes
    assert f"{len(manifest)} annotated frames show no lesion: kept." in notes
    assert set(annotations.boxes.loc[annotations.boxes["video_id"] == "benign_x63c9ba1377f35bf6", "category_id"]) == {2}


def test_ultradets_single_class_takes_the_class_of_the_folder(archive):
    write_parts(archive, ULTRADET, one_class=True)
    _, manifest, annotations = imported(archive, ULTRADET)
    categories = annotations.boxes.groupby("video_id")["category_id"].unique()
    for video_id, label in manifest["label"].dropna().items():
        assert categories[video_id].tolist() == [1 + label]


def test_a_missing_frame_is_named(archive):
    write_parts(archive, BUV)
    (archive / "rawframes" / TRAINING[0] / "000012.png").unlink()
    with pytest.raises(SourceDataError, match=r"aaaa000000000001/000012\.png' is not in .*aaaa000000000001\. Complete"):
        import_buv(archive, BUV, False, 0.2, 1)


def test_the_command_reports_what_it_changed(archive, launch):
    write_parts(archive, BUV)
    done = launch("prepare.py", "import", "buv", "--folder", archive, "--out", archive / "ours")
    assert done.returncode == 0, done.stderr
    assert "1 videos relabelled from benign to malignant." in done.stdout
    assert done.stdout.strip().endswith("manifest.csv")
    settings = json.loads((archive / "ours" / "manifest.csv.provenance.json").read_text())["settings"]
    assert settings == {"format": "buv", "keep_errata": False, "seed": 1, "val_fraction": 0.15}
