"""How often 95 % intervals hold the truth, measured on simulated studies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from wauve_dist.evaluation import simulated_studies as simulated
from wauve_dist.evaluation.proportions import clopper_pearson
from wauve_dist.evaluation.simulated_detections import average_precision_study, detection_study, few_patients_study

# Studies that theory speaks of: large, with the assumptions of the interval met.
STUDIES: tuple[simulated.Study, ...] = (
    simulated.auc_study,
    simulated.clustered_study,
    simulated.accuracy_study,
    simulated.curve_study,
    simulated.calibration_study,
    simulated.agreement_study,
    simulated.scale_study,
    simulated.reader_study,
    detection_study,
)
# And some where they are not, to show what that costs.
COUNTEREXAMPLES: tuple[simulated.Study, ...] = (
    simulated.naive_study,
    simulated.cohort_study,
    simulated.few_raters_study,
    average_precision_study,
    few_patients_study,
)


@dataclass(frozen=True)
class Coverage:
    """How often an interval held the truth.

    Attributes:
        interval: its name.
        study: the simulated study, in words.
        num_covered: studies whose interval held it.
        num_studies: all of them.
    """

    interval: str
    study: str
    num_covered: int
    num_studies: int

    @property
    def share(self) -> float:
        """Of the studies, 0..1."""
        return self.num_covered / self.num_studies


def measure_coverage(num_studies: int, seed: int, studies: tuple[simulated.Study, ...] = STUDIES) -> list[Coverage]:
    """Simulate every kind of study so many times.

    Study number i of a kind is the same whatever the other kinds and their number.

    Args:
        num_studies: of each kind; 1,500 tell 95.0 from 93.5 %.
        seed: of the studies and of the bootstraps in them.
        studies: the kinds.
    """
    found = []
    for study in studies:
        covered: Counter[str] = Counter()
        for number in range(num_studies):
            rng = np.random.default_rng([seed, _key(study), number])
            for interval in study(rng):
                covered[interval.name] += interval.low <= interval.truth <= interval.high
        words = (study.__doc__ or "").splitlines()[0].rstrip(".")
        found += [Coverage(name, words, count, num_studies) for name, count in covered.items()]
    return found


def coverage_table(coverages: list[Coverage]) -> str:
    """The measured coverages in Markdown, with the Clopper-Pearson limits of the simulation itself."""
    lines = ["| study | 95 % interval of | covers | simulation error |", "|---|---|---|---|"]
    for study, group in groupby(coverages, lambda coverage: coverage.study):
        for number, coverage in enumerate(group):
            limits = clopper_pearson(coverage.num_covered, coverage.num_studies)
            lines.append(
                f"| {study if number == 0 else ''} | {coverage.interval} | {coverage.share:.1%} | "
                f"{limits.ci_low:.1%} to {limits.ci_high:.1%} |"
            )
    return "\n".join(lines)


def _key(study: simulated.Study) -> int:
    return int.from_bytes(study.__name__.encode(), "big") % 2**32
