"""Finds ranks that would train something else than the others, before the first step."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.distributed as dist

import wauve_dist


class RankAgreement(pl.Callback):
    """Compares config, code, versions and number of batches of all ranks.

    Args:
        config: the resolved config, as text.
    """

    def __init__(self, config: str) -> None:
        self._config = config

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare.

        Raises:
            ValueError: a rank differs from rank 0; the same on every rank.
        """
        if not (dist.is_available() and dist.is_initialized()):
            return
        mine = {
            "config": self._config,
            "code of wauve_dist": source_hash(),
            "torch": torch.__version__,
            "pytorch_lightning": version("pytorch-lightning"),
            "batches an epoch": str(trainer.num_training_batches),
            "step to start from": str(trainer.global_step),
        }
        gathered: list[dict[str, str]] = [{}] * dist.get_world_size()
        dist.all_gather_object(gathered, mine)
        for rank, theirs in enumerate(gathered):
            for what, value in theirs.items():
                if value != gathered[0][what]:
                    raise ValueError(
                        f"Rank {rank} differs from rank 0 in its {what}: {_difference(value, gathered[0][what])}. "
                        "All processes of a run need the same code, config and data; are all nodes up to date?"
                    )


def source_hash() -> str:
    """Return 12 hexadecimal digits that tell any two states of the package's code apart."""
    digest = hashlib.sha256()
    root = Path(wauve_dist.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _difference(theirs: str, of_rank_0: str) -> str:
    """Quote the first line that differs."""
    pairs = zip(theirs.splitlines(), of_rank_0.splitlines(), strict=False)
    line, expected = next(((a, b) for a, b in pairs if a != b), (theirs[-80:], of_rank_0[-80:]))
    return f"{line.strip()!r}, not {expected.strip()!r}"
