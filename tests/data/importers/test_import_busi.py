import numpy as np
import pytest
from PIL import Image

from wauve_dist.data.importers.busi import import_busi
from wauve_dist.data.importers.dataset import SourceDataError, write_dataset
from wauve_dist.structures.annotations import read_annotations
from wauve_dist.structures.tables import read_manifest

WIDTH, HEIGHT = 120, 90


def texture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12), np.uint8)
    return Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def mask(*windows):
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for left, top, right, bottom in windows:
        pixels[top:bottom, left:right] = 255
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path):
    for label, count in (("benign", 4), ("malignant", 3), ("normal", 2)):
        (tmp_path / label).mkdir()
        for number in range(1, count + 1):
            texture([ord(label[0]), number]).save(tmp_path / label / f"{label} ({number}).png")
            windows = [] if label == "normal" else [(10, 20, 40, 50)]
            mask(*windows).save(tmp_path / label / f"{label} ({number})_mask.png")
    mask((60, 5, 100, 35)).save(tmp_path / "benign" / "benign (2)_mask_1.png")
    mask((5, 5, 25, 25), (50, 50, 80, 80), (110, 80, 112, 82)).save(tmp_path / "malignant" / "malignant (1)_mask.png")
    (tmp_path / "benign" / "benign (3)_mask.png").unlink()
    (tmp_path / "malignant" / "malignant (3).png").write_bytes((tmp_path / "benign" / "benign (4).png").read_bytes())
    return tmp_path


def test_each_connected_part_of_each_mask_is_a_box(folder):
    dataset = import_busi(folder, 0.2, 0.2, seed=1)
    write_dataset(dataset, folder / "out")
    boxes = read_annotations(folder / "out" / "annotations.json").boxes.groupby("video_id")
    corners = {video_id: rows[["x1", "y1", "x2", "y2"]].to_numpy().tolist() for video_id, rows in boxes}
    assert corners["benign_1"] == [[10, 20, 40, 50]]
    assert corners["benign_2"] == [[10, 20, 40, 50], [60, 5, 100, 35]]
    assert corners["malignant_1"] == [[5, 5, 25, 25], [50, 50, 80, 80]]
    assert not {"benign_3", "normal_1", "normal_2"} & set(corners)
    assert "1 images of a lesion have no mask of it." in dataset.notes
    assert "1 specks below 25 pixels in masks: left out." in dataset.notes
    assert len(read_annotations(folder / "out" / "annotations.json").frames) == 9


def test_labels_come_from_the_folders_and_copies_are_one_patient(folder):
    dataset = import_busi(folder, 0.2, 0.2, seed=1)
    manifest = dataset.manifest.set_index("video_id")
    assert manifest.loc[["benign_1", "malignant_2", "normal_1"], "label"].fillna(-1).tolist() == [0, 1, -1]
    assert manifest.loc["malignant_3", "patient_id"] == manifest.loc["benign_4", "patient_id"]
    assert "Labelled differently though alike: benign_4, malignant_3." in dataset.notes


def test_the_command_writes_what_a_study_reads(folder, launch):
    done = launch("prepare.py", "import", "busi", "--folder", folder, "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    assert "9 videos of 8 patients, 8 boxes in 9 frames." in done.stdout
    assert len(read_manifest(folder / "out" / "manifest.csv")) == 9


def test_a_mask_without_its_image_is_refused(folder):
    (folder / "benign" / "benign (1).png").unlink()
    with pytest.raises(SourceDataError, match=r"benign \(1\)_mask\.png: is a mask without its image"):
        import_busi(folder, 0.2, 0.2, 1)


def test_a_mask_of_another_size_is_refused(folder):
    Image.new("L", (10, 10), 255).save(folder / "benign" / "benign (1)_mask.png")
    with pytest.raises(SourceDataError, match=r"is 10x10 pixels, 'benign \(1\)\.png' is 120x90"):
        import_busi(folder, 0.2, 0.2, 1)


def test_a_lesion_in_a_normal_image_is_refused(folder):
    mask((10, 10, 40, 40)).save(folder / "normal" / "normal (1)_mask.png")
    with pytest.raises(SourceDataError, match="is in normal/, but its mask marks a lesion"):
        import_busi(folder, 0.2, 0.2, 1)


def test_a_folder_without_classes_is_refused(tmp_path):
    with pytest.raises(SourceDataError, match="holds no images in benign/, malignant/, normal/"):
        import_busi(tmp_path, 0.2, 0.2, 1)
