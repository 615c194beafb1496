import math

import numpy as np
import pandas as pd
import pytest

from wauve_dist.evaluation.model_accuracy import evaluate_model
from wauve_dist.evaluation.operating_point import given_threshold
from wauve_dist.evaluation.scored_videos import ScoredVideos
from wauve_dist.reporting import cases as cases_module
from wauve_dist.reporting.cases import cases_of
from wauve_dist.reporting.figures import roc_figure
from wauve_dist.reporting.population import population_table
from wauve_dist.reporting.wording import decimal, interval, p_value, pairs_of_hundred, percent


def scored_videos(labels, scores, no_lesion=None):
    number = len(labels)
    ids = [f"v{index:03d}" for index in range(number)]
    return ScoredVideos(
        videos=pd.DataFrame({"video_id": ids, "patient_id": ids, "label": labels}),
        scores={"m": np.array(scores, dtype=float)},
        no_lesion={"m": np.zeros(number, dtype=bool) if no_lesion is None else np.array(no_lesion)},
        num_clips={},
        unlabelled=pd.DataFrame(),
    )


def test_the_most_wrong_come_first_then_the_least_certain(tmp_path):
    scored = scored_videos([1, 0, 1, 0, 0], [0.1, 0.9, 0.55, 0.05, 0.6])
    cases = cases_of(scored, "m", 0.5, None, tmp_path)
    assert [(case.score, case.outcome) for case in cases] == [
        (0.1, "missed"),
        (0.9, "false alarm"),
        (0.6, "false alarm"),
        (0.55, "right"),
        (0.05, "right"),
    ]


def test_only_the_first_rows_carry_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(cases_module, "MAX_THUMBNAILS", 2)
    for name in ("v000", "v001", "v002", "v003"):
        (tmp_path / f"{name}.jpg").write_bytes(b"jpeg")
    cases = cases_of(scored_videos([1, 0, 1, 0], [0.9, 0.6, 0.1, 0.2]), "m", 0.5, None, tmp_path)
    assert [(case.video_id, bool(case.thumbnail)) for case in cases] == [
        ("v002", True),
        ("v001", True),
        ("v003", False),
        ("v000", False),
    ]


def test_clip_scores_are_drawn_over_time_one_stroke_per_track(tmp_path):
    clips = pd.DataFrame(
        {
            "video_id": "v000",
            "track_id": [1, 1, 2],
            "clip_index": [0, 1, 2],
            "start_frame": [0, 8, 16],
            "score": [0.0, 1.0, 0.5],
        }
    )
    case, other = cases_of(scored_videos([1, 0], [0.5, 0.1]), "m", 0.5, clips, tmp_path)
    # 168 x 40 with a margin of 4: the first clip at bottom left, the second at the top, the third at mid height.
    assert case.clip_path == "M4.0 36.0L84.0 4.0M164.0 20.0L164.0 20.0"
    assert case.threshold_y == 20.0
    assert other.clip_path == ""


def test_the_population_is_counted_by_class_with_the_unknown_apart():
    videos = pd.DataFrame(
        {
            "video_id": list("abcdef"),
            "patient_id": ["p", "p", "q", "r", "s", "t"],
            "label": [1, 1, 1, 0, 0, 0],
            "age": [40, 50, 60, np.nan, 30, 30],
            "birads": ["5", "4A", "5", "3", None, "3"],
        }
    )
    table = population_table(videos).set_index(["characteristic", "level"])
    assert table.loc[("Videos", "")].tolist() == ["6", "3", "3"]
    assert table.loc[("Patients", "")].tolist() == ["5", "2", "3"]
    assert table.loc[("Age, years", "median (quartiles)")].tolist() == [
        "40 (30 to 50)",
        "50 (45 to 55)",
        "30 (30 to 30)",
    ]
    assert table.loc[("BI-RADS", "3")].tolist() == ["2 (40%)", "0 (0%)", "2 (100%)"]
    assert table.loc[("", "5")].tolist() == ["2 (40%)", "2 (67%)", "0 (0%)"]
    unknown = table.xs("unknown", level="level")
    assert unknown.to_numpy().tolist() == [["1", "0", "1"], ["1", "0", "1"]]
    assert "Site" not in table.index.get_level_values("characteristic")


@pytest.mark.parametrize(
    ("auc", "words"), [(0.92, "92"), (1.0, "100"), (0.997, "more than 99"), (0.003, "fewer than 1"), (0.0, "0")]
)
def test_an_imperfect_model_is_not_called_perfect(auc, words):
    assert pairs_of_hundred(auc) == words


def test_numbers_read_as_in_a_paper():
    assert (percent(0.8616), decimal(0.92124), p_value(0.03121), p_value(1e-9)) == (
        "86.2 %",
        "0.921",
        "0.031",
        "< 0.001",
    )
    assert interval(0.7, 0.912, as_percent=True) == "70.0 to 91.2 %"
    assert (decimal(math.nan), interval(math.nan, 1.0, as_percent=False)) == ("n/a", "undefined")


def test_the_names_of_many_models_stand_below_the_curves():
    scored = scored_videos(np.arange(40) % 2, np.random.default_rng(0).random(40))
    result = evaluate_model(scored, "m", lambda *_: given_threshold(0.5), seed=0, num_resamples=99)
    names = [f"a model with a long name, {number}" for number in range(5)]
    figure = roc_figure(dict.fromkeys(names, result))
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 < figure.axes[0].get_window_extent().y0
    assert [text.get_text().split(":")[0] for text in legend.get_texts()] == [*names, "at the threshold"]
