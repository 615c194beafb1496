"""What is known of a trial: its record, and the figures that its run has logged."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from wauve_dist.structures.provenance import atomic_write

State = Literal["running", "finished", "stopped", "failed"]


class NoTrialYet(ConnectionError):  # noqa: N818 - reads as what it is
    """The server that chooses trials has none to give, or does not answer; it may later."""


@dataclass(frozen=True)
class Trial:
    """A trial that has begun; ``trials/NUMBER.json``.

    Attributes:
        number: from 0.
        parameters: option of launch/train.py, without its dashes, to value.
        state: ``running`` also while nobody runs it, because its agent has died; the next one takes it up.
            ``stopped`` is early, for want of promise.
        value: best figure of its validations; None before the first, and of a trial that failed.
        num_kills: how often its run was ended by a signal that no agent of the sweep had sent.
        fault: why it failed.
        run_id: W&B's id of its run, where W&B has chosen it.
    """

    number: int
    parameters: Mapping[str, Any]
    state: State = "running"
    value: float | None = None
    num_kills: int = 0
    fault: str | None = None
    run_id: str | None = None

    def write(self, path: Path) -> None:
        """Write the record."""
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Trial:
        """Read it back."""
        return cls(**json.loads(path.read_text()))

    @property
    def options(self) -> list[str]:
        """Its parameters, as launch/train.py takes them."""
        return options(self.parameters)


def options(parameters: Mapping[str, Any]) -> list[str]:
    """Write parameters as options of launch/train.py."""
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in parameters.items()]


def validation_figures(run: Path, metric: str) -> list[float]:
    """Read what a run has logged of ``metric``, in the order of its steps; a run may be in the middle of writing.

    Args:
        run: run folder of launch/train.py. A step that was validated again after a resume counts once.
        metric: such as ``val/auc``.

    Returns:
        The figures that are numbers; NaN is none.
    """
    by_step: dict[int, float] = {}
    files = (run / "metrics").glob("version_*/metrics.csv")
    for path in sorted(files, key=lambda path: int(path.parent.name.removeprefix("version_"))):
        lines = path.read_text().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        for row in csv.DictReader(whole):
            if row.get(metric):
                by_step[int(row["step"])] = float(row[metric])
    return [by_step[step] for step in sorted(by_step) if not math.isnan(by_step[step])]
