"""The paper's external validation through the command line: Tables 3, 4 and 5 from two CSV files."""

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from published_study import COUNTS, MODEL_THRESHOLD, predictions, prints_as, readings
from sklearn.metrics import roc_auc_score

from wauve_dist.structures.tables import BIRADS_CATEGORIES

LAUNCHER = Path(__file__).parents[2] / "launch" / "evaluate.py"
METRICS = {"SENS": "sensitivity", "SPEC": "specificity", "PPV": "ppv", "NPV": "npv", "ACC": "accuracy"}
SUBGROUPS = "site,age>=50,lesion_size_mm<=10,birads:2-3/4-5"
LEVELS = {
    "PUMCH": ("site", "PUMCH"),
    "NCC": ("site", "NCC"),
    "<50": ("age>=50", "<50"),
    ">=50": ("age>=50", ">=50"),
    "<=10mm": ("lesion_size_mm<=10", "<=10"),
    ">10mm": ("lesion_size_mm<=10", ">10"),
    "BI-RADS 2-3": ("birads:2-3/4-5", "2-3"),
    "BI-RADS 4-5": ("birads:2-3/4-5", "4-5"),
}


def _evaluate(*arguments):
    """Call the command in this process, where the heavy imports are already made; return its exit status."""
    return runpy.run_path(str(LAUNCHER))["main"]([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    predictions().to_csv(folder / "predictions.csv", index=False)
    timed = readings()
    timed["reading_time_s"] = np.random.default_rng(0).gamma(3, 8, len(timed)).round(2) + 1
    timed.to_csv(folder / "readers.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def report(files):
    status = _evaluate(
        *("--predictions", files / "predictions.csv", "--readers", files / "readers.csv"),
        *("--subgroups", SUBGROUPS, "--threshold", MODEL_THRESHOLD, "--resamples", 199, "--out", files / "report"),
    )
    assert status == 0
    return files / "report"


@pytest.fixture(scope="module")
def metrics(report):
    return json.loads((report / "metrics.json").read_text())


def _figure(metrics, table, row, metric):
    if table == "3":
        subgroup, level = LEVELS[row]
        return metrics["subgroups"][subgroup][level][METRICS[metric]]
    if row == "AI":
        return metrics["models"]["WAUVE"][METRICS[metric]]
    reader = row.removesuffix("+AI").replace("Avg", "average")
    return metrics["readers"][reader]["assisted" if row.endswith("+AI") else "alone"][METRICS[metric]]


@pytest.mark.parametrize("record", COUNTS["proportions"], ids=lambda record: f"Table {' '.join(record[:3])}")
def test_every_figure_of_tables_3_and_4_is_in_metrics_json(metrics, record):
    table, row, metric, _, printed, printed_limits = record
    found = _figure(metrics, table, row, metric)
    assert prints_as(100 * found["value"], printed)
    if printed_limits:
        assert prints_as(100 * found["ci_low"], printed_limits[0])
        assert prints_as(100 * found["ci_high"], printed_limits[1])


@pytest.mark.parametrize(("name", "printed"), [(r[0], r[-1]) for r in COUNTS["paired"] + COUNTS["unpaired"]])
def test_every_p_value_of_tables_3_and_4_is_in_metrics_json(metrics, name, printed):
    table, versus, metric = name.split(", ")
    first, second = versus.split(" vs ")
    if table == "Table 3":
        p = metrics["subgroups"][LEVELS[first][0]]["p"][METRICS[metric]]["p"]
    else:
        reader = metrics["readers"][first.removesuffix("+AI").replace("Avg", "average")]
        comparison = "alone against the model" if second == "AI" else "assisted against alone"
        rows = reader["p"][comparison]
        p = next(row["p"] for row in rows if row["metric"] == METRICS[metric] and "score" not in row["method"])
    assert prints_as(p, printed)


@pytest.mark.parametrize("name", COUNTS["adjustments"])
def test_table_5_is_in_metrics_json(metrics, name):
    reader, kind = name.split("-")
    found, published = metrics["readers"]["adjustments"][reader][kind], COUNTS["adjustments"][name]
    assert {key: found[key] for key in published} == published


def test_readers_have_the_auc_of_their_categories(metrics):
    merged = readings().merge(predictions()[["video_id", "label"]], on="video_id")
    for (reader, assisted), rows in merged.groupby(["reader", "assisted"]):
        found = metrics["readers"][reader][("alone", "assisted")[assisted]]["auc"]
        expected = roc_auc_score(rows["label"], rows["birads"].map(BIRADS_CATEGORIES.index))
        assert found["value"] == pytest.approx(expected, abs=1e-9)
        assert found["ci_low"] < expected < found["ci_high"]


def test_reading_times_are_in_metrics_json_in_the_tables_and_on_the_page(files, metrics, report):
    times, table = metrics["readers"]["reading_times"], pd.read_csv(files / "readers.csv")
    assert set(times["readers"]) == {"R1", "R2", "R3", "R4", "average"}
    of_first = table.query("reader == 'R1' and assisted == 0")["reading_time_s"]
    assert times["readers"]["R1"]["alone"]["median_s"] == pytest.approx(of_first.median())
    # The thirds add up to the average reader of Table 4: 150 of 300 benign readings are right alone.
    groups = times["groups"]
    assert [group["n"] for group in groups] == [64, 63, 63]
    for condition in ("alone", "assisted"):
        for metric in ("sensitivity", "specificity", "accuracy"):
            whole = metrics["readers"]["average"][condition][metric]
            for count in ("k", "n"):
                assert sum(group[condition][metric][count] for group in groups) == whole[count]
    written = pd.read_csv(report / "tables" / "reading_time_groups.csv")
    assert len(written) == 3 * 2 * 6
    of_readers = pd.read_csv(report / "tables" / "reading_times.csv").set_index("reader")
    assert set(of_readers.index) == set(times["readers"])
    assert of_readers.loc["R2", "ratio"] == times["readers"]["R2"]["ratio"]["value"]
    assert of_readers.loc["average", "p"] == times["readers"]["average"]["test"]["p"]
    page = (report / "report.html").read_text()
    assert "Time per reading" in page
    assert f"{groups[0]['low_s']:.1f} to {groups[0]['high_s']:.1f} s" in page
    assert "split in thirds by the mean of their unassisted reading times" in page


def test_the_undefined_p_value_is_null_not_a_number(metrics):
    # Reader 4 has a negative predictive value of 100 % alone and assisted: there is nothing to test.
    rows = metrics["readers"]["R4"]["p"]["assisted against alone"]
    assert [row["p"] for row in rows if row["metric"] == "npv"] == [None, None]


def test_the_groups_are_compared_as_in_table_1(metrics):
    by_site = metrics["populations"]["site"]
    assert by_site["label"]["counts"] == {"0": {"NCC": 33, "PUMCH": 42}, "1": {"NCC": 71, "PUMCH": 44}}
    assert "site" not in by_site
    assert by_site["age"]["method"] == "t-test"
    assert by_site["lesion_size_mm"]["method"] == "Wilcoxon rank-sum"
    assert 0 <= by_site["birads"]["p"] <= 1


def test_tables_and_figures_are_written_and_the_page_shows_them(report):
    readers = pd.read_csv(report / "tables" / "readers.csv")
    assert set(readers["reader"]) == {"R1", "R2", "R3", "R4", "average"}
    adjustments = pd.read_csv(report / "tables" / "adjustments.csv")
    assert adjustments.query("`class` == 'benign'")["biopsies_avoided"].sum() == 31
    assert len(pd.read_csv(report / "tables" / "subgroups.csv")) == 8 * 7
    for name in ("readers", "kappa", "subgroups"):
        assert (report / "figures" / f"{name}.svg").stat().st_size > 5_000
        assert (report / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    by_site = pd.read_csv(report / "tables" / "population_by_site.csv")
    assert {"NCC", "PUMCH", "p", "test"} <= set(by_site.columns)
    page = (report / "report.html").read_text()
    assert "31 benign readings moved from biopsy" in page
    assert "Obuchowski-Rockette, random readers and cases" in page
    assert "--readers was not given" not in page


def test_p_values_can_be_corrected_for_their_number(files):
    predictions().assign(model="2D", score=1 - predictions()["score"]).to_csv(files / "other.csv", index=False)
    status = _evaluate(
        *("--predictions", files / "predictions.csv", files / "other.csv", "--readers", files / "readers.csv"),
        *("--subgroups", SUBGROUPS, "--threshold", MODEL_THRESHOLD, "--adjust", "holm", "--resamples", 20),
        *("--out", files / "adjusted"),
    )
    assert status == 0
    metrics = json.loads((files / "adjusted" / "metrics.json").read_text())
    tests = [test for groups in metrics["subgroups"].values() for test in groups["p"].values()]
    assert len(tests) == 4 * 6
    smallest = min(tests, key=lambda test: test["p"])
    assert smallest["p_adjusted"] == pytest.approx(24 * smallest["p"])
    rows = [
        row
        for name in ("R1", "R2", "R3", "R4", "average")
        for rows in metrics["readers"][name]["p"].values()
        for row in rows
    ]
    for family in (tests, rows, metrics["comparisons"]):
        assert all((row["p"] is None) == (row["p_adjusted"] is None) for row in family)
        assert all(row["p_adjusted"] >= row["p"] for row in family if row["p"] is not None)
    assert "corrected by the method holm" in (files / "adjusted" / "report.html").read_text()
    assert "p_adjusted" in pd.read_csv(files / "adjusted" / "tables" / "subgroups.csv")


def test_the_threshold_can_be_matched_to_the_readers(files):
    status = _evaluate(
        *("--predictions", files / "predictions.csv", "--readers", files / "readers.csv"),
        *("--threshold-rule", "match-readers", "--resamples", 20, "--out", files / "matched"),
    )
    assert status == 0
    metrics = json.loads((files / "matched" / "metrics.json").read_text())
    # 453 of 460 readings are right; of k / 115 the nearest is 113.
    assert metrics["models"]["WAUVE"]["sensitivity"]["k"] == 113
    assert metrics["models"]["WAUVE"]["threshold"]["rule"] == "match-readers"
    assert metrics["models"]["WAUVE"]["threshold"]["same_data"] is True
    assert "nearest to the average sensitivity" in (files / "matched" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold-rule", "match-readers"], "give the readings to match with --readers"),
        (["--subgroups", "hospital"], "have no column 'hospital'"),
        (["--subgroups", "odd"], "cases of 'yes' are benign, so that most figures are undefined"),
        (["--readers", "predictions.csv"], "column 'reader' is missing"),
        (["--readers", "absent.csv"], "there is no such file"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(capsys, tmp_path, arguments, message):
    table = predictions()
    table["odd"] = ((table["label"] == 0) & (table.index % 2 == 0)).map({True: "yes", False: "no"})
    table.to_csv(tmp_path / "predictions.csv", index=False)
    arguments = [tmp_path / word if word.endswith(".csv") else word for word in arguments]
    status = _evaluate("--predictions", tmp_path / "predictions.csv", *arguments, "--out", tmp_path / "out")
    assert status == 2
    assert message in capsys.readouterr().err
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
