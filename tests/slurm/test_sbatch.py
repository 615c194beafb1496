"""slurm/train.sbatch on a real Slurm: what a process is given, and whole trainings on one node and on two."""

import time
from pathlib import Path

import pandas as pd
import pytest
import pytorch_lightning as pl
import yaml
from cluster import NODES, running_cluster

from wauve_dist.data.datamodules import ClipDataModule
from wauve_dist.tasks.classification import ClassificationTask

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]
SCRIPT = Path("slurm", "train.sbatch")
TRAINING_S = 400

# Two processes instead of the file's eight: options of sbatch, and what the trainer has to be told of them.
TWO_PROCESSES = {
    "one node": (
        ["--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=2"],
        ["--trainer.num_nodes=1", "--trainer.devices=2"],
    ),
    "two nodes": (
        ["--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1"],
        ["--trainer.num_nodes=2", "--trainer.devices=1"],
    ),
}


@pytest.fixture(scope="module")
def submit_training(cluster, tiny_study_data, tmp_path_factory):
    """Submit a training of one epoch on two processes; return the finished job."""
    folder = tmp_path_factory.mktemp("jobs")
    manifest = pd.read_csv(tiny_study_data / "manifest.csv")
    manifest["path"] = [str(tiny_study_data / path) for path in manifest["path"]]
    # Without the patient of the fewest frames, five clips are left to validate: an uneven share for two processes.
    num_frames = pd.read_parquet(tiny_study_data / "tracks" / "tracks.parquet")["video_id"].value_counts()
    validated = manifest[manifest["split"] == "val"]
    of_patient = num_frames.reindex(validated["video_id"]).groupby(validated["patient_id"].to_numpy()).sum()
    manifest.loc[manifest["patient_id"] == of_patient.idxmin(), "split"] = "train"
    manifest.to_csv(folder / "manifest.csv", index=False)

    def submit(processes, out):
        options, told = TWO_PROCESSES[processes]
        job = cluster.submit(
            SCRIPT,
            *("--config", "configs/classification/demo.yaml", "--out", out),
            *("--data.manifest", folder / "manifest.csv", "--data.cache_dir", folder / "cache"),
            *("--data.tracks", tiny_study_data / "tracks" / "tracks.parquet", "--data.batch_size", 2),
            *("--trainer.accelerator", "cpu", "--trainer.strategy", "ddp", "--trainer.max_epochs", 1, *told),
            "--trainer.check_val_every_n_epoch=1",
            options=[*options, f"--output={folder}/%j.log"],
            cwd=REPOSITORY,
        )
        return cluster.wait(job, TRAINING_S)

    return submit


@pytest.mark.parametrize("processes", TWO_PROCESSES)
def test_two_processes_leave_one_run_and_the_validation_of_one_process(submit_training, tmp_path, processes):
    run = tmp_path / "run"
    job = submit_training(processes, run)
    assert (job.state, job.exit_code) == ("COMPLETED", 0), job.log
    assert "Starting with 2 processes" in job.log

    assert {entry.name for entry in run.iterdir()} == {"checkpoints", "config.yaml", "metrics", "run.json", "wandb"}
    assert {entry.name for entry in (run / "checkpoints").glob("*.ckpt")} == {"best.ckpt", "last.ckpt"}
    assert (run / "checkpoints" / "best.ckpt.provenance.json").is_file()
    [metrics] = run.rglob("metrics.csv")
    assert len(list(run.rglob("run-*.wandb"))) == 1

    # Each process judged its own share; together they must have judged every clip once, by the weights that were saved.
    logged = pd.read_csv(metrics).dropna(subset="val/loss")
    assert len(logged) == 1
    num_clips, alone = validate_alone(run)
    assert num_clips == 5  # two batches for one process and one for the other
    assert alone["val/num_videos"] == 3
    for name, value in alone.items():
        assert logged[name].item() == pytest.approx(value, abs=1e-6), name  # single precision, batches of another size


def validate_alone(run):
    """Validate a run's last checkpoint in this process, without Slurm; return the number of clips and the metrics."""
    arguments = yaml.safe_load((run / "config.yaml").read_text())["data"]["init_args"]
    trainer = pl.Trainer(
        **{"accelerator": "cpu", "devices": 1, "logger": False, "use_distributed_sampler": False},
        **{"enable_checkpointing": False, "enable_progress_bar": False},
    )
    task = ClassificationTask.load_from_checkpoint(run / "checkpoints" / "last.ckpt", weights_only=True)
    data = ClipDataModule(**{**arguments, "seed": 0})
    [metrics] = trainer.validate(task, data, verbose=False)
    return len(data.val_dataloader().dataset), metrics


