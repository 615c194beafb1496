"""Training, running and evaluating WAUVE on freehand breast-ultrasound video."""

__version__ = "0.1.0"
