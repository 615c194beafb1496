from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import yaml
from pytorch_lightning.loggers import CSVLogger

from wauve_dist.data.datamodules import FrameDataModule
from wauve_dist.tasks.detection import DetectionTask
from wauve_dist.training.logging.anchor_report import AnchorReport


class Boxes(FrameDataModule):
    """The boxes of 100x80 frames, without the frames."""

    def __init__(self, boxes):
        self._boxes = boxes

    def training_boxes(self):
        boxes = np.array(self._boxes, np.float32).reshape(-1, 4)
        return boxes, np.tile((100, 80), (len(boxes), 1))


@pytest.fixture
def report(tmp_path):
    def make(boxes, training_sizes=()):
        optimisation = dict(optimizer="sgd", lr=0.1, lr_batch_size=None, weight_decay=0.0, schedule="cosine")
        detector = dict(num_proposals=5, num_sampled_rois=8, score_threshold=0.05, nms_iou=0.5, max_detections=1)
        task = DetectionTask(
            image_size=200,
            anchor_sizes=[16, 32, 64, 96, 128],
            anchor_ratios=[1.0],
            **detector,
            **optimisation,
            warmup_fraction=0.0,
            training_sizes=training_sizes,
        )
        trainer = pl.Trainer(accelerator="cpu", logger=CSVLogger(tmp_path), enable_checkpointing=False)
        trainer.datamodule = Boxes(boxes)
        AnchorReport().on_fit_start(trainer, task)
        trainer.logger.save()
        path = Path(trainer.logger.log_dir) / "hparams.yaml"
        return yaml.safe_load(path.read_text())["anchors"] if path.exists() else None

    return make


def test_figures_in_pixels_of_the_resized_frame_are_printed_and_kept_in_the_run_s_record(report, capsys):
    kept = report([(24, 24, 56, 56)] * 3)
    assert kept["boxes"] == 3
    assert kept["width_50"] == kept["height_95"] == 64
    assert kept["iou70_share"] == 1
    assert "3 training boxes" in capsys.readouterr().out


def test_a_box_counts_at_every_size_that_is_trained_at(report):
    kept = report([(24, 24, 56, 56)], training_sizes=[100, 300])
    assert (kept["boxes"], kept["width_5"], kept["width_95"]) == (2, pytest.approx(35.2), pytest.approx(92.8))


def test_lesions_that_no_anchor_fits_are_warned_of_with_the_flags_to_set(report):
    with pytest.warns(UserWarning, match=r"Only 0\.0% .* --model\.anchor_sizes '\[.* would reach 100\.0%"):
        report([(10, 30, 90, 36)] * 4)


def test_a_training_without_any_lesion_is_warned_of(report):
    with pytest.warns(UserWarning, match="No training frame has a box"):
        assert report([]) is None
