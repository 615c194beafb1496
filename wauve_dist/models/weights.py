"""Weights from files, never by executing what is in them."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn


def load_weights(model: nn.Module, path: Path) -> None:
    """Start ``model`` from the weights of a finished run's checkpoint.

    Raises:
        ValueError: no checkpoint, or one of another architecture; the first differences are named.
    """
    if not path.is_file():
        raise ValueError(f"--weights: there is no file {path}.")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except (UnpicklingError, RuntimeError, KeyError, EOFError) as error:
        raise ValueError(f"--weights: {path} is not a checkpoint of launch/train.py ({error}).") from error
    own = model.state_dict()
    faults = [
        *(f"{name} is missing from the file" for name in own.keys() - weights.keys()),
        *(f"{name} is unknown to the model" for name in weights.keys() - own.keys()),
        *(
            f"{name} has shape {tuple(weights[name].shape)}, the model needs {tuple(own[name].shape)}"
            for name in own.keys() & weights.keys()
            if own[name].shape != weights[name].shape
        ),
    ]
    if faults:
        raise ValueError(
            f"--weights: {path} does not fit the model; {len(faults)} of its {len(own)} tensors differ: "
            f"{'; '.join(sorted(faults)[:5])}. Use a checkpoint of the same model and anchors."
        )
    model.load_state_dict(weights)
