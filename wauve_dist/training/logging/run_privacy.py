"""What a run may say of where it ran and on what: settings, versions and hashes; no names, no paths."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import wauve_dist
from wauve_dist.structures.provenance import sha256_of
from wauve_dist.structures.tables import read_manifest
from wauve_dist.training.rank_agreement import source_hash

_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "pandas", "wandb")
_PATH_KEYS = re.compile(r"out|manifest|annotations|tracks|weights|wandb_media|dirpath|\w*_(dir|path|file)")
_NO_PATH_KEYS = {"class_path"}
_METRIC = re.compile(r"(train|val|test)/\w+")
_WORD = re.compile(r"[\w.,:*+@=-]*")  # class names, choices, numbers, patterns of tensor names
_HIDDEN = "(left out)"
_NUM_DIGITS = 16


def scrubbed(value: Any, key: str = "") -> Any:
    """Return a setting without paths and free text: a word stays as it is, all other text is left out.

    Which files a run had is told by their hashes (``data_hashes``).

    Args:
        value: of a config: nested dicts and lists of numbers, texts and paths.
        key: that it stands under.
    """
    if isinstance(value, Mapping):
        return {name: scrubbed(item, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrubbed(item, key) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    is_path = key not in _NO_PATH_KEYS and (_PATH_KEYS.fullmatch(key) or (text and Path(text).exists()))
    return text if not is_path and (_WORD.fullmatch(text) or _METRIC.fullmatch(text)) else _HIDDEN


def code_version() -> dict[str, object]:
    """Return the commit of the checkout that the package lies in, and whether its code was changed since.

    ``commit`` is None outside git; ``source`` is a hash of the package's code and tells such versions apart too.
    """
    package = Path(wauve_dist.__file__).parent
    commit = _git(package, "rev-parse", "HEAD")
    changed = bool(_git(package, "status", "--porcelain", "--", ".")) if commit else None
    return {"commit": commit, "changed": changed, "source": source_hash()}


def environment(num_processes: int) -> dict[str, object]:
    """Return versions and devices; neither the machine's name nor the user's."""
    gpu = torch.cuda.get_device_name().replace(" ", "_") if torch.cuda.is_available() else None
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        **versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "cuda": torch.version.cuda,
        "gpu": gpu,
        "processes": num_processes,
    }


def data_hashes(sources: Mapping[str, Path]) -> dict[str, str]:
    """Hash the tables that a run learns from, and which video is in which split.

    Args:
        sources: role to file; of a ``manifest`` the hash of its splits is told too, since those of two runs may be
            the same though another column was edited.
    """
    hashes = {f"{role}_sha256": sha256_of(path)[:_NUM_DIGITS] for role, path in sources.items()}
    if "manifest" in sources:
        splits = read_manifest(sources["manifest"])[["video_id", "split"]].sort_values("video_id")
        hashes["split_sha256"] = hashlib.sha256(splits.to_csv(index=False).encode()).hexdigest()[:_NUM_DIGITS]
    return hashes


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git answers; None where there is no git, or no checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
