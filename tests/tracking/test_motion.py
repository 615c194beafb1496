import numpy as np
import pytest

from wauve_dist.tracking.motion import BoxMotion


def test_one_step_by_hand():
    motion = BoxMotion()
    motion.start(np.array([[80.0, 40.0, 120.0, 60.0]]))  # centre (100, 50), 40 wide, 20 high
    motion.predict()
    motion.correct(np.array([0]), np.array([[90.0, 40.0, 130.0, 60.0]]))  # ten pixels to the right
    # Horizontally: size 40, so position noise (40/20)^2 = 4 and velocity noise (40/160)^2 = 1/16.
    # Start: variance (2*2)^2 = 16, velocity variance (10*40/160)^2 = 6.25. Predicted: variance 16 + 6.25 + 4 = 26.25,
    # covariance 6.25. Gain 26.25 / (26.25 + 4), velocity gain 6.25 / 30.25, residual 10.
    centre, velocity = 100 + 10 * 26.25 / 30.25, 10 * 6.25 / 30.25
    assert motion.boxes_xyxy[0] == pytest.approx([centre - 20, 40, centre + 20, 60])
    assert motion.velocities[0] == pytest.approx([velocity, 0, 0, 0])
    motion.predict()
    assert motion.boxes_xyxy[0] == pytest.approx([centre + velocity - 20, 40, centre + velocity + 20, 60])


def test_equals_the_eight_dimensional_filter_in_matrix_form():
    rng = np.random.default_rng(3)
    motion = BoxMotion()
    first = np.array([[10.0, 20.0, 60.0, 50.0], [200.0, 30.0, 220.0, 90.0]])
    motion.start(first)
    filters = []
    for x1, y1, x2, y2 in first:
        w, h = x2 - x1, y2 - y1
        size = np.array([w, h, w, h])
        mean = np.concatenate([[(x1 + x2) / 2, (y1 + y2) / 2, w, h], np.zeros(4)])
        filters.append((mean, np.diag(np.concatenate([size / 10, size / 16]) ** 2)))
    move = np.block([[np.eye(4), np.eye(4)], [np.zeros((4, 4)), np.eye(4)]])
    look = np.eye(4, 8)

    for step in range(12):
        motion.predict()
        seen = first + step * np.array([[3, 1, 4, 1], [-2, 2, -2, 1]]) + rng.normal(0, 1, (2, 4))
        rows = np.array([0, 1]) if step % 3 else np.array([1])  # the first is out of sight every third frame
        motion.correct(rows, seen[rows])
        for row, (mean, covariance) in enumerate(filters):
            size = mean[[2, 3, 2, 3]]
            mean = move @ mean
            covariance = move @ covariance @ move.T + np.diag(np.concatenate([size / 20, size / 160]) ** 2)
            if row in rows:
                x1, y1, x2, y2 = seen[row]
                noise = np.diag((mean[[2, 3, 2, 3]] / 20) ** 2)
                gain = covariance @ look.T @ np.linalg.inv(look @ covariance @ look.T + noise)
                mean = mean + gain @ (np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]) - look @ mean)
                covariance = (np.eye(8) - gain @ look) @ covariance
            filters[row] = (mean, covariance)

    expected = np.array([mean for mean, _ in filters])
    np.testing.assert_allclose(motion.velocities, expected[:, 4:], rtol=1e-9, atol=1e-9)
    corners = np.concatenate([expected[:, :2] - expected[:, 2:4] / 2, expected[:, :2] + expected[:, 2:4] / 2], axis=1)
    np.testing.assert_allclose(motion.boxes_xyxy, corners, rtol=1e-9)


def test_forgetting_a_track_leaves_the_others_as_they_are():
    motion = BoxMotion()
    motion.start(np.array([[0.0, 0, 10, 10], [50, 50, 80, 90]]))
    motion.predict()
    motion.correct(np.array([1]), np.array([[52.0, 50, 82, 90]]))
    before = motion.boxes_xyxy[1]
    motion.keep(np.array([False, True]))
    assert len(motion) == 1
    np.testing.assert_array_equal(motion.boxes_xyxy, before[None])
