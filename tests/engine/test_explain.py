"""`explain`, `status` and `build --dry-run` name the input that changed, from what to what, and change
nothing themselves.
"""

from __future__ import annotations

import shutil

import pytest
from workspace import (
    BEHAVIOUR,
    MODEL,
    PHASES,
    PROFILE,
    TEXTS,
    TRANSCODERS,
    Outcome,
    Workspace,
    files,
    in_tree,
    run,
)

from circuitstore.engine.explain import differences

COMMANDS = {
    "explain": ("explain", "attribution"),
    "status": ("status",),
    "dry run": ("build", "attribution", "--dry-run"),
}


@pytest.fixture(params=COMMANDS)
def ask(request):
    """One of the three ways to ask what would run: (workspace, further options) → its answer as JSON."""

    def asked(workspace: Workspace, *options: object) -> Outcome:
        before = files(workspace.root)
        outcome = run(*COMMANDS[request.param], *workspace.selection, *options, "--json")
        assert outcome.code == 0, outcome.err
        assert files(workspace.root) == before, "asking wrote something"
        return outcome

    return asked


def why(outcome: Outcome, phase: str) -> str:
    """All reasons that are given for a phase, as one text."""
    row = outcome.phases[phase]
    assert row["state"] != "fresh"
    return "; ".join(row["why"])


