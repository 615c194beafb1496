"""Weights of other projects' ResNet-34 and Faster R-CNN files in our detector, and ours in Detectron2's layout."""

import pickle
import re

import numpy as np
import pytest
import torch
from independent_i3d import with_random_norms
from torch import nn
from torchvision.models import resnet34
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from wauve_dist.models.detectors.detector_layouts import from_detectron2, to_detectron2
from wauve_dist.models.detectors.faster_rcnn import LesionDetector
from wauve_dist.models.weights import load_weights

ANCHOR_SIZES, ANCHOR_RATIOS = (8, 16, 32, 48, 64), (0.5, 1.0)
BODY_ONLY = ["*.fpn.*", "*.rpn.*", "*.roi_heads.*"]


class Task(nn.Module):
    """Holds a detector as a task does."""

    def __init__(self):
        super().__init__()
        self.detector = LesionDetector(
            image_size=96,
            anchor_sizes=ANCHOR_SIZES,
            anchor_ratios=ANCHOR_RATIOS,
            num_proposals=50,
            num_sampled_rois=16,
            score_threshold=0.0,
            nms_iou=0.5,
            max_detections=10,
        ).eval()


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(1)
    return with_random_norms(resnet34(weights=None))


def detectron2_name(name):
    """Turn torchvision's name into Detectron2's, step by step as its tools/convert-torchvision-to-d2.py does."""
    name = name if "layer" in name else f"stem.{name}"
    for number in (1, 2, 3, 4):
        name = name.replace(f"layer{number}", f"res{number + 1}").replace(f"bn{number}", f"conv{number}.norm")
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def test_an_imagenet_network_of_torchvision_timm_and_detectron2_starts_the_backbone(resnet, tmp_path):
    weights = resnet.state_dict()
    torch.save(weights, tmp_path / "resnet34-torchvision.pth")
    torch.save({"state_dict": weights}, tmp_path / "resnet34-timm.pth")
    arrays = {detectron2_name(name): value.numpy() for name, value in weights.items()}
    assert {"stem.conv1.norm.bias", "res3.0.shortcut.norm.running_var", "res5.2.conv2.weight"} <= arrays.keys()
    for protocol in (2, 5):
        content = {"model": arrays, "__author__": "torchvision", "matching_heuristics": True}
        (tmp_path / f"R-34-{protocol}.pkl").write_bytes(pickle.dumps(content, protocol))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    task = Task()
    body = task.detector.network.backbone.body.state_dict()
    for file in files:
        for value in body.values():
            value.zero_()
        with pytest.raises(ValueError, match=r"detector\.network\.backbone\.fpn\..* is missing from the file"):
            load_weights(task, file)
        report = load_weights(task, file, [*BODY_ONLY, "*.fc.*"])
        assert f"{len(weights) - 2} of the model's" in report
        assert all(torch.equal(value, weights[name]) for name, value in body.items())


def test_a_detector_trained_by_torchvision_s_own_recipe_finds_the_same_boxes_here(tmp_path):
    torch.manual_seed(2)
    anchors = AnchorGenerator(tuple((size,) for size in ANCHOR_SIZES), (ANCHOR_RATIOS,) * 5)
    settings = dict(rpn_pre_nms_top_n_test=100, rpn_post_nms_top_n_test=50, box_score_thresh=0.0)
    reference = FasterRCNN(
        resnet_fpn_backbone(backbone_name="resnet34", weights=None),  # frozen norms, and none in the pyramid
        num_classes=2,
        min_size=96,
        max_size=96,
        image_mean=[0.449] * 3,
        image_std=[0.226] * 3,
        rpn_anchor_generator=anchors,
        box_detections_per_img=10,
        **settings,
    ).eval()
    for name, value in reference.backbone.fpn.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(value, std=0.1)
    weights = reference.state_dict()
    torch.save(weights, tmp_path / "now.pth")
    # The files on torchvision's server were written when these convolutions had no wrapper.
    old = {re.sub(r"(_blocks\.\d|head\.conv)(\.0)+\.", r"\1.", name): value for name, value in weights.items()}
    assert {"backbone.fpn.inner_blocks.0.bias", "rpn.head.conv.weight"} <= old.keys()
    torch.save(old, tmp_path / "old.pth")
    frames = [torch.randint(0, 256, size, dtype=torch.uint8) for size in ((96, 96), (150, 80))]
    with torch.inference_mode():
        expected = reference([(frame / 255).expand(3, -1, -1) for frame in frames])
    task = Task()
    for file in ("now.pth", "old.pth"):
        nn.init.zeros_(task.detector.network.rpn.head.conv[0][0].weight)
        report = load_weights(task, tmp_path / file)
        assert "ignored" not in report
        with torch.inference_mode():
            found = task.detector(frames)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours["boxes"], theirs["boxes"], atol=1e-3, rtol=0)
            torch.testing.assert_close(ours["scores"], theirs["scores"], atol=1e-5, rtol=0)


