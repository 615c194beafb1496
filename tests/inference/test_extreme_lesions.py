"""A lesion of 20 pixels and one that fills the frame, in a short video, through the real networks."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from spots import BrightnessClassifier, sweep
from torch import nn

from wauve_dist.data.track_crops import cut_frames
from wauve_dist.inference.pipeline import score_tracks
from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.models.classifiers.resnet import ResNet50
from wauve_dist.models.classifiers.slowfast import SlowFastResNet50
from wauve_dist.models.classifiers.timesformer import TimeSformer
from wauve_dist.tasks.classification import ClassificationTask

TIMESFORMER = {"image_size": 64, "patch_size": 16, "hidden_size": 24, "num_layers": 2, "num_heads": 3}
CASES = {
    "I3D": (lambda: I3DResNet50(dropout=0.0), {}),
    "SlowFast": (lambda: SlowFastResNet50(dropout=0.0), {}),
    "TimeSformer": (lambda: TimeSformer(**TIMESFORMER, dropout=0.0), {}),
    "ResNet-50, all": (lambda: ResNet50(dropout=0.0), {}),
    "ResNet-50, one key frame": (lambda: ResNet50(dropout=0.0), {"inputs": "one_key_frame"}),
    "ResNet-50, two key frames": (lambda: ResNet50(dropout=0.0), {"inputs": "two_key_frames"}),
    "I3D, attention": (lambda: I3DResNet50(dropout=0.0), {"attention_pooling": True}),
}


@pytest.fixture(scope="module", params=CASES)
def task(request):
    torch.manual_seed(0)
    build, options = CASES[request.param]
    optimiser = dict(optimizer="sgd", lr=0.1, lr_batch_size=None, weight_decay=0, schedule="step", warmup_fraction=0)
    task = ClassificationTask(build(), crop_size=64, roi_context=1.0, **optimiser, **options).eval()
    for module in task.modules():  # zero-initialised norms would hide what the network sees
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.weight, 0.5, 1.0)
    nn.init.normal_(task.classifier.classifier.weight, std=0.1)
    if task.attention is not None:
        nn.init.normal_(task.attention.energy.weight)
    return task


def track_of(box_xyxy, num_frames, track_id=0):
    boxes = dict(zip(("x1", "y1", "x2", "y2"), map(float, box_xyxy), strict=True))
    return pd.DataFrame(
        {"track_id": track_id, "frame": range(num_frames), **boxes, "score": 0.9, "interpolated": False}
    )


@pytest.mark.parametrize("box_xyxy", [(30, 40, 50, 60), (0, 0, 96, 96)])
def test_the_score_is_the_network_s_on_the_cut_out_lesion(task, box_xyxy):
    frames = np.random.default_rng(0).integers(0, 256, (12, 96, 96), dtype=np.uint8)
    clips = score_tracks(partial(cut_frames, frames), track_of(box_xyxy, 12), task, batch_size=4)
    found = task.clip_rule.clips(track_of(box_xyxy, 12), ())
    assert len(clips) == len(found) > 0
    crops = [Image.fromarray(frame).resize((64, 64), Image.Resampling.BILINEAR, box=box_xyxy) for frame in frames]
    cut = [np.stack(crops[clip.start_frame : clip.start_frame + task.clip_length]) for clip in sorted(found)]
    expected = task.score_clips(torch.from_numpy(np.stack(cut)))
    # Where the frame ends, resizing within it and resizing what was cut out of it weigh the rim differently.
    assert clips["score"].to_numpy() == pytest.approx(expected.scores.numpy(), abs=1e-5 if box_xyxy[0] else 1e-2)


def test_order_and_batch_size_do_not_change_a_score(task):
    frames = np.random.default_rng(1).integers(0, 256, (30, 96, 96), dtype=np.uint8)
    tracks = pd.concat([track_of((10, 10, 50, 60), 30, 0), track_of((5, 40, 45, 90), 26, 1)], ignore_index=True)
    expected = score_tracks(partial(cut_frames, frames), tracks, task, batch_size=1)
    assert len(expected) == len(task.clip_rule.clips(tracks, ())) > 0
    assert len(expected) == 1 or expected["score"].std() > 1e-4  # else every score would agree with every other
    for batch_size, order in ((4, tracks), (64, tracks.sample(frac=1, random_state=0))):
        again = score_tracks(partial(cut_frames, frames), order, task, batch_size)
        pd.testing.assert_frame_equal(again, expected, atol=1e-5, rtol=0)


def test_a_video_of_4297_frames_gives_each_of_its_clips():
    frames = sweep(4297, [(0, 4297, 20, 30, 24, 153)])
    tracks = track_of((20, 30, 44, 54), 4297)
    clips = score_tracks(partial(cut_frames, frames), tracks, BrightnessClassifier(), batch_size=32)
    assert clips["start_frame"].tolist() == list(range(0, 4289, 8))
    assert clips["score"].to_numpy() == pytest.approx(np.full(537, 0.6), abs=0.04)
