"""What launch/predict.py does: files in, files out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console

from wauve_dist.data.decoding import Decoder
from wauve_dist.data.manifest_columns import missing_counts
from wauve_dist.inference.checkpoints import CheckpointError, DeviceName, load_task, pick_device, run_name
from wauve_dist.inference.prediction import predict
from wauve_dist.inference.video_prediction import Models, PredictionSettings
from wauve_dist.inference.videos import list_videos
from wauve_dist.models.detectors.backends import Backend
from wauve_dist.structures.clips import Inputs, KeyFrameRule
from wauve_dist.structures.sectors import sectors_of
from wauve_dist.structures.tables import TRACKS, read_table
from wauve_dist.tasks.classification import ClassificationTask
from wauve_dist.tasks.detection import DetectionTask
from wauve_dist.tracking.linker import LinkerSettings


def predict_command(
    videos: Path,
    split: str | None,
    detector: Path | None,
    detector_backend: Backend | None,
    tracks: Path | None,
    classifier: Path | None,
    inputs: Inputs | None,
    key_frames: KeyFrameRule | None,
    test_time_flips: bool | None,
    out: Path,
    device: DeviceName,
    processes: int | None,
    decoder: Decoder,
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
        detector: checkpoint of a ``DetectionTask``; None with ``tracks``.
        detector_backend: library that computes it; None takes the one that trained it.
        tracks: tracks.parquet of an earlier prediction of these videos, in place of a detector.
        classifier: checkpoint of a ``ClassificationTask``; None stops after the tracks.
        inputs: what is judged of a video (see ``ClipRule``); None judges what the classifier was validated on.
        key_frames: where key frames come from (see ``ClipRule``); None, likewise.
        test_time_flips: score mirror images too (see ``ClassificationTask``); None, likewise.
        out: new or empty folder.
        device: where the models run.
        processes: that share the videos; None takes one a GPU, or one.
        decoder: of the videos (see ``decoding.decode_frames``).
        batch_size: frames, or clips, in a call of a model.
        call_threshold: scores from here on are shown as malignant in pictures, 0..1.
        model: name that predictions.csv gives to its maker; None takes the run folder's.
        overlay: also write overlays/<video_id>.mp4 and contact_sheets/<video_id>.jpg.
        linker: fields of ``LinkerSettings`` that differ from its defaults.

    Raises:
        ValueError: a fault in the input, as named by the functions called.
        FileExistsError: ``out`` holds something.
    """
    console = Console(stderr=True)
    made_by = classifier or detector
    assert made_by is not None, "a detector, or known tracks and a classifier"
    settings = PredictionSettings(
        LinkerSettings(**linker), batch_size, call_threshold, model or run_name(made_by), overlay, decoder
    )
    manifest = list_videos(videos, split)
    chosen = pick_device(device)
    sources = {"videos": videos, "detector": detector, "tracks": tracks, "classifier": classifier}
    made_from = {role: path for role, path in sources.items() if path is not None}
    known_tracks = None if tracks is None else _known_tracks(tracks, manifest)
    if processes is None:
        processes = torch.cuda.device_count() if chosen.type == "cuda" else 1
    elif processes < 1:
        raise ValueError(f"--processes {processes}: at least one is needed.")
    console.print(f"{len(manifest)} videos on {chosen}" + (f", {processes} processes" if processes > 1 else ""))
    options = {"inputs": inputs, "key_frames": key_frames, "test_time_flips": test_time_flips}
    changes = {name: value for name, value in options.items() if value is not None}
    load_models = partial(_load_models, detector, detector_backend, classifier, changes, chosen, manifest)
    predictions = predict(manifest, load_models, processes, out, settings, made_from, known_tracks)
    if predictions is not None:
        missed = predictions.loc[predictions["num_clips"] == 0, "video_id"].tolist()
        if missed:
            console.print(
                f"[bold yellow]No lesion found in {len(missed)} of {len(predictions)} videos:[/] {', '.join(missed)}"
            )
    console.print(f"Written: {out}")


def _known_tracks(path: Path, videos: pd.DataFrame) -> pd.DataFrame:
    tracks = read_table(path, TRACKS)
    if not tracks.empty and not tracks["video_id"].isin(videos["video_id"]).any():
        raise ValueError(f"--tracks {path}: has none of the videos. Were it and --videos made from the same data?")
    return tracks


def _load_models(
    detector: Path | None,
    detector_backend: Backend | None,
    classifier: Path | None,
    changes: Mapping[str, Any],
    device: torch.device,
    videos: pd.DataFrame,
    process: int,
) -> Models:
    if device.type == "cuda":
        device = torch.device("cuda", process % torch.cuda.device_count())
        torch.cuda.set_device(device)  # DALI decodes there
    finder = None if detector is None else _load_detector(detector, detector_backend, device, bool(sectors_of(videos)))
    if classifier is None:
        return Models(finder, None)
    judge = load_task(ClassificationTask, classifier, "--classifier", device, **changes)
    if process == 0 and (words := _scoring(judge, videos)):
        Console(stderr=True).print(f"Scores: {words}")
    return Models(finder, judge)


def _load_detector(path: Path, backend: Backend | None, device: torch.device, on_sectors: bool) -> DetectionTask:
    """Load a detector that is used to what it will see: cut to the scan, lesions are larger, and no text is by."""
    changes = {} if backend is None else {"backend": backend}
    detector = load_task(DetectionTask, path, "--detector", device, **changes)
    if detector.on_sectors and not on_sectors:
        raise CheckpointError(
            f"--detector {path}: was trained on frames cut to their sectors, and --videos gives none. Give a manifest "
            "with sectors: launch/prepare.py sectors --manifest MANIFEST --out DIR writes one."
        )
    if on_sectors and not detector.on_sectors:
        raise CheckpointError(
            f"--detector {path}: was trained on whole frames, and the manifest of --videos gives sectors to cut them "
            "to. Train a detector with such a manifest, or leave the sector_ columns out here."
        )
    detector.detector.prepare_prediction()
    return detector


def _scoring(classifier: ClassificationTask, videos: pd.DataFrame) -> str:
    """Say what scores take in beside the clips; empty where they are the paper's."""
    words = []
    if (temperature := classifier.hparams["temperature"]) != 1:
        words.append(f"logits divided by {temperature:.3f}, fitted to the validation videos")
    if classifier.hparams["test_time_flips"]:
        words.append("with mirror images")
    if classifier.attention is not None:
        words.append("clips weighed by learned attention")
    if names := classifier.hparams["covariates"]:
        words.append(f"with {', '.join(names)}")
        if missing := missing_counts(videos, names):
            words.append(f"[bold yellow]missing:[/] {missing}")
    return "; ".join(words)
