"""The house rules that a machine can check: who imports whom, which names are spoken, how long files are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import networkx as nx
import pytest
from workspace import PIPELINE, ROOT

from circuitstore.engine.fingerprint import COMPUTE, Code
from circuitstore.memo import Memo

LIBRARY = ROOT / "circuitstore"
MAY_IMPORT: dict[str, set[str]] = {  # room of the library → rooms of the library it may import
    "errors": set(),
    "_version": set(),
    "memo": set(),
    "statistics": {"errors"},
    "models": {"errors", "statistics"},
    "transcoders": {"errors", "models", "statistics"},
    "circuits": {"errors", "models", "statistics", "transcoders"},
    "hub": {"errors"},
    "texts": set(),
    "storage": {"errors", "texts"},
    "engine": {"errors", "memo", "storage"},
    "pipeline": {"engine", "errors"},
    "results": {
        "_version",
        "circuits",
        "engine",
        "errors",
        "pipeline",
        "statistics",
        "storage",
        "texts",
        "transcoders",
    },
    "viewer": {"errors"},
    "command": {"_version", "engine", "errors", "pipeline", "results", "storage", "viewer"},
    "__init__": {"_version", "engine", "pipeline"},
    "__main__": {"command"},
}
ROOMS_OF_PHASES = {"parts", "drawing", "behaviours"}  # rooms of tasks that a phase may import at run time
CODE, TESTS = 300, 400  # lines of a file


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(file: Path, *, at_run_time: bool = False) -> set[str]:
    """Absolute names of all that a file imports, at any depth; `at_run_time` without those for types only."""
    names = set()
    skipped = set()
    if at_run_time:
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped.update(map(id, ast.walk(node)))
    for node in ast.walk(tree_of(file)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative imports hide who imports whom"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def room_of(file: Path, top: Path) -> str:
    return file.relative_to(top).parts[0].removesuffix(".py")


def rooms(names: set[str], package: str) -> set[str]:
    """The rooms of a package that these names lie in."""
    return {name.split(".")[1] for name in names if name.startswith(package + ".")}


def files(*tops: str) -> list[Path]:
    return sorted(file for top in tops for file in (ROOT / top).rglob("*.py"))


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", files("circuitstore"), ids=named)
def test_library_rooms_import_only_the_rooms_below(file):
    """errors ← storage ← engine ← results, command; what computes knows only errors and what it builds on."""
    room = room_of(file, LIBRARY)
    assert rooms(imports(file), "circuitstore") - {room, "__version__"} <= MAY_IMPORT[room]


@pytest.mark.parametrize("file", files("circuitstore"), ids=named)
def test_the_library_never_imports_the_pipeline(file):
    """It is given PIPELINE instead, by `circuitstore.pipeline`."""
    assert not {name for name in imports(file) if name == "tasks" or name.startswith("tasks.")}


def test_every_room_of_the_library_has_its_rule():
    """A new room must say what it may import, and a room that is gone has no rule."""
    assert {room_of(file, LIBRARY) for file in files("circuitstore")} == set(MAY_IMPORT)


def test_modules_import_each_other_in_no_circle():
    """At run time, over the library, the pipeline and their rooms."""
    graph = nx.DiGraph()
    modules = {}
    for file in files("circuitstore", "tasks"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    for module, file in modules.items():
        top_level = {name for node in tree_of(file).body for name in _imported(node)}
        for name in top_level:
            for target in (name, name.rpartition(".")[0]):
                if target in modules and target != module:
                    graph.add_edge(module, target)
                    break
    circles = [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]
    assert circles == []


def _imported(node: ast.stmt) -> set[str]:
    """What one statement of a module's top level imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def phase_file(task) -> Path:
    return ROOT.joinpath(*task.module("tasks").split(".")).with_suffix(".py")


@pytest.mark.parametrize("task", PIPELINE.every, ids=lambda task: task.name)
def test_a_phase_imports_no_other_phase_and_no_engine(task):
    """A phase names what it reads as parameters. It may import rooms, and for types whatever it likes."""
    others = {other.module("tasks") for other in PIPELINE.every} - {task.module("tasks")}
    everything = imports(phase_file(task))
    assert not {name for name in everything if any(name == o or name.startswith(o + ".") for o in others)}
    run_time = imports(phase_file(task), at_run_time=True)
    assert rooms(run_time, "tasks") <= ROOMS_OF_PHASES
    computing = {room.split(".")[1] for room in COMPUTE}
    assert rooms(run_time, "circuitstore") <= computing | {"errors"}


@pytest.mark.parametrize("task", PIPELINE.every, ids=lambda task: task.name)
def test_each_phase_takes_what_its_declaration_says(task):
    """The function of a phase has the parameters (cells, config, *needs), in order."""
    functions = {
        node.name: node for node in tree_of(phase_file(task)).body if isinstance(node, ast.FunctionDef)
    }
    parameters = [argument.arg for argument in functions[task.name].args.args]
    assert parameters == ["cells", "config", *task.needs]
    assert ("summary" in functions) == task.summary


