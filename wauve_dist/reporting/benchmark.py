"""How long a whole report takes, of a study as large as the paper's external validation."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from wauve_dist.reporting.report import evaluate
from wauve_dist.reporting.request import EvaluationRequest
from wauve_dist.structures.tables import BIRADS_CATEGORIES

_NUM_VIDEOS, _NUM_READERS = 190, 4
_SUBGROUPS = "site,age>=50,lesion_size_mm<=10,birads:2-3/4-5"


def benchmark_report(num_resamples: int, seed: int) -> tuple[str, float, float]:
    """Time a report on two models, four readers alone and assisted, and four kinds of subgroups.

    Args:
        num_resamples: of each bootstrap.
        seed: of the made-up study and of the resamples.

    Returns:
        What was done, in words; seconds by the clock from reading the tables to the last file on disk; and seconds of
        processor time.
    """
    with tempfile.TemporaryDirectory() as folder:
        predictions, readers = _write_study(Path(folder), np.random.default_rng(seed))
        request = EvaluationRequest(
            predictions, num_resamples, seed, threshold=0.5, readers=readers, subgroups=_SUBGROUPS
        )
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        evaluate(request, Path(folder) / "report")
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    what = f"Report on {_NUM_VIDEOS} videos, 2 models, {_NUM_READERS} readers twice, 4 kinds of subgroups"
    return f"{what}, {num_resamples:,} resamples", wall_s, cpu_s


def _write_study(folder: Path, rng: np.random.Generator) -> tuple[list[Path], Path]:
    label = np.arange(_NUM_VIDEOS) % 2
    suspicion = rng.normal(2.0 * label - 1)
    videos = pd.DataFrame(
        {
            "video_id": [f"v{number:03d}" for number in range(_NUM_VIDEOS)],
            "patient_id": [f"p{number // 2:03d}" if number < 30 else f"p{number:03d}" for number in range(_NUM_VIDEOS)],
            "label": label,
            "site": rng.choice(["A", "B"], _NUM_VIDEOS),
            "age": rng.integers(25, 80, _NUM_VIDEOS),
            "lesion_size_mm": rng.integers(4, 30, _NUM_VIDEOS),
            "birads": _categories(suspicion, rng),
        }
    )
    paths = [folder / f"{model}.csv" for model in ("first", "second")]
    for path in paths:
        videos.assign(score=1 / (1 + np.exp(-suspicion - rng.normal(0, 1, _NUM_VIDEOS)))).to_csv(path, index=False)
    readings = [
        videos[["video_id"]].assign(
            reader=f"R{reader + 1}",
            assisted=assisted,
            birads=_categories(suspicion, rng),
            reading_time_s=rng.gamma(4, 8, _NUM_VIDEOS).round(2) + 1,
        )
        for reader in range(_NUM_READERS)
        for assisted in (0, 1)
    ]
    pd.concat(readings).to_csv(folder / "readers.csv", index=False)
    return paths, folder / "readers.csv"


def _categories(suspicion: np.ndarray[tuple[int], np.dtype[np.float64]], rng: np.random.Generator) -> list[str]:
    ranks = np.digitize(suspicion + rng.normal(0, 0.7, len(suspicion)), [-2.2, -0.6, 0.2, 0.9, 1.8])
    return [BIRADS_CATEGORIES[rank] for rank in ranks]
