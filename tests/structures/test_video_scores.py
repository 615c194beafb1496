import pandas as pd
import pytest

from wauve_dist.structures.video_scores import video_scores


def test_a_video_s_score_is_the_mean_of_its_clips():
    clips = pd.DataFrame({"video_id": ["b", "a", "b"], "score": [0.25, 0.5, 1.0]})
    assert video_scores(clips).to_dict() == {"a": 0.5, "b": 0.625}


def test_with_weights_it_is_the_sigmoid_of_the_weighted_mean_logit_even_where_scores_are_as_good_as_1():
    logits, weights = [40.0, -38.0, 2.0], [0.5, 0.5, 1.0]
    clips = pd.DataFrame({"video_id": ["a", "a", "b"], "score": [1.0, 0.0, 0.88], "logit": logits, "weight": weights})
    assert video_scores(clips).to_dict() == pytest.approx({"a": 0.7310586, "b": 0.8807971})
