from dataclasses import fields
from pathlib import Path

import pytest

from wauve_dist.cluster.profile import ProfileError, SlurmProfile, read_profile, split_profile_options

SLURM = Path(__file__).parents[2] / "slurm"
SHIPPED = sorted(SLURM.glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_profile_explains_every_field_beside_it(path):
    profile = read_profile(path)
    lines = [line for line in path.read_text().splitlines() if line[:1].isalpha()]
    explained = {line.split(":")[0] for line in lines if " # " in line}
    # The number of processes follows from the GPUs, where there are any.
    assert explained == {field.name for field in fields(SlurmProfile)} - (
        {"tasks_per_node"} if profile.gpus_per_node else set()
    )


def test_the_shipped_profiles_give_one_process_per_gpu():
    given = {path.stem: read_profile(path) for path in SHIPPED}
    assert {name: (p.nodes, p.processes_per_node, p.num_processes) for name, p in given.items()} == {
        "titan_rtx_8": (1, 8, 8),
        "a100_multinode": (2, 8, 16),
        "cpu": (1, 2, 2),
    }


def test_options_of_the_command_override_the_yaml():
    options, others = split_profile_options(
        ["--out", "x", "--slurm.nodes", "2", "--model.lr=1", "--slurm.time=12:00:00", "--slurm.account", "7"]
    )
    assert others == ["--out", "x", "--model.lr=1"]
    profile = read_profile(SLURM / "titan_rtx_8.yaml", options)
    assert (profile.nodes, profile.time, profile.account, profile.num_processes) == (2, "12:00:00", "7", 16)
    with pytest.raises(ProfileError, match=r"--slurm\.nodes needs a value"):
        split_profile_options(["--slurm.nodes"])


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("--slurm.node=2", r"--slurm\.node is not an option\. Did you mean slurm\.nodes\? Valid names: .*slurm\.time"),
        ("--slurm.nodes=two", "Expected a <class 'int'>. Got value: two"),
        ("--slurm.nodes=0", "must be at least 1"),
        ("--slurm.tasks_per_node=4", r"beside --slurm\.gpus_per_node 8, but every GPU has one process"),
        ("--slurm.time=2 days", "must be minutes, HH:MM:SS or D-HH:MM:SS"),
        ("--slurm.memory=64 GB", "must be a size such as 64G"),
        ("--slurm.environment={a b: c}", "'a b' cannot be the name of a variable"),
        ("--slurm.options={--no_requeue: ''}", "no-requeue follow from the profile's other fields"),
    ],
)
def test_a_wrong_option_is_refused_with_the_remedy(option, fault):
    with pytest.raises(ProfileError, match=fault):
        read_profile(SLURM / "titan_rtx_8.yaml", [option])


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("partition:", "partitoin:", r"partitoin is not an option\. Did you mean partition\? Valid names: account"),
        ("nodes: 1", "", "nodes"),
        # In YAML 1.1 an unquoted 12:00:00 is the number 43200, which Slurm would take for minutes.
        ("time: 2-00:00:00", "time: 12:00:00", "time"),
    ],
)
def test_a_wrong_yaml_is_refused(tmp_path, old, new, fault):
    yaml = tmp_path / "profile.yaml"
    text = (SLURM / "titan_rtx_8.yaml").read_text()
    assert f"\n{old}" in text
    yaml.write_text(text.replace(f"\n{old}", f"\n{new}", 1))
    with pytest.raises(ProfileError, match=fault):
        read_profile(yaml)


def test_a_missing_profile_names_those_that_there_are(monkeypatch):
    monkeypatch.chdir(SLURM.parent)
    with pytest.raises(ProfileError, match=r"no profile slurm/titan\.yaml\. There are slurm/a100_multinode\.yaml, "):
        read_profile(Path("slurm/titan.yaml"))


def test_a_stage_of_one_process_leaves_the_gpus_to_others():
    training = read_profile(SLURM / "a100_multinode.yaml", ["--slurm.cpu_partition=cpus"])
    predicting, reporting = training.for_one_process(gpu=True), training.for_one_process(gpu=False)
    assert (predicting.partition, predicting.gpus_per_node, predicting.num_processes) == ("a100", 1, 1)
    assert (reporting.partition, reporting.gpus_per_node, reporting.num_processes) == ("cpus", 0, 1)
    # Where the profile has no GPU, prediction has none either.
    on_cpu = read_profile(SLURM / "cpu.yaml").for_one_process(gpu=True)
    assert (on_cpu.gpus_per_node, on_cpu.num_processes) == (0, 1)
