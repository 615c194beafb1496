import numpy as np
import pandas as pd
import pytest
from published_study import COUNTS, MODEL_THRESHOLD, predictions, prints_as
from scipy import stats

from wauve_dist.evaluation.delong import delong_covariance, delong_unpaired_test
from wauve_dist.evaluation.groupings import Grouping, parse_grouping, parse_groupings
from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.operating_point import given_threshold
from wauve_dist.evaluation.subgroups import evaluate_subgroup

METRICS = {"SENS": "sensitivity", "SPEC": "specificity", "PPV": "ppv", "NPV": "npv", "ACC": "accuracy"}
EXPRESSIONS = {"site": "site", "age": "age>=50", "lesion_size_mm": "lesion_size_mm<=10", "birads": "birads:2-3/4-5"}
LEVELS = {
    "PUMCH": ("site", "PUMCH"),
    "NCC": ("site", "NCC"),
    "<50": ("age", "<50"),
    ">=50": ("age", ">=50"),
    "<=10mm": ("lesion_size_mm", "<=10"),
    ">10mm": ("lesion_size_mm", ">10"),
    "BI-RADS 2-3": ("birads", "2-3"),
    "BI-RADS 4-5": ("birads", "4-5"),
}


@pytest.fixture(scope="module")
def subgroups():
    videos = predictions()
    return {
        column: evaluate_subgroup(
            parse_grouping(expression, videos),
            (videos["label"] == 1).to_numpy(),
            videos["score"].to_numpy(),
            videos["patient_id"].to_numpy(object),
            given_threshold(MODEL_THRESHOLD),
            seed=0,
            num_resamples=199,
        )
        for column, expression in EXPRESSIONS.items()
    }


@pytest.mark.parametrize(
    "record", [r for r in COUNTS["proportions"] if r[0] == "3"], ids=lambda record: " ".join(record[1:3])
)
def test_levels_reproduce_the_figures_of_table_3(subgroups, record):
    _, row, metric, _, printed, printed_limits = record
    column, level = LEVELS[row]
    found = getattr(subgroups[column].levels[level].operating_point, METRICS[metric])
    assert prints_as(100 * found.value, printed)
    if printed_limits:
        assert prints_as(100 * found.ci_low, printed_limits[0])
        assert prints_as(100 * found.ci_high, printed_limits[1])


@pytest.mark.parametrize(("name", "printed"), [(r[0], r[-1]) for r in COUNTS["unpaired"] if r[0].startswith("Table 3")])
def test_the_tests_chosen_reproduce_the_p_values_of_table_3(subgroups, name, printed):
    _, versus, metric = name.split(", ")
    column, _ = LEVELS[versus.split(" vs ")[0]]
    assert prints_as(subgroups[column].tests[METRICS[metric]].p, printed)


def test_the_auc_test_of_two_groups_is_the_unpaired_delong_test(subgroups):
    videos = predictions()
    old = videos["age"] >= 50
    of = [videos[chosen] for chosen in (old, ~old)]
    reference = delong_unpaired_test(of[0]["label"], of[0]["score"], of[1]["label"], of[1]["score"])
    assert subgroups["age"].tests["auc"].p == pytest.approx(reference.p, rel=1e-9)


def test_a_perfectly_separated_group_of_few_is_no_evidence_of_a_difference():
    videos = predictions()
    few = (videos["birads"] == "3").to_numpy()
    scores = np.where(few, 0.1 + 0.8 * (videos["label"] == 1), videos["score"])
    result = evaluate_subgroup(
        parse_grouping("birads:2-3/4-5", videos),
        (videos["label"] == 1).to_numpy(),
        scores,
        videos["patient_id"].to_numpy(object),
        given_threshold(0.5),
        seed=0,
        num_resamples=20,
    )
    assert result.levels["2-3"].auc.value == 1
    assert np.isnan(result.tests["auc"].p)
    assert "zero variance" in result.tests["auc"].method


def test_three_groups_are_compared_by_pearson_and_by_cochrans_homogeneity():
    videos = predictions()
    videos["site"] = np.resize(["A", "B", "C"], len(videos))
    positive, scores = (videos["label"] == 1).to_numpy(), videos["score"].to_numpy()
    patients = videos["patient_id"].to_numpy(object)
    result = evaluate_subgroup(
        parse_grouping("site", videos), positive, scores, patients, given_threshold(0.5), seed=0, num_resamples=50
    )
    right = [(point.operating_point.accuracy.k, point.n) for point in result.levels.values()]
    expected = stats.chi2_contingency([[k, n - k] for k, n in right], correction=False).pvalue
    assert result.tests["accuracy"].p == pytest.approx(expected)
    aucs, errors = [], []
    for site in "ABC":
        of = (videos["site"] == site).to_numpy()
        (auc,), variance = delong_covariance(positive[of], scores[of])
        aucs.append(auc)
        errors.append(variance[0, 0])
    # Regression on a constant with known weights: the residual sum of squares.
    design = np.ones(3) / np.sqrt(errors)
    target = np.array(aucs) / np.sqrt(errors)
    residual = target - design * (design @ target) / (design @ design)
    assert result.tests["auc"].p == pytest.approx(stats.chi2.sf(residual @ residual, 2), rel=1e-9)


