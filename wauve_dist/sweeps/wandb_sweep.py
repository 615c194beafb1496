"""A sweep that W&B's server knows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from wauve_dist.structures.provenance import atomic_write
from wauve_dist.sweeps.sweep_file import SweepRefused

WANDB_FILE = "wandb.json"
# The rest of a sweep's YAML is our agents' command, which may hold paths.
_TOLD = ("name", "description", "method", "metric", "parameters", "early_terminate", "run_cap", "program")


@dataclass(frozen=True)
class WandbSweep:
    """Where W&B has a sweep; ``wandb.json`` in the folder of a sweep that W&B's server chooses for.

    Attributes:
        server: address of W&B's API.
        entity: user or team.
        project: of the runs.
        name: W&B's id of the sweep.
    """

    server: str
    entity: str
    project: str
    name: str

    def write(self, folder: Path) -> None:
        """Write it into a sweep's folder."""
        with atomic_write(folder / WANDB_FILE) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> WandbSweep | None:
        """Read it back; None where W&B does not know the sweep."""
        path = folder / WANDB_FILE
        return cls(**json.loads(path.read_text())) if path.exists() else None


def register(path: Path) -> WandbSweep:
    """Register a sweep with W&B, by its own client; prints where to look at it.

    Args:
        path: a sweep's YAML that was checked.

    Raises:
        SweepRefused: the file holds paths or free text as parameters, or W&B does not take the sweep.
    """
    import wandb

    from wauve_dist.training.logging.run_privacy import scrubbed
    from wauve_dist.training.logging.wandb_settings import PROJECT

    content: dict[str, Any] = yaml.safe_load(path.read_text())
    for name, described in content["parameters"].items():
        values = list(described.values())
        if scrubbed(values, name.rpartition(".")[2]) != values:
            raise SweepRefused(f"{path}: parameters.{name} holds a path or free text, which would go to W&B.")
    try:
        name = wandb.sweep({key: content[key] for key in _TOLD if key in content}, project=PROJECT)
        found = wandb.Api().settings  # by now of the sweep's entity
    except wandb.Error as error:
        raise SweepRefused(
            f"W&B did not take the sweep: {error} Is WANDB_API_KEY set, or `wandb login` done?"
        ) from error
    return WandbSweep(found["base_url"], found["entity"], PROJECT, name)
