"""`audit` measures the transcoders of a profile, and says so when they are not where they are said to be."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml
from workspace import ROOT, one_line_error, run

import circuitstore as cs

TINY = ROOT / "tasks" / "profiles" / "tiny"
SMALL = ("--set", "audit.tokens=200", "--set", "audit.graphs=1", "--set", "audit.nodes=100")
LINES = "The keys near the cabinet are\nThe opposite of hot is cold\n\nThe capital of France is Paris\n" * 9


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "texts.txt").write_text(LINES)
    return tmp_path


def audit(folder, *more):
    return run("audit", folder / "texts.txt", "--store", folder / "store", *SMALL, *more)


def misdeclared(folder):
    """The shipped transcoders, said to read the residual stream, and a profile with them."""
    coders = folder / "coders"
    shutil.copytree(TINY / "transcoders", coders)
    config = yaml.safe_load((coders / "config.yaml").read_text())
    (coders / "config.yaml").write_text(yaml.safe_dump(config | {"feature_input_hook": "hook_resid_mid"}))
    profile = folder / "wrong.toml"
    profile.write_text(f'[model]\npath = "{TINY / "model"}"\n[transcoders]\npath = "{coders}"\n')
    return profile


def test_what_is_printed_is_what_a_script_gets_and_is_kept(folder):
    """Layers, agreement, hooks and edges; the second time nothing is computed."""
    told = audit(folder, "--json")
    assert told.code == 0 and told.err.count("warning") == 0, told.err
    shown = told.json
    assert 0 < shown["tokens"] < 200 and shown["texts"] > 10 and 0.9 < shown["agreement"] <= 1
    assert [row["layer"] for row in shown["layers"]] == list(range(6))
    assert all(row["explained_variance"] > 0.8 and row["dead"] > 0 for row in shown["layers"])
    assert shown["hooks"][0]["hook"] == "mlp.hook_in → mlp.hook_out" and shown["hook_warning"] == ""
    assert sum(row["count"] for row in shown["edges"]) > 1000 and shown["edges"][0]["ratio"]["q50"] < 1.1
    answer = cs.audit(folder / "texts.txt", store=folder / "store", settings=SMALL[1::2])
    fits = [row["explained_variance"] for row in shown["layers"]]
    np.testing.assert_array_equal(answer.explained_variance, fits)
    journals = list((folder / "store" / "actions" / "audit").rglob("*.json"))
    plain = audit(folder)
    assert plain.code == 0 and "mlp.hook_in → mlp.hook_out" in plain.out and "edge size" in plain.out
    assert list((folder / "store" / "actions" / "audit").rglob("*.json")) == journals and len(journals) == 1


def test_a_misdeclared_hook_is_warned_of(folder):
    """On stderr and in JSON, with the hooks that fit."""
    told = audit(folder, "--profile", misdeclared(folder), "--json", "--set", "audit.graphs=0")
    assert told.code == 0, told.err
    line = next(line for line in told.err.splitlines() if line.startswith("warning: transcoders explain"))
    assert line.endswith("at mlp.hook_in and mlp.hook_out") and "at hook_resid_mid and" in line
    assert told.json["hook_warning"] in line and told.json["shared_nodes"] == []
    assert {row["ratio"]["q50"] for row in told.json["edges"]} == {None}


def test_only_the_layers_of_the_profile_are_measured(folder):
    """`activations.layers`, in graphs too."""
    told = audit(folder, "--set", "activations.layers=2-3", "--json")
    assert told.code == 0, told.err
    assert [row["layer"] for row in told.json["layers"]] == [2, 3] and told.json["shared_nodes"][0] > 0.5


@pytest.mark.parametrize(
    "content, words", [(None, "no such file"), (b"\n\n", "at least one text"), (b"\xff\xfe\x00", "UTF-8")]
)
def test_texts_that_cannot_be_used_are_refused(folder, content, words):
    """A missing file, an empty one, one that is no text; nothing is stored."""
    (folder / "texts.txt").unlink()
    if content is not None:
        (folder / "texts.txt").write_bytes(content)
    assert words in one_line_error(audit(folder), code=1)
    assert not (folder / "store" / "refs").exists() or not list((folder / "store" / "refs").rglob("*.json"))


def test_json_has_no_nan(folder):
    """Classes without edges are null, which every reader of JSON takes."""
    told = audit(folder, "--json", "--set", "audit.graphs=0")
    json.loads(told.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
