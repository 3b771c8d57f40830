"""What an edit of each module moves: the keys of which phases, on which inputs.

Run as a program in a copy of the code, it edits one module after the other, plans after each edit, and prints
what moved: `python mutations.py TREE` with TREE first on PYTHONPATH. Nothing is computed. With no TREE it
makes a copy, and prints a table for people.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROWS = '{"text": "The keys near the cabinet", "correct": " are", "incorrect": " is"}\n'
Planned = dict[str, dict[str, str]]  # "phase of input" → module → hash


def modules(tree: Path) -> dict[str, Path]:
    """Dotted name → file of every module of the library and of the phases."""
    found = {}
    for file in sorted(path for top in ("circuitstore", "tasks") for path in (tree / top).rglob("*.py")):
        parts = file.relative_to(tree).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def edits(source: str) -> Iterator[tuple[str, str]]:
    """(what is edited, source after that) for every function and every constant of a module.

    A function gets a statement more; a constant of the module another value.
    """
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) is not None and node.body[1:] else node.body[0]
            if first.lineno > node.lineno and not (first is node.body[0] and ast.get_docstring(node)):
                at = getattr(first, "decorator_list", None) or [first]
                line = at[0].lineno - 1
                edited = [*lines[:line], " " * first.col_offset + "edited = True\n", *lines[line:]]
                yield f"{node.name}()", "".join(edited)
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and getattr(node, "value", None) is not None:
            last = node.end_lineno or node.lineno
            yield target.id, "".join([*lines[:last], f"{target.id} = None\n", *lines[last:]])
    yield "a new name", source + "\nEDITED = True\n"


def planned(folder: Path) -> Planned:
    """The code in the keys of every phase, on inputs of every kind."""
    from circuitstore import pipeline
    from circuitstore.engine.planner import Planner
    from circuitstore.memo import shared
    from circuitstore.storage.layout import Store

    loaded = pipeline.load()
    select, select_text = loaded.serves.settings.select, loaded.serves.settings.select_text
    prompts = folder / "mine.jsonl"
    prompts.write_text(ROWS)
    texts = folder / "texts.txt"
    texts.write_text("the keys\n")
    every = [(task.name,) for task in loaded.asked if task.about]
    of_text = loaded.serves.of_one_text
    names = loaded.serves.settings.behaviours()
    selections = [(selection, ()) for selection in select("tiny", tuple(names), None, (), ())]
    asked = tuple(task.name for task in loaded.asked if not task.about and task.name not in of_text)
    selections += [(select("tiny", (names[-1],), None, (), asked)[0], asked)]
    selections += [(select("tiny", (), str(prompts), (), ())[0], ())]
    edit = {"layer": 0, "feature": 1, "value": 0.0, "position": 1}
    for name, edits in ((name, (edit,) if name != loaded.serves.one_text.phase else ()) for name in of_text):
        selections += [(select_text("tiny", None, "The keys", (), "", (), edits), (name,))]
    corpus = select("tiny", (), None, (f'texts.path="{texts}"',), every[0])[0]
    selections += [(corpus, tuple(name for (name,) in every))]
    planner = Planner(loaded, Store(folder / "empty"), shared())
    return {
        f"{step.task.name} of {selection.behaviour.partition('-')[0]}": step.components.code
        for selection, goals in selections
        for step in planner.steps(selection, loaded.closure(goals))
        if goals or step.task.name == "prompts" or selection.behaviour == names[-1]
    }


def moved_by_edits(tree: Path) -> dict[str, Any]:
    """Edit each module of a tree in turn: the phases there are, and which of them moved, by module."""
    moved = {}
    with tempfile.TemporaryDirectory() as folder:
        before = planned(Path(folder))
        for module, file in modules(tree).items():
            source = file.read_text(encoding="utf-8")
            file.write_text(next(edits(source))[1], encoding="utf-8")
            after = planned(Path(folder))
            moved[module] = sorted(name for name in before if after[name] != before[name])
            file.write_text(source, encoding="utf-8")
    return {"phases": sorted(before), "moved": moved}


def table(report: dict[str, Any]) -> list[str]:
    """The report as rows of Markdown: modules whose edits move the same phases are one row."""
    every: dict[str, set[str]] = {}  # phase → the inputs that it was planned on
    for name in report["phases"]:
        phase, _, about = name.partition(" of ")
        every.setdefault(phase, set()).add(about)
    groups: dict[str, list[str]] = {}
    for module, names in report["moved"].items():
        hit: dict[str, set[str]] = {}
        for name in names:
            phase, _, about = name.partition(" of ")
            hit.setdefault(phase, set()).add(about)
        shown = [
            phase if hit[phase] == every[phase] else f"{phase} of {', '.join(sorted(hit[phase]))}"
            for phase in sorted(hit)
        ]
        groups.setdefault(", ".join(shown) or "none", []).append(module)
    none = groups.pop("none", [])
    rows = [f"| {by_room(names)} | {phases} |" for phases, names in groups.items()]
    return ["| an edit of | moves the keys of |", "|---|---|", *rows, f"| {len(none)} other modules | none |"]


def by_room(names: Iterable[str]) -> str:
    """Modules with the folder that they share said once: "circuitstore.circuits: edges, graph"."""
    rooms: dict[str, list[str]] = {}
    for name in names:
        room, _, last = name.rpartition(".")
        rooms.setdefault(room, []).append(last)
    return "; ".join(f"{room}: {', '.join(inside)}" for room, inside in rooms.items())


def main(*trees: str) -> None:
    """The report of a tree as JSON; of a fresh copy of the code, where none is given, as a table."""
    if trees:
        print(json.dumps(moved_by_edits(Path(trees[0]))))
        return
    here = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("circuitstore", "tasks"):
            shutil.copytree(here / name, Path(folder) / name)
        environment = {**os.environ, "PYTHONPATH": folder}
        command = [sys.executable, __file__, folder]
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    print("\n".join(table(json.loads(done.stdout))))


if __name__ == "__main__":
    main(*sys.argv[1:])
