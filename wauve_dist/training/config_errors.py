"""Says which names a config may use where it used a wrong one."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable

from jsonargparse import ArgumentParser

_NOT_IN_A_CONFIG = {"help", "config", "print_config", "print_shtab"}


def explained(message: str, parser: ArgumentParser) -> str:
    """Return jsonargparse's ``message``, reduced to the fault, with the valid names beside a name it refused."""
    lines = [line.strip() for line in message.splitlines()]
    if already := _first(r"(\S+ is not an option\. .*)", lines):
        return already  # a nested parser of ours has explained it
    if unknown := _first(r"unrecognized arguments: --([\w.]+)", lines):
        dests = {action.dest for action in parser._actions} - _NOT_IN_A_CONFIG
        prefix = unknown.rpartition(".")[0]
        siblings = {dest for dest in dests if dest.rpartition(".")[0] == prefix}
        return f"--{unknown} is not an option. {_suggestion(unknown, siblings or {d for d in dests if '.' not in d})}"
    class_path = _first(r"given class_path '([\w.]+)'", lines)
    if wrong := _first(r"does not accept option '([\w.]+)'", lines):
        group = _first(r"Group '([\w.]+)'", lines)
        names = [
            action.dest.removeprefix(f"{group}.") for action in parser._actions if action.dest.startswith(f"{group}.")
        ]
        return f"{group}.{wrong} is not an option. {_suggestion(wrong, names)}"
    if wrong := _first(r"Option '([\w.]+)' is not accepted", lines):
        if class_path:
            return f"{wrong} is not an option of {class_path}. {_suggestion(wrong, _parameters(_imported(class_path)))}"
        keys = {action.dest.split(".")[0] for action in parser._actions} - _NOT_IN_A_CONFIG
        return f"{wrong} is not an option. {_suggestion(wrong, keys)}"
    if class_path and (wrong := _first(r'Parser key "([\w.]+)":', [line for line in lines if '"model"' not in line])):
        fault = _first(r"(Expected a .*)", lines) or message
        return f"{class_path}: {wrong}: {fault}"
    return message


def _suggestion(wrong: str, valid: Iterable[str]) -> str:
    valid = sorted(valid)
    close = difflib.get_close_matches(wrong, valid, n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    return f"{meant}Valid names: {', '.join(valid)}."


def _parameters(cls: type) -> list[str]:
    return [name for name in inspect.signature(cls).parameters if name != "kwargs"]


def _imported(class_path: str) -> type:
    module, _, name = class_path.rpartition(".")
    imported: type = getattr(importlib.import_module(module), name)
    return imported


def _first(pattern: str, lines: Iterable[str]) -> str | None:
    return next((match.group(1) for line in lines if (match := re.search(pattern, line))), None)
