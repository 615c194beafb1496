"""Weight files that are pickles of NumPy arrays: Caffe2's of PySlowFast's model zoo (Python 2), and Detectron2's."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# All that a pickled array needs. NumPy 1 wrote numpy.core, NumPy 2 writes numpy._core; pickle's protocol 5 _frombuffer.
_RECONSTRUCT = (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
_ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")} | {
    (f"{core}.{module}", name) for core in ("numpy.core", "numpy._core") for module, name in _RECONSTRUCT
}

# Where Caffe2 and Detectron2 keep the weights in their files; older files are nothing but weights.
_WRAPPERS = ("blobs", "model")

# State of Caffe2's solver, which stands between the weights.
_SOLVER_SUFFIX, _SOLVER_BLOBS = "_momentum", {"lr", "model_iter"}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays, numbers, strings and containers; a pickle that asks for anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_caffe2_blobs(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read the weights, without the solver's state.

    Args:
        path: pickle of ``{name: array}``, alone or under ``blobs`` (Caffe2) or ``model`` (Detectron2).

    Raises:
        ValueError: something else, or a pickle that would run code.
    """
    try:
        with path.open("rb") as stream:
            # Python 2 strings are bytes, and those of an array are its content.
            content = _ArrayUnpickler(stream, encoding="latin1").load()
        content = next((content[key] for key in _WRAPPERS if key in content), content)
        blobs = {str(name): value for name, value in content.items()}
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise ValueError(
            f"--weights: {path} is not a weight file of Caffe2 or Detectron2, a pickle of {{name: array}} ({error})."
        ) from error
    weights = {
        name: value for name, value in blobs.items() if not name.endswith(_SOLVER_SUFFIX) and name not in _SOLVER_BLOBS
    }
    for name, value in weights.items():
        if not (isinstance(value, np.ndarray) and value.dtype.kind in "fi"):
            raise ValueError(f"--weights: {path}: blob {name!r} is no array of numbers.")
    return weights
