"""A study with comparators: Table 2 of the paper."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console

from wauve_dist.evaluation.delong import delong_paired_test
from wauve_dist.study.chain import stages_of
from wauve_dist.study.config import read_study_config
from wauve_dist.study.result import comparison_table

CONFIGS = Path(__file__).parents[2] / "configs"
COMPARISON = CONFIGS / "study" / "comparison.yaml"
MODELS = [
    "WAUVE",
    "2D-ResNet50, one key frame",
    "2D-ResNet50, two key frames",
    "2D-ResNet50, all ROI frames",
    "TimeSformer",
]


def test_a_comparator_is_trained_once_and_judges_the_tracks_that_were_found_once():
    stages = {stage.name: stage for stage in stages_of(read_study_config(COMPARISON, ["--out=runs/x"]))}
    assert list(stages) == [
        *("data", "detector", "tracks", "classifier", "predictions", "classifier-2D-ResNet50"),
        *(f"predictions-2D-ResNet50-{inputs}" for inputs in ("one_key_frame", "two_key_frames", "all")),
        *("classifier-TimeSformer", "predictions-TimeSformer", "report"),
    ]
    assert sum("--detector=runs/x/detector/checkpoints/best.ckpt" in stage.command for stage in stages.values()) == 1
    for name, stage in stages.items():
        if name.startswith("predictions-"):
            assert "--tracks=runs/x/predictions/tracks.parquet" in stage.command
            assert stage.folder == Path("runs/x") / name
            assert stage.folder / "predictions.csv" in stages["report"].inputs


def test_each_extra_is_one_option_away_from_the_paper_s_rule():
    config = read_study_config(CONFIGS / "study" / "extras.yaml", ["--out=runs/x"])
    stages = {stage.name: stage for stage in stages_of(config)}
    own = {word.split("=")[0]: word for word in stages["classifier"].command}
    for name, comparator in config.comparators.items():
        assert comparator.classifier == config.classifier
        changed = [word for word in stages[f"classifier-{name}"].command if word not in own.values()]
        assert changed == [f"--out=runs/x/classifier-{name}", *comparator.options]
        assert len(comparator.options) == 1


@pytest.mark.parametrize(
    ("comparators", "message"),
    [
        ({"../x": {"classifier": "a.yaml"}}, r"'\.\./x' names folders too"),
        ({"x": {"classifier": "gone.yaml"}}, r"comparators: x: there is no config file gone\.yaml"),
        (
            {"x": {"classifier": str(COMPARISON), "inputs": ["all", "all"]}},
            "x: inputs must name at least one, each once",
        ),
        ({"x": {"classifier": str(COMPARISON), "inputs": ["some"]}}, "some"),
    ],
)
def test_a_faulty_comparator_is_refused(comparators, message):
    with pytest.raises(ValueError, match=message):
        read_study_config(COMPARISON, [f"--comparators={json.dumps(comparators)}"])


def test_the_console_shows_table_2_with_p_values_against_the_first_model(launch, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    scores = {
        name: np.clip(0.5 + (labels - 0.5) * gap + rng.normal(0, 0.2, 60), 0, 1)
        for name, gap in (("A", 0.6), ("B", 0.1), ("C", 0.6))
    }
    paths = []
    for name, values in scores.items():
        ids = [f"v{number:02}" for number in range(60)]
        table = pd.DataFrame({"video_id": ids, "patient_id": ids, "label": labels, "score": values, "model": name})
        paths.append(tmp_path / f"{name}.csv")
        table.to_csv(paths[-1], index=False)
    done = launch(
        "evaluate.py", "--predictions", *paths, "--threshold", 0.5, "--resamples", 200, "--out", tmp_path / "report"
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    metrics["detection"] = {"ap50_interval": {"value": 0.7, "ci_low": None, "ci_high": None}}
    console = Console(width=80, record=True, file=(tmp_path / "shown").open("w"))
    console.print(comparison_table(metrics, "Test set"))
    lines = console.export_text().splitlines()
    row_of = {line[2:3]: number for number, line in enumerate(lines) if line.startswith("│")}
    # AUC, interval and p stand below each other in the second column.
    assert "…" not in "".join(lines)
    aucs = {name: lines[row_of[name]].split("│")[2].strip() for name in scores}
    assert aucs == {name: f"{metrics['models'][name]['auc']['value']:.3f}" for name in scores}
    assert "p =" not in lines[row_of["A"] + 2]
    for name in "BC":
        p = delong_paired_test(labels == 1, scores["A"], scores[name], np.arange(60)).p
        assert lines[row_of[name] + 2].split("│")[2].strip() == ("p = <0.001" if p < 0.001 else f"p = {p:.3f}")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_comparison_shrunk(launch, tmp_path):
    study = yaml.safe_load(COMPARISON.read_text())

    def shrunk(path):
        config = yaml.safe_load((CONFIGS.parent / path).read_text())
        config["trainer"] |= {"max_epochs": 1, "check_val_every_n_epoch": 1, "limit_train_batches": 2}
        config["data"]["init_args"]["batch_size"] = 2
        small = tmp_path / Path(path).name
        small.write_text(yaml.safe_dump(config))
        return str(small)

    for part in (study, *study["comparators"].values()):
        part["classifier"] = shrunk(part["classifier"])
    study["detector"] = shrunk(study["detector"])
    study["synthetic"] |= {"num_videos": 12, "frame_size": 96, "min_frames": 24, "max_frames": 28}
    study["synthetic"] |= {"val_fraction": 0.34, "test_fraction": 0.33}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study | {"resamples": 200}))
    out = tmp_path / "comparison"
    done = launch("study.py", "--config", tmp_path / "study.yaml", "--out", out, timeout=880)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((out / "report" / "metrics.json").read_text())
    assert list(metrics["models"]) == MODELS
    against_first = [row for row in metrics["comparisons"] if row["a"] == "WAUVE" and row["metric"] == "auc"]
    assert [row["b"] for row in against_first] == MODELS[1:]
    assert all("DeLong" in row["method"] for row in against_first)
    tracks = [pd.read_parquet(folder / "tracks.parquet") for folder in out.glob("predictions*")]
    assert len(tracks) == 5
    for other in tracks[1:]:
        pd.testing.assert_frame_equal(tracks[0], other)
    assert "2D-ResNet50, two key" in done.stdout
