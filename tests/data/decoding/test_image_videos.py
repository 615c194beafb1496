import numpy as np
import pytest
from barcodes import HEIGHT, WIDTH, barcode, number_of
from PIL import Image

from wauve_dist.data.decoding import VideoError, check_video, decode_frames


def decode(path):
    return list(decode_frames(path))


def save(path, number=0, **options):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(barcode(number)).save(path, **options)
    return path


def test_a_folder_of_frames_is_a_video_in_order_of_name(tmp_path):
    for number in (2, 0, 1):
        save(tmp_path / "case" / f"{number:06d}.png", number)
    (tmp_path / "case" / ".DS_Store").write_bytes(b"left by a file manager")
    assert [number_of(frame) for frame in decode_frames(tmp_path / "case")] == [0, 1, 2]
    assert check_video(tmp_path / "case") == (3, WIDTH, HEIGHT, None, "png")


def test_a_single_image_is_a_video_of_one_frame(tmp_path):
    path = save(tmp_path / "still.JPG", 5, format="JPEG", quality=95)
    assert [number_of(frame) for frame in decode_frames(path)] == [5]
    assert check_video(path) == (1, WIDTH, HEIGHT, None, "jpeg")


def test_a_colour_image_becomes_its_luma(tmp_path):
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "red.png")
    (frame,) = decode_frames(tmp_path / "red.png")
    assert set(np.unique(frame)) == {76}  # 0.299 of 255, ITU-R BT.601


@pytest.mark.parametrize("check", [check_video, decode])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png", "2.png", "10.png"], "order of its frames is ambiguous"),
        (["1.png", "notes.txt"], "'notes.txt', which is not an image"),
        ([], "zero frames"),
    ],
)
def test_a_folder_that_is_no_plain_sequence_is_refused(tmp_path, check, names, message):
    folder = tmp_path / "case"
    folder.mkdir()
    for name in names:
        if name.endswith("png"):
            save(folder / name)
        else:
            (folder / name).write_text("text")
    with pytest.raises(VideoError, match=message):
        check(folder)


@pytest.mark.parametrize("check", [check_video, decode])
def test_frames_of_unequal_size_are_refused(tmp_path, check):
    save(tmp_path / "case" / "0.png")
    Image.new("L", (WIDTH, HEIGHT + 1)).save(tmp_path / "case" / "1.png")
    with pytest.raises(VideoError, match=r"1\.png: is 128x65 pixels, but '0\.png' is 128x64"):
        check(tmp_path / "case")


@pytest.mark.parametrize("check", [check_video, decode])
@pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_a_truncated_image_is_refused(tmp_path, check, share, suffix):
    path = tmp_path / f"still.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(VideoError, match="still"):
        check(path)


@pytest.mark.parametrize("check", [check_video, decode])
def test_sixteen_bits_are_refused_rather_than_cut_to_eight(tmp_path, check):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(VideoError, match="8 bits per channel"):
        check(tmp_path / "deep.png")


@pytest.mark.parametrize("check", [check_video, decode])
def test_a_missing_image_is_refused(tmp_path, check):
    with pytest.raises(VideoError, match="no such file"):
        check(tmp_path / "absent.png")
