"""Faster R-CNN with a ResNet-34 FPN (Ren et al. 2015; Lin et al. 2017), the paper's lesion detector, on torchvision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torchvision.models import resnet34
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.poolers import LevelMapper

from wauve_dist.models.detectors.batched_inference import BatchedInference
from wauve_dist.models.detectors.detector_layouts import own_weights
from wauve_dist.models.detectors.folding import fold_norms
from wauve_dist.models.detectors.network_input import network_input
from wauve_dist.models.memory_format import put_channels_last

# ImageNet's statistics, averaged over its three channels: B-mode is grey.
PIXEL_MEAN = 0.449
PIXEL_STD = 0.226

_LESION_CLASS = 1
_FPN_CHANNELS = 256
_POOLED_LEVELS = (2, 5)  # first and last, P2 to P5
_POOLED_STRIDES = (4, 8, 16, 32)
_RESNET34_STAGE_CHANNELS = [64, 128, 256, 512]


class LesionDetector(nn.Module):
    """Finds lesions in single frames.

    Args:
        image_size: frames are resized so that their long side has this many pixels.
        anchor_sizes: side of the square anchor of each of the 5 pyramid levels, in pixels of the resized frame.
        anchor_ratios: height / width of the anchors.
        num_proposals: proposals kept a frame after the region proposal network's NMS; twice as many before it.
        num_sampled_rois: proposals a frame that the box head is trained on.
        score_threshold: boxes below this score are dropped, 0..1.
        nms_iou: of two boxes that overlap by more than this, the better one stays.
        max_detections: most boxes a frame.
        training_sizes: each batch of a training is resized to one of these long sides, at random; none: ``image_size``.
        frozen_norms: the backbone's norms keep the scales and statistics that they were loaded with, as is usual with
            ImageNet weights and few frames a batch; those of the pyramid are trained.

    Attributes:
        network: torchvision's detector, which holds all weights.
        batched: runs it on a batch at once.
    """

    def __init__(
        self,
        image_size: int,
        anchor_sizes: Sequence[int],
        anchor_ratios: Sequence[float],
        num_proposals: int,
        num_sampled_rois: int,
        score_threshold: float,
        nms_iou: float,
        max_detections: int,
        training_sizes: Sequence[int] = (),
        frozen_norms: bool = False,
    ) -> None:
        super().__init__()
        self._image_size, self._training_sizes = image_size, training_sizes or (image_size,)
        if len(anchor_sizes) != len(_RESNET34_STAGE_CHANNELS) + 1:
            raise ValueError(f"anchor_sizes needs 5 sizes, one for each pyramid level P2 to P6, not {anchor_sizes}.")
        resnet = resnet34(weights=None)
        # Every residual block starts as the identity (Goyal et al. 2017).
        for module in resnet.modules():
            if (norm := getattr(module, "bn2", None)) is not None:
                nn.init.zeros_(norm.weight)
        backbone = BackboneWithFPN(
            resnet,
            {f"layer{stage}": str(stage - 1) for stage in (1, 2, 3, 4)},
            _RESNET34_STAGE_CHANNELS,
            _FPN_CHANNELS,
            norm_layer=nn.BatchNorm2d,  # trained from scratch, the pyramid needs norms too (He et al. 2019)
        )
        self.network = FasterRCNN(
            backbone,
            num_classes=2,
            min_size=image_size,
            max_size=image_size,
            image_mean=[PIXEL_MEAN] * 3,
            image_std=[PIXEL_STD] * 3,
            rpn_anchor_generator=AnchorGenerator(
                tuple((size,) for size in anchor_sizes), (tuple(anchor_ratios),) * len(anchor_sizes)
            ),
            rpn_pre_nms_top_n_train=2 * num_proposals,
            rpn_pre_nms_top_n_test=2 * num_proposals,
            rpn_post_nms_top_n_train=num_proposals,
            rpn_post_nms_top_n_test=num_proposals,
            box_batch_size_per_image=num_sampled_rois,
            box_score_thresh=score_threshold,
            box_nms_thresh=nms_iou,
            box_detections_per_img=max_detections,
        )
        # Else torchvision guesses the scales from the first frames that it sees, flat ones wrongly, and keeps them.
        pooler = self.network.roi_heads.box_roi_pool
        pooler.scales, pooler.map_levels = [1 / stride for stride in _POOLED_STRIDES], LevelMapper(*_POOLED_LEVELS)
        self.batched = BatchedInference(self.network)
        norms = (module for module in resnet.modules() if isinstance(module, nn.BatchNorm2d))
        self._frozen_norms = list(norms) if frozen_norms else []
        for norm in self._frozen_norms:
            norm.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> LesionDetector:
        """Change to training or evaluation; frozen norms stay in evaluation."""
        super().train(mode)
        for norm in self._frozen_norms:
            norm.eval()
        return self

    def check_frozen_norms(self) -> None:
        """Refuse to train around norms that are as they were made.

        Raises:
            ValueError: the last norm of a residual block, which starts at zero, would silence the block for ever.
        """
        # Strategies that share weights out may leave none of a norm here.
        if any(norm.weight.numel() and not norm.weight.any() for norm in self._frozen_norms):
            raise ValueError(
                "--model.frozen_norms keeps norms as they were loaded, and nothing was: give ImageNet weights or a "
                "checkpoint with --weights, or train the norms."
            )

    def losses(self, frames: Sequence[Tensor], boxes_xyxy: Sequence[Tensor]) -> dict[str, Tensor]:
        """Compute the four losses of Faster R-CNN, in training mode.

        Args:
            frames: uint8 [H, W] each, grey; sizes may differ.
            boxes_xyxy: float32 [K, 4] each; K = 0 makes the frame a negative.
        """
        targets = [
            {
                "boxes": boxes,
                "labels": torch.full((len(boxes),), _LESION_CLASS, dtype=torch.int64, device=boxes.device),
            }
            for boxes in boxes_xyxy
        ]
        self.choose_size()
        losses: dict[str, Tensor] = self.network(frames_to_images(frames), targets)
        return losses

    def forward(self, frames: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Find lesions, in evaluation mode.

        On a GPU the frames of the batch are handled at once (``in_one_go``). On a CPU torchvision's way (``in_turn``)
        is as fast with a hundred proposals and faster with a thousand, since it computes nothing for boxes that have
        dropped out. Both find the same. A network that FSDP2 has sharded wants to be called as a whole, so in turn.

        Args:
            frames: uint8 [H, W] each, grey; sizes may differ.

        Returns:
            For each frame ``boxes`` float32 [K, 4] in its own pixels and ``scores`` float32 [K], best first, in host
            memory.
        """
        if frames[0].is_cuda and not isinstance(self.network, FSDPModule):
            return self.in_one_go(frames)
        return self.in_turn(frames)

    def in_one_go(self, frames: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Find lesions in all frames at once; the host waits for the device once (see ``BatchedInference``)."""
        self.choose_size()
        found_ND5 = self.batched(network_input(frames, self.network.transform))
        present = [found_D5[found_D5[:, 4] >= 0] for found_D5 in found_ND5]
        return [{"boxes": found_K5[:, :4], "scores": found_K5[:, 4]} for found_K5 in present]

    def in_turn(self, frames: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Find lesions with torchvision's own detector, frame by frame behind the pyramid."""
        self.choose_size()
        return [
            {name: result[name].float().cpu() for name in ("boxes", "scores")}
            for result in self.network(frames_to_images(frames))
        ]

    def prepare_prediction(self) -> None:
        """Let the network compute the same in fewer steps; it can then neither be trained nor saved.

        Norms become part of their convolutions, and convolutions read and write channels last, the order that tensor
        cores want.
        """
        fold_norms(self.network.backbone)
        put_channels_last(self.network)

    def choose_size(self) -> None:
        """Set the long side that the next frames are resized to."""
        sizes = self._training_sizes if self.training else (self._image_size,)
        size = sizes[int(torch.randint(len(sizes), ()))] if len(sizes) > 1 else sizes[0]
        self.network.transform.min_size, self.network.transform.max_size = (size,), size

    def translated(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename torchvision's, timm's and Detectron2's ResNet-34, alone or in a detector (see ``own_weights``).

        Args:
            weights: names to tensors as in the file.

        Returns:
            Own names to tensors; what the detector does not know keeps its name.
        """
        return {f"network.{name}": value for name, value in own_weights(weights).items()}


def frames_to_images(frames: Sequence[Tensor]) -> list[Tensor]:
    """Turn grey uint8 [H, W] frames into the float [3, H, W] images, 0..1, that detection networks take."""
    return [(frame.float() / 255).expand(3, -1, -1) for frame in frames]
