"""Starts, disturbs and compares training runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / "configs" / "classification" / "demo.yaml"
MODEL = "tiny_task.TinyTask"


def argv(out, data, *options, devices=1):
    """Build the command of a tiny training: 3 epochs of 8 steps, or of 4 with two processes."""
    strategy = "ddp" if devices > 1 else "auto"
    return [
        *(sys.executable, str(REPOSITORY / "launch" / "train.py"), "--config", str(tiny_config(out.parent))),
        *("--out", str(out), f"--data.manifest={data / 'manifest.csv'}", "--wandb=disabled"),
        *(f"--data.tracks={data / 'tracks' / 'tracks.parquet'}", f"--data.cache_dir={data / 'cache'}"),
        *(f"--trainer.devices={devices}", f"--trainer.strategy={strategy}", *map(str, options)),
    ]


def tiny_config(folder):
    """Write the demo's classification config with the tiny model, averaged weights and early stopping."""
    import yaml

    config = yaml.safe_load(CONFIG.read_text())
    config["model"] = {"class_path": MODEL, "init_args": {"step_s": 0.0}}
    config["data"]["init_args"] |= {"crop_size": 64, "clips_per_video": 8, "batch_size": 4, "num_workers": 0}
    trainer = config["trainer"]
    trainer |= {"accelerator": "cpu", "max_epochs": 3, "check_val_every_n_epoch": 1, "log_every_n_steps": 1}
    trainer["enable_progress_bar"] = False
    trainer["callbacks"] += [
        {"class_path": "pytorch_lightning.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.9}},
        {
            "class_path": "pytorch_lightning.callbacks.EarlyStopping",
            "init_args": {"monitor": "val/loss", "patience": 50},
        },
    ]
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def environment(ledger=None):
    """Let the run import the tiny model and, if asked, keep its ledger."""
    path = os.pathsep.join([str(Path(__file__).parent), str(REPOSITORY)])
    extra = {"LEDGER": str(ledger)} if ledger else {}
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **extra}


def start(command, log, ledger=None):
    """Start a run in a process group of its own."""
    with Path(log).open("a") as stream:
        return subprocess.Popen(
            command, stdout=stream, stderr=stream, env=environment(ledger), cwd=REPOSITORY, start_new_session=True
        )


def finish(command, log, ledger=None, timeout=180):
    """Run to the end."""
    process = start(command, log, ledger)
    assert process.wait(timeout) == 0, Path(log).read_text()[-3000:]


def kill_group(process, number=signal.SIGKILL):
    """Signal a run's every process."""
    os.killpg(process.pid, number)


def state(out, name="last.ckpt"):
    """Read what decides how a run goes on."""
    saved = torch.load(out / "checkpoints" / name, weights_only=True, map_location="cpu")
    kept = ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "global_step", "epoch")
    return {key: saved[key] for key in kept if key in saved}


def same(a, b):
    """Compare bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
