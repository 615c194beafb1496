"""Attention pooling against its published formula, written out in NumPy."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from wauve_dist.models.attention_pooling import GatedAttention, pooled_logits


def test_energies_and_weights_are_those_of_the_paper():
    """Ilse et al. 2018, equation 9."""
    torch.manual_seed(0)
    attention = GatedAttention(6)
    nn.init.normal_(attention.energy.weight)
    features = torch.randn(4, 6)
    layers = {name: tensor.numpy() for name, tensor in attention.state_dict().items()}
    content, gate = (
        features.numpy() @ layers[f"{name}.weight"].T + layers[f"{name}.bias"] for name in ("content", "gate")
    )
    expected = layers["energy.weight"] @ (np.tanh(content) / (1 + np.exp(-gate))).T
    with torch.no_grad():
        energies = attention(features)
    np.testing.assert_allclose(energies, expected[0], rtol=1e-4, atol=1e-6)
    weights = np.exp(expected[0]).reshape(2, 2)
    weights /= weights.sum(axis=1, keepdims=True)
    logits = torch.tensor([1.0, -2.0, 0.5, 4.0])
    by_hand = (weights * logits.numpy().reshape(2, 2)).sum(axis=1)
    np.testing.assert_allclose(pooled_logits(logits, energies, 2), by_hand, rtol=1e-4)


def test_it_is_the_linear_layer_on_the_weighted_mean_of_features():
    torch.manual_seed(0)
    features, energies, classifier = torch.randn(2, 5, 7), torch.randn(2, 5), nn.Linear(7, 1)
    with torch.no_grad():
        expected = classifier(torch.einsum("bk,bkc->bc", energies.softmax(1), features)).squeeze(1)
        pooled = pooled_logits(classifier(features).flatten(), energies.flatten(), 5)
    torch.testing.assert_close(pooled, expected)


def test_an_untrained_attention_weighs_all_clips_alike():
    assert GatedAttention(3)(torch.randn(4, 3)).tolist() == [0, 0, 0, 0]


def videos_with_one_telling_clip(num_videos, seed):
    """One clip in five shows the lesion, and says so in a feature of its own; noise of the others is as loud."""
    rng = torch.Generator().manual_seed(seed)
    labels, shown = torch.arange(num_videos) % 2, torch.randint(0, 5, (num_videos,), generator=rng)
    features = torch.stack([torch.randn(num_videos, 5, generator=rng), torch.zeros(num_videos, 5)], dim=2)
    features[torch.arange(num_videos), shown] = torch.stack([labels * 2.0 - 1, torch.ones(num_videos)], dim=1)
    return features.flatten(0, 1), labels.float()


def test_it_learns_to_listen_to_the_clip_that_shows_the_lesion():
    torch.manual_seed(0)
    (features, labels), (unseen, truth) = (videos_with_one_telling_clip(512, seed) for seed in (0, 1))
    attention, classifier = GatedAttention(2), nn.Linear(2, 1)
    nn.init.normal_(classifier.weight, std=0.01)  # as our heads start; with a larger weight of the wrong sign it sticks
    optimizer = torch.optim.Adam([*attention.parameters(), *classifier.parameters()], lr=0.03)
    for _ in range(100):
        optimizer.zero_grad()
        logits = pooled_logits(classifier(features).squeeze(1), attention(features), 5)
        F.binary_cross_entropy_with_logits(logits, labels).backward()
        optimizer.step()

    def share_right(energies):
        return ((pooled_logits(classifier(unseen).squeeze(1), energies, 5) > 0) == truth.bool()).float().mean()

    assert share_right(attention(unseen)) > 0.95
    assert share_right(torch.zeros(len(unseen))) < 0.8
