"""The notebooks run from top to bottom as plain Python, and are committed without what they printed.

A notebook is JSON: its code cells, one after the other, are a script. No kernel is needed for that, as long
as cells are plain Python, which is checked. The last expression of each cell is shown as a notebook would
show it, so that its HTML is made too.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
SHOW = """
def _show(value):
    html = getattr(value, "_repr_html_", None)
    print(html() if html else repr(value))
"""


def cells(notebook: Path) -> list[dict]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def script(notebook: Path) -> str:
    """The code cells as one script, the last expression of each shown."""
    parts = [ast.parse(SHOW)]
    for cell in cells(notebook):
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            if tree.body and isinstance(last := tree.body[-1], ast.Expr):
                last.value = ast.Call(ast.Name("_show", ast.Load()), [last.value], [])
            parts.append(tree)
    return "\n".join(ast.unparse(ast.fix_missing_locations(part)) for part in parts)


def test_there_are_three():
    """First steps, a behaviour of one's own, a hypothesis."""
    assert [path.stem for path in NOTEBOOKS] == ["first_steps", "hypothesis", "own_behaviour"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_well_formed_and_holds_no_output(notebook):
    """The fields that version 4.5 of the format requires; ids are unique; lines are narrow."""
    whole = json.loads(notebook.read_text(encoding="utf-8"))
    assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5) and whole["metadata"]["kernelspec"]
    ids = [cell["id"] for cell in whole["cells"]]
    assert len(set(ids)) == len(ids) and whole["cells"][0]["cell_type"] == "markdown"
    for cell in whole["cells"]:
        assert cell["cell_type"] in ("markdown", "code") and isinstance(cell["source"], list)
        assert max(map(len, cell["source"])) <= 120
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.parametrize(
    "notebook",
    [pytest.param(path, marks=() if path.stem == "first_steps" else pytest.mark.slow) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_a_notebook_runs(notebook, tmp_path):
    """In a folder of its own, on the model that comes along, from nothing."""
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(EXAMPLES.parent)}
    command = [sys.executable, "-c", script(notebook)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pictures = [line for line in done.stdout.splitlines() if "<svg" in line or "<table" in line]
    assert pictures, done.stdout[:2000]
