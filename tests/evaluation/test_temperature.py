import numpy as np
import pytest
from scipy.special import expit

from wauve_dist.evaluation.temperature import MAX_TEMPERATURE, MIN_TEMPERATURE, fitted_temperature


def test_logits_that_are_three_times_too_large_are_divided_by_three():
    rng = np.random.default_rng(0)
    true_logits = rng.normal(0, 2, 200_000)
    labels = rng.random(len(true_logits)) < expit(true_logits)
    assert fitted_temperature(labels, 3 * true_logits) == pytest.approx(3, rel=0.02)
    assert fitted_temperature(labels, true_logits / 4) == pytest.approx(1 / 4, rel=0.02)


def test_the_temperature_of_two_logits_by_hand():
    # Of four videos at logit 2, three are malignant. They count as 4/5 malignant each, the benign one as 1/3, together
    # 41/60 a video: sigmoid(2 / T) = 41 / 60, so T = 2 / ln(41 / 19).
    assert fitted_temperature([1, 1, 1, 0], [2.0] * 4) == pytest.approx(2 / np.log(41 / 19), rel=1e-4)


def test_a_video_is_the_mean_of_its_clips_scores():
    labels = np.array([1, 1, 1, 1, 1, 1, 0, 0])
    logits = np.array([4.0, -1.0] * 4)
    temperature = fitted_temperature(labels, logits, list("aabbccdd"))
    scores = expit(logits / temperature).reshape(-1, 2).mean(1)
    target = np.array([4 / 5, 4 / 5, 4 / 5, 1 / 3])  # a video's, by how many there are of its kind
    steps = [temperature * factor for factor in (0.98, 1.0, 1.02)]
    losses = [
        -(target * np.log(s) + (1 - target) * np.log(1 - s)).mean()
        for s in (expit(logits / step).reshape(-1, 2).mean(1) for step in steps)
    ]
    assert losses[1] < losses[0]
    assert losses[1] < losses[2]
    assert scores.std() < 1e-12


def test_a_few_separated_videos_do_not_make_scores_extreme():
    logits = np.array([-2.0, -1.0, 1.0, 2.0])
    temperature = fitted_temperature([0, 0, 1, 1], logits)
    # At the likeliest temperature the logits weigh nothing of what scores still lack to 1/4 and 3/4.
    assert logits @ (expit(logits / temperature) - [0.25, 0.25, 0.75, 0.75]) == pytest.approx(0, abs=1e-4)
    assert fitted_temperature([0] * 500 + [1] * 500, [-1.0] * 500 + [1.0] * 500) == pytest.approx(1 / np.log(501))


def test_a_temperature_stays_within_its_limits():
    assert fitted_temperature([0, 1, 0, 1], [-2e4, -1e4, 1e4, 2e4]) == pytest.approx(MAX_TEMPERATURE, rel=1e-2)
    assert fitted_temperature([0, 1], [-0.001, 0.001]) == pytest.approx(MIN_TEMPERATURE, rel=1e-2)
