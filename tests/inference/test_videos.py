import pytest

from wauve_dist.inference.videos import list_videos
from wauve_dist.structures.tables import TableError


def _touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"anything: contents are checked later, and then a bad file is an error")


def test_one_file_is_a_patient_of_its_own_without_a_label(tmp_path):
    _touch(tmp_path / "P01.left.AVI")
    row = list_videos(tmp_path / "P01.left.AVI").iloc[0]
    assert (row["video_id"], row["patient_id"]) == ("P01.left", "P01.left")
    assert row["path"] == str(tmp_path / "P01.left.AVI")
    assert row[["label"]].isna().all()


def test_a_folder_gives_every_video_below_it_and_each_folder_of_images_as_one(tmp_path):
    _touch(
        tmp_path / "b.avi",
        tmp_path / "deep" / "er" / "a.mp4",
        tmp_path / "benign" / "x1" / "000000.png",
        tmp_path / "benign" / "x1" / "000001.png",
        tmp_path / "notes.txt",
        tmp_path / ".hidden" / "c.avi",
        tmp_path / ".d.avi",
    )
    videos = list_videos(tmp_path)
    assert videos["video_id"].tolist() == ["b", "benign/x1", "deep/er/a"]
    assert videos["path"].tolist() == [str(tmp_path / name) for name in ("b.avi", "benign/x1", "deep/er/a.mp4")]


def test_a_folder_of_images_is_one_video(tmp_path):
    _touch(tmp_path / "sweep" / "0.png", tmp_path / "sweep" / "1.png")
    assert list_videos(tmp_path / "sweep")["video_id"].tolist() == ["sweep"]


def test_images_beside_videos_are_ambiguous(tmp_path):
    _touch(tmp_path / "a.avi", tmp_path / "still.png")
    with pytest.raises(TableError, match=r"holds videos \(a.avi\) and images \(still.png\)"):
        list_videos(tmp_path)


def test_two_files_with_one_id_are_refused(tmp_path):
    _touch(tmp_path / "a.avi", tmp_path / "a.mp4")
    with pytest.raises(TableError, match="one video id"):
        list_videos(tmp_path)


def test_nothing_to_predict_is_an_error(tmp_path):
    _touch(tmp_path / "notes.txt")
    with pytest.raises(TableError, match="holds neither videos"):
        list_videos(tmp_path)
    with pytest.raises(TableError, match="no such file or folder"):
        list_videos(tmp_path / "gone")


@pytest.fixture
def manifest(tmp_path):
    _touch(tmp_path / "a.avi", tmp_path / "b.avi")
    path = tmp_path / "manifest.csv"
    path.write_text("video_id,patient_id,path,split,site\nb,p1,b.avi,test,north\na,p2,a.avi,train,south\n")
    return path


def test_a_manifest_keeps_its_order_and_columns(manifest):
    videos = list_videos(manifest)
    assert videos["video_id"].tolist() == ["b", "a"]
    assert videos["site"].tolist() == ["north", "south"]


def test_a_split_selects(manifest):
    assert list_videos(manifest, "test")["video_id"].tolist() == ["b"]
    with pytest.raises(TableError, match="no video with split 'val'; it has test, train"):
        list_videos(manifest, "val")


def test_a_split_needs_a_column_to_select_by(manifest):
    with pytest.raises(TableError, match="needs a manifest"):
        list_videos(manifest.parent, "test")
    manifest.write_text("video_id,patient_id,path\na,p1,a.avi\n")
    with pytest.raises(TableError, match="no 'split' column"):
        list_videos(manifest, "test")


def test_an_empty_manifest_is_an_error(manifest):
    manifest.write_text("video_id,patient_id,path\n")
    with pytest.raises(TableError, match="lists no video"):
        list_videos(manifest)
