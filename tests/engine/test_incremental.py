"""Only what changed is computed, cell by cell, and nothing that does not matter counts as a change."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest
from workspace import LAYERS, MODEL, PHASES, TEXTS, TRANSCODERS, files, in_tree, run_process

ROOMS = ("models", "transcoders", "circuits", "statistics")
HEAVY = {"torch", "transformers", "numpy", "zarr", "xarray", "matplotlib", "networkx", "joblib"}
DRIVER = """
import sys
from circuitstore.command import main
code = main(sys.argv[1:])
print(*(name for name in sys.modules if "." not in name), file=sys.stderr)
sys.exit(code)
"""


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def computing_modules(tree: Path) -> list[Path]:
    """Every file whose code may be in a key."""
    rooms = [tree / "tasks", *(tree / "circuitstore" / room for room in ROOMS)]
    return sorted(path for room in rooms for path in room.rglob("*.py"))


def test_second_build_computes_nothing_writes_nothing_and_imports_nothing_heavy(workspace):
    """A build with nothing to do imports neither torch nor any array library, and leaves every file of the
    store alone.
    """
    before = files(workspace.store)
    outcome = run_process("build", "attribution", *workspace.selection, "--json", python=("-c", DRIVER))
    assert outcome.code == 0, outcome.err
    assert outcome.computed == {}
    assert set(outcome.phases) == set(PHASES)
    assert HEAVY.isdisjoint(outcome.err.splitlines()[-1].split())
    assert files(workspace.store) == before


def test_one_edited_prompt_computes_that_prompt_in_every_phase(workspace):
    """Of three prompts one is edited: each phase computes the cells of that one."""
    workspace.write_prompts({**TEXTS, "b": "the cat sat on the cabinet"})
    assert workspace.build().computed == {
        "prompts": 1,
        "baseline": 1,
        "activations": LAYERS,
        "features": LAYERS,
        "attribution": 1,
    }


def test_ten_added_prompts_compute_ten(workspace):
    """Ten prompts are added: each phase computes the cells of these ten."""
    workspace.write_prompts({**TEXTS, **{f"new{i}": f"the cat w{i}" for i in range(10)}})
    assert workspace.build().computed == {
        "prompts": 1,
        "baseline": 10,
        "activations": 10 * LAYERS,
        "features": 10 * LAYERS,
        "attribution": 10,
    }


@pytest.mark.parametrize("names", [("a", "c"), ("c", "b", "a")], ids=["removed", "reordered"])
def test_removed_or_reordered_prompts_compute_nothing_but_the_list(workspace, names):
    """No cell of any phase below `prompts` is computed when prompts go or change places, and outputs follow
    the new list.
    """
    workspace.write_prompts({name: TEXTS[name] for name in names})
    assert workspace.build().computed == {"prompts": 1}
    for phase in ("prompts", "baseline", "activations", "attribution"):
        assert workspace.artifact(phase).coordinates("prompt") == list(names)


def test_one_more_layer_computes_one_layer(new_workspace):
    """Layers 0-1 widened to 0-2: activations and features compute layer 2 of each prompt."""
    new_workspace.build("--set", "activations.layers=0-1", phase="features")
    outcome = new_workspace.build("--set", "activations.layers=0-2", phase="features")
    assert outcome.computed == {"activations": len(TEXTS), "features": len(TEXTS)}
    assert new_workspace.artifact("features").coordinates("layer") == [0, 1, 2]


def test_gate_is_no_part_of_a_prompts_result(workspace):
    """Another gate judges the same baseline cells; none of them is computed again."""
    assert workspace.build("--set", "baseline.gate=0.0001", "--ignore-gate").computed == {}


@pytest.mark.parametrize("edit", ["comments", "docstrings", "blank lines"])
def test_comments_docstrings_and_blank_lines_change_nothing(workspace, tree, edit):
    """Edited in every file of every phase and of `circuitstore.models`, they leave every phase fresh."""
    for path in computing_modules(tree):
        source = path.read_text()
        lines = source.splitlines()
        if edit == "comments":
            lines = [*lines, "# another comment"]
        elif edit == "blank lines":
            lines = [*lines, "", ""]
        else:
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                    first = node.body[0].lineno - 1
                    lines[first] = lines[first].replace('"""', '"""Edited. ', 1)
        path.write_text("\n".join(lines) + "\n")
        assert path.read_text() != source
    assert in_tree(tree, workspace).unfresh == set()


def test_edits_of_engine_storage_and_commands_change_nothing(workspace, tree):
    """What only carries content, and what only declares, is no part of any key: every phase stays fresh."""
    carrying = [tree / "circuitstore" / room for room in ("engine", "storage", "command", "results", "hub")]
    declaring = [tree / "tasks" / room for room in ("settings", "costs", "exports")]
    edited = [path for room in (*carrying, *declaring) for path in room.glob("*.py")]
    assert len(edited) > 40
    for path in (*edited, tree / "tasks" / "__init__.py", tree / "tasks" / "inputs" / "resources.py"):
        append(path, "\nEDITED = True\n")
    assert in_tree(tree, workspace).unfresh == set()


@pytest.mark.parametrize(
    ("module", "phases"),
    [
        ("tasks/baseline.py", {"baseline"}),
        ("tasks/features.py", {"features", "attribution"}),
        ("tasks/inputs/own_prompts.py", set(PHASES)),
        ("circuitstore/circuits/effects.py", {"attribution"}),
        ("circuitstore/circuits/pruning.py", {"attribution"}),
        ("circuitstore/transcoders/per_layer.py", {"features", "attribution"}),
        ("circuitstore/models/load.py", set(PHASES)),
    ],
)
def test_edited_code_concerns_the_phases_that_use_it(workspace, tree, module, phases):
    """An edited statement makes stale the phases that import its module, however indirectly, and none above
    them.
    """
    append(tree / module, "\nEDITED = True\n")
    assert in_tree(tree, workspace).unfresh == phases


def test_edited_helper_of_attribution_computes_attribution_alone(workspace, tree):
    """A build after an edit of a module that only attribution uses computes every graph and nothing above."""
    append(tree / "circuitstore/circuits/effects.py", "\nEDITED = True\n")
    assert in_tree(tree, workspace, "build").computed == {"attribution": len(TEXTS)}


def test_same_content_stops_a_change(workspace, tree):
    """`activations` is computed again by edited code and gives the same content: nothing below it is
    computed.
    """
    before = {phase: workspace.artifact(phase) for phase in PHASES}
    append(tree / "tasks/activations.py", "\nEDITED = True\n")
    assert in_tree(tree, workspace, "build").computed == {"activations": len(TEXTS) * LAYERS}
    after = {phase: workspace.artifact(phase) for phase in PHASES}
    assert {phase for phase in PHASES if after[phase].key != before[phase].key} == {"activations"}
    assert after["activations"].content == before["activations"].content


def test_layout_of_the_prompts_file_computes_nothing_below_prompts(workspace):
    """Blank lines, spaces and another order of the keys in the prompts file are no other prompts."""
    rows = [json.loads(line) for line in workspace.prompts.read_text().splitlines()]
    workspace.prompts.write_text(
        "\n".join(json.dumps(dict(reversed(row.items())), indent=None) + "  \n" for row in rows)
    )
    assert set(workspace.build().computed) <= {"prompts"}


def test_another_place_of_the_same_files_is_no_change(workspace, tmp_path):
    """Model, transcoders, profile, prompts and store count by what they hold, not by where they lie."""
    moved = workspace.copy(tmp_path / "elsewhere")
    moved.write_profile(shutil.copytree(MODEL, tmp_path / "m"), shutil.copytree(TRANSCODERS, tmp_path / "t"))
    assert moved.explain().unfresh == set()


def test_a_renamed_copy_of_prompts_without_ids_computes_nothing(workspace):
    """An id that is made follows from text and answers, not from the name of the file."""
    rows = [json.loads(line) for line in workspace.prompts.read_text().splitlines()]
    lines = [json.dumps({k: v for k, v in row.items() if k != "id"}) + "\n" for row in rows]
    workspace.prompts.write_text("".join(lines))
    assert workspace.build().code == 0
    workspace.prompts = shutil.copy(workspace.prompts, workspace.root / "mine_v2.jsonl")
    outcome = workspace.build()
    assert outcome.code == 0, outcome.err
    assert outcome.computed == {}
