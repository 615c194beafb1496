"""The whole study, from videos to a report, as a chain of resumable stages.

    data -> detector -> tracks -> classifier -> predictions -> report

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
from wauve_dist.study.stages import Stage, StageError, remove_from

_STUDY_RECORD = "study.json"


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
        Stage(
            "report",
            out / "report",
            (
                "evaluate.py",
                f"--predictions={out / 'predictions' / 'predictions.csv'}",
                f"--detections={out / 'predictions' / 'detections.parquet'}",
                f"--annotations={annotations}",
                f"--threshold={config.threshold}",
                f"--resamples={config.resamples}",
                f"--seed={seed}",
                f"--out={out / 'report'}",
            ),
            (
                *(out / "predictions" / name for name in ("predictions.csv", "detections.parquet", "clips.parquet")),
                annotations,
            ),
        ),
    ]
    return stages


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


def print_result(config: StudyConfig) -> None:
    """Print the figures of a study that is done, and where its report is."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    report = config.out / "report"
    metrics = json.loads((report / "metrics.json").read_text())
    table = Table(title=f"Test set: {metrics['n']} videos, {metrics['positives']} malignant")
    for column in ("Metric", "Value", "95 % interval"):
        table.add_column(column, justify="left" if column == "Metric" else "right")
    rows = [(words, model[name]) for model in metrics["models"].values() for name, words in _RESULT_ROWS.items()]
    rows.append(("Detector AP50", metrics["detection"]["ap50_interval"]))
    for words, metric in rows:
        # A figure can be undefined, such as the PPV where no video is called malignant.
        value, low, high = (
            "undefined" if metric[key] is None else f"{metric[key]:.3f}" for key in ("value", "ci_low", "ci_high")
        )
        table.add_row(words, value, f"{low} to {high}")
    console.print(table)
    console.print(f"Report: {report / 'report.html'}")


_RESULT_ROWS = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
    "f1": "F1",
}
