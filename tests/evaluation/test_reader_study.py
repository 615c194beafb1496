from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from published_study import COUNTS, MODEL_THRESHOLD, predictions, prints_as, readings
from sklearn.metrics import roc_auc_score

from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.proportions import clopper_pearson
from wauve_dist.evaluation.reader_study import evaluate_readers, match_readers
from wauve_dist.evaluation.readings import cross_readings
from wauve_dist.structures.tables import BIRADS_CATEGORIES, READERS, validated

METRICS = {"SENS": "sensitivity", "SPEC": "specificity", "PPV": "ppv", "NPV": "npv", "ACC": "accuracy"}
SOURCE = Path("readers.csv")


@pytest.fixture(scope="module")
def videos():
    return predictions()


@pytest.fixture(scope="module")
def crossed(videos):
    return cross_readings(validated(readings(), READERS, SOURCE), videos["video_id"], SOURCE)


@pytest.fixture(scope="module")
def study(videos, crossed):
    called = (videos["score"] >= MODEL_THRESHOLD).to_numpy()
    return evaluate_readers(
        crossed, (videos["label"] == 1).to_numpy(), videos["patient_id"].to_numpy(), called, seed=0, num_resamples=999
    )


def _of_table4(study, row):
    condition = "assisted" if row.endswith("+AI") else "alone"
    name = row.removesuffix("+AI")
    return study.average if name == "Avg" else study.readers[name], condition


@pytest.mark.parametrize(
    "record", [r for r in COUNTS["proportions"] if r[0] == "4" and r[1] != "AI"], ids=lambda r: f"{r[1]} {r[2]}"
)
def test_readers_reproduce_the_figures_of_table_4(study, record):
    _, row, metric, _, printed, printed_limits = record
    reader, condition = _of_table4(study, row)
    found = getattr(reader.figures[condition], METRICS[metric])
    assert prints_as(100 * found.value, printed)
    if printed_limits:
        assert prints_as(100 * found.ci_low, printed_limits[0])
        assert prints_as(100 * found.ci_high, printed_limits[1])


@pytest.mark.parametrize(
    ("name", "printed"), [(r[0], r[-1]) for r in COUNTS["paired"] + COUNTS["unpaired"] if r[0].startswith("Table 4")]
)
def test_readers_reproduce_the_p_values_of_table_4(study, name, printed):
    _, versus, metric = name.split(", ")
    first, second = versus.split(" vs ")
    reader, condition = _of_table4(study, first)
    rows = reader.against_model[condition] if second == "AI" else reader.against_alone
    p = next(row.p for row in rows if row.metric == METRICS[metric] and "score" not in row.method)
    assert prints_as(p, printed)


@pytest.mark.parametrize("name", COUNTS["adjustments"])
def test_table_5_counts_every_move(study, name):
    reader, kind = name.split("-")
    published, found = COUNTS["adjustments"][name], study.adjustments[reader][kind]
    assert (found.num_unchanged, found.num_upgrades, found.num_downgrades) == (
        published["unchanged"],
        published["upgrades"],
        published["downgrades"],
    )
    moves = {
        f"{BIRADS_CATEGORIES[alone]}>{BIRADS_CATEGORIES[assisted]}": int(count)
        for (alone, assisted), count in np.ndenumerate(found.transitions)
        if count and alone != assisted
    }
    assert moves == published["moves"]


def test_the_text_of_the_paper_31_biopsies_avoided_and_a_specificity_gain_of_6_67(study):
    assert sum(of_reader["benign"].num_biopsies_avoided for of_reader in study.adjustments.values()) == 31
    gain = study.average.figures["assisted"].specificity.value - study.average.figures["alone"].specificity.value
    assert prints_as(100 * gain, "6.67")


def test_the_pooled_reader_is_shown_with_limits_that_keep_a_patient_together(study):
    pooled = study.average.figures["alone"]
    assert pooled.specificity.n == 4 * 75
    low, high = pooled.by_patient["specificity"]
    # 75 lesions read four times inform more than 75 lesions and less than 300.
    assert high - low > pooled.specificity.ci_high - pooled.specificity.ci_low
    single = clopper_pearson(38, 75)
    assert high - low < single.ci_high - single.ci_low
    assert "generalised score, clustered by patient" in {row.method for row in study.average.against_alone}


