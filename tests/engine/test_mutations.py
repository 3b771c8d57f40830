"""An edit of a module moves the keys of exactly the phases that can reach it: every module, every phase.

`python tests/support/mutations.py` prints the table. What can be reached is found here a second time, from
the import statements alone, without the code that makes keys. What plans after
each edit takes minutes, and is marked slow.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys

import networkx as nx
import pytest
from mutations import edits, modules, table
from workspace import PIPELINE, ROOT

from circuitstore.engine.fingerprint import source_hash
from circuitstore.storage.layout import Store

# Code that decides results, and what in it does not: docs/architecture.md, "Who may import whom".
COMPUTING = ("circuitstore.models.", "circuitstore.transcoders.", "circuitstore.circuits.")
COMPUTING += ("circuitstore.statistics.", "circuitstore.texts", "tasks.")
APART = ("tasks.settings", "tasks.costs", "tasks.exports", "tasks.exploring", "tasks.labelling")
APART += ("tasks.inputs.resources", "tasks.variables")
FILES = modules(ROOT)


def computes(module: str) -> bool:
    """Whether a module's code may decide a result."""
    return module.startswith(COMPUTING) and not any((module + ".").startswith(room + ".") for room in APART)


@pytest.fixture(scope="module")
def report(pristine_tree, tmp_path_factory) -> dict:
    """What an edit of each module moved, in a copy of the code; nothing is computed."""
    tree = shutil.copytree(pristine_tree, tmp_path_factory.mktemp("edited") / "tree")
    (tree / "tasks" / "profiles").symlink_to(ROOT / "tasks" / "profiles")
    program = ROOT / "tests" / "support" / "mutations.py"
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, str(program), str(tree)]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def graph() -> nx.DiGraph:
    """Module → the modules that compute that it imports, at any depth of its code, with their packages."""
    found = nx.DiGraph()
    for module, file in FILES.items():
        for name in imported(file.read_text(encoding="utf-8")):
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):
                inner = ".".join(parts[:depth])
                if inner in FILES and computes(inner) and inner != module:
                    found.add_edge(module, inner)
    return found


def imported(source: str) -> set[str]:
    """Every dotted name that a source imports at run time."""
    tree = ast.parse(source)
    typing = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    skipped = {id(inner) for node in typing for inner in ast.walk(node)}
    names = set()
    for node in (node for node in ast.walk(tree) if id(node) not in skipped):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def roots(phase: str, about: str) -> set[str]:
    """The modules in which the code of a phase begins: its own, those that load what it reads, packages."""
    task = PIPELINE.task(phase)
    select = PIPELINE.serves.settings.select
    builtin = about in PIPELINE.serves.settings.behaviours()
    (selection,) = select("tiny", (about,) if builtin else ("plural",), None, (), ())
    resources = PIPELINE.resources(selection, Store("nowhere"))
    found = {task.module("tasks")} | ({task.coordinates.__module__} if task.coordinates else set())
    for name in PIPELINE.resources_of(task):
        own = name == "behaviour" and not builtin
        found |= {"tasks.inputs.own_prompts"} if own else set(resources[name].code)
    parts = [module.split(".") for module in found]
    around = {".".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1)}
    return {module for module in around & set(FILES) if computes(module)}


@pytest.mark.slow
def test_an_edit_moves_exactly_the_phases_that_can_reach_it(report, graph):
    """Of every module of the code, on every kind of input."""
    assert set(report["moved"]) == set(FILES)
    expected: dict[str, set[str]] = {module: set() for module in FILES}
    for name in report["phases"]:
        phase, _, about = name.partition(" of ")
        for root in roots(phase, about):
            for module in {root, *(nx.descendants(graph, root) if root in graph else ())}:
                expected[module].add(name)
    wrong = {
        module: {"moved": sorted(moved), "can reach it": sorted(expected[module])}
        for module, moved in ((module, set(moved)) for module, moved in report["moved"].items())
        if moved != expected[module]
    }
    assert wrong == {}


@pytest.mark.slow
def test_every_phase_is_moved_by_its_own_module(report):
    """And so by something: a phase that nothing moves would be answered by an old store for ever."""
    for name in report["phases"]:
        task = PIPELINE.task(name.partition(" of ")[0])
        assert name in report["moved"][task.module("tasks")]
    assert {name.partition(" of ")[0] for name in report["phases"]} == {task.name for task in PIPELINE.every}


@pytest.mark.parametrize("module", [module for module in FILES if computes(module)])
def test_an_edit_of_any_function_or_constant_counts(module):
    """Each by itself gives the module another hash: a module is in a key as a whole."""
    source = FILES[module].read_text(encoding="utf-8")
    known = source_hash(source.encode())
    hashes = [source_hash(edited.encode()) for _, edited in edits(source)]
    assert len(hashes) == len(set(hashes)) and known not in hashes


@pytest.mark.slow
def test_the_table_names_every_module(report):
    """Each in one row, beside the phases that its edit moves."""
    rows = table(report)
    named = " ".join(rows).replace(",", "").replace(";", "").split()
    assert {module.rpartition(".")[2] for module in FILES if report["moved"][module]} <= set(named)
