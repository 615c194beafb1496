"""Exactly-once evaluation on any number of processes: rows are keyed, gathered and checked."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch.distributed as dist


def gather_rows(parts: Sequence[pd.DataFrame], key: list[str]) -> pd.DataFrame:
    """Unite the rows of all ranks into one table, the same on every rank and for any number of ranks.

    Args:
        parts: this rank's rows, in any order; may be empty on some ranks.
        key: columns that name a sample.

    Returns:
        All rows, ordered by ``key``.

    Raises:
        RuntimeError: a sample was evaluated twice (a sampler that pads).
    """
    rows: list[pd.DataFrame] = list(parts)
    if dist.is_available() and dist.is_initialized():
        gathered: list[list[pd.DataFrame] | None] = [None] * dist.get_world_size()
        dist.all_gather_object(gathered, rows)
        rows = [part for of_rank in gathered if of_rank is not None for part in of_rank]
    assert rows, "an evaluation without a single batch"
    table = pd.concat(rows, ignore_index=True).sort_values(key, ignore_index=True)
    if (doubled := table[table.duplicated(key)]).size:
        raise RuntimeError(
            f"{len(doubled)} samples were evaluated more than once, the first is "
            f"{doubled.iloc[0][key].to_dict()}. Evaluation needs samplers that do not pad."
        )
    return table
