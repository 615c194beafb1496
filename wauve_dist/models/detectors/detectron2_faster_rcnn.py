"""The lesion detector computed by Detectron2 (Wu et al. 2019), with which the paper's was trained.

Both libraries give the same boxes, scores and losses because this takes torchvision's side where they differ:

- Frames are resized by torchvision's transform; in Detectron2 that is the data loader's work.
- Anchors are torchvision's: Detectron2 rounds no corners, and its strides are powers of two where torchvision divides
  the padded frame by the feature map (P6 of 96 pixels: 48, not 64).
- RoIAlign takes two samples a bin and does not shift by half a pixel (``ROIAlign``, not ``ROIAlignV2``).
- Box losses are smooth L1 with beta 1/9, not L1.

What remains: Detectron2 divides the proposals' losses by 256 anchors a frame even where it sampled fewer, adds 1e-8 in
place of 1e-6 before it rounds a box down to its pyramid level, and drops empty boxes after, not before, the last NMS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, GeneralizedRCNN, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicStem
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers, StandardROIHeads
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.func import functional_call
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from wauve_dist.models.detectors.detector_layouts import module_in_detectron2, to_detectron2
from wauve_dist.models.detectors.faster_rcnn import LesionDetector, frames_to_images

# Torchvision's, where it has no name.
_SMOOTH_L1_BETA = 1 / 9

# Names of the losses, torchvision's and Detectron2's.
_LOSSES = {
    "loss_classifier": "loss_cls",
    "loss_box_reg": "loss_box_reg",
    "loss_objectness": "loss_rpn_cls",
    "loss_rpn_box_reg": "loss_rpn_loc",
}


class Detectron2LesionDetector(LesionDetector):
    """A ``LesionDetector`` whose losses and boxes Detectron2 computes.

    The weights stay where they are, in ``network``, and Detectron2's modules borrow them for each call. So a
    checkpoint, the optimiser's state included, is the same whichever library trained.

    Args:
        *args: as for ``LesionDetector``.
        **kwargs: likewise.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        with torch.device("meta"):
            program = _faster_rcnn(self.network)
        self._program = (program,)  # in a tuple it is no sub-module, so that its tensors are not ours
        for name in ("mean", "std"):
            statistic_C11 = torch.tensor(getattr(self.network.transform, f"image_{name}")).view(-1, 1, 1)
            self.register_buffer(f"pixel_{name}", statistic_C11, persistent=False)

    def losses(self, frames: Sequence[Tensor], boxes_xyxy: Sequence[Tensor]) -> dict[str, Tensor]:
        """Compute the four losses under torchvision's names; see ``LesionDetector.losses``."""
        self.choose_size()
        inputs = []
        for image, boxes in zip(frames_to_images(frames), boxes_xyxy, strict=True):
            resized, target = self.network.transform.resize(image, {"boxes": boxes})
            classes = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
            truth = Instances(resized.shape[-2:], gt_boxes=Boxes(target["boxes"]), gt_classes=classes)
            inputs.append({"image": resized, "instances": truth})
        with EventStorage():  # Detectron2 counts samples there
            losses = self._run(inputs)
        return {ours: losses[theirs] for ours, theirs in _LOSSES.items()}

    def forward(self, frames: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Find lesions; see ``LesionDetector.forward``."""
        self.choose_size()
        inputs = []
        for image in frames_to_images(frames):
            height, width = image.shape[-2:]
            resized, _ = self.network.transform.resize(image)
            inputs.append({"image": resized, "height": height, "width": width})
        found = [result["instances"] for result in self._run(inputs)]
        return [
            {"boxes": instances.pred_boxes.tensor.float().cpu(), "scores": instances.scores.float().cpu()}
            for instances in found
        ]

    def prepare_prediction(self) -> None:
        """Change nothing: Detectron2's modules want each tensor in its place."""

    def _run(self, inputs: list[dict[str, Any]]) -> Any:
        weights = self.network.state_dict(keep_vars=True)
        if any(isinstance(weight, DTensor) or weight.numel() == 0 for weight in weights.values()):
            raise ValueError(
                "--model.backend detectron2 needs whole weights, and the strategies fsdp2 and zero3 share them out. "
                "Use ddp, zero1 or zero2, or --model.backend torchvision."
            )
        (program,) = self._program
        program.train(self.training)
        for name, module in self.network.named_modules():
            if isinstance(module, nn.BatchNorm2d):  # frozen ones do not train
                program.get_submodule(module_in_detectron2(name)).training = module.training
        statistics = {"pixel_mean": self.pixel_mean, "pixel_std": self.pixel_std}
        return functional_call(program, to_detectron2(weights) | statistics, (inputs,), strict=True)


class _TorchvisionAnchors(nn.Module):
    """Torchvision's anchors behind Detectron2's interface."""

    box_dim = 4

    def __init__(self, generator: AnchorGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, features_NCHW: Sequence[Tensor]) -> list[Boxes]:
        """Return the anchors of each feature map, P2 first, in pixels of the padded frames."""
        height, width = (4 * side for side in features_NCHW[0].shape[-2:])
        frame = ImageList(features_NCHW[0].new_empty(1, 1, height, width), [(height, width)])
        (anchors_A4,) = self.generator(frame, list(features_NCHW))
        per_cell = self.generator.num_anchors_per_location()
        counts = [number * x.shape[-2] * x.shape[-1] for number, x in zip(per_cell, features_NCHW, strict=True)]
        return [Boxes(anchors) for anchors in anchors_A4.split(counts)]


def _faster_rcnn(network: FasterRCNN) -> GeneralizedRCNN:
    """Build Detectron2's Faster R-CNN with torchvision's settings."""
    rpn, roi_heads = network.rpn, network.roi_heads
    pooler, box_head, num_classes = roi_heads.box_roi_pool, roi_heads.box_head, 1
    channels, stages = network.backbone.out_channels, ["res2", "res3", "res4", "res5"]
    resnet = ResNet(BasicStem(norm="BN"), ResNet.make_default_stages(34, norm="BN"), out_features=stages)
    backbone = FPN(resnet, stages, channels, norm="BN", top_block=LastLevelMaxPool())
    levels = backbone.output_shape()
    box_levels = list(levels)[:-1]  # boxes are never pooled from P6
    (num_anchors,) = set(rpn.anchor_generator.num_anchors_per_location())
    proposal_generator = RPN(
        in_features=list(levels),
        head=StandardRPNHead(in_channels=channels, num_anchors=num_anchors),
        anchor_generator=_TorchvisionAnchors(rpn.anchor_generator),
        anchor_matcher=Matcher(
            [rpn.proposal_matcher.low_threshold, rpn.proposal_matcher.high_threshold],
            [0, -1, 1],
            allow_low_quality_matches=True,
        ),
        box2box_transform=Box2BoxTransform(rpn.box_coder.weights),
        batch_size_per_image=rpn.fg_bg_sampler.batch_size_per_image,
        positive_fraction=rpn.fg_bg_sampler.positive_fraction,
        pre_nms_topk=(rpn.pre_nms_top_n(),) * 2,  # the same in training and after it
        post_nms_topk=(rpn.post_nms_top_n(),) * 2,
        nms_thresh=rpn.nms_thresh,
        min_box_size=rpn.min_size,
        smooth_l1_beta=_SMOOTH_L1_BETA,
    )
    pooled = ShapeSpec(channels=channels, height=pooler.output_size[0], width=pooler.output_size[1])
    head = FastRCNNConvFCHead(pooled, conv_dims=[], fc_dims=[box_head.fc6.out_features, box_head.fc7.out_features])
    predictor = FastRCNNOutputLayers(
        head.output_shape,
        box2box_transform=Box2BoxTransform(roi_heads.box_coder.weights),
        num_classes=num_classes,
        test_score_thresh=roi_heads.score_thresh,
        test_nms_thresh=roi_heads.nms_thresh,
        test_topk_per_image=roi_heads.detections_per_img,
        smooth_l1_beta=_SMOOTH_L1_BETA,
    )
    heads = StandardROIHeads(
        num_classes=num_classes,
        batch_size_per_image=roi_heads.fg_bg_sampler.batch_size_per_image,
        positive_fraction=roi_heads.fg_bg_sampler.positive_fraction,
        proposal_matcher=Matcher([roi_heads.proposal_matcher.high_threshold], [0, 1]),
        box_in_features=box_levels,
        box_pooler=ROIPooler(
            pooler.output_size,
            [1 / levels[level].stride for level in box_levels],
            sampling_ratio=pooler.sampling_ratio,
            pooler_type="ROIAlign",
        ),
        box_head=head,
        box_predictor=predictor,
    )
    zeros = [0.0] * len(network.transform.image_mean)  # each call brings the statistics of pixels, as all tensors
    return GeneralizedRCNN(
        backbone=backbone, proposal_generator=proposal_generator, roi_heads=heads, pixel_mean=zeros, pixel_std=zeros
    )