def test_there_and_back_only_the_unused_boxes_of_the_background_are_lost():
    weights = {name: value.clone() for name, value in Task().detector.network.state_dict().items()}
    theirs = to_detectron2(weights)
    assert len(theirs) == len(weights)
    assert {name: tuple(theirs[name].shape) for name in EXAMPLES} == EXAMPLES
    assert not any(
        part in name for name in theirs for part in ("body", "layer", "bn1", "bn2", "fpn.", "fc6", "rpn.head")
    )
    boxes = "roi_heads.box_predictor.bbox_pred"
    for field in ("weight", "bias"):
        weights[f"{boxes}.{field}"][:4] = 0
    back = from_detectron2(theirs)
    assert back.keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in back.items())


# From Detectron2's documentation of its model zoo's checkpoints, for one class, two anchors and norms in the pyramid.
EXAMPLES = {
    "backbone.bottom_up.stem.conv1.weight": (64, 3, 7, 7),
    "backbone.bottom_up.stem.conv1.norm.running_var": (64,),
    "backbone.bottom_up.res2.2.conv2.norm.weight": (64,),
    "backbone.bottom_up.res4.0.shortcut.norm.num_batches_tracked": (),
    "backbone.bottom_up.res5.0.shortcut.weight": (512, 256, 1, 1),
    "backbone.fpn_lateral2.weight": (256, 64, 1, 1),
    "backbone.fpn_output5.norm.bias": (256,),
    "proposal_generator.rpn_head.conv.weight": (256, 256, 3, 3),
    "proposal_generator.rpn_head.objectness_logits.bias": (2,),
    "proposal_generator.rpn_head.anchor_deltas.weight": (8, 256, 1, 1),
    "roi_heads.box_head.fc1.weight": (1024, 12544),
    "roi_heads.box_head.fc2.bias": (1024,),
    "roi_heads.box_predictor.cls_score.weight": (2, 1024),
    "roi_heads.box_predictor.bbox_pred.weight": (4, 1024),
}


def test_detectron2_counts_the_background_last():
    scores, boxes = torch.tensor([[1.0], [2.0], [3.0]]), torch.arange(12.0).view(12, 1)
    weights = {
        f"roi_heads.box_predictor.{name}.weight": value for name, value in (("cls_score", scores), ("bbox_pred", boxes))
    }
    theirs = to_detectron2(weights)
    assert theirs["roi_heads.box_predictor.cls_score.weight"].flatten().tolist() == [2, 3, 1]
    assert theirs["roi_heads.box_predictor.bbox_pred.weight"].flatten().tolist() == list(range(4, 12))


def test_a_whole_file_of_detectron2_s_zoo_with_other_classes_loads_but_for_them(tmp_path):
    source, task = Task(), Task()
    weights = to_detectron2(source.detector.network.state_dict())
    predictor = "roi_heads.box_predictor"
    weights |= {f"{predictor}.cls_score.weight": torch.ones(81, 1024), f"{predictor}.cls_score.bias": torch.ones(81)}
    weights |= {f"{predictor}.bbox_pred.weight": torch.ones(320, 1024), f"{predictor}.bbox_pred.bias": torch.ones(320)}
    weights["pixel_mean"] = torch.ones(3, 1, 1)  # in the zoo's older files
    arrays = {name: value.numpy().astype(np.float32) for name, value in weights.items() if "num_batches" not in name}
    (tmp_path / "model_final.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    with pytest.raises(
        ValueError, match=r"box_predictor\.cls_score\.weight has shape \(81, 1024\), the model needs \(2,"
    ):
        load_weights(task, tmp_path / "model_final.pkl")
    report = load_weights(task, tmp_path / "model_final.pkl", ["*.box_predictor.*", "*.pixel_mean"])
    assert "ignored as asked: detector.network.pixel_mean is unknown to the model" in report
    expected = source.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in task.state_dict().items() if predictor not in name)
