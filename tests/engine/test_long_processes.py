"""A process that lives long, as a notebook's: threads, modules loaded again, values that were kept."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from project import Project
from workspace import MODEL, TRANSCODERS

import circuitstore as cs

TEXTS = ("the keys", "the dog sat", "one two three", "the cat on the mat", "big opposite small", "the mat")
SCRIPT = """
import importlib, sys
from pathlib import Path
from circuitstore.command import main

room = Path("tasks/behaviours")
build = ["build", "prompts", "--profile", "own.toml", "-b", "colour", "--store", "store", "--json"]
{before}
sys.exit(main(build))
"""
KEPT = """
import functools, os, sqlite3, subprocess
@functools.lru_cache
def kept(file=Path(__file__).with_name("{name}")):
    return {read}

FILES = ("{name}",)
"""
WAYS = {  # how a declared file may be read: its name, the expression, what it holds before and after
    "as text": ("words.json", "file.read_text()"),
    "by the bytes of its path": ("words.json", "open(os.fsencode(file)).read()"),
    "through a link out of the package": ("linked.json", "file.read_text()"),
    "as the text of a module": ("_words.py", "file.read_text()"),
    "as a database": ("words.db", "sqlite3.connect(file).execute('select * from words').fetchone()[0]"),
}
CHANGE = """
import subprocess
subprocess.run("cp after.db words.db; for f in words.json _words.py ../../words.json; do echo 2 > $f; done",
               shell=True, check=True, cwd=room)
"""


@pytest.fixture
def project(tree: Path) -> Project:
    return Project(tree)


def run(project: Project, before: str) -> subprocess.CompletedProcess[str]:
    """Some statements, then a build, in one process."""
    code = SCRIPT.format(before=before)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=project.tree, capture_output=True, text=True, check=False
    )


def test_threads_give_what_one_gives(tmp_path):
    """Threads share one model, whose activations are captured by hooks; each still sees its own text."""

    def weights(text: str, store: Path) -> np.ndarray:
        graph = cs.attribute(text, model=MODEL, transcoders=TRANSCODERS, store=store)
        return graph.edge_weight.values

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: weights(text, tmp_path / "together"), TEXTS))
    for text, found in zip(TEXTS, together, strict=True):
        assert np.array_equal(found, weights(text, tmp_path / "alone"))


LOADED_AGAIN = {
    "reloaded": "importlib.reload(sys.modules['tasks.behaviours._words'])",
    "forgotten": "del sys.modules['tasks.behaviours._words']",
    "forgotten and imported": "del sys.modules['tasks.behaviours._words']\nimport tasks.behaviours._words",
}


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=pytest.mark.slow if how != "reloaded" else ()) for how in LOADED_AGAIN]
)
def test_a_module_that_is_loaded_again_needs_another_process(project, how):
    """What others took of it before is the old code still."""
    project.declare(imports="from tasks.behaviours._words import WORDS")
    done = run(
        project,
        "import tasks.behaviours.colour\n"
        f"room.joinpath('_words.py').write_text('WORDS = 2')\n{LOADED_AGAIN[how]}",
    )
    assert done.returncode == 1 and "_words" in done.stderr and "restart this process" in done.stderr
    assert run(project, "").returncode == 0


def test_a_module_that_failed_may_be_mended(project):
    """Nobody has anything of its first code."""
    project.declare(imports="from tasks.behaviours._words import WORDS")
    (project.room / "_words.py").write_text("WORDS = 1 / 0")
    tried = "try:\n    import tasks.behaviours.colour\nexcept ZeroDivisionError:\n    pass\n"
    done = run(project, f"{tried}room.joinpath('_words.py').write_text('WORDS = 2')")
    assert done.returncode == 0, done.stderr


OUTSIDE = {
    "a folder of modules": "lists.nouns",
    "by a path of its own": "nouns",
    "like one of Python": "code",
}


@pytest.mark.parametrize("where", OUTSIDE)
def test_a_module_of_the_project_that_was_imported_before_is_refused(project, where):
    """No key covers it, and nobody hears it being read again."""
    name = OUTSIDE[where]
    folder = project.tree / {"by a path of its own": "lib", "a folder of modules": "lists"}.get(where, "")
    folder.mkdir(exist_ok=True)
    (folder / f"{name.rpartition('.')[2]}.py").write_text("WORDS = 1")
    project.declare(imports=f"from {name} import WORDS")
    done = run(project, f"sys.path.insert(0, 'lib')\nsys.path.insert(0, '')\nimport {name}")
    top = name.partition(".")[0]
    assert done.returncode == 1 and f"{top}, which is of this project and lies outside" in done.stderr


def keep(project: Project, name: str, read: str) -> None:
    """Let the behaviour keep what it reads of a declared file, which another program changes later."""
    project.declare(body="kept()", after=KEPT.format(name=name, read=read))
    (project.room / "linked.json").symlink_to("../../words.json")
    for name in ("words", "after"):
        with sqlite3.connect(project.room / f"{name}.db") as base:
            base.execute("create table words (word)")
            base.execute("insert into words values (?)", (name,))


@pytest.mark.parametrize("how", WAYS)
def test_a_declared_file_that_was_read_before_the_build_may_not_change(project, how):
    """A function may have kept what it read when a user called it to look."""
    keep(project, *WAYS[how])
    done = run(project, f"from tasks.behaviours import colour\ncolour.kept()\n{CHANGE}")
    assert done.returncode == 1 and "words" in done.stderr and "restart this process" in done.stderr


def test_a_declared_file_whose_reading_nobody_hears_may_not_change_between_builds(project):
    """Another program reads it, and the behaviour keeps what that says."""
    keep(project, "words.json", "subprocess.run(['cat', file], capture_output=True).stdout")
    done = run(project, f"assert main(build) == 0\n{CHANGE}")
    assert done.returncode == 1 and "words" in done.stderr and "restart this process" in done.stderr
    assert run(project, "").returncode == 0
