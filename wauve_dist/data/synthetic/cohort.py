"""Who is in the data set: patients, their lesions and what a sonographic report would say about them.

Distributions follow Table 1 of the WAUVE paper (Han et al. 2025): age, lesion size, BI-RADS, pathology. BI-RADS
descriptors follow the ACR BI-RADS atlas (5th ed., ultrasound) and overlap between the classes: no single one decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Videos come in blocks of this size with as many malignant as benign lesions, drawn from (seed, block) alone: a
# video does not change when the data set grows.
BLOCK_SIZE = 4
SECOND_VIDEO_PROBABILITY = 0.4  # per block: one of its patients brings two videos

_COHORT_STREAM, _CASE_STREAM, _PATIENT_STREAM, _SPLIT_STREAM = 1, 2, 3, 4

VENDOR_SHARES = {
    "north": {"SynthA": 0.45, "SynthB": 0.25, "SynthC": 0.2, "SynthD": 0.1},
    "south": {"SynthA": 0.2, "SynthB": 0.3, "SynthC": 0.2, "SynthD": 0.3},
}
SITE_SHARES = {"north": 0.7, "south": 0.3}
PATHOLOGY_SHARES = {
    0: {"fibroadenoma": 0.53, "intraductal papilloma": 0.06, "other benign": 0.41},
    1: {"invasive ductal carcinoma": 0.82, "ductal carcinoma in situ": 0.09, "other malignant": 0.09},
}
# Malignant lesions' appearance is Beta-distributed with these parameters, benign ones' with the same, exchanged.
APPEARANCE_BETA = (8.0, 1.7)
# What a reader makes of the appearance, below which a report says 2, 3, 4A, 4B, 4C; above the last it says 5.
READER_NOISE = 0.25
BIRADS_THRESHOLDS = {"2": -0.10, "3": 0.17, "4A": 0.51, "4B": 0.79, "4C": 1.13}
# What focality 1 takes from the half angle of the cap that carries the malignant signs. Without focality three middle
# sections in four show some of the cap and six in ten of all sections much of it; at 0.75 it is one in four and three.
FOCAL_SHRINKAGE = 0.5


@dataclass(frozen=True)
class Descriptors:
    """How a lesion looks.

    Attributes:
        size_mm: longest diameter.
        height_to_width: above 1 the lesion is taller than wide ("non-parallel").
        lobulation: standard deviation of the surface's radius, relative to the radius.
        num_spicules: rays that leave the surface.
        spicule_length: their height, relative to the radius.
        margin_mm: width of the transition between lesion and tissue; large is "indistinct".
        contrast_db: echo level relative to glandular tissue, negative.
        heterogeneity_db: standard deviation of the echo level inside.
        halo_db: echo level of the rim around the lesion, above the tissue's.
        attenuation_db_per_mm: two-way, above (shadow) or below (enhancement) that of glandular tissue.
        sector_half_angle: radians; malignant features live on this cap of the surface only.
    """

    size_mm: float
    height_to_width: float
    lobulation: float
    num_spicules: int
    spicule_length: float
    margin_mm: float
    contrast_db: float
    heterogeneity_db: float
    halo_db: float
    attenuation_db_per_mm: float
    sector_half_angle: float


@dataclass(frozen=True)
class Case:
    """One video's patient and lesion; a function of (seed, video index) alone."""

    seed: int
    index: int
    patient_index: int
    label: int
    site: str
    vendor: str
    age: int
    birads: str
    pathology: str
    descriptors: Descriptors

    @property
    def video_id(self) -> str:
        """Unique in the data set."""
        return f"v{self.index:05d}"

    @property
    def patient_id(self) -> str:
        """Named after the patient's first video."""
        return f"p{self.patient_index:05d}"


def draw_case(seed: int, index: int, focality: float = 0.0) -> Case:
    """Draw the patient and the lesion of video ``index``.

    Args:
        seed: of the data set.
        index: of the video.
        focality: see ``rendering.VideoSettings``.
    """
    patient_index, label = _patient_and_label(seed, index)
    patient = np.random.default_rng([seed, _PATIENT_STREAM, patient_index])
    site = _choose(patient, SITE_SHARES)
    vendor = _choose(patient, VENDOR_SHARES[site])
    _, patient_label = _patient_and_label(seed, patient_index)
    age = int(np.clip(patient.normal(53.0 if patient_label else 42.5, 12.0), 18, 88))

    rng = np.random.default_rng([seed, _CASE_STREAM, index])
    # Some cancers look harmless and some benign lesions do not: the classes overlap in this one variable, and every
    # descriptor follows it loosely.
    typical, atypical = APPEARANCE_BETA
    appearance = float(rng.beta(typical, atypical) if label else rng.beta(atypical, typical))
    descriptors = _draw_descriptors(rng, appearance, focality)
    suspicion = appearance + rng.normal(0.0, READER_NOISE)
    birads = next((name for name, top in BIRADS_THRESHOLDS.items() if suspicion < top), "5")
    return Case(
        seed=seed,
        index=index,
        patient_index=patient_index,
        label=label,
        site=site,
        vendor=vendor,
        age=age,
        birads=birads,
        pathology=_choose(rng, PATHOLOGY_SHARES[label]),
        descriptors=descriptors,
    )


