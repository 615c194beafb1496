"""A checkpoint says which network it holds, in plain values."""

import pytest
import pytorch_lightning as pl
import torch

from wauve_dist.inference.checkpoints import CheckpointError, load_task
from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.models.classifiers.resnet import ResNet50
from wauve_dist.structures.clips import ClipRule
from wauve_dist.tasks.classification import ClassificationTask

OPTIMISER = dict(optimizer="adamw", lr=1e-3, lr_batch_size=8, weight_decay=0.0, schedule="step", warmup_fraction=0.0)
CPU = torch.device("cpu")


def make_task(classifier, **changes):
    return ClassificationTask(classifier, **{"crop_size": 64, "roi_context": 1.5, **OPTIMISER, **changes})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    task = make_task(ResNet50(dropout=0.25), milestones=[0.5, 0.9], inputs="two_key_frames")
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)
    return path


def test_a_task_built_in_python_comes_back_with_its_network(checkpoint):
    task = load_task(ClassificationTask, checkpoint, "--classifier", CPU)
    assert isinstance(task.classifier, ResNet50)
    assert task.classifier.config == {
        "class_path": "wauve_dist.models.classifiers.resnet.ResNet50",
        "init_args": {"dropout": 0.25},
    }
    assert task.clip_rule == ClipRule(1, "two_key_frames", "largest")
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in task.state_dict().items())


def test_what_is_judged_can_change_after_training(checkpoint):
    task = load_task(ClassificationTask, checkpoint, "--classifier", CPU, inputs="all", key_frames="most_confident")
    assert task.clip_rule == ClipRule(1, "all", "most_confident")


def test_a_checkpoint_cannot_name_a_class_that_is_no_classifier(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    marker = tmp_path / "executed"
    content["hyper_parameters"]["classifier"] = {
        "class_path": "subprocess.Popen",
        "init_args": {"args": ["touch", str(marker)]},
    }
    torch.save(content, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="is not a checkpoint of ClassificationTask"):
        load_task(ClassificationTask, tmp_path / "evil.ckpt", "--classifier", CPU)
    assert not marker.exists()


def test_key_frames_and_small_crops_are_refused_by_the_networks_that_cannot_take_them():
    network = I3DResNet50(dropout=0.0)
    with pytest.raises(ValueError, match=r"crop_size .* is 48; I3D needs at least 64 pixels"):
        make_task(network, crop_size=48)
    with pytest.raises(ValueError, match="takes 8 adjacent frames"):
        make_task(network, inputs="one_key_frame")
