"""What a study is: one YAML, every key of which is also an option of launch/study.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from jsonargparse import ArgumentParser

from wauve_dist.structures.clips import Inputs
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
    focality: float = 0.0


@dataclass(frozen=True)
class Comparator:
    """A classifier to compare with the study's own, trained and tested on the same tracks.

    Attributes:
        classifier: YAML of launch/train.py; the study sets its data.
        inputs: what it judges of a test video, each a model of the report (see ``launch/predict.py --inputs``).
        options: of launch/train.py, in which it differs from its YAML, such as ``--model.label_smoothing=0.1``.
    """

    classifier: Path
    inputs: tuple[Inputs, ...] = ("all",)
    options: tuple[str, ...] = ()


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
        comparators: by their names in the report, letters, digits, dots, dashes and underscores.
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
    comparators: Mapping[str, Comparator] = field(default_factory=dict)

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
        configs = {"detector": self.detector, "classifier": self.classifier}
        for name, comparator in self.comparators.items():
            if not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII):
                raise ValueError(
                    f"comparators: {name!r} names folders too. Use letters, digits, dots, dashes and underscores."
                )
            if not comparator.inputs or len(set(comparator.inputs)) < len(comparator.inputs):
                raise ValueError(f"comparators: {name}: inputs must name at least one, each once.")
            configs[f"comparators: {name}"] = comparator.classifier
        for name, path in configs.items():
            if not path.is_file():
                raise ValueError(f"{name}: there is no config file {path}.")


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
