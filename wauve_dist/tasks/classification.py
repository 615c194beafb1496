"""Training the clip classifier: cross-entropy of clips, judged by the scores of whole videos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from scipy.special import expit, softmax
from torch import Tensor, nn

from wauve_dist.data.batches import ClipBatch
from wauve_dist.data.datamodules import ClipDataModule
from wauve_dist.evaluation.auc import bootstrap_auc
from wauve_dist.evaluation.calibration import calibration
from wauve_dist.evaluation.curves import sensitivity_at_specificity, specificity_at_sensitivity
from wauve_dist.evaluation.temperature import fitted_temperature
from wauve_dist.models.activation_checkpointing import checkpoint_activations
from wauve_dist.models.attention_pooling import GatedAttention, pooled_logits
from wauve_dist.models.classifiers.clip_classifier import ClipClassifier, ClipScores
from wauve_dist.models.late_fusion import LateFusion
from wauve_dist.models.memory_format import put_channels_last
from wauve_dist.structures.clips import CLIP_LENGTH, ClipRule, Inputs, KeyFrameRule
from wauve_dist.structures.video_scores import video_logits, video_scores
from wauve_dist.tasks.gathering import gather_rows
from wauve_dist.tasks.losses import classification_loss
from wauve_dist.tasks.optimizers import OptimizerName, ScheduleName, optimizer_and_schedule

# Monitoring needs an interval at every epoch, not a publication's 9,999 resamples.
_NUM_MONITORING_RESAMPLES = 999

# Lightning's, for checkpoints: it builds a task, and the network in it, from names and plain values.
_INSTANTIATOR = "pytorch_lightning.cli.instantiate_module"


class ClassificationTask(pl.LightningModule):
    """A classifier of lesion clips; a video's score is the mean over its clips (Han et al. 2025).

    Args:
        classifier: the network; the config names its class.
        crop_size: side of the square clips, pixels; taken from the data module.
        roi_context: side of the crop over the longer side of the lesion's box; taken from the data module.
        optimizer: ``sgd`` or ``adamw``.
        lr: peak learning rate at a global batch of ``lr_batch_size`` samples.
        lr_batch_size: the rate of another global batch follows from it, linearly for ``sgd``, with the square root
            for ``adamw``; None takes ``lr`` as it is.
        weight_decay: on weights of convolutions and of the linear layer only.
        schedule: ``cosine`` or ``step``.
        warmup_fraction: share of the steps with a linearly rising learning rate, 0..1.
        milestones: shares of the training at which ``step`` divides the rate by 10.
        pos_weight: how often a malignant clip counts as much as a benign one (see ``classification_loss``).
        label_smoothing: share of a label that is moved to one half, 0..1 (see ``classification_loss``).
        focal_gamma: of the focal loss; 0 is cross-entropy (see ``classification_loss``).
        layer_decay: factor between the learning rates of neighbouring stages of the network (see
            ``build_optimizer``); 1 trains all alike.
        num_frozen_stages: this many stages from the input on stay as they are, running statistics included.
        channels_last: keep convolution weights, and with them activations, channels last: faster on tensor cores. The
            strategy ``fsdp2`` cannot shard such weights.
        activation_checkpointing: keep the input of each stage but the first, and compute the rest anew for the
            gradients: less memory, a third more time.
        torch_compile: compile the network when training starts, which takes minutes.
        test_time_flips: score each clip and its mirror image, and take the mean of their logits.
        calibrate: fit ``temperature`` to the validation videos at each validation (Guo et al. 2017).
        temperature: that logits are divided by before they become scores; a checkpoint holds the fitted one.
        covariates: of the patient, that join the logit (see ``LateFusion``); taken from the data module.
        inputs: what is judged of a video (see ``ClipRule``); taken from the data module.
        key_frames: where key frames come from (see ``ClipRule``); taken from the data module.
        attention_pooling: learn how much each clip of a video counts (see ``GatedAttention``), from the loss of videos
            in place of clips; taken from the data module.

    Attributes:
        validation_figures: that every validation logs, and a sweep may optimise.
        clip_length: frames of a clip, as the network takes them.
        validation_clips: of the last validation, the same on every rank: video_id, patient_id, track_id, clip_index,
            label (0 or 1), logit, score (0..1), and with attention energy and weight (0..1).
        validation_videos: likewise, video_id as index: patient_id, label, score.
    """

    validation_figures: ClassVar[Sequence[str]] = (
        *("val/loss", "val/auc", "val/auc_low", "val/auc_high", "val/calibration_error", "val/num_videos"),
        *("val/sensitivity_at_specificity_95", "val/specificity_at_sensitivity_95"),
    )
    clip_length: int = CLIP_LENGTH
    validation_clips: pd.DataFrame
    validation_videos: pd.DataFrame

    def __init__(
        self,
        classifier: ClipClassifier,
        crop_size: int,
        roi_context: float,
        optimizer: OptimizerName,
        lr: float,
        lr_batch_size: int | None,
        weight_decay: float,
        schedule: ScheduleName,
        warmup_fraction: float,
        milestones: Sequence[float] = (),
        pos_weight: float = 1.0,
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        layer_decay: float = 1.0,
        num_frozen_stages: int = 0,
        channels_last: bool = False,
        activation_checkpointing: bool = False,
        torch_compile: bool = False,
        test_time_flips: bool = False,
        calibrate: bool = False,
        temperature: float = 1.0,
        covariates: Sequence[str] = (),
        inputs: Inputs = "all",
        key_frames: KeyFrameRule = "largest",
        attention_pooling: bool = False,
    ) -> None:
        super().__init__()
        classifier.check_crop_size(crop_size)
        # Plain values, whether a YAML or Python built the network: a checkpoint is read with weights_only.
        self.save_hyperparameters(ignore="classifier")
        self.save_hyperparameters({"classifier": classifier.config, "_instantiator": _INSTANTIATOR})
        self.classifier = classifier
        self.fusion = LateFusion(len(covariates)) if covariates else None
        self.attention = GatedAttention(classifier.classifier.in_features) if attention_pooling else None
        self._frozen_stages = _first_stages(classifier, num_frozen_stages)
        for stage in self._frozen_stages:
            stage.eval().requires_grad_(False)
        if channels_last:
            put_channels_last(classifier)
        self.clip_length = classifier.clip_length
        self.clip_rule = ClipRule(self.clip_length, inputs, key_frames)
        self._loss_settings = (pos_weight, label_smoothing, focal_gamma)
        self._validation_rows: list[pd.DataFrame] = []

    def forward(self, clips_NTHW: Tensor) -> Tensor:
        """Compute one logit a clip: uint8 [N, T, H, W] to float [N]."""
        logits: Tensor = self.classifier(clips_NTHW)
        return logits

    def train(self, mode: bool = True) -> ClassificationTask:
        """Change to training or evaluation; frozen stages stay in evaluation.

        Lightning starts a training without a call of this: it keeps the mode of each module.
        """
        super().train(mode)
        for stage in self._frozen_stages:
            stage.eval()
        return self

    def on_fit_start(self) -> None:
        """Standardise covariates by the training videos, and change how the network computes, not what."""
        if self.fusion is not None:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            assert isinstance(data, ClipDataModule), "covariates come from a ClipDataModule"
            self.fusion.standardise_by(data.training_covariates().to(self.device))
        if self.hparams["activation_checkpointing"]:
            checkpoint_activations(self.classifier.stages[1:])
        if self.hparams["torch_compile"]:
            self.classifier.compile()

    @torch.no_grad()
    def score_clips(self, clips_NTHW: Tensor, facts: Mapping[str, float] | None = None) -> ClipScores:
        """Score clips of a video.

        Args:
            clips_NTHW: uint8, on the module's device.
            facts: the manifest's numbers of the video by column, NaN where missing; those of ``covariates`` count.
        """
        assert not self.training, "scores come from a module in evaluation mode"
        known = facts or {}
        values = [known.get(name, math.nan) for name in self.hparams["covariates"]]
        covariates_NF = torch.tensor(values, device=clips_NTHW.device).expand(len(clips_NTHW), -1)
        logits, energies = self._judged(clips_NTHW, covariates_NF)
        return ClipScores(logits / self.hparams["temperature"], None if self.attention is None else energies)

    def _judged(self, clips_NTHW: Tensor, covariates_NF: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute the logits that scores are made of, and energies; float32 [N] each."""
        logits, energies = self._computed(clips_NTHW)
        if self.hparams["test_time_flips"]:
            mirrored_logits, mirrored_energies = self._computed(clips_NTHW.flip(-1))
            logits, energies = (logits + mirrored_logits) / 2, (energies + mirrored_energies) / 2
        return self._fused(logits, covariates_NF), energies

    def _computed(self, clips_NTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits and energies, which are 0 without an attention."""
        if self.attention is None:
            logits: Tensor = self(clips_NTHW).float()
            return logits, torch.zeros_like(logits)
        logits, features_NC = self.classifier(clips_NTHW, with_features=True)
        return logits.float(), self.attention(features_NC).float()

    def _fused(self, logits_N: Tensor, covariates_NF: Tensor | None) -> Tensor:
        if self.fusion is None:
            return logits_N
        assert covariates_NF is not None, "the data module gives what the fusion takes"
        fused: Tensor = logits_N + self.fusion(covariates_NF)
        return fused

    def training_step(self, batch: ClipBatch) -> Tensor:
        """Return the mean loss of a batch of clips or, with attention, of the videos whose clips it holds."""
        logits, energies = self._computed(batch.clips)
        logits, labels = self._fused(logits, batch.covariates), batch.labels
        if self.attention is not None:
            assert batch.bag_size > 1, "the data module keeps the clips of a video together"
            logits, labels = pooled_logits(logits, energies, batch.bag_size), labels[:: batch.bag_size]
        loss = classification_loss(logits, labels, *self._loss_settings)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: ClipBatch) -> None:
        """Keep the scores of a batch; they are judged by video at the epoch's end."""
        logits, energies = self._judged(batch.clips, batch.covariates)
        rows = pd.DataFrame(
            {
                "video_id": batch.video_ids,
                "patient_id": batch.patient_ids,
                "track_id": batch.track_ids.cpu().numpy(),
                "clip_index": batch.clip_indices.cpu().numpy(),
                "label": batch.labels.cpu().numpy(),
                "logit": logits.cpu().numpy().astype(np.float64),
            }
        )
        if self.attention is not None:
            rows["energy"] = energies.cpu().numpy().astype(np.float64)
        self._validation_rows.append(rows)

    def on_validation_epoch_end(self) -> None:
        """Log how well videos are told apart, and how well calibrated their scores are; the same on every rank.

        ``val/auc`` has a bootstrap interval by patient, ``val/auc_low`` to ``val/auc_high``.
        """
        clips = gather_rows(self._validation_rows, key=["video_id", "track_id", "clip_index"])
        self._validation_rows.clear()
        if self.attention is not None:
            clips["weight"] = clips.groupby("video_id")["energy"].transform(softmax)
        self._calibrate(clips)
        tempered = clips["logit"] / self.hparams["temperature"]
        clips["score"] = expit(tempered)
        videos = clips.groupby("video_id").agg(patient_id=("patient_id", "first"), label=("label", "first"))
        videos["score"] = video_scores(clips.assign(logit=tempered))
        learned = clips if self.attention is None else videos
        scores = np.clip(learned["score"], 1e-7, 1 - 1e-7)
        loss = -np.where(learned["label"] == 1, np.log(scores), np.log1p(-scores)).mean()
        self.log("val/loss", float(loss), prog_bar=True)
        self.validation_clips, self.validation_videos = clips, videos
        labels = videos["label"].to_numpy().astype(int)
        if len(np.unique(labels)) < 2:
            if self.trainer.sanity_checking:
                return  # the sanity check sees the first batches only
            raise ValueError(
                "The validation split holds videos of one class only, so it has no AUC. "
                "Give it both labels in the manifest's 'split' column."
            )
        scores_V = videos["score"].to_numpy()
        auc = bootstrap_auc(
            labels, scores_V, videos["patient_id"].to_numpy(), num_resamples=_NUM_MONITORING_RESAMPLES, seed=0
        )
        self.log("val/auc", auc.value, prog_bar=True)
        self.log("val/auc_low", auc.ci_low)
        self.log("val/auc_high", auc.ci_high)
        self.log("val/sensitivity_at_specificity_95", sensitivity_at_specificity(labels, scores_V, 0.95))
        self.log("val/specificity_at_sensitivity_95", specificity_at_sensitivity(labels, scores_V, 0.95))
        self.log("val/calibration_error", calibration(labels, scores_V).expected_calibration_error)
        self.log("val/num_videos", float(len(videos)))

    def _calibrate(self, clips: pd.DataFrame) -> None:
        """Fit the temperature, which the next checkpoint holds among its hyperparameters."""
        if not self.hparams["calibrate"] or clips["label"].nunique() < 2:
            return
        if self.attention is None:
            temperature = fitted_temperature(clips["label"], clips["logit"], clips["video_id"].to_numpy())
        else:
            temperature = fitted_temperature(clips.groupby("video_id")["label"].first(), video_logits(clips))
        self.hparams["temperature"] = temperature
        self.log("val/temperature", temperature)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the temperature of the last validation."""
        if self.hparams["calibrate"]:
            self.hparams["temperature"] = checkpoint["hyper_parameters"]["temperature"]

    def configure_optimizers(self) -> Any:
        """Build the optimiser and its per-step schedule."""
        layer_decay = self.hparams["layer_decay"]
        return optimizer_and_schedule(self, [] if layer_decay == 1 else self.classifier.stages, layer_decay)


def _first_stages(classifier: ClipClassifier, num_stages: int) -> list[nn.Module]:
    if num_stages == 0:
        return []
    if not 0 < num_stages <= len(classifier.stages):
        raise ValueError(
            f"num_frozen_stages (--model.num_frozen_stages) is {num_stages}; {type(classifier).__name__} has "
            f"{len(classifier.stages)} stages, of which 0 to all can be frozen."
        )
    return classifier.stages[:num_stages]
