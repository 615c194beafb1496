import sys
from pathlib import Path

import pytest
from cluster import missing_requirement, running_cluster

# The tiny model and the comparison of runs are those of the tests of training.
sys.path.append(str(Path(__file__).parents[1] / "training"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two Slurm nodes that live as long as the tests."""
    if missing := missing_requirement():
        pytest.skip(missing)
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running
