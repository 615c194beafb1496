"""A stage of a study: one command, one folder, and a record by which a later start knows that it is done."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wauve_dist.structures.provenance import atomic_write, sha256_of


class StageError(RuntimeError):
    """A stage failed, or its folder holds the result of other settings."""


def _run_here(argv: list[str]) -> int:
    return subprocess.run(argv, check=False).returncode


@dataclass(frozen=True)
class Stage:
    """One step of a study.

    Attributes:
        name: of the stage and of its folder.
        folder: all that the stage writes; the stage owns it. Its record lies beside it, in ``stages/NAME.json``.
        command: script of ``launch/`` and its arguments.
        inputs: files whose content decides the result: configs and products of earlier stages.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    inputs: tuple[Path, ...] = ()

    @property
    def is_training(self) -> bool:
        """Tell whether the stage runs on all processes of a job; the others are one process each."""
        return self.command[0] == "train.py"

    @property
    def record(self) -> Path:
        """Tells by which settings and inputs the stage was started, and whether it ended well."""
        return self.folder.parent / "stages" / f"{self.name}.json"

    def is_done(self) -> bool:
        """Tell whether the stage ended well with this command and these inputs.

        Raises:
            StageError: it was started, and perhaps ended, with others.
        """
        if not self.record.exists():
            return False
        record = json.loads(self.record.read_text())
        if record["fingerprint"] != self._fingerprint():
            raise StageError(
                f"{self.folder} was made by other settings or from other inputs. Make it and what follows anew "
                f"with --redo {self.name}, or choose another --out."
            )
        return bool(record["done"])

    def run(self, launch_folder: Path, execute: Callable[[list[str]], int] = _run_here) -> float:
        """Run the command to its end; an interrupted training carries on, any other stage starts over.

        Args:
            launch_folder: where the scripts of ``launch/`` lie.
            execute: runs a command line and returns its exit status.

        Returns:
            Duration in seconds.

        Raises:
            StageError: an input is missing, or the command failed; its own message stands above.
        """
        if missing := [str(path) for path in self.inputs if not path.exists()]:
            raise StageError(f"Stage {self.name} needs {', '.join(missing)}, which no stage before it has made.")
        script, *arguments = self.command
        argv = [sys.executable, str(launch_folder / script), *arguments]
        if (self.folder / "checkpoints" / "last.ckpt").exists():
            print(f"{self.name}: interrupted before; carrying on from its last checkpoint")
            argv.append("--resume")
        elif self.folder.exists():
            print(f"{self.name}: interrupted before; starting over")
            shutil.rmtree(self.folder)
        self._write_record(done=False)
        start_s = time.monotonic()
        status = execute(argv)
        if status != 0:
            raise StageError(f"Stage {self.name} failed with status {status}. Its command: {shlex.join(argv)}")
        self._write_record(done=True)
        return time.monotonic() - start_s

    def _write_record(self, done: bool) -> None:
        record = {"fingerprint": self._fingerprint(), "command": self.command, "done": done}
        with atomic_write(self.record) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")

    def _fingerprint(self) -> str:
        """Hash what decides the stage's result: its command and the content of its inputs."""
        decisive = {"command": self.command, "inputs": [sha256_of(path) for path in self.inputs]}
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


def position_of(name: str, stages: Sequence[Stage]) -> int:
    """Return where the stage ``name`` of ``--redo`` stands among ``stages``.

    Raises:
        StageError: there is no such stage.
    """
    names = [stage.name for stage in stages]
    if name not in names:
        raise StageError(f"--redo {name}: there is no such stage. The stages are {', '.join(names)}.")
    return names.index(name)


def remove_from(name: str, stages: Sequence[Stage]) -> None:
    """Remove the results of the stage ``name`` and of all that follow.

    Raises:
        StageError: there is no such stage.
    """
    for stage in stages[position_of(name, stages) :]:
        stage.record.unlink(missing_ok=True)
        if stage.folder.exists():
            shutil.rmtree(stage.folder)
