"""Which library computes the lesion detector. Weights and results are the same."""

from __future__ import annotations

from typing import Literal

from wauve_dist.models.detectors.faster_rcnn import LesionDetector

Backend = Literal["torchvision", "detectron2"]

_INSTALL = "python -m pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'"


def detector_class(backend: Backend) -> type[LesionDetector]:
    """Return the lesion detector of a library.

    Raises:
        ValueError: Detectron2 is not installed; it is on no package index.
    """
    if backend == "torchvision":
        return LesionDetector
    try:
        from wauve_dist.models.detectors.detectron2_faster_rcnn import Detectron2LesionDetector
    except ImportError as error:
        raise ValueError(
            f"--model.backend detectron2: Detectron2 cannot be imported ({error}). Install it with: {_INSTALL}. "
            "Torchvision computes the same from the same weights: train with --model.backend torchvision, predict with "
            "--detector-backend torchvision."
        ) from error
    return Detectron2LesionDetector
