"""Requests to stop: noted when they come, obeyed between two steps.

Imports nothing heavy, so that a launcher notes signals before it imports torch.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

# Slurm sends SIGTERM before it takes nodes away and, on request, a user signal before the time limit.
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


class StopSignals:
    """Remembers the first signal that asks this process to stop.

    The handler sets a flag and nothing else: ranks receive a signal at different steps, or in the middle of a
    collective or of a save, where none of them could do more without harm.

    Attributes:
        received: the signal; None as long as there was none.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def install(self) -> None:
        """Take over the handlers of all stop signals; again after a library has put its own in their place."""
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for stop_signal in _STOP_SIGNALS:
                signal.signal(stop_signal, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is None:
            self.received = signal.Signals(number)
            again = " Press Ctrl-C again to stop at once, without saving." if number == signal.SIGINT else ""
            # print() is not reentrant, and the signal may have come in the middle of one
            os.write(2, f"\n{self.received.name}: will save and stop after this step.{again}\n".encode())


STOP_SIGNALS = StopSignals()
"""Of this process, to which handlers belong."""