def flip_last_byte(path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_nothing_changed(workspace, ask):
    """Every phase is fresh, and no reason is given."""
    outcome = ask(workspace)
    assert outcome.unfresh == set()
    assert all(row["why"] == [] and row["hits"] == row["cells"] > 0 for row in outcome.phases.values())


def test_never_built(new_workspace, ask):
    """Asking makes no store; every phase is missing, and says what it waits for."""
    outcome = ask(new_workspace)
    assert {row["state"] for row in outcome.phases.values()} == {"missing"}
    assert why(outcome, "prompts") == "never built"
    assert why(outcome, "attribution") == "prompts must run first"
    assert not new_workspace.store.exists()


def test_edited_prompt(workspace, ask):
    """The prompt is named by its id, with what it was and is; a hash would not say it."""
    workspace.write_prompts({**TEXTS, "b": "the cat sat on the cabinet"})
    text = why(ask(workspace), "prompts")
    assert f"prompts.b.text {TEXTS['b']} → the cat sat on the cabinet" in text
    assert "prompts.a" not in text and "prompts.c" not in text


def test_added_and_removed_prompts(workspace, ask):
    """Each prompt that came or went is named by its id."""
    workspace.write_prompts({"a": TEXTS["a"], "b": TEXTS["b"], "new": "the dog sat"})
    text = why(ask(workspace), "prompts")
    assert "prompts.new null → " in text
    assert "prompts.c " in text and text.partition("prompts.c ")[2].partition(";")[0].endswith("→ null")


def test_changed_upstream_content(workspace, ask):
    """Once `prompts` has run, each phase that reads it names the prompts whose content changed."""
    workspace.write_prompts({**TEXTS, "b": "the cat sat on the cabinet", "new": "the dog sat"})
    assert workspace.build(phase="prompts").code == 0
    outcome = ask(workspace)
    assert why(outcome, "baseline") == "prompts: of 4 cells 1 changed (b), 1 added (new)"
    assert outcome.phases["baseline"]["cells"] - outcome.phases["baseline"]["hits"] == 2
    assert "activations must run first" in why(outcome, "features")


@pytest.mark.parametrize(
    ("setting", "phase", "reason"),
    [
        ("prompts.prepend=pad", "prompts", "config: prepend auto → pad"),
        ("baseline.top_k=3", "baseline", "config: top_k 10 → 3"),
        ("activations.layers=0-2", "activations", "config: layers all → 0-2"),
        ("attribution.max_logits=5", "attribution", "config: max_logits 10 → 5"),
        ("attribution.node_threshold=0.5", "attribution", "config: node_threshold 0.8 → 0.5"),
        ("model.dtype=bfloat16", "activations", "resources: model.dtype float32 → bfloat16"),
    ],
)
def test_changed_setting(workspace, ask, setting, phase, reason):
    """The field is named, from its old value to its new one, at the phase that reads it; phases above stay
    fresh.
    """
    outcome = ask(workspace, "--set", setting)
    assert why(outcome, phase) == reason
    if not setting.startswith("model"):
        assert outcome.unfresh.isdisjoint(PHASES[: PHASES.index(phase)])


@pytest.mark.parametrize(
    ("resource", "name", "reason", "fresh"),
    [
        (
            "transcoders",
            "layer_2.safetensors",
            "transcoders.files.layer_2.safetensors",
            {"prompts", "baseline", "activations"},
        ),
        ("model", "model.safetensors", "model.files.model.safetensors", {"prompts"}),
    ],
)
def test_changed_weight_file(workspace, ask, tmp_path, resource, name, reason, fresh):
    """The file is named, with the hash of what it was and is, at each phase that reads it."""
    folders = {"model": MODEL, "transcoders": TRANSCODERS}
    folders[resource] = shutil.copytree(folders[resource], tmp_path / resource)
    flip_last_byte(folders[resource] / name)
    workspace.write_profile(**folders)
    outcome = ask(workspace)
    assert outcome.unfresh == set(PHASES) - fresh
    first = next(phase for phase in PHASES if phase not in fresh)
    assert why(outcome, first).startswith(f"resources: {reason} ")
    assert " → " in why(outcome, first)


@pytest.mark.parametrize(
    ("module", "name", "phase"),
    [
        ("circuitstore/circuits/effects.py", "circuitstore.circuits.effects", "attribution"),
        ("tasks/activations.py", "tasks.activations", "activations"),
        ("tasks/inputs/own_prompts.py", "tasks.inputs.own_prompts", "prompts"),
    ],
)
def test_changed_code(workspace, tree, module, name, phase):
    """The module is named, not the phase alone."""
    path = tree / module
    path.write_text(path.read_text() + "\nEDITED = True\n")
    text = why(in_tree(tree, workspace), phase)
    assert text.startswith(f"code: {name} changed (") and " → " in text


def test_newly_imported_code(workspace, tree):
    """A module that a phase begins to use is named as such."""
    path = tree / "tasks" / "baseline.py"
    path.write_text(path.read_text() + "\nfrom circuitstore.circuits import pruning\n")
    text = why(in_tree(tree, workspace), "baseline")
    assert "code: tasks.baseline changed" in text
    assert "code: circuitstore.circuits.pruning newly used" in text


def test_damaged_cells(workspace, ask):
    """Cells that are lost, not changed, are counted as that."""
    name = workspace.artifact("baseline").cells[0].object
    shutil.rmtree(workspace.store / "objects" / name[:2] / name)
    assert why(ask(workspace), "baseline") == "3 cells are missing or damaged in the store"


def test_text_for_people(workspace):
    """Without --json: a line a phase with its state and counts, and an indented line a reason."""
    outcome = run("explain", "attribution", *workspace.selection, "--set", "attribution.max_logits=5")
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["prompts", BEHAVIOUR, "fresh", "1", "cells"] or lines[0].split() == [
        "prompts",
        BEHAVIOUR,
        "fresh",
        "1",
        "cell",
    ]
    assert lines[-2].split() == ["attribution", BEHAVIOUR, "stale", "3", "of", "3", "cells", "to", "compute"]
    assert lines[-1] == "    config: max_logits 10 → 5"


def test_dry_run_then_build(workspace):
    """A build computes exactly the cells that the dry run before it announced."""
    options = ("--set", "attribution.max_logits=5", "--set", "activations.layers=0-2")
    announced = workspace.build("--dry-run", "--set", "attribution.max_logits=5")
    counts = {
        phase: row["cells"] - row["hits"]
        for phase, row in announced.phases.items()
        if row["cells"] > row["hits"]
    }
    assert workspace.build(*options[:2]).computed == counts == {"attribution": len(TEXTS)}
    assert PROFILE in {path.name for path in (workspace.store / "refs").iterdir()}


def test_settings_that_are_lists():
    """A tuple that was read back as a list is no change; another order is."""
    assert differences({"sizes": [1, 3]}, {"sizes": (1, 3)}) == []
    assert differences({"sizes": [1, 3]}, {"sizes": (3, 1)}) == [("sizes", [1, 3], (3, 1))]
