"""What every run of ours at W&B is told to do."""

from __future__ import annotations

from typing import Any

PROJECT = "wauve_dist"

# W&B collects host, user, program, its arguments, git's remote and the console's lines of its own accord; the last
# may hold ids and paths. Losses, figures and the GPU's and the processor's load remain.
COLLECT_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("disable_git", "disable_code", "disable_job_creation", "label_disable"), True),
    **dict.fromkeys(("x_disable_meta", "x_disable_machine_info"), True),
    **dict.fromkeys(("host", "username", "email", "program", "program_relpath", "program_abspath"), ""),
    **{"console": "off", "save_code": False, "x_save_requirements": False, "quiet": True},
}
