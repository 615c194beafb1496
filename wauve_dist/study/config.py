"""What a study is: one YAML, every key of which is also an option of launch/study.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from jsonargparse import ArgumentParser

from wauve_dist.training.config_errors import explained


@dataclass(frozen=True)
class SyntheticData:
    """Freehand sweeps made on the spot; see ``launch/prepare.py synthetic --help``."""

    num_videos: int
    frame_size: int
    codec: str
    min_frames: int
    max_frames: int
    val_fraction: float
    test_fraction: float


@dataclass(frozen=True)
class StudyConfig:
    """A study.

    Attributes:
        out: folder of the whole study, one sub-folder a stage.
        seed: of data, splits, training and resampling.
        detector: YAML of launch/train.py for the detector; the study sets its data.
        classifier: YAML of launch/train.py for the classifier; the study sets its data.
        training_tracks: what the classifier's training clips are cut along: the ``annotations``, or the tracks that
            the trained ``detector`` finds. Test videos are always scored along the detector's tracks.
        threshold: a score from here on calls a video malignant, 0..1.
        resamples: bootstrap resamples of the intervals.
        synthetic: make the data; or give ``manifest`` and ``annotations`` of your own.
        manifest: manifest.csv with splits and labels.
        annotations: COCO-VID boxes of its videos.
        wandb: mode of the training runs.
    """

    out: Path
    seed: int
    detector: Path
    classifier: Path
    training_tracks: Literal["annotations", "detector"]
    threshold: float
    resamples: int = 9999
    synthetic: SyntheticData | None = None
    manifest: Path | None = None
    annotations: Path | None = None
    wandb: Literal["offline", "online", "disabled"] = "offline"

    def __post_init__(self) -> None:
        """Check what no single field can tell.

        Raises:
            ValueError: the data are given twice or not at all, or a training config does not exist.
        """
        own = (self.manifest is not None) + (self.annotations is not None)
        if own != (0 if self.synthetic else 2):
            raise ValueError(
                "A study needs either 'synthetic' or both 'manifest' and 'annotations': set one side, leave the other."
            )
        for name in ("detector", "classifier"):
            if not getattr(self, name).is_file():
                raise ValueError(f"{name}: there is no config file {getattr(self, name)}.")


class _Parser(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise ValueError(explained(message, self)) from ex


def read_study_config(path: Path, overrides: Sequence[str]) -> StudyConfig:
    """Read a study's YAML; ``overrides`` are options such as ``--seed=2``.

    Raises:
        ValueError: an unknown key (the valid ones are named), a value of the wrong type, a missing key.
    """
    parser = _Parser(allow_abbrev=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(StudyConfig, None)
    namespace = parser.parse_args([f"--config={path}", *overrides])
    study = parser.instantiate(namespace)
    del study.config
    return StudyConfig(**vars(study))
