"""What ``--videos`` may name: a manifest, one video, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from wauve_dist.data.decoding.images import IMAGE_SUFFIXES
from wauve_dist.structures.tables import MANIFEST, TableError, read_manifest, validated

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


def list_videos(source: Path, split: str | None = None) -> pd.DataFrame:
    """List the videos that ``source`` names, as a manifest.

    - ``*.csv``: a manifest.
    - a file: one video; its id is the file's name without the suffix.
    - a folder: every video file in it and below. A folder that directly holds images is one video, its frames sorted
      by name; images that do not belong together come in as a manifest. Ids are paths relative to ``source`` without
      suffix. Hidden files, and files that are neither images nor videos by their suffix, are no videos.

    Without a manifest every video is a patient of its own and has no label.

    Args:
        source: manifest, file or folder.
        split: keep the manifest's videos of this split only; None keeps all.

    Returns:
        Rows of ``manifest.csv`` with absolute paths, in the manifest's order or sorted by id.

    Raises:
        TableError: nothing there, no video in it, a split that does not exist, or one id for two videos.
    """
    if not source.exists():
        raise TableError(f"--videos {source}: there is no such file or folder.")
    if source.is_file() and source.suffix.lower() == ".csv":
        return _of_split(read_manifest(source), source, split)
    if split is not None:
        raise TableError(f"--split {split} needs a manifest with a 'split' column; --videos {source} is none.")
    if source.is_dir():
        found = sorted(_videos_below(source))
        if not found:
            raise TableError(
                f"--videos {source}: the folder holds neither videos ({', '.join(VIDEO_SUFFIXES)}) nor image "
                f"frames ({', '.join(IMAGE_SUFFIXES)})."
            )
        ids = [_video_id(path, source) for path in found]
    else:
        found, ids = [source], [source.stem]
    manifest = pd.DataFrame({"video_id": ids, "patient_id": ids, "path": [str(path.absolute()) for path in found]})
    manifest["label"] = pd.array([pd.NA] * len(manifest), dtype="Int64")
    if (doubled := manifest[manifest["video_id"].duplicated(keep=False)]).size:
        raise TableError(
            f"--videos {source}: {' and '.join(doubled['path'])} differ in their suffix only, which would give them "
            "one video id. Rename them, or list them in a manifest.csv with columns video_id, patient_id, path."
        )
    return validated(manifest, MANIFEST, source)


def _of_split(manifest: pd.DataFrame, source: Path, split: str | None) -> pd.DataFrame:
    if split is not None:
        if "split" not in manifest:
            raise TableError(f"{source} has no 'split' column, so --split {split} selects nothing. Leave it out.")
        splits = sorted(manifest["split"].dropna().unique())
        manifest = manifest[manifest["split"] == split].reset_index(drop=True)
        if manifest.empty:
            raise TableError(f"{source} has no video with split {split!r}; it has {', '.join(splits) or 'none'}.")
    elif manifest.empty:
        raise TableError(f"{source} lists no video.")
    return manifest


def _videos_below(folder: Path) -> Iterator[Path]:
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    videos = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in VIDEO_SUFFIXES]
    images = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES]
    if videos and images:
        raise TableError(
            f"{folder} holds videos ({videos[0].name}) and images ({images[0].name}): are the images frames of a video "
            "of their own? Move one kind elsewhere, or list the videos in a manifest.csv."
        )
    if images:
        yield folder
    yield from videos
    for entry in entries:
        if entry.is_dir():
            yield from _videos_below(entry)


def _video_id(path: Path, source: Path) -> str:
    if path == source:
        return path.absolute().name
    relative = path.relative_to(source)
    return (relative if path.is_dir() else relative.with_suffix("")).as_posix()