def test_a_used_run_folder_fails_the_whole_job_and_stays_as_it_was(submit_training, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    # The first process refuses; the second would wait for it at the rendezvous until the test's time is up.
    job = submit_training("one node", tmp_path)
    assert job.state == "FAILED"
    assert job.exit_code != 0
    assert "already holds another run (notes.txt)" in job.log
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("notes.txt", "mine")]


def test_every_process_is_given_its_node_and_the_options_as_they_were(cluster, tmp_path):
    put_in_place_of_python(
        tmp_path,
        'echo "$(hostname) $SLURM_LOCALID $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS $PWD $(printf "<%s>" "$@")"\n'
        '[[ $SLURM_PROCID != 0 ]] || scontrol --oneliner show step "$SLURM_JOB_ID.$SLURM_STEP_ID"\n',
    )
    words = ["--out", "runs/two words", "--model.lr=1e-3", "*", "100%a"]
    job = cluster.submit(REPOSITORY / SCRIPT, *words, options=["--nodes=2"], cwd=tmp_path)
    finished = cluster.wait(job, 60)
    assert (finished.state, finished.exit_code) == ("COMPLETED", 0), finished.log
    lines = finished.log.splitlines()
    given = f"0,1,2,3,4,5,6,7 1 {tmp_path} <launch/train.py><--out><runs/two words><--model.lr=1e-3><*><100%a>"
    assert sorted(line for line in lines if not line.startswith("StepId")) == [
        f"{node} {local_rank} {given}" for node in NODES for local_rank in range(8)
    ]
    # 2 nodes x 8 processes x 6 cores are asked for by the step itself; it inherits no number of cores from the job.
    [step] = [line for line in lines if line.startswith("StepId")]
    assert "TresPerStep=cpu:96 " in step
    properties = cluster.properties("job", job)
    assert (properties["MinMemoryNode"], properties["Requeue"]) == ("0", "1")
    assert (tmp_path / f"slurm-{job}.log").is_file()


def put_in_place_of_python(root, commands):
    """Make a folder look like a checkout whose Python is a shell script that tells what it was given."""
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "launch").mkdir()
    (root / "launch" / "train.py").touch()
    python = root / ".venv" / "bin" / "python"
    python.write_text(f"#!/usr/bin/env bash\n{commands}")
    python.chmod(0o755)


def test_an_array_trains_once_for_each_of_its_numbers(cluster, tmp_path):
    put_in_place_of_python(tmp_path, 'printf "<%s>" "$@" >"told-$SLURM_ARRAY_TASK_ID-$SLURM_PROCID"\n')
    words = ["--out", "runs/seed-%a", "--seed_everything", "%a"]
    options = ["--array=3,5", "--ntasks-per-node=1", "--gpus-per-node=1", "--wait"]
    cluster.submit(REPOSITORY / SCRIPT, *words, options=options, cwd=tmp_path)
    told = {path.name: path.read_text() for path in tmp_path.glob("told-*")}
    assert told == {
        f"told-{seed}-0": f"<launch/train.py><--out><runs/seed-{seed}><--seed_everything><{seed}>" for seed in (3, 5)
    }


def test_a_job_from_elsewhere_says_where_to_submit(cluster, tmp_path):
    finished = cluster.wait(cluster.submit(REPOSITORY / SCRIPT, "--help", cwd=tmp_path), 60)
    assert (finished.state, finished.exit_code) == ("FAILED", 2)
    assert f"{tmp_path} is not the root of a wauve_dist checkout" in finished.log


def test_a_stopped_cluster_leaves_no_process(cluster, tmp_path):
    # The cluster of the other tests stays up, and shows that what is missed here can be seen.
    assert processes_that_mention(cluster.environment["SLURM_CONF"]) != []
    (tmp_path / "sleep.sh").write_text("#!/usr/bin/env bash\nsrun sleep 1000\n")
    with running_cluster(tmp_path) as another:
        job = another.submit("sleep.sh", options=["--nodes=2", f"--output={tmp_path}/%j.log"], cwd=tmp_path)
        deadline = time.monotonic() + 30
        while sum("sleep" in name for name in processes_that_mention(tmp_path)) < len(NODES):
            assert time.monotonic() < deadline, another.properties("job", job)
            time.sleep(0.1)
    deadline = time.monotonic() + 5
    while left := processes_that_mention(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def processes_that_mention(path):
    """Commands of the living processes with ``path`` in their command line or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((folder / part).read_bytes() for part in ("cmdline", "environ"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # ended meanwhile, or not of this test
            continue
        if str(path).encode() in command + environment:
            found.append(command.replace(b"\0", b" ").decode())
    return found
