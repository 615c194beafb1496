"""Sweeps with a bright spot, and models that need no training: what they must find is known beforehand."""

from types import SimpleNamespace

import av
import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from torch.nn import functional

from wauve_dist.models.classifiers.clip_classifier import ClipScores
from wauve_dist.structures.boxes import Detections
from wauve_dist.structures.clips import ClipRule

HEIGHT, WIDTH = 96, 128


class SpotDetector:
    """Boxes around connected regions brighter than half, scored by their brightest pixel."""

    device = torch.device("cpu")

    def __init__(self):
        self.batch_sizes = []

    def detect(self, frames):
        self.batch_sizes.append(len(frames))
        return [self._detect(frame) for frame in frames.numpy()]

    def _detect(self, frame):
        regions, _ = ndimage.label(frame > 127)
        found = ndimage.find_objects(regions)
        boxes = [[columns.start, rows.start, columns.stop, rows.stop] for rows, columns in found]
        scores = [frame[region].max() / 255 for region in found]
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))


class BrightnessNetwork:
    """Maps of cells of 2 frames and 8x8 pixels: by how much each is brighter than half."""

    map_kind = "attention"  # evenly divided, as no trunk with strides divides a clip

    def maps(self, clips):
        return functional.avg_pool3d((clips.float() / 255 - 0.5)[:, None], (2, 8, 8))[:, 0]


class BrightnessClassifier:
    """The mean brightness of a clip."""

    device = torch.device("cpu")
    hparams = SimpleNamespace(crop_size=32, roi_context=1.0)
    clip_rule = ClipRule()
    classifier = BrightnessNetwork()

    def __init__(self):
        self.shapes = []

    def score_clips(self, clips, facts=None):
        assert clips.dtype == torch.uint8
        self.shapes.append(tuple(clips.shape))
        return ClipScores(torch.logit(clips.float().mean(dim=(1, 2, 3)) / 255), None)


class AttendingClassifier(BrightnessClassifier):
    """Listens the more to a clip the brighter it is."""

    def score_clips(self, clips, facts=None):
        logits = super().score_clips(clips, facts).logits
        return ClipScores(logits, 3 * logits.sigmoid())


def sweep(num_frames, spots):
    """Frames with bright squares; spots: (first frame, last frame exclusive, x, y, side, brightness)."""
    frames = np.full((num_frames, HEIGHT, WIDTH), 20, np.uint8)
    for first, stop, x, y, side, brightness in spots:
        frames[first:stop, y : y + side, x : x + side] = brightness
    return frames


def write_video(path, frames):
    """Write frames without loss (FFV1 in AVI), so that a box is where it was drawn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "gray"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return path


def manifest_of(paths, **columns):
    """Rows of a manifest for these videos."""
    ids = [path.stem for path in paths]
    return pd.DataFrame({"video_id": ids, "patient_id": ids, "path": [str(path) for path in paths], **columns})