def test_a_small_group_is_said_to_be_underpowered_and_a_large_one_not(subgroups):
    small = subgroups["birads"].levels["2-3"]
    assert small.positives == 3
    assert small.is_underpowered
    assert small.power["sensitivity"] < 0.5
    many = pd.concat([predictions()] * 12, ignore_index=True)
    large = evaluate_subgroup(
        parse_grouping("site", many),
        (many["label"] == 1).to_numpy(),
        many["score"].to_numpy(),
        np.arange(len(many)).astype(object),
        given_threshold(MODEL_THRESHOLD),
        seed=0,
        num_resamples=20,
    )
    assert not large.levels["NCC"].is_underpowered


def test_patients_in_several_groups_are_counted():
    videos = predictions()
    videos["patient_id"] = np.repeat(np.arange(95), 2).astype(str)
    videos["site"] = np.tile(["A", "B"], 95)
    result = evaluate_subgroup(
        parse_grouping("site", videos),
        (videos["label"] == 1).to_numpy(),
        videos["score"].to_numpy(),
        videos["patient_id"].to_numpy(object),
        given_threshold(0.5),
        seed=0,
        num_resamples=20,
    )
    assert result.num_shared_patients == 95


def _videos(**columns):
    return pd.DataFrame(columns)


def _counts(grouping: Grouping):
    return {name: int(chosen.sum()) for name, chosen in grouping.levels.items()}


def test_an_expression_names_its_groups_from_low_to_high():
    videos = _videos(
        age=[30, 49.5, 50, 70, None],
        site=["B", "A", "A", None, "C"],
        birads=["2", "3", "4A", "4C", "5"],
        lesion_size_mm=[3, 10, 10.1, 40, 12],
    )
    expected = {
        "age>=50": {"<50": 2, ">=50": 2},
        "age > 50": {"<=50": 3, ">50": 1},
        "lesion_size_mm<=10": {"<=10": 2, ">10": 3},
        "site": {"A": 2, "B": 1, "C": 1},
        "birads": {"2": 1, "3": 1, "4A": 1, "4C": 1, "5": 1},
        "birads:2-3/4-5": {"2-3": 2, "4-5": 3},
        "birads:2-4A/4B-5": {"2-4A": 3, "4B-5": 2},
        "birads:4/5": {"4": 2, "5": 1},
        "age:18-39/40-64.5": {"18-39": 1, "40-64.5": 2},
    }
    for expression, counts in expected.items():
        grouping = parse_grouping(expression, videos)
        assert list(_counts(grouping).items()) == list(counts.items()), expression
        assert grouping.num_outside == 5 - sum(counts.values())


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("hospital", r"no column 'hospital'\. They have: age, site, birads"),
        ("age>=fifty", r"'fifty' is not a number to cut at"),
        ("site>=3", r"column 'site' holds 'A', which is not a number"),
        ("age>=200", r"of its groups only '<200' has a case; two are needed"),
        ("birads:2-3/3-5", r"the range '3-5' overlaps another"),
        ("birads:3-2/4-5", r"the range '3-2' is empty"),
        ("birads:2-3/4-6", r"'4-6' is not a range of BI-RADS categories"),
        ("birads:3A/4-5", r"the range '3A' is empty"),
        ("age:young/old", r"'young' is not a range of numbers"),
        ("site,site", r"site: stands there more than once"),
        ("age>=50,", r"'': cannot be read"),
        ("__import__('os')", r"cannot be read\. Write a column \(site\)"),
    ],
)
def test_a_bad_expression_is_refused_by_name(expression, message):
    videos = _videos(age=[30, 60], site=["A", "B"], birads=["3", "5"])
    with pytest.raises(EvaluationError, match=f"--subgroups .*{message}"):
        parse_groupings(expression, videos)


def test_a_group_of_one_class_is_refused_by_name():
    videos = predictions()
    videos["site"] = np.where(videos["label"] == 1, "A", np.resize(["A", "B"], len(videos)))
    with pytest.raises(EvaluationError, match=r"--subgroups site: all \d+ cases of 'B' are benign"):
        evaluate_subgroup(
            parse_grouping("site", videos),
            (videos["label"] == 1).to_numpy(),
            videos["score"].to_numpy(),
            videos["patient_id"].to_numpy(object),
            given_threshold(0.5),
            seed=0,
            num_resamples=20,
        )


def test_a_column_of_many_values_wants_a_cut():
    with pytest.raises(EvaluationError, match=r"30 different values, more than 20\. Cut it \(age>=…\)"):
        parse_grouping("age", _videos(age=np.arange(30)))
