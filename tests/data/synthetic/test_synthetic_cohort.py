"""Who is in the data set."""

import numpy as np
from scipy import stats

from wauve_dist.data.synthetic.cohort import BIRADS_THRESHOLDS, assign_splits, draw_case
from wauve_dist.structures.tables import BIRADS_CATEGORIES

CASES = [draw_case(seed=1, index=index) for index in range(600)]
LABELS = np.array([case.label for case in CASES])


def auc(values):
    """Mann-Whitney: the chance that a malignant value exceeds a benign one."""
    values = np.asarray(values, float)
    malignant, benign = values[LABELS == 1], values[LABELS == 0]
    return stats.mannwhitneyu(malignant, benign).statistic / (len(malignant) * len(benign))


def test_a_case_depends_on_seed_and_index_alone():
    assert draw_case(1, 37) == CASES[37]
    assert draw_case(2, 37) != CASES[37]


def test_any_prefix_of_four_is_half_malignant():
    assert np.all(LABELS.reshape(-1, 4).sum(axis=1) == 2)


def test_some_patients_bring_two_videos_and_share_what_belongs_to_the_patient():
    by_patient = {}
    for case in CASES:
        by_patient.setdefault(case.patient_id, []).append(case)
    counts = np.bincount([len(videos) for videos in by_patient.values()])
    assert len(counts) == 3
    assert counts[2] > 30
    for videos in by_patient.values():
        assert len({(video.age, video.site, video.vendor) for video in videos}) == 1


def test_patients_stay_whole_and_splits_stay_balanced():
    splits = assign_splits(CASES, val_fraction=0.15, test_fraction=0.25, seed=1)
    for name, fraction in (("train", 0.6), ("val", 0.15), ("test", 0.25)):
        labels = [case.label for case in CASES if splits[case.patient_id] == name]
        assert abs(len(labels) - fraction * len(CASES)) <= 2
        assert abs(sum(labels) - len(labels) / 2) <= 1


def test_a_tiny_data_set_still_has_both_labels_in_train_and_test():
    cases = CASES[:8]
    splits = assign_splits(cases, val_fraction=0.25, test_fraction=0.25, seed=1)
    for name in ("train", "val", "test"):
        assert {case.label for case in cases if splits[case.patient_id] == name} == {0, 1}


def test_every_descriptor_points_to_the_label_and_none_decides_alone():
    for name in ("height_to_width", "lobulation", "margin_mm", "halo_db", "attenuation_db_per_mm", "num_spicules"):
        assert 0.65 < auc([getattr(case.descriptors, name) for case in CASES]) < 0.95, name


def test_of_focal_signs_the_body_tells_nothing_and_the_cap_all_that_it_did():
    focal = [draw_case(seed=1, index=index, focality=1.0).descriptors for index in range(600)]
    for name in ("height_to_width", "lobulation", "contrast_db", "heterogeneity_db"):
        assert 0.44 < auc([getattr(look, name) for look in focal]) < 0.56, name
    assert min(look.attenuation_db_per_mm for look in focal) == 0  # no enhancement
    for name in ("num_spicules", "spicule_length", "margin_mm", "halo_db", "size_mm"):
        assert [getattr(look, name) for look in focal] == [getattr(case.descriptors, name) for case in CASES]
    angles = np.array([look.sector_half_angle for look in focal])
    np.testing.assert_allclose(angles, [case.descriptors.sector_half_angle / 2 for case in CASES])
    half = [draw_case(seed=1, index=index, focality=0.5).descriptors.heterogeneity_db for index in range(600)]
    assert 0.7 < auc(half) < auc([case.descriptors.heterogeneity_db for case in CASES]) - 0.05


def test_age_size_and_birads_lean_with_the_label_as_in_the_papers_table_1():
    assert 0.6 < auc([case.age for case in CASES]) < 0.8
    assert 0.52 < auc([case.descriptors.size_mm for case in CASES]) < 0.75
    assert 0.9 < auc([BIRADS_CATEGORIES.index(case.birads) for case in CASES]) < 1.0
    assert tuple(BIRADS_THRESHOLDS) == BIRADS_CATEGORIES[:-1]
    # Han et al. 2025, Table 1, training set: 7.9, 17.1, 25.6, 21.1, 21.8, 6.5 %.
    shares = np.bincount([BIRADS_CATEGORIES.index(case.birads) for case in CASES], minlength=6) / len(CASES)
    np.testing.assert_allclose(shares, [0.079, 0.171, 0.256, 0.211, 0.218, 0.065], atol=0.1)
