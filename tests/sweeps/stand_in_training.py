"""Stands in for launch/train.py: validates ten times within seconds; saves, stops and resumes as the real one does."""

import json
import os
import signal
import sys
import time
import zipfile
from pathlib import Path

given = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:] if "=" in word)
out = Path(sys.argv[sys.argv.index("--out") + 1])
save = out / "checkpoints" / "last.ckpt"
is_resumed = "--resume" in sys.argv
assert is_resumed == save.exists(), "only what was saved is resumed"
assert is_resumed or not out.exists(), "a new run has a new folder"
assert "SLURM_JOB_ID" not in os.environ, "the job is the agent's"
lr, behaviour = float(given["lr"]), given["behaviour"]
with (out.parents[1] / "started").open("a") as ledger:
    ledger.write(json.dumps([out.name, is_resumed, os.getpid()]) + "\n")
stop = []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, _: stop.append(number))
if behaviour == "fail":
    sys.exit("error: the manifest has no column 'label'")


def write_save(step):
    """Save like torch: a zip archive, whole or not there."""
    with zipfile.ZipFile(save.with_suffix(".part"), "w") as archive:
        archive.writestr("step", str(step))
    save.with_suffix(".part").replace(save)


first = int(zipfile.ZipFile(save).read("step")) if is_resumed else 0
log = out / "metrics" / f"version_{len(list(out.glob('metrics/*')))}" / "metrics.csv"
log.parent.mkdir(parents=True)
save.parent.mkdir(exist_ok=True)
with log.open("w") as stream:
    print("step,val/loss", file=stream, flush=True)
    for step in range(first, 10):
        time.sleep(float(given["seconds"]) / 10)
        print(f"{step},{lr + 1 / (step + 1)}", file=stream, flush=True)
        write_save(step + 1)
        if behaviour == "kill" or (behaviour == "kill_once" and step == 4 and not is_resumed):
            os.kill(os.getpid(), signal.SIGKILL)
        if stop:
            sys.exit(128 + stop[0])
