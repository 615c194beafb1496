import pandas as pd
import pytest
from barcodes import barcode, write_video

from wauve_dist.data.importers.dataset import SourceDataError, write_dataset
from wauve_dist.data.importers.echonet import import_echonet
from wauve_dist.structures.tables import read_manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Videos").mkdir()
    for name in ("0X1A", "0X2B", "0X3C"):
        write_video(tmp_path / "Videos" / f"{name}.avi", [barcode(number) for number in range(4)])
    rows = [("0X1A", 55.5, 4, "TRAIN"), ("0X2B.avi", 60.0, 4, "VAL"), ("0X3C", 30.0, 4, "TEST")]
    table = pd.DataFrame(rows, columns=["FileName", "EF", "NumberOfFrames", "Split"])
    table.to_csv(tmp_path / "FileList.csv", index=False)
    return tmp_path


def test_the_published_splits_and_measures_are_kept(folder):
    write_dataset(import_echonet(folder), folder / "out")
    manifest = read_manifest(folder / "out" / "manifest.csv")
    assert manifest["video_id"].tolist() == ["0X1A", "0X2B", "0X3C"]
    assert manifest["split"].tolist() == ["train", "val", "test"]
    assert manifest["ef"].astype(float).tolist() == [55.5, 60.0, 30.0]
    assert manifest["label"].isna().all()
    assert not (folder / "out" / "annotations.json").exists()


def test_a_missing_video_is_named_by_its_row(folder):
    (folder / "Videos" / "0X2B.avi").unlink()
    with pytest.raises(SourceDataError, match=r"FileList\.csv row 3: '0X2B\.avi' is not in .*Videos"):
        import_echonet(folder)


def test_an_unknown_split_is_refused(folder):
    text = (folder / "FileList.csv").read_text().replace("VAL", "HOLDOUT")
    (folder / "FileList.csv").write_text(text)
    with pytest.raises(SourceDataError, match=r"row 3, column 'Split': 'HOLDOUT' must be one of TRAIN, VAL, TEST"):
        import_echonet(folder)
