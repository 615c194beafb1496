"""TimeSformer with divided space-time attention (Bertasius et al. 2021): the paper's other video network.

Shapes: N clips, T = 8 frames, H = W = image size, C = hidden size, P = (image size / patch size)^2 patches a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from wauve_dist.models.class_activation import attention_rollout
from wauve_dist.models.classifiers.clip_classifier import ClipClassifier, MapKind, grey_to_rgb
from wauve_dist.structures.clips import CLIP_LENGTH

# Of the recipe that its authors' Kinetics weights were trained with, the same for each channel.
_PIXEL_MEAN = (0.45, 0.45, 0.45)
_PIXEL_STD = (0.225, 0.225, 0.225)


class TimeSformer(ClipClassifier):
    """A clip's malignancy logit: ``transformers``' encoder, then a linear layer on its class token.

    Args:
        image_size: side of the clips that it takes, pixels; a multiple of ``patch_size``.
        patch_size: side of a patch, pixels.
        hidden_size: width of a token, a multiple of ``num_heads``; 768 in the paper.
        num_layers: of the encoder; 12 in the paper.
        num_heads: of each attention; 12 in the paper.
        dropout: probability of dropping a feature of the class token in training, 0..1.

    Raises:
        ValueError: sizes that do not divide.
    """

    clip_length = CLIP_LENGTH
    map_kind: MapKind = "attention"

    def __init__(
        self, image_size: int, patch_size: int, hidden_size: int, num_layers: int, num_heads: int, dropout: float
    ) -> None:
        super().__init__()
        if image_size % patch_size or hidden_size % num_heads:
            raise ValueError(
                f"image_size {image_size} must be a multiple of patch_size {patch_size}, and hidden_size {hidden_size} "
                f"of num_heads {num_heads} (--model.classifier.…)."
            )
        from transformers import TimesformerConfig, TimesformerModel

        self.image_size, self.patch_size, self.hidden_size = image_size, patch_size, hidden_size
        self.num_layers, self.num_heads, self.dropout = num_layers, num_heads, dropout
        self.trunk = TimesformerModel(
            TimesformerConfig(
                image_size=image_size,
                patch_size=patch_size,
                num_frames=CLIP_LENGTH,
                hidden_size=hidden_size,
                num_hidden_layers=num_layers,
                num_attention_heads=num_heads,
                intermediate_size=4 * hidden_size,
                attention_type="divided_space_time",
            )
        )
        self.head_dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size, 1)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def check_crop_size(self, crop_size: int) -> None:
        """Take clips of ``image_size`` only: each patch has a position of its own."""
        if crop_size != self.image_size:
            raise ValueError(
                f"crop_size (--data.crop_size) is {crop_size}, and this TimeSformer takes {self.image_size} pixels. "
                f"Set --model.classifier.image_size {crop_size}."
            )

    def features(self, clips_NTHW: Tensor) -> Tensor:
        """Encode clips: grey uint8 [N, T, H, W] to float [N, 1 + P T, C], the class token first."""
        x_N3THW = grey_to_rgb(clips_NTHW, _PIXEL_MEAN, _PIXEL_STD, self.classifier.weight.dtype)
        tokens: Tensor = self.trunk(x_N3THW.transpose(1, 2)).last_hidden_state
        return tokens

    def pooled(self, clips_NTHW: Tensor) -> Tensor:
        """Take the class token, [N, C]."""
        return self.features(clips_NTHW)[:, 0]

    def maps(self, clips_NTHW: Tensor) -> Tensor:
        """Compute attention roll-outs, [N, T, H', W'], H' W' = P. There is no pooled feature map to weight here."""
        with ExitStack() as watched:
            temporal = [watched.enter_context(_attention(layer.temporal_attention)) for layer in self._layers]
            spatial = [watched.enter_context(_attention(layer.attention)) for layer in self._layers]
            self.features(clips_NTHW)
        num_clips, side = len(clips_NTHW), self.image_size // self.patch_size
        rollout_NTP = attention_rollout(
            [seen.view(num_clips, -1, *seen.shape[1:]) for [seen] in temporal],
            [seen.view(num_clips, -1, *seen.shape[1:]) for [seen] in spatial],
        )
        relative_NTP = rollout_NTP / rollout_NTP.mean(dim=(1, 2), keepdim=True)
        return relative_NTP.view(num_clips, CLIP_LENGTH, side, side)

    @property
    def stages(self) -> list[nn.Module]:
        """The embeddings and each layer of the encoder."""
        return [self.trunk.embeddings, *self._layers]

    @property
    def _layers(self) -> Iterable[Any]:
        layers: Iterable[Any] = self.trunk.encoder.layer
        return layers

    def translated(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename the weights of ``TimesformerForVideoClassification``."""
        prefix = "timesformer."
        return {
            f"trunk.{name.removeprefix(prefix)}" if name.startswith(prefix) else name: value
            for name, value in weights.items()
        }


@contextmanager
def _attention(module: Any) -> Iterator[list[Tensor]]:
    """Yield a list that gets an attention's matrices, averaged over its heads, when the module runs.

    ``transformers`` returns those of the spatial attention only, so they are taken where they enter the dropout.
    """
    seen: list[Tensor] = []
    dropout: nn.Dropout = module.attention.attn_drop
    handle = dropout.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].mean(dim=1)))
    try:
        yield seen
    finally:
        handle.remove()