def test_a_pooled_reader_without_a_miss_is_not_certain(videos):
    table = readings().merge(videos[["video_id", "label"]], on="video_id")
    table["birads"] = table["birads"].mask(table["label"] == 1, "5")
    crossed = cross_readings(table.query("assisted == 0"), videos["video_id"], SOURCE)
    positive = (videos["label"] == 1).to_numpy()
    study = evaluate_readers(crossed, positive, videos["patient_id"].to_numpy(), positive, seed=0, num_resamples=99)
    low, high = study.average.figures["alone"].by_patient["sensitivity"]
    # The 115 malignant lesions, not their 460 readings, bound it: .025 ** (1 / 115).
    assert (low, high) == pytest.approx((0.025 ** (1 / 115), 1.0))


def test_multi_reader_analyses_compare_alone_with_assisted_in_every_design(study, videos, crossed):
    methods = [result.method for result in study.mrmc]
    assert len(set(methods)) == 5
    for result in study.mrmc:
        for row, condition in enumerate(("assisted", "alone")):
            expected = [roc_auc_score(videos["label"], ranks) for ranks in crossed.ranks[condition]]
            assert result.aucs[row] == pytest.approx(expected, abs=1e-12)


def test_agreement_is_given_for_every_pair_and_condition(study):
    assert len(study.kappas) == 6 * 2 * 3  # pairs, conditions, weightings
    assert set(study.icc) == set(study.fleiss) == {"alone", "assisted"}


def test_a_study_without_assistance_has_no_assisted_part(videos):
    alone = readings().query("assisted == 0 and reader == 'R1'")
    crossed = cross_readings(alone, videos["video_id"], SOURCE)
    study = evaluate_readers(
        crossed,
        (videos["label"] == 1).to_numpy(),
        videos["patient_id"].to_numpy(),
        (videos["score"] >= 0.5).to_numpy(),
        seed=0,
        num_resamples=50,
    )
    assert not study.mrmc
    assert not study.adjustments
    assert not study.icc
    assert not study.average.against_alone
    assert set(study.average.figures) == {"alone"}


def test_the_order_of_rows_does_not_matter(videos, crossed):
    shuffled = readings().sample(frac=1, random_state=1)
    again = cross_readings(shuffled, videos["video_id"], SOURCE)
    assert again.readers == crossed.readers
    for condition, ranks in crossed.ranks.items():
        np.testing.assert_array_equal(again.ranks[condition], ranks)


def test_the_matched_threshold_has_the_nearest_sensitivity_that_exists(videos, crossed):
    positive, scores = (videos["label"] == 1).to_numpy(), videos["score"].to_numpy()
    threshold = match_readers(positive, scores, crossed)
    # The readers' average is 453 of 460 = 98.48 %; of 112, 113, 114 of 115 the nearest is 113 = 98.26 %.
    assert (scores[positive] >= threshold.value).sum() == 113
    assert threshold.same_data
    assert threshold.value in scores[positive]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(index=t.index[4]), r"reader 'R1' has not read 1 of 190 videos alone: L002"),
        (lambda t: t[(t["reader"] != "R2") | (t["assisted"] == 0)], r"'R2' has not read 190 of 190 videos assisted"),
        (lambda t: t[t["assisted"] == 1], r"holds no unassisted reading"),
        (lambda t: t.replace({"video_id": {"L005": "L999"}}), r"L999 \(1 videos\) are not in the predictions"),
        (lambda t: t.iloc[:0], r"readers\.csv: holds no reading"),
    ],
)
def test_incomplete_readings_are_refused_by_name(videos, change, message):
    with pytest.raises(EvaluationError, match=message):
        cross_readings(change(readings()), videos["video_id"], SOURCE)


def test_an_unknown_category_is_refused_by_the_table():
    table = pd.DataFrame({"video_id": ["a"], "reader": ["R"], "assisted": [0], "birads": ["4D"]})
    with pytest.raises(ValueError, match=r"readers\.csv row 2, column 'birads': '4D' must be one of 2, 3, 4A"):
        validated(table, READERS, SOURCE)
