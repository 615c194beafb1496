"""Splits by patient that are alike in label, BI-RADS group, site and vendor at once, and that stay when patients join.

Method: minimisation, as in the allocation of clinical trials (Taves 1974; S. J. Pocock and R. Simon, "Sequential
treatment assignment with balancing for prognostic factors", Biometrics 1975). Patients come one after the other, in the
order of a keyed hash of their id, and each joins the part where the mix of all factors stays closest to the wanted
shares. What is guaranteed:

- The same patients and the same seed give the same parts, whatever the order of the rows.
- A patient with a known part keeps it, always; new patients are placed around the known ones, and balance holds over
  both. Without the known parts, new patients can change where the others fall: hand the old manifest in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Follow-up, biopsy, and probably malignant: what the radiologist would do.
BIRADS_GROUPS = {"2": "2-3", "3": "2-3", "4A": "4A-4B", "4B": "4A-4B", "4C": "4C-5", "5": "4C-5"}

_FACTORS = ("label", "birads", "site", "vendor")


def assign_parts(
    manifest: pd.DataFrame, shares: Mapping[str, float], seed: int, known: Mapping[str, str] | None = None
) -> pd.Series:
    """Assign every patient to a part.

    Args:
        manifest: columns patient_id and, as far as there are, label, birads, site and vendor. An empty cell is a level
            of its own.
        shares: part (a split, a fold) to its wanted share of the videos; positive numbers, in any unit.
        seed: of the order of the patients.
        known: patient_id to the part it must keep; patients that the manifest does not list are ignored.

    Returns:
        The part of each row, with the manifest's index.
    """
    names, patient_of_row = np.unique(manifest["patient_id"].to_numpy(str), return_inverse=True)
    patients = [str(name) for name in names]
    videos_PL = _videos_per_level(manifest, patient_of_row, len(patients))
    parts = list(shares)
    share_S = np.array([shares[part] for part in parts], float)
    share_S /= share_S.sum()
    held_SL = np.zeros((len(parts), videos_PL.shape[1]))
    part_of = np.full(len(patients), -1)
    for index, patient in enumerate(patients):
        if known and patient in known:
            part_of[index] = parts.index(known[patient])
            held_SL[part_of[index]] += videos_PL[index]
    new = [index for index in range(len(patients)) if part_of[index] < 0]
    for index in sorted(new, key=lambda index: _keyed_hash(seed, patients[index])):
        part_of[index] = _least_imbalance(held_SL, videos_PL[index], share_S)
        held_SL[part_of[index]] += videos_PL[index]
    return pd.Series(np.array(parts, dtype=object)[part_of[patient_of_row]], index=manifest.index)


def draw_splits(manifest: pd.DataFrame, val_fraction: float, test_fraction: float, seed: int) -> pd.Series:
    """Draw train, val and test for the patients whose rows have no split yet; the others keep theirs.

    Args:
        manifest: as for ``assign_parts``; its column ``split``, if there is one, holds what is known.
        val_fraction: share of the videos, 0..1.
        test_fraction: share of the videos, 0..1.
        seed: of the draw.

    Raises:
        ValueError: fractions that leave nothing to train on; a patient known in two splits.
    """
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise ValueError(
            f"--val-fraction {val_fraction:g} and --test-fraction {test_fraction:g} must not be negative, and must "
            "leave a part to train on (sum below 1)."
        )
    wanted = {"train": 1 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
    known = known_parts(manifest, "split")
    # A part that nobody may join has no share to keep to, so its patients stand aside.
    open_parts = {part: share for part, share in wanted.items() if share > 0}
    kept = manifest["patient_id"].map(known).astype(object)
    aside = kept.notna() & ~kept.isin(open_parts)
    return kept.where(aside, assign_parts(manifest[~aside], open_parts, seed, known).reindex(manifest.index))


def draw_folds(manifest: pd.DataFrame, num_folds: int, seed: int) -> pd.Series:
    """Draw folds 0 to ``num_folds - 1`` of equal size; what the column ``fold`` holds stays.

    Returns:
        The fold of each row, int64.

    Raises:
        ValueError: fewer than 3 folds (train, val and test need one each) or more folds than patients; a known fold
            that does not exist, or a patient known in two.
    """
    num_patients = manifest["patient_id"].nunique()
    if not 3 <= num_folds <= num_patients:
        raise ValueError(f"--folds {num_folds}: give 3 or more, and at most one per patient ({num_patients}).")
    names = [str(fold) for fold in range(num_folds)]
    # An empty cell beside them makes pandas read whole numbers as 1.0.
    known = {patient: fold.removesuffix(".0") for patient, fold in known_parts(manifest, "fold").items()}
    if strange := sorted(set(known.values()) - set(names)):
        raise ValueError(
            f"Column 'fold' holds {', '.join(strange)}, but --folds {num_folds} counts from 0 to {num_folds - 1}. "
            "Ask for as many folds as before, or draw anew with --redraw."
        )
    return assign_parts(manifest, dict.fromkeys(names, 1.0), seed, known).astype("int64")


def known_parts(manifest: pd.DataFrame, column: str) -> dict[str, str]:
    """Read the part of each patient from a column that may be absent or partly empty.

    Raises:
        ValueError: a patient is in two parts.
    """
    if column not in manifest:
        return {}
    filled = manifest.dropna(subset=[column])
    found = filled.groupby("patient_id")[column].unique()
    if (torn := found[found.map(len) > 1]).size:
        raise ValueError(
            f"Column {column!r}: patient {torn.index[0]!r} is in {' and '.join(map(str, torn.iloc[0]))} "
            f"({len(torn)} such patients). All videos of a patient belong together; correct it, or draw anew with "
            "--redraw."
        )
    return {str(patient): str(parts[0]) for patient, parts in found.items()}


def _videos_per_level(
    manifest: pd.DataFrame, patient_of_row: NDArray[np.intp], num_patients: int
) -> NDArray[np.float64]:
    """Count each patient's videos per level of each factor; all videos and all factors at once count as factors too."""
    factors = manifest.reindex(columns=list(_FACTORS)).astype(object)
    factors["birads"] = factors["birads"].map(BIRADS_GROUPS)
    factors = factors.fillna("unknown").astype(str)
    columns = [factors[name] for name in _FACTORS]
    columns += [pd.Series("all", index=factors.index), factors.agg("\0".join, axis=1)]
    blocks = []
    for column in columns:
        levels, level_of_row = np.unique(column.to_numpy(str), return_inverse=True)
        block = np.zeros((num_patients, len(levels)))
        np.add.at(block, (patient_of_row, level_of_row), 1)
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def _least_imbalance(held_SL: NDArray[np.float64], joining_L: NDArray[np.float64], share_S: NDArray[np.float64]) -> int:
    """Index of the part where a patient leaves the smallest chi-square distance from the wanted shares."""
    touched = joining_L > 0
    held_SL, joining_L = held_SL[:, touched], joining_L[touched]
    expected_SL = share_S[:, None] * (held_SL.sum(axis=0) + joining_L)
    without_SL = (held_SL - expected_SL) ** 2 / expected_SL
    with_SL = (held_SL + joining_L - expected_SL) ** 2 / expected_SL
    return int(np.argmin((with_SL - without_SL).sum(axis=1)))


def _keyed_hash(seed: int, patient: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{patient}".encode(), digest_size=16).digest()
