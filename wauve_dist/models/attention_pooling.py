"""Learned attention over a video's clips (Ilse et al. 2018): some show the lesion better than others.

Shapes: N clips, C features, B videos of K clips each, N = B K.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_HIDDEN_FEATURES = 128  # Ilse et al.'s


class GatedAttention(nn.Module):
    """Says of each clip by itself how much it should count; the softmax over a video's clips makes weights of it.

    The last layer starts at 0: an untrained attention weighs all clips alike.

    Args:
        num_features: C.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.content = nn.Linear(num_features, _HIDDEN_FEATURES)
        self.gate = nn.Linear(num_features, _HIDDEN_FEATURES)
        self.energy = nn.Linear(_HIDDEN_FEATURES, 1, bias=False)  # the softmax would take a bias out again
        nn.init.zeros_(self.energy.weight)

    def forward(self, features_NC: Tensor) -> Tensor:
        """Compute energies: float [N, C] to [N]."""
        hidden = torch.tanh(self.content(features_NC)) * torch.sigmoid(self.gate(features_NC))
        energies: Tensor = self.energy(hidden).squeeze(1)
        return energies


def pooled_logits(logits_N: Tensor, energies_N: Tensor, bag_size: int) -> Tensor:
    """Compute the logits of videos from those of their clips.

    The classifier is linear, so the weighted mean of its clips' logits is its logit of the weighted mean of their
    features: a clip keeps its logit, its score and its map.

    Args:
        logits_N: float32, the clips of a video one after the other.
        energies_N: float32, likewise.
        bag_size: K.

    Returns:
        float32 [B].
    """
    weights_BK = energies_N.view(-1, bag_size).softmax(dim=1)
    return (weights_BK * logits_N.view(-1, bag_size)).sum(dim=1)
