"""What the classifier is trained with: binary cross-entropy, of which class weights, smoothing and focus are cases."""

from __future__ import annotations

from torch import Tensor
from torchvision.ops import sigmoid_focal_loss


def classification_loss(
    logits_N: Tensor, labels_N: Tensor, pos_weight: float, label_smoothing: float, focal_gamma: float
) -> Tensor:
    """Mean loss of N clips or videos.

    With 1, 0 and 0 it is the plain binary cross-entropy.

    Args:
        logits_N: float32.
        labels_N: 0..1; between them for what mix-up has mixed.
        pos_weight: how often a malignant sample counts as much as a benign one; benign over malignant videos balances.
        label_smoothing: share of the label that is moved to one half, 0..1 (Szegedy et al. 2016).
        focal_gamma: power of the distance to the label that weighs the loss, so that easy samples count less (Lin et
            al. 2017); 0 weighs all alike.

    Returns:
        [] float32.
    """
    targets_N = labels_N * (1 - label_smoothing) + label_smoothing / 2
    weights_N = 1 + (pos_weight - 1) * labels_N
    loss: Tensor = weights_N * sigmoid_focal_loss(logits_N, targets_N, alpha=-1, gamma=focal_gamma)
    return loss.mean()
