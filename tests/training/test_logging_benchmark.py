import pytest

from wauve_dist.training.benchmarks.distributed_benchmark import Workload
from wauve_dist.training.benchmarks.logging_benchmark import measure_logging


@pytest.mark.slow
def test_every_step_has_its_share_of_logging():
    cost = measure_logging(Workload(num_processes=1, batch_size=2, crop_size=64, num_repetitions=1))
    assert len(cost.step_s) == len(cost.logging_s) == 30
    assert all(0 < part < whole for part, whole in zip(cost.logging_s, cost.step_s, strict=True))
    assert 0 < cost.share < 1
