import numpy as np
import pandas as pd
import pytest

from wauve_dist.data.splits import assign_parts, draw_folds, draw_splits, known_parts

SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}


def cohort(num_patients, seed=0):
    """Patients of one to three videos whose label, BI-RADS, site and vendor hang together as in a real archive."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(num_patients):
        site = rng.choice(["north", "south", "east"], p=[0.6, 0.3, 0.1])
        vendor = {"north": "A", "south": "B", "east": rng.choice(["A", "C"])}[site]
        label = int(rng.random() < (0.2 if site == "north" else 0.45))
        birads = rng.choice(["4A", "4B", "4C", "5"]) if label else rng.choice(["2", "3", "4A"])
        rows += [(f"p{patient}", label, birads, site, vendor)] * int(rng.integers(1, 4))
    manifest = pd.DataFrame(rows, columns=["patient_id", "label", "birads", "site", "vendor"])
    return manifest.assign(video_id=[f"v{row}" for row in range(len(manifest))])


def part_of_patient(manifest, parts):
    pairs = set(zip(manifest["patient_id"], parts, strict=True))
    assert len(pairs) == manifest["patient_id"].nunique(), "a patient was torn apart"
    return dict(pairs)


@pytest.mark.parametrize("seed", range(5))
def test_every_level_of_every_factor_gets_its_share_of_each_split(seed):
    manifest = cohort(400, seed)
    splits = draw_splits(manifest, 0.15, 0.25, seed=seed)
    part_of_patient(manifest, splits)
    birads = manifest["birads"].map({"2": "low", "3": "low", "4A": "mid", "4B": "mid", "4C": "high", "5": "high"})
    for factor in (manifest["label"], birads, manifest["site"], manifest["vendor"]):
        for _, rows in splits.groupby(factor):
            for split, share in SHARES.items():
                # Whole patients of up to three videos are placed, so a level can be off by about one of them.
                assert abs((rows == split).sum() - share * len(rows)) <= max(3, 0.03 * len(rows))


def test_it_balances_better_than_chance_does():
    manifest = cohort(120)
    patients = manifest["patient_id"].unique()

    def worst_deviation(splits):
        counts = pd.crosstab(manifest["site"] + manifest["label"].astype(str), splits)
        expected = counts.sum(axis=1).to_numpy()[:, None] * np.array([SHARES[split] for split in counts])
        return np.abs(counts - expected).to_numpy().max()

    chance = [
        worst_deviation(
            manifest["patient_id"].map(
                dict(zip(patients, rng.choice(list(SHARES), len(patients), p=[*SHARES.values()]), strict=True))
            )
        )
        for rng in map(np.random.default_rng, range(60))
    ]
    assert worst_deviation(draw_splits(manifest, 0.15, 0.25, seed=1)) < np.quantile(chance, 0.05)


def test_the_seed_decides_and_the_order_of_the_rows_does_not():
    manifest = cohort(100)
    splits = draw_splits(manifest, 0.15, 0.25, seed=1)
    shuffled = manifest.sample(frac=1, random_state=0)
    assert draw_splits(shuffled, 0.15, 0.25, seed=1).sort_index().tolist() == splits.tolist()
    assert draw_splits(manifest, 0.15, 0.25, seed=2).tolist() != splits.tolist()


def test_adding_patients_to_a_known_split_moves_nobody_and_stays_balanced():
    manifest = cohort(300)
    first = manifest[manifest["patient_id"].isin([f"p{number}" for number in range(100)])]
    before = part_of_patient(first, draw_splits(first, 0.15, 0.25, seed=1))
    grown = manifest.assign(split=manifest["patient_id"].map(before))
    splits = draw_splits(grown, 0.15, 0.25, seed=5)
    after = part_of_patient(grown, splits)
    assert {patient: after[patient] for patient in before} == before
    for label in (0, 1):
        shares = splits[manifest["label"] == label].value_counts(normalize=True)
        for split, share in SHARES.items():
            assert shares[split] == pytest.approx(share, abs=0.03)


def test_new_videos_of_a_known_patient_join_it():
    manifest = cohort(30).assign(split=None)
    manifest.loc[manifest["patient_id"] == "p3", "split"] = pd.Series(
        {manifest.index[manifest["patient_id"] == "p3"][0]: "test"}
    )
    splits = draw_splits(manifest, 0.2, 0.2, seed=1)
    assert set(splits[manifest["patient_id"] == "p3"]) == {"test"}


def test_a_published_test_part_stays_while_validation_is_drawn_from_the_rest():
    manifest = cohort(60)
    is_test = manifest["patient_id"].isin([f"p{number}" for number in range(20)])
    splits = draw_splits(manifest.assign(split=np.where(is_test, "test", None)), 0.2, 0.0, seed=1)
    assert (splits == "test").tolist() == is_test.tolist()
    assert (splits[~is_test] == "val").mean() == pytest.approx(0.2, abs=0.05)


def test_folds_are_equal_in_size_and_label():
    manifest = cohort(200)
    folds = draw_folds(manifest, 5, seed=1)
    part_of_patient(manifest, folds)
    assert folds.value_counts(normalize=True).between(0.19, 0.21).all()
    malignant = manifest["label"].groupby(folds).sum()  # placed by patients of up to three videos
    assert (malignant - malignant.mean()).abs().max() <= 3


def test_folds_are_stable_too():
    manifest = cohort(90)
    first = manifest[manifest["patient_id"].isin([f"p{number}" for number in range(45)])]
    before = part_of_patient(first, draw_folds(first, 3, seed=1))
    after = part_of_patient(manifest, draw_folds(manifest.assign(fold=manifest["patient_id"].map(before)), 3, seed=1))
    assert {patient: after[patient] for patient in before} == before


def test_a_manifest_of_ids_alone_is_split_by_size():
    manifest = pd.DataFrame({"patient_id": [f"p{number}" for number in range(200)]})
    assert draw_splits(manifest, 0.15, 0.25, seed=1).value_counts().to_dict() == {"train": 120, "test": 50, "val": 30}
    assert set(draw_splits(manifest, 0, 0, seed=1)) == {"train"}


def test_parts_in_any_unit_mean_the_same():
    manifest = cohort(50)
    assert (
        assign_parts(manifest, {"a": 3, "b": 1}, 1).tolist()
        == assign_parts(manifest, {"a": 0.75, "b": 0.25}, 1).tolist()
    )


@pytest.mark.parametrize(("val_fraction", "test_fraction"), [(0.5, 0.5), (-0.1, 0.2), (0, 1.2)])
def test_fractions_that_leave_nothing_to_train_on_are_refused(val_fraction, test_fraction):
    with pytest.raises(ValueError, match="leave a part to train on"):
        draw_splits(cohort(5), val_fraction, test_fraction, seed=1)


def test_a_patient_known_in_two_splits_is_refused():
    manifest = pd.DataFrame({"patient_id": ["a", "a", "b"], "split": ["train", "test", "val"]})
    with pytest.raises(ValueError, match=r"patient 'a' is in train and test \(1 such patients\)"):
        known_parts(manifest, "split")


@pytest.mark.parametrize(
    ("num_folds", "message"), [(2, "--folds 2: give 3 or more"), (6, r"at most one per patient \(5\)")]
)
def test_impossible_numbers_of_folds_are_refused(num_folds, message):
    with pytest.raises(ValueError, match=message):
        draw_folds(cohort(5), num_folds, seed=1)


def test_folds_of_another_number_are_refused():
    with pytest.raises(ValueError, match="Column 'fold' holds 7, but --folds 3"):
        draw_folds(cohort(9).assign(fold=7), 3, seed=1)
