"""Weight files of Caffe2, as PySlowFast's model zoo offers them: Python 2 pickles of NumPy arrays."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# All that a pickled array needs. NumPy 1 wrote numpy.core, NumPy 2 writes numpy._core.
_RECONSTRUCT = ("_reconstruct", "scalar")
_ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")} | {
    (module, name) for module in ("numpy.core.multiarray", "numpy._core.multiarray") for name in _RECONSTRUCT
}

# State of the solver, which stands between the weights.
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
        path: pickle of ``{"blobs": {name: array}}``.

    Raises:
        ValueError: something else, or a pickle that would run code.
    """
    try:
        with path.open("rb") as stream:
            # Python 2 strings are bytes, and those of an array are its content.
            content = _ArrayUnpickler(stream, encoding="latin1").load()
        blobs = {str(name): value for name, value in content["blobs"].items()}
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise ValueError(
            f"--weights: {path} is not a weight file of Caffe2, a pickle of {{'blobs': {{name: array}}}} ({error})."
        ) from error
    weights = {
        name: value for name, value in blobs.items() if not name.endswith(_SOLVER_SUFFIX) and name not in _SOLVER_BLOBS
    }
    for name, value in weights.items():
        if not (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
            raise ValueError(f"--weights: {path}: blob {name!r} is no array of floating-point numbers.")
    return weights
