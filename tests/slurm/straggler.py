"""A training whose second process is always behind: ranks meet a signal at different steps."""

import time

from tiny_task import TinyTask


class Straggler(TinyTask):
    """Every step of rank 1 takes ``step_s`` longer."""

    def __init__(self, crop_size: int, roi_context: float, step_s: float):
        super().__init__(crop_size, roi_context)
        self._late_s = step_s

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        time.sleep(self._late_s * self.global_rank)
        return loss
