import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from wauve_dist.reporting.latex import latex_table, publication_table

ACCURACY = pd.DataFrame(
    {
        "model": ["WAUVE", "WAUVE", "2D $_$", "2D $_$"],
        "metric": ["auc", "sensitivity"] * 2,
        "value": [0.92123, 0.8616, 0.8, 1.0],
        "ci_low": [0.9, 0.81, np.nan, 0.95],
        "ci_high": [0.94, 0.905, np.nan, 1.0],
        "method": "any",
    }
)


def rows_of(latex):
    """The cells of every row between the outer rules."""
    body = re.search(r"\\toprule\n(.*)\\bottomrule", latex, re.DOTALL)[1]
    lines = [line for line in body.splitlines() if line not in (r"\midrule", r"\endhead")]
    return [re.split(r"(?<!\\)&", line.removesuffix(r"\\")) for line in lines]


def test_a_row_per_figure_becomes_a_column_per_model():
    table = publication_table(ACCURACY)
    assert table.to_numpy().tolist() == [
        ["AUC", "0.921\n(0.900 to 0.940)", "0.800"],
        ["Sensitivity, %", "86.2\n(81.0 to 90.5)", "100.0\n(95.0 to 100.0)"],
    ]
    assert list(table.columns) == ["", "WAUVE", "2D $_$"]


def test_p_values_stand_below_the_groups_that_they_compare():
    table = pd.DataFrame(
        {
            "subgroup": "age>=50",
            "group": ["<50", "<50", ">=50", ">=50"],
            "metric": ["auc", "ppv"] * 2,
            "value": [0.9, 0.5, 0.8, 0.25],
            "ci_low": [0.8, 0.4, 0.7, 0.2],
            "ci_high": [0.95, 0.6, 0.9, 0.3],
            "method": "any",
            "p": [0.0312, 1e-5] * 2,
        }
    )
    found = publication_table(table)
    assert found["group"].tolist() == ["<50", ">=50", "p"]
    assert found["AUC"].tolist()[2] == "0.031"
    assert found["PPV, %"].tolist() == ["50.0\n(40.0 to 60.0)", "25.0\n(20.0 to 30.0)", "< 0.001"]


def test_other_tables_keep_their_rows_and_print_as_in_a_paper():
    table = pd.DataFrame(
        {
            "reader": ["R1", "R2"],
            "value": [0.5, 0.25],
            "ci_low": [0.4, 0.1],
            "ci_high": [0.6, 0.4],
            "p": [0.5, None],
            "discordant": [(3, 4), None],
            "3>4A": [2.0, np.nan],
            "4A>3": [1, 0],
        }
    )
    assert publication_table(table).to_numpy().tolist() == [
        ["R1", "0.500 (0.400 to 0.600)", "0.500", "3 : 4", "3→4A 2, 4A→3 1"],
        ["R2", "0.250 (0.100 to 0.400)", "", "", ""],
    ]


def test_what_tex_would_read_as_a_command_is_escaped():
    names = ["a_b", "50 %", "R&D", "$x^2$", "{#}", "~\\", "age>=50 ± 3", 'say "no"']
    rows = rows_of(latex_table(pd.DataFrame({"name": names, "n": 1}), "names", "Names & 100 %"))
    assert [row[0].strip() for row in rows[1:]] == [
        r"a\_b",
        r"50 \%",
        r"R\&D",
        r"\$x\textasciicircum{}2\$",
        r"\{\#\}",
        r"\textasciitilde{}\textbackslash{}",
        r"age$\ge$50 $\pm$ 3",
        r"say \textquotedbl{}no\textquotedbl{}",
    ]
    assert all(len(row) == 2 for row in rows)


def test_a_table_longer_than_a_page_breaks():
    latex = latex_table(pd.DataFrame({"n": range(60)}), "long", "Long.")
    assert r"\begin{longtable}{l}" in latex
    assert r"\label{tab:long}" in latex
    assert len(rows_of(latex)) == 61


def test_latex_typesets_it(tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("there is no pdflatex on this machine: apt-get install texlive-latex-recommended")
    names = ["a_b", "50 %", "R&D", "$x^2$", "{#}", "~\\", "age>=50 ± 3", 'say "no" | “yes” → <it>', "x " * 60]
    tables = [ACCURACY, pd.DataFrame({"name": names, "n": 1}), pd.DataFrame({"n": range(60)})]
    body = "\n".join(latex_table(table, f"t{number}", "100 %_") for number, table in enumerate(tables))
    (tmp_path / "all.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,longtable}\begin{document}"
        + body
        + r"\end{document}"
    )
    process = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-2000:]
    assert "Missing character" not in process.stdout
