"""What every classifier is: clips in, one logit each out."""

from __future__ import annotations

import inspect
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

MapKind = Literal["contribution", "attention"]
"""What the values of a map are. ``contribution``: to the logit, positive for malignant and negative for benign; a map's
mean plus the network's bias is the clip's logit. ``attention``: how much of the class token's attention falls on a
cell, relative to attention spread evenly; a map's mean is 1."""


class ClipScores(NamedTuple):
    """What a trained classifier says of N clips of a video, each float32 [N].

    Attributes:
        logits: above 0 malignant.
        energies: their softmax over all clips of the video are the clips' weights in it; None where all count alike.
    """

    logits: Tensor
    energies: Tensor | None

    @property
    def scores(self) -> Tensor:
        """0 benign to 1 malignant."""
        return torch.sigmoid(self.logits)


class ClipClassifier(nn.Module):
    """A network that says how likely the lesion in a clip is malignant: features, dropout, one linear layer.

    A backbone is a subclass in a file of its own; the config chooses it by its ``class_path``. Its constructor takes
    plain values and keeps each as an attribute of the same name (scikit-learn's convention), so that a checkpoint can
    tell how to build it.

    Attributes:
        clip_length: adjacent frames that it takes; 1 makes it an image network.
        map_kind: what the values of its maps are.
        head_dropout: of features in training.
        classifier: the linear layer; has one output.
    """

    clip_length: int
    map_kind: MapKind = "contribution"
    head_dropout: nn.Dropout
    classifier: nn.Linear

    def forward(self, clips_NTHW: Tensor, with_features: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Compute one logit a clip: grey uint8 [N, ``clip_length``, H, W] to float [N], above 0 malignant.

        Args:
            clips_NTHW: the clips.
            with_features: return the features of each clip too, float [N, C].
        """
        features_NC = self.pooled(clips_NTHW)
        logits: Tensor = self.classifier(self.head_dropout(features_NC)).squeeze(1)
        return (logits, features_NC) if with_features else logits

    def pooled(self, clips_NTHW: Tensor) -> Tensor:
        """Compute the features that the linear layer takes: float [N, C]."""
        raise NotImplementedError

    @property
    def stages(self) -> list[nn.Module]:
        """Parts of ``trunk`` from the input on, to be frozen or to learn at rates of their own; the head is in none."""
        return [part for part in self.get_submodule("trunk").children() if any(True for _ in part.parameters())]

    def maps(self, clips_NTHW: Tensor) -> Tensor:
        """Show coarsely where in each clip the network saw what, as ``map_kind`` says.

        Args:
            clips_NTHW: as for ``forward``.

        Returns:
            float [N, T', H', W']; the cells divide a clip evenly in time, and lie in its frames as ``strided_grid`` of
            ``models.class_activation`` says for contributions and ``even_grid`` for attention.
        """
        raise NotImplementedError

    def check_crop_size(self, crop_size: int) -> None:
        """Refuse crops that the network cannot take.

        Args:
            crop_size: side of the square clips, pixels.

        Raises:
            ValueError: names the sizes that it can take.
        """
        raise NotImplementedError

    def translated(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename, and where needed reshape, weights of other projects for this network.

        Args:
            weights: names to tensors as in the file.

        Returns:
            Own names to tensors; what the network does not know keeps its name.
        """
        return weights

    @property
    def config(self) -> dict[str, Any]:
        """How to build it: ``class_path`` and ``init_args``, as in a YAML."""
        names = inspect.signature(type(self)).parameters
        return {
            "class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "init_args": {name: getattr(self, name) for name in names},
        }


def grey_to_rgb(clips_NTHW: Tensor, mean: tuple[float, ...], std: tuple[float, ...], dtype: Any) -> Tensor:
    """Give grey clips the three normalised channels that pretrained networks expect.

    Args:
        clips_NTHW: uint8.
        mean: of each channel, 0..1.
        std: of each channel.
        dtype: floating type of the result.

    Returns:
        [N, 3, T, H, W].
    """
    x_N1THW = (clips_NTHW.to(dtype) / 255).unsqueeze(1)
    statistics = x_N1THW.new_tensor([mean, std]).view(2, 1, 3, 1, 1, 1)
    return (x_N1THW - statistics[0]) / statistics[1]
