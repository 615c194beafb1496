import pytest
from cluster import missing_requirement, running_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two Slurm nodes that live as long as the tests."""
    if missing := missing_requirement():
        pytest.skip(missing)
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running
