"""The examples run, stay short, and say what the store says."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import circuitstore as cs

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


def run(name: str, *words: object) -> str:
    """What an example prints."""
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(EXAMPLES.parent)}
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_examples_are_short_and_say_how_to_run_them(script):
    """At most 60 lines; the docstring holds the command."""
    text = script.read_text()
    assert len(text.splitlines()) <= 60 and f"python examples/{script.name}" in text


def test_top_features_are_those_of_the_circuit(built):
    """The first row is the feature of rank 0 or the strongest against; every printed label is the phase's."""
    rows = runpy.run_path(str(EXAMPLES / "top_features.py"))["top_features"](
        "mine", str(built.store), "small", 40
    )
    circuit = cs.open("circuit", behaviour="mine", store=built.store, profile="small")
    contribution = circuit.gradient_attribution.values[circuit.unit_kind.values == "feature"]
    assert [abs(row["contribution"]) for row in rows] == pytest.approx(
        np.sort(np.abs(contribution))[::-1][:40].tolist()
    )
    assert min(row["contribution"] for row in rows) < 0
    assert len(run("top_features.py", "mine", built.store, "small").splitlines()) == 16


def test_a_behaviour_shares_everything_with_itself(built):
    """Of its top features all are shared, and push the same way."""
    shared = runpy.run_path(str(EXAMPLES / "shared_features.py"))["shared_features"]
    found = shared("mine", "mine", str(built.store), "small", 20)
    assert found["shared"] == 20 and found["same_sign"] == 1 and found["by_chance"] < 20
    assert "shared" in run("shared_features.py", "mine", "mine", built.store, "small").splitlines()[0]


def test_why_it_looks_names_the_head_of_an_edge(tmp_path):
    """The loading is a part of the edge, and the largest pairs come first."""
    store, text = str(tmp_path / "store"), "The keys near the cabinet"
    found = runpy.run_path(str(EXAMPLES / "why_it_looks.py"))["why_it_looks"](text, store)
    assert len(found["pairs"]) == 5 and 0 < found["loading"] / found["weight"] < 1.5
    shares = [abs(share) for share, *_ in found["pairs"]]
    assert shares == sorted(shares, reverse=True) and found["edge"][0] != found["edge"][1]
    assert f"{found['score']:.3f} nats" in run("why_it_looks.py", text, store)


def test_custom_slice_draws_what_it_reads(built, tmp_path):
    """A file is written; the values are the store's."""
    table = cs.open("features", behaviour="mine", store=built.store, profile="small", sparse=True)
    strongest = int(table.activation.values.argmax())
    layer, feature = int(table.layer[strongest]), int(table.feature[strongest])
    said = run("custom_slice.py", "mine", layer, feature, tmp_path / "slice.png", built.store, "small")
    assert said.startswith(f"{float(table.activation.max()):.2f} at most")
    assert (tmp_path / "slice.png").read_bytes().startswith(b"\x89PNG")
