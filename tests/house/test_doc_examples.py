"""The Python of the documents runs, on a small build of the behaviour that they speak of."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import ROOT, run

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# It follows one prompt of the whole behaviour through the code, in a store of its own.
ELSEWHERE = {"docs/architecture.md"}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_CODE = {
    str(page.relative_to(ROOT)): "\n".join(blocks)
    for page in PAGES
    if (blocks := BLOCK.findall(page.read_text(encoding="utf-8")))
}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Twelve prompts of `plural`, on the model that comes along."""
    store = tmp_path_factory.mktemp("examples") / "store"
    few = ("--set", "prompts.train=8", "--set", "prompts.test=4")
    outcome = run(
        "build", "interpretation", "attribution", "supernodes", "-b", "plural", *few, "--store", store
    )
    assert outcome.code == 0, outcome.err
    return store


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(WITH_CODE.keys() - ELSEWHERE))
def test_the_python_of_a_page_runs(page, store, tmp_path):
    """All blocks of a page one after the other, as a reader would type them."""
    environment = {**os.environ, "CIRCUITSTORE_STORE": str(store), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WITH_CODE[page]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_examples():
    """The pattern finds them."""
    assert {"README.md", "docs/interpretation.md", "docs/interventions.md"} <= WITH_CODE.keys()
