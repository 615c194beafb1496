import json

import pandas as pd
import pytest

from wauve_dist.reporting.checklist_items import GUIDELINES
from wauve_dist.reporting.checklists import ANSWERED, OPEN, PARTLY, facts, fill_checklists
from wauve_dist.reporting.findings import compute
from wauve_dist.reporting.model_card import model_card
from wauve_dist.reporting.request import EvaluationRequest, read_inputs
from wauve_dist.reporting.statements import known_limits


@pytest.fixture(scope="module")
def findings_of(tmp_path_factory):
    """Compute the findings of a table of 40 videos with some columns changed or added."""

    def compute_findings(subgroups=None, **columns):
        table = pd.DataFrame(
            {
                "video_id": [f"v{number:02d}" for number in range(40)],
                "patient_id": [f"p{number:02d}" for number in range(40)],
                "label": [0, 1] * 20,
                "score": [0.1 + 0.02 * number if number % 2 else 0.9 - 0.021 * number for number in range(40)],
                "model": "I3D | <b>",
            }
        ).assign(**columns)
        path = tmp_path_factory.mktemp("study") / "predictions.csv"
        table.to_csv(path, index=False)
        request = EvaluationRequest([path], num_resamples=50, seed=0, threshold=0.5, subgroups=subgroups)
        return compute(request, read_inputs(request))

    return compute_findings


def test_guidelines_have_their_items_each_once():
    numbers = {name: [item.number for item in items] for name, items in GUIDELINES.items()}
    assert {name: len({number.rstrip("abcdefg") for number in found}) for name, found in numbers.items()} == {
        "TRIPOD+AI": 27,
        "CLAIM 2024": 44,
        "STARD-AI": 40,
    }
    assert all(len(found) == len(set(found)) for found in numbers.values())


def test_every_answer_asked_for_is_a_fact_that_some_run_knows(findings_of):
    full = findings_of(
        subgroups="site",
        site=["A", "A", "B", "B"] * 10,
        vendor="V",
        split=["train"] * 20 + ["test"] * 20,
        pathology="any",
    )
    wanted = {item.evidence for items in GUIDELINES.values() for item in items if item.evidence}
    assert wanted == set(facts(full))


def test_what_a_run_does_not_know_is_open(findings_of):
    by_name = {checklist.guideline: checklist for checklist in fill_checklists(findings_of())}
    tripod = by_name["TRIPOD+AI"].items.set_index("item")
    assert tripod.loc["17", ["status", "answer"]].tolist() == [OPEN, ""]
    assert tripod.loc["12d", "status"] == OPEN
    assert tripod.loc["6a", "status"] == OPEN
    assert tripod.loc["20a", ["status", "answer"]].tolist() == [PARTLY, "40 videos of 40 patients, 20 malignant."]
    assert tripod.loc["12e", "status"] == ANSWERED
    for checklist in by_name.values():
        items = checklist.items
        assert ((items["status"] == OPEN) == (items["answer"] == "")).all()
        assert sum(checklist.counts.values()) == len(items)
    sites = fill_checklists(findings_of(subgroups="site", site=["A", "A", "B", "B"] * 10))[0].items.set_index("item")
    assert sites.loc["6a", ["status", "answer"]].tolist() == [PARTLY, "2 sites: A, B."]
    assert sites.loc["12d", "status"] == ANSWERED


def test_patients_in_several_splits_are_counted(findings_of):
    clean = findings_of(split=["train"] * 20 + ["test"] * 20)
    assert "0 patients with videos in several splits" in facts(clean)["partition"]
    leaking = findings_of(split=["train"] * 20 + ["test"] * 20, patient_id=[f"p{number % 37}" for number in range(40)])
    assert "3 patients with videos in several splits" in facts(leaking)["partition"]
    assert "partition" not in facts(findings_of(split="test"))


def test_limits_are_those_that_the_numbers_show(findings_of):
    limits = " ".join(known_limits(findings_of(site="A", score=[0.1, *[0.2, 0.6] * 19, None])))
    assert "found no lesion in 1 video, 1 of them malignant" in limits
    assert "With 20 malignant and 20 benign videos the intervals are wide" in limits
    assert "All videos are of one site" in limits
    assert "The predictions do not tell the vendor" in limits
    many = findings_of(subgroups="site", site=["A", "A", "B", "B"] * 10, vendor=["V", "W"] * 20)
    assert "Groups too small to show a difference of their own: site: A; site: B." in known_limits(many)
    assert not any("of one site" in limit or "the vendor" in limit for limit in known_limits(many))


def test_scores_that_are_no_probabilities_are_a_limit(findings_of):
    # Three of four are right, on either side: 0.97 and 0.03 promise more.
    label = [int(number % 2 == 1) for number in range(40)]
    score = [(0.97 if y else 0.03) if number % 8 > 1 else (0.03 if y else 0.97) for number, y in enumerate(label)]
    assert any("too extreme to be read as probabilities" in limit for limit in known_limits(findings_of(score=score)))


def test_the_model_card_tells_numbers_as_metrics_do_and_leaves_the_rest_open(findings_of):
    findings = findings_of(site=["A", "A", "B", "B"] * 10)
    card = model_card(findings, {"predictions I3D": "ab" * 32})
    assert card.startswith("# Model card: I3D \\| &lt;b>\n")
    auc = json.loads(json.dumps(findings.metrics))["models"]["I3D | <b>"]["auc"]
    assert f"| AUC | {auc['value']:.3f} | {auc['ci_low']:.3f} to {auc['ci_high']:.3f} |" in card
    assert "40 videos of 40 patients, 20 malignant (50.0%)." in card
    assert "Called malignant from a score of 0.5 on, given beforehand." in card
    assert "| malignant | 10 (50.0%) | 10 (50.0%) |" in card
    assert card.count("**Open:**") == 4
    assert "## Groups of cases" not in card
    assert f"- predictions I3D: `{'ab' * 32}`" in card
    bars = [line.replace("\\|", "").count("|") for line in card.splitlines() if line.startswith("| ")]
    assert set(bars) <= {4}
