"""Weights from files, never by executing what is in them, and never without saying what was loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from wauve_dist.models.caffe2_pickle import read_caffe2_blobs
from wauve_dist.models.classifiers.clip_classifier import ClipClassifier
from wauve_dist.models.detectors.faster_rcnn import LesionDetector

# Where other projects keep the weights in their files: Lightning and timm, PyTorchVideo and PySlowFast, others.
_WRAPPERS = ("state_dict", "model_state", "model")

# Counts batches for norms without momentum, of which none of our models has any; older files lack it.
_COUNTER = "num_batches_tracked"

_MAX_LISTED = 5


def load_weights(model: nn.Module, path: Path, ignored: Sequence[str] = ()) -> str:
    """Start ``model`` from weights in a file: our checkpoint, or a layout that its network can translate.

    Args:
        model: a task.
        path: ``.ckpt``, ``.pth``, ``.pyth`` or ``.pt`` of torch, or ``.pkl`` of Caffe2 or Detectron2.
        ignored: shell patterns of the model's names, such as ``*.classifier.*`` for another number of classes; what
            they match stays as it is.

    Returns:
        What was loaded, what was not, and why; for a person.

    Raises:
        ValueError: the file is no such file, does not fit the model, or a pattern matches nothing. The model is as
            before.
    """
    given, own = _own_names(model, read_weights(path)), model.state_dict()
    for pattern in ignored:
        if not any(fnmatch(name, pattern) for name in {*own, *given}):
            raise ValueError(f"--weights_ignore {pattern!r} matches no tensor of the model or of {path}. Leave it out.")
    faults: dict[str, str] = {}
    for name, value in own.items():
        if name not in given:
            if not name.endswith(_COUNTER):
                faults[name] = "is missing from the file"
        elif given[name].shape != value.shape:
            faults[name] = f"has shape {tuple(given[name].shape)}, the model needs {tuple(value.shape)}"
    faults |= dict.fromkeys(given.keys() - own.keys(), "is unknown to the model")
    allowed = {name for name in {*own, *given} if any(fnmatch(name, pattern) for pattern in ignored)}
    if refused := [f"{name} {fault}" for name, fault in sorted(faults.items()) if name not in allowed]:
        raise ValueError(
            f"--weights: {path} does not fit the model; {len(refused)} of its {len(own)} tensors differ: "
            f"{'; '.join(refused[:_MAX_LISTED])}{'; …' if len(refused) > _MAX_LISTED else ''}. Use weights of the same "
            "network, or name what may differ: --weights_ignore PATTERN."
        )
    loaded = {name: value for name, value in given.items() if name in own and name not in allowed}
    model.load_state_dict(loaded, strict=False)
    return _report(path, own, loaded, {name: faults.get(name, "would fit") for name in sorted(allowed)})


def _report(path: Path, own: Mapping[str, Tensor], loaded: Mapping[str, Tensor], ignored: Mapping[str, str]) -> str:
    lines = [f"Weights of {path}: {len(loaded)} of the model's {len(own)} tensors loaded"]
    if counters := [name for name in own if name.endswith(_COUNTER) and name not in loaded and name not in ignored]:
        lines.append(f"  not in the file and of no effect: {len(counters)} {_COUNTER}")
    lines += [f"  ignored as asked: {name} {fault}" for name, fault in ignored.items()]
    return "\n".join(lines)


def _own_names(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Let the network translate a file none of whose names is the model's own."""
    if weights.keys() & model.state_dict().keys():
        return weights
    for prefix, network in model.named_children():
        if isinstance(network, (ClipClassifier, LesionDetector)):
            return {f"{prefix}.{name}": value for name, value in network.translated(weights).items()}
    return weights


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by their names in it.

    Raises:
        ValueError: there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise ValueError(f"--weights: there is no file {path}.")
    if path.suffix == ".pkl":
        return {name: torch.from_numpy(value) for name, value in read_caffe2_blobs(path).items()}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, KeyError, IndexError) as error:
        raise ValueError(f"--weights: {path} is not a checkpoint of tensors and plain values ({error}).") from error
    if isinstance(content, dict):
        content = next((content[key] for key in _WRAPPERS if key in content), content)
    if not (isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values())):
        raise ValueError(f"--weights: {path} is not a checkpoint: it holds no tensors by name.")
    return content
