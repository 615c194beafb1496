import pandas as pd
import pytest
from barcodes import barcode, write_video

from wauve_dist.data.importers.dataset import SourceDataError
from wauve_dist.data.importers.manifest import import_manifest
from wauve_dist.data.importers.spreadsheet import import_spreadsheet
from wauve_dist.structures.tables import TableError, read_manifest

COLUMNS = {"video_id": "Fall", "patient_id": "Pat.-Nr.", "path": "Datei", "label": "Befund", "site": "Klinik"}
LABELS = {"maligne": "1", "benigne": "0", "offen": ""}


@pytest.fixture
def table(tmp_path):
    (tmp_path / "videos").mkdir()
    for number in range(6):
        write_video(tmp_path / "videos" / f"{number}.avi", [barcode(number)] * 2)
    return pd.DataFrame(
        {
            "Fall": [f"F{number}" for number in range(6)],
            "Pat.-Nr.": ["007", "007", "8", "9", "10", "11"],
            "Name": ["Erika Mustermann"] * 6,
            "Datei": [f"{number}.avi" for number in range(6)],
            "Befund": ["maligne", "maligne ", "benigne", "offen", "benigne", "maligne"],
            "Klinik": ["Nord", "Nord", "Süd", "Süd", "", "Nord"],
            "age": [50, 50, 61, 47.5, 39, 70],
        }
    )


def read(path, videos, columns=COLUMNS, labels=LABELS):
    return import_spreadsheet(path, columns, labels, videos, 0.2, 0.2, seed=1)


def as_semicolons(table, path):
    table.to_csv(path, sep=";", index=False, encoding="utf-8-sig")


def as_commas(table, path):
    table.to_csv(path, index=False)


def as_excel(table, path):
    table.to_excel(path, index=False)


@pytest.mark.parametrize(
    ("write", "name"), [(as_semicolons, "de.csv"), (as_commas, "en.csv"), (as_excel, "sheet.xlsx")]
)
def test_columns_and_labels_are_renamed_whatever_the_file(table, tmp_path, write, name):
    write(table, tmp_path / name)
    dataset = read(tmp_path / name, tmp_path / "videos")
    manifest = dataset.manifest
    assert manifest["label"].fillna(-1).tolist() == [1, 1, 0, -1, 0, 1]
    assert manifest["patient_id"].tolist() == ["007", "007", "8", "9", "10", "11"]
    assert manifest["site"].fillna("none").tolist() == ["Nord", "Nord", "Süd", "Süd", "none", "Nord"]
    assert manifest["age"].tolist() == [50, 50, 61, 47.5, 39, 70]
    assert manifest["path"].tolist() == [str(tmp_path / "videos" / f"{number}.avi") for number in range(6)]
    assert set(manifest["split"]) <= {"train", "val", "test"}
    assert dataset.notes == ["1 columns left out: Name."]


def test_the_name_of_a_patient_never_reaches_the_manifest(table, tmp_path, launch):
    table.to_csv(tmp_path / "en.csv", index=False)
    done = launch(
        *("prepare.py", "import", "table", "--table", tmp_path / "en.csv", "--videos", tmp_path / "videos"),
        *("--columns", "video_id=Fall,patient_id=Pat.-Nr.,path=Datei,label=Befund"),
        *("--labels", "maligne=1,benigne=0,offen=", "--out", tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    assert "2 columns left out: Name, Klinik." in done.stdout
    assert all("Mustermann" not in path.read_text() for path in (tmp_path / "out").iterdir())
    assert len(read_manifest(tmp_path / "out" / "manifest.csv")) == 6


def test_a_label_without_meaning_is_named_by_its_row(table, tmp_path):
    table.to_csv(tmp_path / "en.csv", index=False)
    with pytest.raises(SourceDataError, match=r"row 5: label 'offen' has no meaning.*--labels offen=0"):
        read(tmp_path / "en.csv", tmp_path / "videos", labels={"maligne": "1", "benigne": "0"})


def test_a_column_that_is_not_there_is_named_with_those_that_are(table, tmp_path):
    table.to_csv(tmp_path / "en.csv", index=False)
    with pytest.raises(
        SourceDataError, match=r"--columns site=Haus: there is no such column\. It has Fall, Pat\.-Nr\., "
    ):
        read(tmp_path / "en.csv", tmp_path / "videos", columns={**COLUMNS, "site": "Haus"})


def test_a_required_column_must_be_mapped(table, tmp_path):
    table.to_csv(tmp_path / "en.csv", index=False)
    with pytest.raises(SourceDataError, match=r"has no column 'patient_id'.*--columns patient_id=NAME"):
        read(tmp_path / "en.csv", tmp_path / "videos", columns={"video_id": "Fall", "path": "Datei"})


def test_a_missing_video_is_named_by_its_row(table, tmp_path):
    table.to_csv(tmp_path / "en.csv", index=False)
    (tmp_path / "videos" / "3.avi").unlink()
    with pytest.raises(SourceDataError, match=r"row 5: video '3\.avi' is not in .*Correct --videos"):
        read(tmp_path / "en.csv", tmp_path / "videos")


def test_what_breaks_the_contract_is_refused(table, tmp_path):
    table["age"] = "fifty"
    table.to_csv(tmp_path / "en.csv", index=False)
    with pytest.raises(TableError, match="row 2, column 'age': 'fifty' must be a number"):
        read(tmp_path / "en.csv", tmp_path / "videos")


def test_another_encoding_is_refused_with_the_remedy(table, tmp_path):
    table.to_csv(tmp_path / "old.csv", index=False, encoding="cp1252")
    with pytest.raises(SourceDataError, match=r"is not UTF-8 .*Save it as XLSX or as CSV UTF-8"):
        read(tmp_path / "old.csv", tmp_path / "videos")


@pytest.mark.parametrize("pairs", ["video_id", "a=1,b", ""])
def test_pairs_are_checked_by_the_command(launch, tmp_path, pairs):
    done = launch("prepare.py", "import", "table", "--table", "x.csv", "--out", tmp_path / "out", "--columns", pairs)
    assert done.returncode == 2
    assert "must be NAME=VALUE pairs" in done.stderr


def test_our_own_manifest_is_checked_and_written_with_absolute_paths(tiny_study_data):
    dataset = import_manifest(tiny_study_data / "manifest.csv", tiny_study_data / "annotations.json", 0.2, 0.2, seed=1)
    source = read_manifest(tiny_study_data / "manifest.csv")
    assert dataset.manifest["path"].tolist() == source["path"].tolist()
    assert dataset.manifest["split"].tolist() == source["split"].tolist()
    assert len(dataset.annotations.boxes) > 0


def test_annotations_of_strange_videos_are_refused(tiny_study_data, tmp_path):
    text = (tiny_study_data / "manifest.csv").read_text().splitlines()
    (tmp_path / "videos").symlink_to(tiny_study_data / "videos")
    (tmp_path / "manifest.csv").write_text(
        "\n".join([text[0], *text[2:]]).replace("videos/", f"{tiny_study_data}/videos/")
    )
    with pytest.raises(SourceDataError, match=f"video '{text[1].split(',')[0]}' is not in "):
        import_manifest(tmp_path / "manifest.csv", tiny_study_data / "annotations.json", 0.2, 0.2, seed=1)