def assign_splits(cases: list[Case], val_fraction: float, test_fraction: float, seed: int) -> dict[str, str]:
    """Deal patients to splits so that each label fills its quota of each split as evenly as whole patients allow.

    Returns:
        patient_id to "train", "val" or "test".
    """
    fractions = {"train": 1.0 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
    labels_by_patient: dict[str, list[int]] = {}
    for case in cases:
        labels_by_patient.setdefault(case.patient_id, []).append(case.label)
    order = np.random.default_rng([seed, _SPLIT_STREAM]).permutation(sorted(labels_by_patient))
    # Patients with several videos first: they are the hard ones to place.
    patients = sorted((str(patient) for patient in order), key=lambda patient: -len(labels_by_patient[patient]))
    missing = {
        (split, label): fraction * sum(case.label == label for case in cases)
        for split, fraction in fractions.items()
        for label in (0, 1)
    }
    splits = {}
    for patient in patients:
        labels = labels_by_patient[patient]
        # The rarest split chooses first among equals, so that a tiny data set still has a test set.
        split = max(fractions, key=lambda name: (sum(missing[name, label] for label in labels), -fractions[name]))
        splits[patient] = split
        for label in labels:
            missing[split, label] -= 1.0
    return splits


def _patient_and_label(seed: int, index: int) -> tuple[int, int]:
    block, slot = divmod(index, BLOCK_SIZE)
    rng = np.random.default_rng([seed, _COHORT_STREAM, block])
    labels = rng.permutation(np.arange(BLOCK_SIZE) % 2)
    first, second = np.sort(rng.choice(BLOCK_SIZE, size=2, replace=False))
    shares = rng.random() < SECOND_VIDEO_PROBABILITY
    patient_slot = first if shares and slot == second else slot
    return block * BLOCK_SIZE + int(patient_slot), int(labels[slot])


def _draw_descriptors(rng: np.random.Generator, appearance: float, focality: float) -> Descriptors:
    """Draw how a lesion looks that appears benign (0) to malignant (1); every descriptor spreads around its mean."""

    def between(benign: float, malignant: float, spread: float, low: float, high: float, share: float = 1.0) -> float:
        shown = appearance * share + 0.5 * (1 - share)
        return float(np.clip(rng.normal(benign + (malignant - benign) * shown, spread), low, high))

    body = 1 - focality  # what of the appearance the whole body shows, in every frame
    spiculated = rng.random() < 0.02 + 0.85 * appearance
    return Descriptors(
        size_mm=float(np.clip(rng.lognormal(np.log(14.0 + 4.0 * appearance), 0.32), 8.0, 28.0)),
        height_to_width=between(0.60, 1.02, 0.14, 0.4, 1.5, body),
        lobulation=between(0.02, 0.2, 0.055, 0.0, 0.28, body),
        num_spicules=int(rng.integers(5, 15)) if spiculated else 0,
        spicule_length=between(0.15, 0.5, 0.08, 0.1, 0.65),
        margin_mm=float(np.exp(between(np.log(0.2), np.log(1.2), 0.5, np.log(0.12), np.log(2.0)))),
        contrast_db=between(-14.0, -15.5, 3.0, -26.0, -9.0, body),
        heterogeneity_db=between(1.0, 3.5, 0.8, 0.3, 5.0, body),
        halo_db=between(-1.5, 8.5, 3.2, 0.0, 11.0),
        attenuation_db_per_mm=_cast(between(-0.4, 1.15, 0.5, -0.6, 1.6), body),
        sector_half_angle=float(rng.uniform(1.0, 1.7)) * (1 - FOCAL_SHRINKAGE * focality),
    )


def _cast(attenuation_db_per_mm: float, body: float) -> float:
    """Weaken an enhancement, which the whole body casts; a shadow is the cap's."""
    return attenuation_db_per_mm * (body if attenuation_db_per_mm < 0 else 1.0)


def _choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))
