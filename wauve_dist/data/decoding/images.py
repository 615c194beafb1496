"""Still images as videos: one file is a video of one frame, a folder a video of its files in order of name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from wauve_dist.data.decoding.video import GreyFrame, VideoError, VideoInfo

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def is_images(path: Path) -> bool:
    """Whether ``path`` is read here: a folder, or a file with an image's suffix."""
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES


def check_images(path: Path) -> VideoInfo:
    """Read every header, decode the first and the last image.

    Raises:
        VideoError: no image, something else among the images, an ambiguous order, unequal sizes, a broken image.
    """
    files = _frame_files(path)
    headers = [_header(file) for file in files]
    for file, header in zip(files, headers, strict=True):
        if header[:2] != headers[0][:2]:
            raise _unequal(file, header[:2], files[0], headers[0][:2])
    for file in {files[0], files[-1]}:
        _decode(file)
    width, height, codec = headers[0]
    return VideoInfo(len(files), width, height, None, codec)


def decode_images(path: Path) -> Iterator[GreyFrame]:
    """Yield uint8 [H, W] per image. Orientation tags are not applied: boxes refer to the stored pixels.

    Raises:
        VideoError: as ``check_images``.
    """
    files = _frame_files(path)
    size = None
    for file in files:
        frame = _decode(file)
        size = size or frame.shape
        if frame.shape != size:
            raise _unequal(file, frame.shape[::-1], files[0], size[::-1])
        yield frame


def _frame_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted((entry for entry in path.iterdir() if not entry.name.startswith(".")), key=lambda file: file.name)
    for file in files:
        if file.suffix.lower() not in IMAGE_SUFFIXES:
            raise VideoError(
                f"{path}: holds {file.name!r}, which is not an image ({', '.join(IMAGE_SUFFIXES)}). "
                "A folder is a video only if it holds frames and nothing else; move the rest away."
            )
    if not files:
        raise VideoError(
            f"{path}: is a folder without images, a video of zero frames. Correct the path or drop the row."
        )
    for text_order, number_order in zip(files, sorted(files, key=_by_number), strict=True):
        if text_order != number_order:
            raise VideoError(
                f"{path}: the order of its frames is ambiguous: {text_order.name!r} sorts as text where "
                f"{number_order.name!r} stands by number. Pad the numbers with zeros (000002.png)."
            )
    return files


def _by_number(file: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", file.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _header(file: Path) -> tuple[int, int, str]:
    with _opened(file) as image:
        return image.width, image.height, (image.format or "").lower()


def _decode(file: Path) -> GreyFrame:
    with _opened(file) as image:
        try:
            return np.array(image.convert("L"))
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow's readers raise on broken data
            raise VideoError(f"{file}: the image is truncated or broken ({error}). Copy it again.") from error


def _opened(file: Path) -> Image.Image:
    try:
        image = Image.open(file)
    except FileNotFoundError as error:
        raise VideoError(f"{file}: there is no such file. Correct the path.") from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise VideoError(f"{file}: is not a readable image ({error}). Copy or export it again.") from error
    if image.mode not in _EIGHT_BIT_MODES:
        raise VideoError(f"{file}: has pixels of mode {image.mode}. Export it with 8 bits per channel.")
    if getattr(image, "n_frames", 1) > 1:
        raise VideoError(f"{file}: holds several images. Export them as separate files in one folder.")
    return image


def _unequal(file: Path, size: tuple[int, ...], first: Path, first_size: tuple[int, ...]) -> VideoError:
    return VideoError(
        f"{file}: is {size[0]}x{size[1]} pixels, but {first.name!r} is {first_size[0]}x{first_size[1]}. "
        "All frames of a video must have one size."
    )
