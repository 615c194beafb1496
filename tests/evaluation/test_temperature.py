import numpy as np
import pytest
from scipy.special import expit

from wauve_dist.evaluation.temperature import MIN_TEMPERATURE, fitted_temperature


def test_logits_that_are_three_times_too_large_are_divided_by_three():
    rng = np.random.default_rng(0)
    true_logits = rng.normal(0, 2, 200_000)
    labels = rng.random(len(true_logits)) < expit(true_logits)
    assert fitted_temperature(labels, 3 * true_logits) == pytest.approx(3, rel=0.02)
    assert fitted_temperature(labels, true_logits / 4) == pytest.approx(1 / 4, rel=0.02)


def test_the_temperature_of_two_logits_by_hand():
    # Of four videos at logit 2, three are malignant: sigmoid(2 / T) = 3 / 4, so T = 2 / ln 3.
    assert fitted_temperature([1, 1, 1, 0], [2.0] * 4) == pytest.approx(2 / np.log(3), rel=1e-4)


def test_a_video_is_the_mean_of_its_clips_scores():
    labels = np.array([1, 1, 1, 1, 1, 1, 0, 0])
    logits = np.array([4.0, -1.0] * 4)
    temperature = fitted_temperature(labels, logits, list("aabbccdd"))
    scores = expit(logits / temperature).reshape(-1, 2).mean(1)
    steps = [temperature * factor for factor in (0.98, 1.0, 1.02)]
    losses = [
        -np.log(np.where([1, 1, 1, 0], s, 1 - s)).mean()
        for s in (expit(logits / step).reshape(-1, 2).mean(1) for step in steps)
    ]
    assert losses[1] < losses[0]
    assert losses[1] < losses[2]
    assert scores.std() < 1e-12


def test_separated_classes_end_at_the_lowest_temperature():
    assert fitted_temperature([0, 0, 1, 1], [-2.0, -1.0, 1.0, 2.0]) == pytest.approx(MIN_TEMPERATURE, rel=1e-2)