def test_the_text_of_a_token_is_made_in_one_place():
    """A decoder is made for whole texts: of one token it can lose the space, or give one text to many."""
    alone = re.compile(r"\.decode\(\[\w+\]\)|convert_ids_to_tokens")
    files = (file for top in ("circuitstore", "tasks") for file in (ROOT / top).rglob("*.py"))
    found = [file.name for file in files if alone.search(file.read_text(encoding="utf-8"))]
    assert found == ["token_text.py"]


def test_phases_stand_in_the_order_of_their_needs():
    """What a phase needs stands before it in the contents page, so there are no circles."""
    names = [task.name for task in PIPELINE.every]
    for index, task in enumerate(PIPELINE.every):
        assert set(PIPELINE.upstream(task)) <= set(names[:index])
        assert set(task.after) <= set(names[:index])


def test_tasks_shows_the_phases_and_nothing_else():
    """In `tasks/` lie the phases that are no room's, and rooms."""
    here = {task.name for task in PIPELINE.every if not task.room}
    assert {file.stem for file in (ROOT / "tasks").glob("*.py")} == {"__init__", *here}


# An edit of a module recomputes every phase that imports it, however indirectly.
NEVER = {  # phase → modules that it must not depend on
    "baseline": {"circuitstore.transcoders.per_layer", "circuitstore.circuits"},
    "activations": {"circuitstore.transcoders.per_layer", "circuitstore.circuits"},
    "features": {"circuitstore.circuits"},
    "interpretation": {"circuitstore.circuits"},
    "pairs": {"circuitstore.circuits", "circuitstore.models.load"},
    "circuit": {"circuitstore.circuits.graph", "circuitstore.models", "circuitstore.transcoders"},
    "interventions": {
        f"circuitstore.circuits.{name}"
        for name in ("edges", "effects", "pruning", "frozen_network", "gradient_graph", "graph", "margin")
    },
    "figures": {"circuitstore.models", "circuitstore.transcoders.per_layer"},
    "corpus_activations": {"circuitstore.circuits"},
    "transcoders": {"circuitstore.circuits", "circuitstore.models.load"},
}


@cache
def code_of(phase: str) -> dict[str, str]:
    """The modules in the key of a phase itself, without those that load its resources."""
    return Code("tasks", Memo("/dev/null")).closure(PIPELINE.task(phase).module("tasks"))


@pytest.mark.parametrize("phase", NEVER)
def test_a_phase_depends_on_no_module_that_it_does_not_use(phase):
    """What only prunes is not imported by what only intervenes: an edit recomputes what it can change."""
    hit = {
        module
        for module in code_of(phase)
        for unwanted in NEVER[phase]
        if module == unwanted or module.startswith(unwanted + ".")
    }
    assert hit == set()


def test_what_attribution_depends_on():
    """The costliest phase, spelled out: an edit of a module in this list costs every graph."""
    library = {module for module in code_of("attribution") if module.startswith("circuitstore.circuits")}
    first = "active batching choosing edges effects ends flight frozen_network gradient_graph gradients"
    names = f"{first} graph margin methods pruning sources targets"
    assert library == {f"circuitstore.circuits.{name}" for name in names.split()}


WORDS = {  # names of phases that are words of their own, too
    "attribute",  # commands, or functions for scripts
    "attention",
    "heads",
    "audit",
    "intervene",
    "generate",
    "prompts",  # an option of commands
    "transcoders",  # a room of the library
}


def test_the_library_knows_no_phase_by_name():
    """No string of these rooms of the library is the name of a phase, docstrings apart."""
    phases = {task.name for task in PIPELINE.every} - WORDS
    spoken = []
    for room in ("storage", "engine", "results", "hub", "viewer", "command"):
        for file in (LIBRARY / room).rglob("*.py"):
            documented = {
                id(node.body[0].value)
                for node in ast.walk(tree_of(file))
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
                and isinstance(node.body[0], ast.Expr)
            }
            for node in ast.walk(tree_of(file)):
                if isinstance(node, ast.Constant) and node.value in phases and id(node) not in documented:
                    spoken.append(f"{named(file)}:{node.lineno} {node.value!r}")
    assert spoken == []


@pytest.mark.parametrize(
    ("most", "tops"),
    [(CODE, ("circuitstore", "tasks", "recipes", "bench")), (TESTS, ("tests",))],
    ids=["code", "tests"],
)
def test_no_file_is_too_long(most, tops):
    """A file has one job. One that is longer says why in its opening, by the words "long because"."""
    too_long = [file for file in files(*tops) if len(file.read_text(encoding="utf-8").splitlines()) > most]
    openings = {named(file): ast.get_docstring(tree_of(file)) or "" for file in too_long}
    assert [name for name, opening in openings.items() if "long because" not in opening] == []


@pytest.mark.parametrize("top", ["circuitstore", "tasks", "recipes"])
def test_docstrings_open_with_one_sentence(top):
    """The first line of a docstring is one whole sentence, and a blank line follows it."""
    broken = []
    for file in files(top):
        for node in ast.walk(tree_of(file)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                first, *rest = (ast.get_docstring(node) or ".").split("\n")
                if not first.rstrip().endswith((".", ":", "?")) or (rest and rest[0].strip()):
                    broken.append(f"{named(file)}:{getattr(node, 'lineno', 1)} {first}")
    assert broken == []
