"""launch/evaluate.py as a user runs it, on a small generated study."""

import json
import re
import runpy
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from wauve_dist.structures.annotations import Annotations, write_annotations
from wauve_dist.structures.provenance import read_provenance
from wauve_dist.structures.tables import CLIPS, DETECTIONS, PREDICTIONS, write_table

NUM_VIDEOS = 40
OTHER = "2D $_$"  # no TeX, neither for the page nor for the figures
FIGURES = ("calibration", "decision_curve", "froc", "precision_recall", "roc", "scores")
CHECKLISTS = ("checklist_claim_2024", "checklist_stard_ai", "checklist_tripod_ai")
TABLES = ("accuracy", *CHECKLISTS, "comparisons", "decision_curve", "detector", "froc", "population", "videos")
RESAMPLES = ("--resamples", "500")
COMMAND = runpy.run_path(str(Path(__file__).parents[2] / "launch" / "evaluate.py"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Predictions of two models with clips, thumbnails, detections and true boxes; one video without a lesion found."""
    folder = tmp_path_factory.mktemp("predictions")
    rng = np.random.default_rng(0)
    videos = [f"sweep/{number:03d}" for number in range(NUM_VIDEOS)]
    labels = np.arange(NUM_VIDEOS) % 2
    clip_scores = 1 / (1 + np.exp(-rng.normal(2 * labels - 1, 1.2, size=(5, NUM_VIDEOS)).T))
    clip_scores[-1] = np.nan
    rows = [
        (video, track, clip, 8 * clip, clip_scores[number, clip])
        for number, video in enumerate(videos[:-1])
        for clip, track in enumerate([1, 1, 1, 2, 2])
    ]
    clips = pd.DataFrame(rows, columns=["video_id", "track_id", "clip_index", "start_frame", "score"])
    write_table(clips, folder / "clips.parquet", CLIPS, {})
    table = pd.DataFrame(
        {
            "video_id": videos,
            "patient_id": [f"p{number // 2}" for number in range(NUM_VIDEOS)],
            "label": labels,
            "score": clip_scores.mean(axis=1),
            "num_clips": [5] * (NUM_VIDEOS - 1) + [0],
            "model": "I3D <R50>",
            "birads": rng.choice(["3", "4A", "5"], NUM_VIDEOS),
            "age": rng.integers(30, 80, NUM_VIDEOS),
        }
    )
    write_table(table, folder / "predictions.csv", PREDICTIONS, {})
    other = table.assign(model=OTHER, score=rng.random(NUM_VIDEOS))
    write_table(other, folder / "other.csv", PREDICTIONS, {})
    for video in videos[:3]:
        path = folder / "thumbnails" / f"{video}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (24, 32), dtype=np.uint8)).save(path)
    frames = [(video, frame, 64, 64) for video in videos[:10] for frame in range(6)]
    boxes = [(video, frame, 1, 1, 10.0, 10.0, 40.0, 40.0) for video in videos[:10] for frame in range(4)]
    annotations = Annotations(
        pd.DataFrame(frames, columns=["video_id", "frame", "width", "height"]),
        pd.DataFrame(boxes, columns=["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]),
    )
    write_annotations(annotations, folder / "annotations.json", {})
    found = [(*box[:2], 10.0, 10.0, 40.0, 38.0, 0.9) for box in boxes]
    detections = pd.DataFrame(found, columns=["video_id", "frame", "x1", "y1", "x2", "y2", "score"])
    write_table(detections, folder / "detections.parquet", DETECTIONS, {})
    return folder


@pytest.fixture
def evaluate(capsys):
    """Call the command in this process, which saves its imports; return its exit status and what it said."""

    def call(*arguments):
        capsys.readouterr()
        try:
            status = COMMAND["main"]([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def full_run(study, launch, tmp_path_factory):
    """Everything at once, in a process of its own: two models, detector, a given threshold."""
    out = tmp_path_factory.mktemp("runs") / "report"
    process = launch(
        "evaluate.py",
        "--predictions",
        study / "predictions.csv",
        study / "other.csv",
        "--detections",
        study / "detections.parquet",
        "--annotations",
        study / "annotations.json",
        "--threshold",
        "0.5",
        *RESAMPLES,
        "--out",
        out,
    )
    assert process.returncode == 0, process.stderr
    return out, process


class Page(HTMLParser):
    """Every address that a browser would fetch, and the text."""

    def __init__(self, html):
        super().__init__()
        self.addresses, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        self.text += data


def test_all_files_are_there_and_nothing_else(full_run):
    out, _ = full_run
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        *(f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "svg")),
        "metrics.json",
        "metrics.json.provenance.json",
        "model_card.md",
        "report.html",
        *(f"tables/{name}.{kind}" for name in TABLES for kind in ("csv", "tex")),
    ]


def test_metrics_follow_the_contract(full_run, study):
    metrics = json.loads((full_run[0] / "metrics.json").read_text())
    assert (metrics["n"], metrics["positives"], metrics["patients"]) == (NUM_VIDEOS, 20, 20)
    assert list(metrics["models"]) == ["I3D <R50>", OTHER]
    model = metrics["models"]["I3D <R50>"]
    assert set(model["auc"]) == {"value", "ci_low", "ci_high", "method", "resamples", "redrawn"}
    assert set(model["auc_delong"]) == {"value", "ci_low", "ci_high", "method"}
    assert model["threshold"] == {"value": 0.5, "rule": "given", "same_data": False}
    for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
        assert set(model[name]) == {"value", "ci_low", "ci_high", "k", "n", "method", "ci_by_patient"}
        assert model[name]["ci_low"] <= model[name]["value"] <= model[name]["ci_high"]
    assert model["no_lesion_found"] == {"videos": 1, "malignant": 1}
    table = pd.read_csv(study / "predictions.csv")
    called = table["score"].fillna(0) >= 0.5
    assert model["sensitivity"]["k"] == int((called & (table["label"] == 1)).sum())
    assert model["calibration"]["n"] == NUM_VIDEOS - 1
    assert [(part["focus"], part["at_least"]) for part in model["partial_auc"]] == [
        ("specificity", 0.8),
        ("sensitivity", 0.9),
    ]
    scores = table["score"].fillna(0)
    assert model["partial_auc"][0]["value"] == pytest.approx(roc_auc_score(table["label"], scores, max_fpr=0.2))
    assert model["average_precision"] == pytest.approx(average_precision_score(table["label"], scores))
    assert model["average_precision_interval"]["ci_low"] < model["average_precision"]
    benefits = model["decision_curve"]["at_birads_boundaries"]
    assert [row["probability"] for row in benefits] == [0.02, 0.1, 0.5, 0.95]
    # At one half a needless biopsy weighs as much as a missed cancer: found less needless, per video.
    confusion = model["confusion"]
    assert benefits[2]["net_benefit"] == pytest.approx((confusion["tp"] - confusion["fp"]) / NUM_VIDEOS)
    assert metrics["detection"]["ap50"] == pytest.approx(1.0)
    froc = metrics["detection"]["froc"]
    assert [point["false_positives_per_frame"] for point in froc["points"]] == [0.125, 0.25, 0.5, 1, 2, 4, 8]
    assert [point["value"] for point in froc["points"]] == pytest.approx([1.0] * 7)
    assert froc["false_positives_per_frame_of_all_boxes"] == 0
    assert metrics["detection"]["num_videos_without_annotation"] == 30
    assert {(row["a"], row["b"]) for row in metrics["comparisons"]} == {("I3D <R50>", OTHER)}
    assert all(row["p"] is None or 0 <= row["p"] <= 1 for row in metrics["comparisons"])
    auc, *others = metrics["comparisons"]
    assert auc["metric"] == "auc"
    assert auc["ci_low"] < auc["difference"] < auc["ci_high"]
    assert (auc["ci_low"] <= 0 <= auc["ci_high"]) is (auc["p"] > 0.05)
    assert not any("ci_low" in row for row in others)


def test_the_same_input_gives_the_same_bytes(full_run, study, evaluate, tmp_path):
    first, _ = full_run
    second = tmp_path / "elsewhere"
    inputs = ("--predictions", study / "predictions.csv", study / "other.csv")
    boxes = ("--detections", study / "detections.parquet", "--annotations", study / "annotations.json")
    evaluate(*inputs, *boxes, "--threshold", "0.5", *RESAMPLES, "--out", second)
    for path in sorted(path for path in first.rglob("*") if path.is_file()):
        assert (second / path.relative_to(first)).read_bytes() == path.read_bytes(), path.name
    assert str(study) not in (first / "metrics.json").read_text()


def test_the_page_fetches_nothing_and_shows_every_video(full_run, study):
    html = (full_run[0] / "report.html").read_text()
    page = Page(html)
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"@import|url\(|https?://(?!www\.w3\.org)", html)
    assert sum(address.startswith("data:image/jpeg") for address in page.addresses) == 3
    for video in pd.read_csv(study / "predictions.csv")["video_id"]:
        assert f"<b>{video}</b>" in html
    # A score over time for each video with clips; two tracks, so two strokes.
    strokes = re.findall(r'<path d="([^"]*)"', html)
    assert len(strokes) == NUM_VIDEOS - 1
    assert all(stroke.count("M") == 2 for stroke in strokes)


def test_the_page_says_what_a_reader_must_know(full_run):
    html = (full_run[0] / "report.html").read_text()
    text = " ".join(Page(html).text.split())
    assert "<R50>" not in html.replace("&lt;R50&gt;", "")
    assert "I3D <R50> found no lesion in 1 video, 1 of them malignant" in text
    assert "Some patients have several videos" in text
    assert "With 20 malignant and 20 benign videos the intervals are wide" in text
    assert "given beforehand" in text
    assert "chosen on" not in text
    assert "clustered by patient (Obuchowski 1997)" in text
    assert "Readers: --readers was not given." in text


def test_the_console_repeats_the_numbers_and_the_warning(full_run):
    out, process = full_run
    auc = json.loads((out / "metrics.json").read_text())["models"][OTHER]["auc"]
    assert f"auc          {auc['value']:.3f} ({auc['ci_low']:.3f} to {auc['ci_high']:.3f})" in process.stdout
    assert "WARNING: no lesion found in 1 video (1 malignant)" in process.stdout
    assert process.stderr == ""


def test_who_was_examined_is_told_by_split_and_site(study, evaluate, tmp_path):
    table = pd.read_csv(study / "predictions.csv")
    table["site"] = np.where(table.index < 12, "B", "A")
    table["split"] = np.where(table.index < 30, "val", "train")
    table.to_csv(tmp_path / "p.csv", index=False)
    status, output = evaluate("--predictions", tmp_path / "p.csv", *RESAMPLES, "--out", tmp_path / "out")
    assert status == 0, output.err
    populations = json.loads((tmp_path / "out" / "metrics.json").read_text())["populations"]
    assert populations["split"]["label"]["counts"] == {"0": {"train": 5, "val": 15}, "1": {"train": 5, "val": 15}}
    assert populations["site"]["age"]["method"] == "t-test"
    assert list(pd.read_csv(tmp_path / "out" / "tables" / "population_by_split.csv"))[-2:] == ["train", "val"]
    text = " ".join(Page((tmp_path / "out" / "report.html").read_text()).text.split())
    assert "By split" in text
    assert "The population by" not in text
    status, output = evaluate(
        "--predictions", tmp_path / "p.csv", "--split", "val", *RESAMPLES, "--out", tmp_path / "val"
    )
    assert status == 0, output.err
    assert list(json.loads((tmp_path / "val" / "metrics.json").read_text())["populations"]) == ["site"]
    text = " ".join(Page((tmp_path / "val" / "report.html").read_text()).text.split())
    assert "The population by split: the videos are of one split" in text


def test_provenance_names_inputs_and_settings(full_run):
    record = read_provenance(full_run[0] / "metrics.json")
    assert sorted(record["made_from"]) == ["annotations", "detections", f"predictions {OTHER}", "predictions I3D <R50>"]
    assert record["settings"]["threshold"] == 0.5
    assert record["settings"]["num_resamples"] == 500


def test_without_a_threshold_youdens_is_chosen_and_flagged_and_absences_are_listed(study, evaluate, tmp_path):
    alone = tmp_path / "alone" / "scores.csv"
    alone.parent.mkdir()
    table = pd.read_csv(study / "predictions.csv")[["video_id", "patient_id", "label", "score"]].fillna({"score": 0.1})
    table.assign(patient_id=table["video_id"]).to_csv(alone, index=False)
    status, output = evaluate("--predictions", alone, *RESAMPLES, "--out", tmp_path / "out")
    assert status == 0, output.err
    model = json.loads((tmp_path / "out" / "metrics.json").read_text())["models"]["scores"]
    assert model["threshold"]["rule"] == "youden"
    assert model["threshold"]["same_data"] is True
    assert "ci_by_patient" not in model["sensitivity"]
    text = " ".join(Page((tmp_path / "out" / "report.html").read_text()).text.split())
    assert "The threshold was chosen on the videos that it is judged on" in text
    assert "Scores over time: there is no clips.parquet beside the predictions" in text
    assert "Pictures of the lesions: there is no thumbnails folder" in text
    assert "Average precision and FROC of the detector: --detections and --annotations were not given" in text
    assert not (tmp_path / "out" / "tables" / "comparisons.csv").exists()


def test_perfect_separation_makes_a_report_without_invented_numbers(evaluate, tmp_path):
    rows = [f"v{i},p{i},{int(i >= 6)},{(i + 1) / 20}" for i in range(12)]
    (tmp_path / "perfect.csv").write_text("video_id,patient_id,label,score\n" + "\n".join(rows) + "\n")
    status, output = evaluate("--predictions", tmp_path / "perfect.csv", *RESAMPLES, "--out", tmp_path / "out")
    assert status == 0, output.err
    model = json.loads((tmp_path / "out" / "metrics.json").read_text())["models"]["perfect"]
    assert model["auc"]["value"] == 1.0
    assert model["auc"]["ci_low"] == pytest.approx(0.025 ** (1 / 6))
    assert model["auc_delong"]["ci_low"] is None
    assert model["calibration"]["slope"]["value"] is None
    assert "NaN" not in (tmp_path / "out" / "metrics.json").read_text()
    assert "nan" not in Page((tmp_path / "out" / "report.html").read_text()).text.lower().split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "0"], "--threshold 0 must lie above 0"),
        (["--threshold-rule", "best"], "--threshold-rule 'best' is not one of youden"),
        (["--resamples", "0"], "--resamples 0: at least 1 is needed"),
        (["--split", "test"], "has no column 'split'"),
        (["--annotations", "a.json"], "--detections and --annotations go together"),
        (["--threshold", "0.5", "--threshold-rule", "youden"], "not allowed with argument"),
    ],
)
def test_a_bad_request_ends_with_status_2_and_no_file(study, evaluate, tmp_path, arguments, message):
    out = tmp_path / "out"
    status, output = evaluate("--predictions", study / "predictions.csv", *arguments, "--out", out)
    assert status == 2
    assert message in output.err
    assert not list(out.glob("*"))


def test_a_used_folder_and_a_bad_table_end_with_status_2(study, evaluate, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    status, output = evaluate("--predictions", study / "predictions.csv", "--out", tmp_path)
    assert status == 2
    assert "already holds another run (notes.txt)" in output.err
    status, output = evaluate("--predictions", tmp_path / "absent.csv", "--out", tmp_path / "out")
    assert status == 2
    assert "absent.csv: there is no such file" in output.err
    assert not (tmp_path / "out").exists()


READINGS = pd.DataFrame(
    [(video, reader, 0, "4A") for reader in ("R1", "R2") for video in range(NUM_VIDEOS)],
    columns=["video_id", "reader", "assisted", "birads"],
).assign(video_id=lambda table: table["video_id"].map("sweep/{:03d}".format))
BAD_FILES = {
    "NaN": ("predictions.csv", lambda t: t.assign(score=["NaN", *t["score"][1:]]), "row 2, column 'score': 'NaN' is"),
    "infinite": ("predictions.csv", lambda t: t.assign(score=["inf", *t["score"][1:]]), "inf must lie between 0 and 1"),
    "too high": ("predictions.csv", lambda t: t.assign(score=[1.2, *t["score"][1:]]), "1.2 must lie between 0 and 1"),
    "negative": ("predictions.csv", lambda t: t.assign(score=[-0.1, *t["score"][1:]]), "-0.1 must lie between 0 and 1"),
    "twice": ("predictions.csv", lambda t: pd.concat([t, t[:1]]), "'sweep/000' stands there more than once"),
    "label": ("other.csv", lambda t: t.assign(label=[1, *t["label"][1:]]), "column 'label' differs between"),
    "fewer": ("other.csv", lambda t: t[2:], "lacks 2 videos of {folder}/predictions.csv: sweep/000, sweep/001"),
    "birads": ("predictions.csv", lambda t: t.assign(birads="6"), "'6' must be one of 2, 3, 4A, 4B, 4C, 5"),
    "reading": ("readers.csv", lambda t: t.assign(birads="4"), "'4' must be one of 2, 3, 4A, 4B, 4C, 5"),
    "missing": ("readers.csv", lambda t: t[1:], "reader 'R1' has not read 1 of 40 videos alone: sweep/000"),
    "one class": ("predictions.csv", lambda t: t[t["label"] == 1], "all 20 cases are malignant"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_file_is_refused_by_name_before_anything_is_written(study, evaluate, tmp_path, fault):
    spoilt, spoil, message = BAD_FILES[fault]
    for name in ("predictions.csv", "other.csv", "readers.csv"):
        table = READINGS if name == "readers.csv" else pd.read_csv(study / name)
        (spoil(table) if name == spoilt else table).to_csv(tmp_path / name, index=False)
    files = [tmp_path / "predictions.csv", *([tmp_path / "other.csv"] if spoilt == "other.csv" else [])]
    readers = ["--readers", tmp_path / "readers.csv"] if spoilt == "readers.csv" else []
    status, output = evaluate("--predictions", *files, *readers, *RESAMPLES, "--out", tmp_path / "out")
    assert status == 2
    assert message.format(folder=tmp_path) in output.err
    assert spoilt in output.err
    assert not (tmp_path / "out").exists()


def test_models_can_be_compared_on_the_videos_that_all_have(study, evaluate, tmp_path):
    pd.read_csv(study / "other.csv")[3:].to_csv(tmp_path / "other.csv", index=False)
    files = ("--predictions", study / "predictions.csv", tmp_path / "other.csv")
    status, output = evaluate(*files, "--intersection", *RESAMPLES, "--out", tmp_path / "out")
    assert status == 0, output.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["n"], metrics["left_out"]) == (NUM_VIDEOS - 3, {"I3D <R50>": 3})
    assert "WARNING: 3 videos of I3D <R50> that another model lacks not counted" in output.out
    text = " ".join(Page((tmp_path / "out" / "report.html").read_text()).text.split())
    assert (
        "Left out, as asked: 3 videos of I3D <R50> that another model lacks: sweep/000, sweep/001, sweep/002." in text
    )


def test_help_answers_at_once(launch):
    start_s = time.monotonic()
    process = launch("evaluate.py", "--help")
    assert process.returncode == 0
    assert "--threshold-rule" in process.stdout
    assert time.monotonic() - start_s < 1.0
