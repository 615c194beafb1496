r"""Tables for a manuscript: LaTeX with booktabs, an estimate and its interval in one cell, a column per figure."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from wauve_dist.evaluation.operating_point import PROPORTIONS
from wauve_dist.reporting.wording import decimal, p_value

_LONG = 45  # rows that fit a page
_LONG_CELL = 48  # characters; a method in words is shorter
_STYLE = r"\footnotesize\setlength{\tabcolsep}{3.5pt}"
_ESCAPED = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "±": r"$\pm$",
        "≤": r"$\le$",
        "≥": r"$\ge$",
        "→": r"$\to$",
        "“": "``",
        "”": "''",
    }
)


def latex_table(table: pd.DataFrame, name: str, caption: str) -> str:
    r"""Typeset a table of the report.

    Args:
        table: as in the CSV of the same name.
        name: for ``\\label{tab:name}``.
        caption: a sentence, as plain text.

    Returns:
        A ``table``, or, where it is longer than a page, a ``longtable``.
    """
    cells = publication_table(table)
    columns = _columns(cells)
    head = " & ".join(map(_cell, cells.columns)) + r" \\"
    body = [" & ".join(map(_cell, row)) + r" \\" for row in cells.itertuples(index=False)]
    title = rf"\caption{{{_cell(caption)}}}\label{{tab:{name}}}"
    if len(body) > _LONG:
        opening = [_STYLE, rf"\begin{{longtable}}{{{columns}}}", title + r" \\"]
        lines = [*opening, r"\toprule", head, r"\midrule", r"\endhead", *body, r"\bottomrule", r"\end{longtable}"]
    else:
        opening = [r"\begin{table}", r"\centering" + _STYLE, title, rf"\begin{{tabular}}{{{columns}}}"]
        lines = [*opening, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join([r"% \usepackage[T1]{fontenc} \usepackage{booktabs,longtable}", *lines]) + "\n"


def publication_table(table: pd.DataFrame) -> pd.DataFrame:
    """The same as text in the form of a journal: estimate and interval in one cell, proportions in per cent.

    A table with a row per figure becomes one with a column per figure, or, for models, which are few and have many
    figures, a column per model. How each figure was made is then left to the methods and to the CSV.
    """
    if {"metric", "value"} <= set(table.columns):
        return _wide(table)
    for value in ("value", "net_benefit", "difference"):
        if {value, "ci_low", "ci_high"} <= set(table.columns):
            estimates = [_estimate(*row) for row in table[[value, "ci_low", "ci_high"]].to_numpy()]
            table = table.assign(**{value: estimates}).drop(columns=["ci_low", "ci_high"])
    if moves := [column for column in table.columns if re.fullmatch(r"[2-5][ABC]?>[2-5][ABC]?", column)]:
        # Changes of BI-RADS category, a column each: most are empty.
        counts = table[moves].to_dict("records")
        together = [", ".join(f"{move} {count:.0f}" for move, count in row.items() if count > 0) for row in counts]
        table = table.drop(columns=moves).assign(moves=[text.replace(">", "→") for text in together])
    cells = {str(column): [_text(cell, str(column)) for cell in table[column]] for column in table.columns}
    return pd.DataFrame(cells).rename(columns=_spaced)


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """A row per reader or group, a column per figure; p-values in a row of their own below their groups."""
    keys = list(table.columns[: list(table.columns).index("metric")])
    rows: list[dict[str, str]] = []
    for _, block in table.groupby(keys[0], sort=False):
        for identity, figures in block.groupby(keys, sort=False):
            row = dict(zip(keys, map(str, identity), strict=True))
            for figure in figures.itertuples():
                scale, digits = (100, 1) if figure.metric in PROPORTIONS else (1, 3)
                limits = (scale * figure.value, scale * figure.ci_low, scale * figure.ci_high)
                row[_metric(figure.metric)] = _estimate(*limits, digits, between="\n")
            rows.append(row)
        if "p" in table:
            tested = block.drop_duplicates("metric").dropna(subset=["method"])
            p_values = {_metric(test.metric): _text(test.p, "p") for test in tested.itertuples()}
            rows.append(dict.fromkeys(keys, "") | {keys[-1]: "p"} | p_values)
    wide = pd.DataFrame(rows).fillna("").rename(columns=_spaced)
    if keys == ["model"]:
        wide = wide.set_index("model").T.rename_axis(None, axis=1).reset_index(names="")
    return wide


def _metric(name: str) -> str:
    if partial := re.fullmatch(r"partial_auc_(\w+)_ge_([\d.]+)", name):
        return f"Partial AUC, {partial[1]} ≥ {partial[2]}"
    words = {"auc": "AUC", "auc_delong": "AUC, DeLong", "average_precision": "Average precision", "f1": "F1"}
    if name in PROPORTIONS:
        return f"{name.upper() if name in ('ppv', 'npv') else name.capitalize()}, %"
    return words.get(name, name)


def _estimate(value: float, low: float, high: float, digits: int = 3, between: str = " ") -> str:
    limits = "" if pd.isna(low) else f"{between}({decimal(low, digits)} to {decimal(high, digits)})"
    return decimal(value, digits) + limits


def _text(cell: Any, column: str) -> str:
    if isinstance(cell, list | tuple):
        return " : ".join(map(str, cell))
    if cell is None or pd.isna(cell):
        return ""
    if column in ("p", "p_adjusted"):
        return p_value(float(cell))
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell.is_integer() else decimal(cell)
    return str(cell)


def _spaced(column: str) -> str:
    return column.replace("_", " ")


def _columns(cells: pd.DataFrame) -> str:
    """A column of sentences is set in lines, any other as wide as it is."""
    is_long = [cells[name].str.len().max() > _LONG_CELL for name in cells]
    width = 0.35 if sum(is_long) == 1 else 0.7 / max(1, sum(is_long))
    return "".join(rf"p{{{width:.2g}\linewidth}}" if long else "l" for long in is_long)


def _cell(text: object) -> str:
    plain = str(text).replace("<=", "≤").replace(">=", "≥")
    estimate, _, limits = plain.translate(_ESCAPED).partition("\n")
    if not limits:
        return estimate
    # A table in the cell aligns the estimate, not the interval below it, with the other cells.
    return rf"\begin{{tabular}}[t]{{@{{}}l@{{}}}}{estimate}\\{{\scriptsize {limits}}}\end{{tabular}}"
