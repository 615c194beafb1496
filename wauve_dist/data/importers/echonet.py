"""EchoNet-Dynamic (Ouyang et al., "Video-based AI for beat-to-beat assessment of cardiac function", Nature 2020).

Echocardiograms, so another task: a bed to test decoding and scale on. ``FileList.csv`` lists ``Videos/*.avi``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wauve_dist.data.importers.dataset import ImportedDataset, SourceDataError, refuse
from wauve_dist.structures.tables import SPLITS

_NEEDED = ("FileName", "Split")
_KEPT = {"EF": "ef", "ESV": "esv", "EDV": "edv", "NumberOfFrames": "num_frames"}


def import_echonet(folder: Path) -> ImportedDataset:
    """Read the list; splits are the published ones, every video is a patient of its own and has no label.

    Args:
        folder: holds ``FileList.csv`` and ``Videos/``.

    Raises:
        SourceDataError: no list, a column or video that is missing, an unknown split.
    """
    source = folder / "FileList.csv"
    if not source.is_file():
        raise SourceDataError(f"{source}: there is no such file. Name the folder that holds FileList.csv and Videos/.")
    listed = pd.read_csv(source, dtype=str)
    if missing := [name for name in _NEEDED if name not in listed]:
        raise SourceDataError(f"{source}: column {missing[0]!r} is missing. Give the published FileList.csv.")
    names = listed["FileName"].str.removesuffix(".avi")
    paths = [folder / "Videos" / f"{name}.avi" for name in names]
    splits = listed["Split"].str.lower()
    refuse(
        [
            f"{source} row {row + 2}: {path.name!r} is not in {path.parent}. Complete the download, or drop the row."
            for row, path in enumerate(paths)
            if not path.is_file()
        ]
        + [
            f"{source} row {row + 2}, column 'Split': {listed['Split'][row]!r} must be one of TRAIN, VAL, TEST."
            for row in listed.index[~splits.isin(SPLITS)]
        ]
    )
    manifest = pd.DataFrame(
        {"video_id": names, "patient_id": names, "path": [str(path.resolve()) for path in paths], "split": splits}
    )
    manifest["label"] = pd.array([pd.NA] * len(manifest), "Int64")
    kept = {ours: listed[theirs] for theirs, ours in _KEPT.items() if theirs in listed}
    notes = ["Echocardiograms have no breast lesion: every label is empty."]
    return ImportedDataset(manifest.assign(**kept), None, notes, {"file_list": source})
