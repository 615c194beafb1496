"""Detectron2's detector against torchvision's, the same weights in both, on real Detectron2."""

import pytest
import torch
from lively_detectors import SETTINGS, assert_same_detections, lively, make_frames
from torch.distributed.fsdp import fully_shard

pytest.importorskip(
    "detectron2",
    reason="Detectron2 is not installed: python -m pip install --no-build-isolation "
    "'git+https://github.com/facebookresearch/detectron2.git'",
)

from detectron2.config import get_cfg
from detectron2.modeling import build_model

from wauve_dist.models.detectors.backends import detector_class
from wauve_dist.models.detectors.detector_layouts import from_detectron2, to_detectron2


@pytest.fixture(scope="module")
def torchvision_s():
    torch.manual_seed(0)
    return lively(detector_class("torchvision")(**SETTINGS))


def test_boxes_and_scores_are_the_same_for_frames_of_all_sizes_alone_and_together(torchvision_s):
    detectron2_s = detector_class("detectron2")(**SETTINGS).eval()
    detectron2_s.load_state_dict(torchvision_s.state_dict())
    frames = make_frames((300, 400), (128, 64), (97, 129), (128, 128), (600, 200))
    with torch.inference_mode():
        for batch in (frames[2:3], frames):
            expected = torchvision_s(batch)
            assert_same_detections(detectron2_s(batch), expected)
            assert min(len(result["boxes"]) for result in expected) > 3
    assert torch.cat([result["scores"] for result in expected]).std() > 0.02  # not all the same


@pytest.mark.parametrize("frozen_norms", [False, True])
def test_losses_gradients_and_running_statistics_are_the_same_on_the_same_proposals(torchvision_s, frozen_norms):
    both = [detector_class(backend)(**SETTINGS, frozen_norms=frozen_norms) for backend in ("torchvision", "detectron2")]
    for detector in both:
        detector.load_state_dict(torchvision_s.state_dict())
    # None is resized: Detectron2 does so before it normalises, torchvision after it, and what rounding then does to a
    # ReLU or a pooling changes a gradient by a hundredth.
    frames = make_frames((128, 128), (128, 100), (64, 128))
    boxes = [
        torch.tensor([[40.0, 60, 100, 120], [10, 10, 60, 50]]),
        torch.zeros(0, 4),
        torch.tensor([[10.0, 12, 60, 60]]),
    ]

    def step(detector, seed):
        torch.manual_seed(seed)  # both draw the same anchors and proposals from it
        losses = detector.train().losses(frames, boxes)
        return torch.stack([losses[name] for name in sorted(losses)])

    losses = [step(detector, seed=2) for detector in both]
    torch.testing.assert_close(losses[1], losses[0], atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(both[0].buffers(), both[1].network.buffers(), strict=True):
        torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)
    for detector, total in zip(both, losses, strict=True):
        detector.zero_grad()
        total.sum().backward()
    trained = [[named for named in detector.named_parameters() if named[1].requires_grad] for detector in both]
    for (name, expected), (_, parameter) in zip(*trained, strict=True):
        difference = (parameter.grad - expected.grad).norm()
        assert difference <= 1e-4 * expected.grad.norm() + 1e-6, name
    assert not torch.allclose(step(both[0], seed=3), losses[0].detach(), rtol=1e-3)  # the sample does matter


def test_a_checkpoint_of_one_is_one_of_the_other_and_starts_from_the_same_seed():
    weights = []
    for backend in ("torchvision", "detectron2"):
        torch.manual_seed(4)
        weights.append(detector_class(backend)(**SETTINGS).state_dict())
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_the_detector_that_detectron2_builds_from_its_own_config_takes_the_weights_and_finds_the_same(torchvision_s):
    config = get_cfg()
    config.merge_from_list(
        [
            *("MODEL.DEVICE", "cpu", "MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone", "MODEL.BACKBONE.FREEZE_AT", 0),
            *("MODEL.RESNETS.DEPTH", 34, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64, "MODEL.RESNETS.NORM", "BN"),
            *("MODEL.RESNETS.OUT_FEATURES", ["res2", "res3", "res4", "res5"], "MODEL.FPN.NORM", "BN"),
            *("MODEL.FPN.IN_FEATURES", ["res2", "res3", "res4", "res5"]),
            *("MODEL.PIXEL_MEAN", [0.449] * 3, "MODEL.PIXEL_STD", [0.226] * 3),
            *("MODEL.RPN.IN_FEATURES", ["p2", "p3", "p4", "p5", "p6"], "MODEL.ANCHOR_GENERATOR.OFFSET", 0.0),
            *("MODEL.ANCHOR_GENERATOR.SIZES", [[size] for size in SETTINGS["anchor_sizes"]]),
            *("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [SETTINGS["anchor_ratios"]]),
            *("MODEL.RPN.PRE_NMS_TOPK_TEST", 120, "MODEL.RPN.POST_NMS_TOPK_TEST", 60),
            *("MODEL.ROI_HEADS.NAME", "StandardROIHeads", "MODEL.ROI_HEADS.IN_FEATURES", ["p2", "p3", "p4", "p5"]),
            *("MODEL.ROI_HEADS.NUM_CLASSES", 1, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", SETTINGS["score_threshold"]),
            *("MODEL.ROI_HEADS.NMS_THRESH_TEST", SETTINGS["nms_iou"], "TEST.DETECTIONS_PER_IMAGE", 10),
            *("MODEL.ROI_BOX_HEAD.NAME", "FastRCNNConvFCHead", "MODEL.ROI_BOX_HEAD.NUM_FC", 2),
            *("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 7, "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 2),
            *("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlign"),
        ]
    )
    model = build_model(config).eval()
    weights = torchvision_s.network.state_dict()
    model.load_state_dict(to_detectron2(weights), strict=True)
    # Torchvision rounds anchors to whole pixels, for which Detectron2 has no setting.
    for anchors in model.proposal_generator.anchor_generator.cell_anchors:
        anchors.round_()
    # As large as the network's input, a multiple of P6's stride: nothing is resized, and strides agree.
    (frame,) = make_frames((128, 128))
    with torch.inference_mode():
        (expected,) = torchvision_s.eval()([frame])
        found = model([{"image": (frame / 255).expand(3, -1, -1)}])[0]["instances"]
    assert_same_detections([{"boxes": found.pred_boxes.tensor, "scores": found.scores}], [expected])

    back = from_detectron2(model.state_dict())
    assert back.keys() == weights.keys()
    assert all(
        torch.equal(value, weights[name]) for name, value in back.items() if "bbox_pred" not in name or "rpn" in name
    )


def test_weights_that_are_shared_out_among_processes_are_refused_with_the_strategies_that_work(tmp_path):
    detector = detector_class("detectron2")(**SETTINGS).eval()
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        fully_shard(detector.network, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))
        with pytest.raises(ValueError, match=r"fsdp2 and zero3 share them out\. Use ddp, zero1 or zero2"):
            detector([torch.zeros(64, 64, dtype=torch.uint8)])
    finally:
        torch.distributed.destroy_process_group()
