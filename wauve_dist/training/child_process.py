"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence


def ending_with_us(command: Sequence[str]) -> list[str]:
    """Return a command whose process gets SIGTERM when this process ends, however it ends: the kernel sends it.

    Raises:
        FileNotFoundError: there is no ``setpriv`` here.
    """
    if shutil.which("setpriv") is None:
        raise FileNotFoundError("There is no setpriv on this machine. Install util-linux 2.33 or newer.")
    return ["setpriv", "--pdeathsig", "TERM", *command]
