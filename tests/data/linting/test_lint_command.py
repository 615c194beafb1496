import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wauve_dist.data.linting.command import lint


def test_a_clean_data_set_passes_with_a_report(tiny_study_data, launch, tmp_path):
    done = launch(
        *("prepare.py", "lint", "--manifest", tiny_study_data / "manifest.csv"),
        *("--annotations", tiny_study_data / "annotations.json", "--out", tmp_path / "lint"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "lint" / "findings.json").read_text())
    assert (document["videos"], document["errors"]) == (12, 0)
    assert set(document["sha256"]) == {"manifest", "annotations"}
    assert "<h1>0 errors" in (tmp_path / "lint" / "report.html").read_text()
    assert "Not looked for" not in done.stdout


def test_planted_faults_are_found_pictured_and_fail_the_command(tiny_study_data, launch, tmp_path):
    manifest = pd.read_csv(tiny_study_data / "manifest.csv", dtype=str)
    manifest["path"] = [str(tiny_study_data / path) for path in manifest["path"]]
    first = manifest.iloc[0].copy()
    first["video_id"], first["split"] = "copy", "test" if first["split"] != "test" else "train"
    first["label"] = str(1 - int(first["label"]))
    lost = manifest.iloc[1].copy()
    lost["video_id"], lost["patient_id"], lost["path"] = "lost", "lost", "absent.avi"
    manifest = pd.concat([manifest, first.to_frame().T, lost.to_frame().T])
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    boxes = json.loads((tiny_study_data / "annotations.json").read_text())
    boxes["annotations"][0]["bbox"] = [80, 10, -20, 10]
    boxes["annotations"][9]["bbox"][0] += 500
    (tmp_path / "annotations.json").write_text(json.dumps(boxes))

    done = launch(
        *("prepare.py", "lint", "--manifest", tmp_path / "manifest.csv"),
        *("--annotations", tmp_path / "annotations.json", "--out", tmp_path / "lint"),
    )
    assert done.returncode == 1, done.stderr
    findings = pd.read_csv(tmp_path / "lint" / "findings.csv")
    errors = findings[findings["severity"] == "error"]
    assert set(errors["check"]) == {
        *("box-negative", "box-outside", "duplicate-across-labels", "duplicate-across-splits"),
        *("patient-leakage", "video-unreadable"),
    }
    assert findings.loc[findings["check"] == "video-unreadable", "video_id"].tolist() == ["lost"]
    copies = findings[findings["check"] == "duplicate-across-splits"]
    assert copies[["video_id", "other_video_id"]].to_numpy().tolist() == [[manifest["video_id"].iloc[0], "copy"]]
    page = (tmp_path / "lint" / "report.html").read_text()
    assert len(re.findall("data:image/jpeg", page)) >= 4
    assert f"{len(errors)} errors" in done.stdout


def test_what_was_not_looked_for_is_said_beside_what_was_not_found(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text("video_id,patient_id,path,label,vendor\na,p,a.png,1,x\n")
    text, num_errors = lint(tmp_path / "manifest.csv", None, tmp_path / "lint", 0)
    assert num_errors == 0
    expected = [
        "Not looked for: bad boxes, for want of --annotations.",
        "Not looked for: patients and copies in several splits, for want of a column 'split'.",
        "Not looked for: classes that a site gives away, for want of a column 'site'.",
    ]
    assert [line for line in text.splitlines() if line.startswith("Not")] == expected
    assert "bad boxes, for want of --annotations" in (tmp_path / "lint" / "report.html").read_text()


def test_a_table_that_is_none_is_refused(launch, tmp_path):
    (tmp_path / "manifest.csv").write_text("video_id\nx\n")
    done = launch("prepare.py", "lint", "--manifest", tmp_path / "manifest.csv", "--out", tmp_path / "lint")
    assert "column 'patient_id' is missing" in done.stderr
    assert not (tmp_path / "lint").exists()


@pytest.mark.real
def test_busis_known_duplicates_are_found(real_data, launch, tmp_path):
    sources = ("--annotations", real_data / "busi" / "annotations.json", "--images", real_data / "busi")
    done = launch("prepare.py", "import", "coco", *sources, "--out", tmp_path / "busi")
    assert done.returncode == 0, done.stderr
    # As if nobody had looked: every image a patient of its own, split at random.
    manifest = pd.read_csv(tmp_path / "busi" / "manifest.csv", dtype=str)
    naive = manifest.assign(patient_id=manifest["video_id"]).drop(columns="split")
    naive.to_csv(tmp_path / "naive.csv", index=False)
    done = launch("prepare.py", "split", "--manifest", tmp_path / "naive.csv", "--out", tmp_path / "split")
    assert done.returncode == 0, done.stderr
    done = launch("prepare.py", "lint", "--manifest", tmp_path / "split" / "manifest.csv", "--out", tmp_path / "lint")
    assert done.returncode == 1, done.stderr
    counts = pd.read_csv(tmp_path / "lint" / "findings.csv")["check"].value_counts()
    assert 70 < counts["duplicate-across-splits"] < 130
    assert counts["duplicate-across-labels"] == 8
