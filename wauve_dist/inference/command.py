"""What launch/predict.py does: files in, files out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from wauve_dist.inference.checkpoints import DeviceName, load_task, pick_device, run_name
from wauve_dist.inference.prediction import PredictionSettings, predict
from wauve_dist.inference.videos import list_videos
from wauve_dist.tasks.classification import ClassificationTask
from wauve_dist.tasks.detection import DetectionTask
from wauve_dist.tracking.linker import LinkerSettings


def predict_command(
    videos: Path,
    split: str | None,
    detector: Path,
    classifier: Path | None,
    out: Path,
    device: DeviceName,
    batch_size: int,
    call_threshold: float,
    model: str | None,
    overlay: bool,
    linker: Mapping[str, Any],
) -> None:
    """Load models from checkpoints, predict, and say what came of it.

    Args:
        videos: manifest.csv, video, or folder of videos (see ``list_videos``).
        split: of the manifest; None takes all videos.
        detector: checkpoint of a ``DetectionTask``.
        classifier: checkpoint of a ``ClassificationTask``; None stops after the tracks.
        out: new or empty folder.
        device: where the models run.
        batch_size: frames, or clips, in a call of a model.
        call_threshold: scores from here on are shown as malignant in pictures, 0..1.
        model: name that predictions.csv gives to its maker; None takes the run folder's.
        overlay: also write overlays/<video_id>.mp4.
        linker: fields of ``LinkerSettings`` that differ from its defaults.

    Raises:
        ValueError: a fault in the input, as named by the functions called.
        FileExistsError: ``out`` holds something.
    """
    console = Console(stderr=True)
    settings = PredictionSettings(
        LinkerSettings(**linker), batch_size, call_threshold, model or run_name(classifier or detector), overlay
    )
    manifest = list_videos(videos, split)
    chosen = pick_device(device)
    made_from = {"videos": videos, "detector": detector}
    find = load_task(DetectionTask, detector, "--detector", chosen)
    judge = None
    if classifier is not None:
        judge = load_task(ClassificationTask, classifier, "--classifier", chosen)
        made_from["classifier"] = classifier
    console.print(f"{len(manifest)} videos on {chosen}")
    predictions = predict(manifest, find, judge, out, settings, made_from)
    if predictions is not None:
        missed = predictions.loc[predictions["num_clips"] == 0, "video_id"].tolist()
        if missed:
            console.print(
                f"[bold yellow]No lesion found in {len(missed)} of {len(predictions)} videos:[/] {', '.join(missed)}"
            )
    console.print(f"Written: {out}")
