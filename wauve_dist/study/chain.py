"""The whole study, from videos to a report, as a chain of resumable stages.

    data -> detector -> tracks -> classifier -> predictions -> report

Comparators are trained on the same tracks and judge the test videos along the tracks of the first predictions, so that
the detector runs once and models differ in nothing but the classifier.

Each stage is one command of ``launch/``, so whatever the chain does can be done, and done again, by hand.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wauve_dist.cluster.training_config import resolved_config
from wauve_dist.structures.provenance import atomic_write, claim_folder
from wauve_dist.study.config import StudyConfig
from wauve_dist.study.result import print_result
from wauve_dist.study.stages import Stage, StageError, remove_from

_STUDY_RECORD = "study.json"

_INPUTS_WORDS = {
    "all": "all ROI frames",
    "primary_track": "ROI frames of the primary track",
    "one_key_frame": "one key frame",
    "two_key_frames": "two key frames",
}


def stages_of(config: StudyConfig) -> list[Stage]:
    """List a study's stages in the order in which they run."""
    out = config.out
    seed = str(config.seed)
    stages = []
    if config.synthetic:
        options = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(config.synthetic).items()]
        command = ("prepare.py", "synthetic", f"--out={out / 'data'}", f"--seed={seed}", *options)
        stages.append(Stage("data", out / "data", command))
    manifest = config.manifest or out / "data" / "manifest.csv"
    annotations = config.annotations or out / "data" / "annotations.json"
    tracks = out / "tracks" / "tracks.parquet"
    detector = out / "detector" / "checkpoints" / "best.ckpt"
    classifier = out / "classifier" / "checkpoints" / "best.ckpt"

    def training(name: str, yaml: Path, *data: str) -> tuple[str, ...]:
        return (
            "train.py",
            f"--config={yaml}",
            f"--out={out / name}",
            f"--seed_everything={seed}",
            f"--wandb={config.wandb}",
            f"--data.manifest={manifest}",
            f"--data.cache_dir={out / 'cache'}",
            *data,
        )

    find = ("predict.py", f"--videos={manifest}", f"--detector={detector}")
    stages += [
        Stage(
            "detector",
            out / "detector",
            training("detector", config.detector, f"--data.annotations={annotations}"),
            (config.detector, manifest, annotations),
        ),
        Stage(
            "tracks",
            out / "tracks",
            ("prepare.py", "tracks", f"--annotations={annotations}", f"--out={out / 'tracks'}"),
            (annotations,),
        )
        if config.training_tracks == "annotations"
        else Stage("tracks", out / "tracks", (*find, f"--out={out / 'tracks'}"), (manifest, detector)),
        Stage(
            "classifier",
            out / "classifier",
            training("classifier", config.classifier, f"--data.tracks={tracks}"),
            (config.classifier, manifest, tracks),
        ),
        Stage(
            "predictions",
            out / "predictions",
            (
                *find,
                "--split=test",
                f"--classifier={classifier}",
                "--model=WAUVE",
                f"--call-threshold={config.threshold}",
                f"--out={out / 'predictions'}",
            ),
            (manifest, detector, classifier),
        ),
    ]
    found = out / "predictions" / "tracks.parquet"
    predictions = [out / "predictions" / "predictions.csv"]
    for name, comparator in config.comparators.items():
        trained = Stage(
            f"classifier-{name}",
            out / f"classifier-{name}",
            training(f"classifier-{name}", comparator.classifier, f"--data.tracks={tracks}", *comparator.options),
            (comparator.classifier, manifest, tracks),
        )
        stages.append(trained)
        weights = trained.folder / "checkpoints" / "best.ckpt"
        for inputs in comparator.inputs:
            several = len(comparator.inputs) > 1
            stage = f"predictions-{name}-{inputs}" if several else f"predictions-{name}"
            judge = (
                "predict.py",
                f"--videos={manifest}",
                "--split=test",
                f"--tracks={found}",
                f"--classifier={weights}",
                f"--inputs={inputs}",
                f"--model={name}, {_INPUTS_WORDS[inputs]}" if several else f"--model={name}",
                f"--call-threshold={config.threshold}",
                f"--out={out / stage}",
            )
            stages.append(Stage(stage, out / stage, judge, (manifest, found, weights)))
            predictions.append(out / stage / "predictions.csv")
    return [
        *stages,
        Stage(
            "report",
            out / "report",
            (
                "evaluate.py",
                "--predictions",
                *map(str, predictions),
                f"--detections={out / 'predictions' / 'detections.parquet'}",
                f"--tracks={out / 'predictions' / 'tracks.parquet'}",
                f"--annotations={annotations}",
                f"--threshold={config.threshold}",
                f"--resamples={config.resamples}",
                f"--seed={seed}",
                f"--out={out / 'report'}",
            ),
            (
                *predictions,
                *(out / "predictions" / name for name in ("detections.parquet", "tracks.parquet", "clips.parquet")),
                annotations,
            ),
        ),
    ]


def run_study(config: StudyConfig, launch_folder: Path, redo: str | None = None) -> None:
    """Run every stage that is not done yet, then print the result.

    Args:
        config: the study.
        launch_folder: where the scripts of ``launch/`` lie.
        redo: name of a stage to make anew, with all that follow.

    Raises:
        FileExistsError: ``config.out`` holds something that is not a study.
        StageError: a stage failed or is out of date.
    """
    from rich.console import Console

    console = Console()
    stages = open_study(config, redo)
    if not all(stage.record.exists() for stage in stages):
        for stage in stages:
            if stage.is_training:
                training_config(stage, launch_folder)
    for number, stage in enumerate(stages, start=1):
        title = f"[bold]{number}/{len(stages)} {stage.name}[/bold]"
        if stage.is_done():
            console.print(f"{title}: done before, kept")
            continue
        console.rule(title)
        console.print(f"{title}: took {stage.run(launch_folder):.0f} s")
    print_result(config)


def open_study(config: StudyConfig, redo: str | None = None) -> list[Stage]:
    """Claim a new study's folder, or take up an old one; return its stages.

    Raises:
        FileExistsError: ``config.out`` holds something that is not a study.
        StageError: there is no stage ``redo``.
    """
    stages = stages_of(config)
    if not (config.out / _STUDY_RECORD).exists():
        claim_folder(config.out)
        with atomic_write(config.out / _STUDY_RECORD) as temporary:
            temporary.write_text(json.dumps(asdict(config), default=str, indent=2) + "\n")
    if redo:
        remove_from(redo, stages)
    return stages


def training_config(stage: Stage, launch_folder: Path) -> dict[str, Any]:
    """Resolve a training's config: a faulty one is refused now, not after the stages before it.

    Raises:
        StageError: names the stage and its config's fault.
    """
    try:
        return resolved_config(launch_folder, stage.command[1:])
    except ValueError as error:
        raise StageError(f"The config of stage {stage.name} is faulty. {error}") from error
