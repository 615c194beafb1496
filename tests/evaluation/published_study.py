"""The paper's reader study rebuilt from its published counts: no patient, no reading, only cells that add up."""

import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pandas as pd

COUNTS = json.loads(Path(__file__).with_name("published_study.json").read_text())
MODEL_THRESHOLD = 0.2102
BIOPSY = ("4A", "4B", "4C", "5")
# Column, value of the first level, value of the second, and the rows of the published table.
SUBGROUPS = (
    ("site", "PUMCH", "NCC", "PUMCH", "NCC"),
    ("age", 40, 60, "<50", ">=50"),
    ("lesion_size_mm", 8, 20, "<=10mm", ">10mm"),
    ("birads", "3", "4B", "BI-RADS 2-3", "BI-RADS 4-5"),
)


def prints_as(value, printed):
    """Whether a number prints as published, rounded once or, as many of the paper's figures are, twice."""
    exact, unit = Decimal(repr(float(value))), Decimal(printed)
    finer = Decimal(1).scaleb(unit.as_tuple().exponent - 1)
    once = exact.quantize(unit, ROUND_HALF_UP)
    twice = exact.quantize(finer, ROUND_HALF_UP).quantize(unit, ROUND_HALF_UP)
    return unit in (once, twice)


def predictions():
    """190 lesions: true positives first, then false negatives, false positives, true negatives."""
    model = COUNTS["model"]
    cells = {cell: model[cell] for cell in ("tp", "fn", "fp", "tn")}
    table = pd.DataFrame(
        {
            "video_id": [f"L{number:03}" for number in range(190)],
            "patient_id": [f"P{number:03}" for number in range(190)],
            "label": np.repeat([1, 1, 0, 0], list(cells.values())),
            "score": np.concatenate(
                [
                    np.linspace(MODEL_THRESHOLD, 0.99, cells["tp"]),
                    np.linspace(0.1, 0.12, cells["fn"]),
                    np.linspace(0.2155, 0.7, cells["fp"]),
                    np.linspace(0.01, 0.2095, cells["tn"]),
                ]
            ),
            "model": "WAUVE",
        }
    )
    cell_of = np.repeat(list(cells), list(cells.values()))
    for column, first, second, first_row, _ in SUBGROUPS:
        in_first = dict(zip(("tp", "fp", "fn", "tn"), COUNTS["subgroups"][first_row], strict=True))
        rank_in_cell = pd.Series(cell_of).groupby(cell_of).cumcount().to_numpy()
        table[column] = np.where(rank_in_cell < [in_first[cell] for cell in cell_of], first, second)
        if not isinstance(first, str):
            table[column] += np.arange(len(table)) % 3  # nobody is of one age
    return table


def readings():
    """Four readers, alone and assisted: joint counts with the model, and every move of Table 5."""
    videos = predictions()
    rows = []
    for reader, classes in COUNTS["readers"].items():
        for kind, label in (("malignant", 1), ("benign", 0)):
            of_class = videos[videos["label"] == label]
            model_right = (of_class["score"] >= MODEL_THRESHOLD).to_numpy() == bool(label)
            counts = classes[kind]
            both_right = counts["right"] - counts["right_alone_not_model"]
            quota = np.where(model_right, both_right, counts["right_alone_not_model"])
            rank = pd.Series(model_right).groupby(model_right).cumcount().to_numpy()
            called = (rank < quota) == bool(label)
            for video, (alone, assisted) in zip(of_class["video_id"], _categories(reader, kind, called), strict=True):
                rows += [(video, reader, 0, alone), (video, reader, 1, assisted)]
    return pd.DataFrame(rows, columns=["video_id", "reader", "assisted", "birads"])


def _categories(reader, kind, called):
    """Deal Table 5's moves to cases on the side of the biopsy threshold where they start; the rest stays."""
    moves = COUNTS["adjustments"][f"{reader}-{kind}"]["moves"]
    starts = {True: [], False: []}
    for move, count in moves.items():
        alone, assisted = move.split(">")
        starts[alone in BIOPSY] += [(alone, assisted)] * count
    return [starts[call].pop() if starts[call] else (("4B", "4B") if call else ("3", "3")) for call in called.tolist()]
