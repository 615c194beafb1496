"""What a table may hold, and what a user reads when it does not."""

import pandas as pd
import pytest

from wauve_dist.structures.provenance import read_provenance
from wauve_dist.structures.tables import (
    CLIPS,
    DETECTIONS,
    MANIFEST,
    PREDICTIONS,
    READERS,
    TRACKS,
    TableError,
    empty_table,
    read_manifest,
    read_table,
    write_table,
)


@pytest.fixture
def manifest_of(tmp_path):
    (tmp_path / "set" / "videos").mkdir(parents=True)
    for name in ("a.avi", "b.avi", "c.avi"):
        (tmp_path / "set" / "videos" / name).write_bytes(b"x")
    (tmp_path / "outside.avi").write_bytes(b"x")

    def write(text):
        path = tmp_path / "set" / "manifest.csv"
        path.write_text(text)
        return path

    return write


GOOD = """video_id,patient_id,path,label,split,age,operator
007,p1,videos/a.avi,1,train,41,ann
008,p1,videos/b.avi,,train,,bob
009,p2,videos/c.avi,0,test,63.5,ann
"""


def test_a_manifest_keeps_names_as_written_unknowns_empty_and_extra_columns(manifest_of):
    path = manifest_of(GOOD)
    manifest = read_manifest(path)
    assert manifest["video_id"].tolist() == ["007", "008", "009"]
    assert manifest["label"].tolist() == [1, pd.NA, 0]
    assert manifest["age"].isna().tolist() == [False, True, False]
    assert manifest["operator"].tolist() == ["ann", "bob", "ann"]
    assert manifest["path"].tolist() == [str(path.parent / "videos" / name) for name in ("a.avi", "b.avi", "c.avi")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("008,p1", "007,p1", r"row 2, column 'video_id': '007' stands there more than once"),
        ("c.avi,0,", "c.avi,2,", r"row 4, column 'label': 2 must be one of 0, 1, or empty"),
        ("c.avi,0,", "c.avi,no,", r"row 4, column 'label': 'no' must be 0, 1 or empty"),
        ("0,test", "0,tets", r"row 4, column 'split': 'tets' must be one of train, val, test"),
        ("63.5", "old", r"row 4, column 'age': 'old' must be a number"),
        ("63.5", "635", r"row 4, column 'age': 635.0 must lie between 0 and 130"),
        ("009,p2", "009,", r"row 4, column 'patient_id': an empty cell is not allowed here"),
        ("009,p2", "009,p1", r"column 'split': patient 'p1' is in test and train. All videos of a patient"),
        ("videos/c.avi", "videos/d.avi", r"row 4, column 'path': 'videos/d.avi' \(009\) does not exist"),
        ("videos/c.avi", "../outside.avi", r"row 4, column 'path': '../outside.avi' leaves the manifest's folder"),
        ("patient_id", "patient", r"column 'patient_id' is missing. A manifest table needs video_id, patient_id, path"),
    ],
)
def test_a_faulty_manifest_is_refused_by_file_row_column_value_and_remedy(manifest_of, old, new, expected):
    path = manifest_of(GOOD.replace(old, new))
    with pytest.raises(TableError, match=expected) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


def test_a_link_that_leaves_the_folder_is_refused_like_a_path_that_does(manifest_of):
    path = manifest_of(GOOD.replace("videos/c.avi", "videos/link.avi"))
    (path.parent / "videos" / "link.avi").symlink_to(path.parent.parent / "outside.avi")
    with pytest.raises(TableError, match="leaves the manifest's folder"):
        read_manifest(path)


def test_all_faults_are_reported_at_once(manifest_of):
    with pytest.raises(TableError) as caught:
        read_manifest(manifest_of(GOOD.replace("a.avi,1", "a.avi,3").replace("63.5", "old")))
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b'video_id\n"a'])
def test_what_is_not_csv_is_refused(manifest_of, content, tmp_path):
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(TableError, match="not a readable CSV table"):
        read_manifest(tmp_path / "manifest.csv")
    with pytest.raises(TableError, match="there is no such file"):
        read_manifest(tmp_path / "none.csv")


def test_parquet_and_csv_come_back_as_written_with_their_source(tmp_path):
    source = tmp_path / "manifest.csv"
    source.write_text("made from me")
    tracks = pd.DataFrame(
        {
            "video_id": ["1", "1"],
            "track_id": [0, 0],
            "frame": [4, 5],
            "x1": [1.5, 2.5],
            "y1": [1.0, 1.0],
            "x2": [3.25, 4.0],
            "y2": [2.0, 2.0],
            "score": [0.9, 0.1],
            "interpolated": [False, True],
        }
    )
    for name in ("tracks.parquet", "tracks.csv"):
        write_table(tracks, tmp_path / name, TRACKS, {"manifest": source}, max_gap=3)
        back = read_table(tmp_path / name, TRACKS)
        pd.testing.assert_frame_equal(back, TRACKS.validate(tracks))
        assert read_provenance(tmp_path / name)["settings"] == {"max_gap": 3}


def test_a_word_that_is_neither_true_nor_false_is_refused(tmp_path):
    header = "video_id,track_id,frame,x1,y1,x2,y2,score,interpolated"
    (tmp_path / "tracks.csv").write_text(f"{header}\na,0,0,1,1,2,2,1,False\na,0,1,1,1,2,2,1,maybe\n")
    with pytest.raises(TableError, match="row 3, column 'interpolated': 'maybe' must be True or False"):
        read_table(tmp_path / "tracks.csv", TRACKS)


def test_an_inverted_box_and_a_doubled_row_are_refused_before_anything_is_written(tmp_path):
    detection = {"video_id": "1", "frame": 0, "x1": 5.0, "y1": 1.0, "x2": 3.0, "y2": 2.0, "score": 0.5}
    with pytest.raises(TableError, match="x2 must be greater than x1"):
        write_table(pd.DataFrame([detection]), tmp_path / "d.parquet", DETECTIONS, {})
    clip = {"video_id": "1", "track_id": 0, "clip_index": 0, "start_frame": 0, "score": 0.5}
    with pytest.raises(TableError, match="more than once"):
        write_table(pd.DataFrame([clip, clip]), tmp_path / "c.parquet", CLIPS, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("schema", [MANIFEST, DETECTIONS, TRACKS, CLIPS, PREDICTIONS, READERS], ids=lambda s: s.name)
def test_a_table_without_rows_is_a_valid_file(schema, tmp_path):
    path = tmp_path / "empty.parquet"
    write_table(empty_table(schema), path, schema, {})
    assert read_table(path, schema).empty
