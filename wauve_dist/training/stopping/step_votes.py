"""What all ranks do after a step, agreed on without waiting: each vote is counted while the next step computes."""

from __future__ import annotations

from enum import IntEnum

import torch
import torch.distributed as dist


class StepDecision(IntEnum):
    """What to do between two steps; the strongest wish of any rank wins."""

    GO_ON = 0
    SAVE = 1
    SAVE_AND_STOP = 2


class StepVotes:
    """A maximum over all ranks, reduced in the background over a process group of its own (gloo, also beside NCCL).

    Every rank calls ``decision`` after every step, or none does.
    """

    def __init__(self) -> None:
        self._group: dist.ProcessGroup | None = None
        if dist.is_available() and dist.is_initialized():
            group = dist.new_group(backend="gloo")
            assert isinstance(group, dist.ProcessGroup), "every rank is in the group"
            self._group = group
        self._vote = torch.zeros(1, dtype=torch.int32)
        self._counting: dist.Work | None = None

    def decision(self, wish: StepDecision) -> StepDecision:
        """Cast this rank's vote and return the outcome of the last one: one step late, the same on every rank."""
        if self._group is None:
            return wish
        outcome = self._counted()
        self._vote.fill_(wish)
        self._counting = dist.all_reduce(self._vote, dist.ReduceOp.MAX, group=self._group, async_op=True)
        return outcome

    def decision_now(self, wish: StepDecision) -> StepDecision:
        """Cast this rank's vote and wait for its outcome, joined with that of the last one."""
        return max(self.decision(wish), self._counted(), wish if self._group is None else StepDecision.GO_ON)

    def _counted(self) -> StepDecision:
        if self._counting is None:
            return StepDecision.GO_ON
        self._counting.wait()
        self._counting = None
        return StepDecision(int(self._vote))
