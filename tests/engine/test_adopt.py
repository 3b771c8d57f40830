"""`adopt`: results outlive a change of code that changes none of them, and no other change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from workspace import (
    BEHAVIOUR,
    MODEL,
    PROFILE,
    TEXTS,
    Outcome,
    Workspace,
    files,
    in_tree,
    one_line_error,
    run_process,
)

from circuitstore.storage.actions import journals
from circuitstore.storage.layout import Store

PHASE = "baseline"


def edit(tree: Path, old: str, new: str) -> None:
    """Change the code of the phase in one place."""
    path = tree / "tasks" / f"{PHASE}.py"
    source = path.read_text()
    assert source.count(old) == 1
    path.write_text(source.replace(old, new))


def refactor(tree: Path) -> None:
    """A change of code that changes no result."""
    edit(tree, "def baseline(", "NOTHING = 1\n\n\ndef baseline(")


def adopt(tree: Path, workspace: Workspace, *words: object, phase: str = PHASE) -> Outcome:
    return run_process("adopt", phase, *workspace.selection, "--json", *words, tree=tree)


def test_results_outlive_a_refactoring(workspace, tree):
    """Nothing is computed but what was checked; the journal says from what it was adopted, and how."""
    before = workspace.artifact(PHASE)
    refactor(tree)
    assert PHASE in in_tree(tree, workspace).unfresh
    outcome = adopt(tree, workspace, "--check", 2)
    assert outcome.code == 0, outcome.err
    (told,) = outcome.json["adopted"]
    counts = {name: told[name] for name in ("cells", "offered", "checked", "equal", "close", "adopted")}
    assert counts == {"cells": 3, "offered": 3, "checked": 2, "equal": 2, "close": 0, "adopted": 3}
    assert PHASE not in in_tree(tree, workspace).unfresh
    after = workspace.artifact(PHASE)
    assert after.key != before.key and (after.content, after.summary) == (before.content, before.summary)
    assert in_tree(tree, workspace, "build").computed == {}
    newest = journals(Store(workspace.store), PHASE)[-1]
    facts = newest.provenance["adopted"]
    assert (facts["from"], facts["checked"], facts["offered"]) == (before.key, 2, 3)
    assert list(facts["code"]) == [f"tasks.{PHASE}"] and newest.components == after.components
    assert workspace.verify("--deep").json["damaged"] == []
    again = adopt(tree, workspace, "--check", 1)
    assert again.code == 0 and again.json["adopted"][0]["fresh"]


def test_a_change_of_results_is_not_adopted(workspace, tree):
    """Nothing is written, and the exit code says so; within a tolerance that was asked for it may be."""
    edit(tree, '"logit_difference": ((), ', '"logit_difference": ((), np.float32(1 + 1e-6) * ')
    before = files(workspace.store)
    outcome = adopt(tree, workspace, "--check", 3)
    assert outcome.code == 1
    (told,) = outcome.json["adopted"]
    assert told["adopted"] == 0 and told["differing"]
    assert {each["variable"] for cell in told["differing"] for each in cell["differences"]} == {
        "logit_difference"
    }
    assert {path for path in files(workspace.store) if not path.startswith(("leases", "tmp"))} == {
        path for path in before if not path.startswith(("leases", "tmp"))
    }
    close = adopt(tree, workspace, "--check", 3, "--tolerance", 0.001)
    assert close.code == 0, close.err
    (told,) = close.json["adopted"]
    assert told["close"] + told["equal"] == 3 and told["close"] > 0
    assert 1e-8 < told["share"] < 1e-5  # the largest difference, beside the largest value


def test_code_that_fails_is_not_adopted(workspace, tree):
    """The error of the cell is told, and nothing is written."""
    edit(tree, '"logit_difference": ((), ', '"logit_difference": ((), 1 / 0 * ')
    outcome = adopt(tree, workspace, "--check", 1)
    assert outcome.code == 1
    (told,) = outcome.json["adopted"]
    assert told["adopted"] == 0 and "division by zero" in told["differing"][0]["problem"]


def test_another_model_is_no_change_of_code(workspace, tree):
    """Although it gives the same numbers: only a line of its config is new, which nothing reads."""
    model = workspace.root / "model"
    shutil.copytree(MODEL, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "transformers_version": "0"}))
    workspace.profile.write_text(workspace.profile.read_text().replace(str(MODEL), str(model)))
    refactor(tree)
    assert run_process("build", "prompts", *workspace.selection, tree=tree).code == 0
    error = one_line_error(adopt(tree, workspace, "--check", 3), code=1)
    assert "not only code changed: " in error and "config.json" in error


def test_without_a_change_of_code_there_is_nothing_to_adopt(workspace, tree):
    """An edited prompt is for a build."""
    workspace.write_prompts({**TEXTS, "c": "the dogs"})
    assert run_process("build", "prompts", *workspace.selection, tree=tree).code == 0
    assert "no code changed: build it" in one_line_error(adopt(tree, workspace, "--check", 1), code=1)


def test_what_reads_something_else_is_left_to_a_build(workspace, tree):
    """One prompt of three was edited: the cells of two are adopted."""
    workspace.write_prompts({**TEXTS, "c": "the dogs"})
    refactor(tree)
    first = run_process("build", "prompts", *workspace.selection, tree=tree)
    assert first.code == 0, first.err
    outcome = adopt(tree, workspace, "--check", 5)
    assert outcome.code == 0, outcome.err
    (told,) = outcome.json["adopted"]
    assert (told["cells"], told["offered"], told["checked"], told["adopted"]) == (3, 2, 2, 2)
    assert in_tree(tree, workspace, "build").computed[PHASE] == 1


@pytest.mark.parametrize(
    ("phase", "words", "told"),
    [
        (PHASE, ("--set", "baseline.top_k=4"), "not only code changed: config: top_k"),
        (PHASE, ("--set", "prompts.prepend=none"), "build or adopt prompts first"),
        ("circuit", (), "never built"),
        ("prompts", ("--set", "prompts.seed=1"), "computed as a whole"),
    ],
    ids=str,
)
def test_what_cannot_be_adopted(workspace, tree, phase, words, told):
    """The error says why."""
    refactor(tree)
    error = one_line_error(adopt(tree, workspace, "--check", 1, *words, phase=phase), code=1)
    assert told in error and BEHAVIOUR in error
    assert workspace.artifact(PHASE).profile == PROFILE
