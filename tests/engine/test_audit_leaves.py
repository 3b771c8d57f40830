"""What the audit leaves alone: other files, threads of others, tools. Threads of a phase are heard."""

from __future__ import annotations

import queue
import shutil
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from project import Project
from workspace import MODEL, TRANSCODERS

from circuitstore.engine import audit, territory
from circuitstore.engine.territory import OWN, Cover, folders, kind
from circuitstore.errors import StaleCodeError, UndeclaredReadError


@pytest.fixture
def project(tree: Path) -> Project:
    return Project(tree)


def cover(folder: Path, **more: object) -> Cover:
    return Cover("tasks", {"tasks.baseline": "0"}, **more)


def test_a_helper_may_be_called_like_a_function_of_the_package(project):
    """`_words.py`, beside behaviours, is imported by name and covered without being declared."""
    project.declare(imports="from tasks.behaviours._words import WORDS")
    assert project.run().computed_of("prompts") == 1
    project.declare(imports="from tasks.behaviours import names, generate, load, _draw\n")
    for name in ("names", "generate", "load", "_draw"):
        (project.room / f"{name}.py").write_text("")
    assert project.run().computed_of("prompts") == 1


def test_what_lies_elsewhere_is_free(tmp_path, monkeypatch):
    """Packages, Python, the system, the store, caches, hidden files, and what does not exist."""
    work = tmp_path / "work"
    free = ["store/x", ".cache/x", "own.egg-info/top_level.txt", "env/lib/site-packages/x.py"]
    for name in (*free, "data.txt"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("")
    monkeypatch.chdir(work)
    covering = cover(work, stores=[str(work / "store")])
    free += [
        "gone.txt",
        "/proc/self/maps",
        "/etc/hosts",
        pytest.__file__,
        shutil.__file__,
        str(tmp_path / "x"),
    ]
    assert [path for path in free if not covering.covers(path)] == []
    assert not covering.covers("data.txt")


def test_what_the_audit_itself_reads_is_not_looked_at(tmp_path, monkeypatch):
    """What it asks where packages lie may read a file, as `sysconfig` does; then it is not asked anew."""
    (tmp_path / "read").write_text("")
    holds = territory._holds_packages
    monkeypatch.setattr(
        territory, "_holds_packages", lambda folder: not (tmp_path / "read").read_text() and holds(folder)
    )
    folders.cache_clear()
    territory.in_packages.cache_clear()
    with audit.watching("any", cover(tmp_path, stores=[str(tmp_path)])):
        assert Path(shutil.__file__).read_text()


def test_what_a_loader_consults_is_not_for_the_phase(tmp_path, monkeypatch):
    """Files that decide what an identity tells may be read inside the block, and not after it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    with audit.watching("any", cover(tmp_path)) as watch:
        with watch.allowing(["config.yaml"]):
            assert (tmp_path / "config.yaml").read_text() == ""
        with pytest.raises(UndeclaredReadError, match=r"config\.yaml"):
            (tmp_path / "config.yaml").read_text()


def test_a_folder_of_packages_in_the_working_directory_is_free(tmp_path, monkeypatch):
    """As `pip install --target` makes it; the project itself is watched, whatever lies in it."""
    work = tmp_path / "work"
    for folder in (work, work / "deps"):
        (folder / "some-1.0.dist-info").mkdir(parents=True)
        (folder / "some.py").write_text("")
    monkeypatch.chdir(work)
    assert not cover(tmp_path).covers("deps/some.py")
    monkeypatch.setattr(sys, "path", [*sys.path, str(work), str(work / "deps")])
    folders.cache_clear()
    assert cover(tmp_path).covers("deps/some.py") and not cover(tmp_path).covers("some.py")
    folders.cache_clear()


CLAIMED = {  # what could claim a project for something else: an attribute of sys, or a variable
    "prefix": "{folder}",
    "base_prefix": "{folder}",
    "MPLCONFIGDIR": ".",
    "HF_HOME": "{folder}/",
    "TMPDIR": "{folder}/inner/..",
}


@pytest.mark.parametrize("name", CLAIMED)
@pytest.mark.parametrize("where", [".", "notebooks"])
def test_a_project_is_watched_whatever_else_lies_in_it(tmp_path, monkeypatch, name, where):
    """As a virtual environment (`python -m venv .`), caches of libraries, scratch."""
    for folder in ("notebooks", "inner", "tasks"):
        (tmp_path / folder).mkdir()
    for file in ("words.json", "notebooks/words.json", "tasks/__init__.py"):
        (tmp_path / file).write_text("")
    monkeypatch.chdir(tmp_path / where)
    claimed = CLAIMED[name].format(folder=tmp_path)
    (monkeypatch.setenv if name.isupper() else partial(monkeypatch.setattr, sys))(name, claimed)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(territory, "package_folder", lambda package: str(tmp_path / package))
    folders.cache_clear()
    known = folders("tasks", str(tmp_path / where))
    assert kind(known, str(tmp_path / where / "words.json")) in OWN
    assert kind(known, str(tmp_path / "words.json")) in OWN
    folders.cache_clear()


def test_a_home_folder_is_only_watched_itself(tmp_path, monkeypatch):
    """What lies in folders of the home belongs to other work."""
    (tmp_path / "papers").mkdir()
    for name in ("papers/x.txt", "x.txt"):
        (tmp_path / name).write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cover(tmp_path).covers("papers/x.txt") and not cover(tmp_path).covers("x.txt")


def test_of_a_model_only_its_files(tmp_path, monkeypatch):
    """By any link to them; a link that leads elsewhere, or to another file of the folder, is refused."""
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "other.json"):
        (model / name).write_text("{}")
    monkeypatch.chdir(tmp_path / "model")
    view = tmp_path / "view"
    view.mkdir()
    for name in ("config.json", "other.json"):
        (view / name).symlink_to(model / name)
    covering = cover(tmp_path, files=[str(model / "config.json")], inputs=[str(model)])
    assert covering.covers(str(view / "config.json")) and covering.covers("config.json")
    assert not covering.covers(str(view / "other.json")) and not covering.covers(str(model / "other.json"))


def test_other_threads_warnings_and_writing_go_their_way(tmp_path, monkeypatch):
    """A thread that was there before, a warning that shows a line of a script, and a file that is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text("raise SystemExit\n")
    began, go, seen = threading.Event(), threading.Event(), []

    def serve() -> None:
        began.set()
        go.wait()
        seen.append((tmp_path / "script.py").read_text())

    server = threading.Thread(target=serve)
    server.start()
    began.wait()
    with audit.watching("any", cover(tmp_path)) as watch:
        go.set()
        server.join()
        (tmp_path / "log.txt").write_text("")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            shown = warnings.formatwarning("odd", UserWarning, str(tmp_path / "script.py"), 1)
        assert "raise SystemExit" in shown and seen and watch.refused() is None
        with pytest.raises(UndeclaredReadError, match=r"script\.py"):
            (tmp_path / "script.py").read_text()
        assert watch.refused() is not None
    assert (tmp_path / "script.py").read_text()


def test_threads_of_a_phase_are_heard_in_each_build(tmp_path, monkeypatch):
    """A pool that the first build, or the import of a module, started is there before the second begins."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.json").write_text("[1]")
    reads = (tmp_path / "words.json").read_text
    with ThreadPoolExecutor(1) as imported, ThreadPoolExecutor(1) as built:
        with audit.executing("tasks.some"):
            imported.submit(int).result()
        with audit.watching("first", cover(tmp_path)):
            built.submit(int).result()
        with audit.watching("second", cover(tmp_path)):
            for pool in imported, built:
                with pytest.raises(UndeclaredReadError, match=r"words\.json"):
                    pool.submit(reads).result()


def test_threads_of_others_go_their_way(tmp_path, monkeypatch):
    """What a server or a notebook starts during a build, and two builds at once, read what they like."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.json").write_text("[1]")
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
    read: queue.SimpleQueue[str] = queue.SimpleQueue()

    def serve() -> None:
        while asked.get():
            threading.Thread(target=lambda: read.put((tmp_path / "words.json").read_text())).start()

    server = threading.Thread(target=serve)
    server.start()
    with audit.watching("any", cover(tmp_path)) as watch:
        asked.put(True)
        assert read.get(timeout=60) == "[1]" and watch.refused() is None
        with pytest.raises(UndeclaredReadError):
            (tmp_path / "words.json").read_text()
    asked.put(False)
    server.join()


ATTRIBUTE = """
import circuitstore as cs
{before}
g = cs.attribute("the keys", model="{model}", transcoders="{transcoders}", store="store")
print(g.sizes["node"])
"""
BEFORE = {
    "models imported": "import circuitstore.models.load, circuitstore.circuits.graph",
    "a module of the user's named tasks": "",
}


@pytest.mark.parametrize("what", BEFORE)
def test_a_notebook_works(tmp_path, what):
    """Whatever it imported first, and whatever lies beside it."""
    import subprocess

    if not BEFORE[what]:
        (tmp_path / "tasks.py").write_text("MINE = 1\n")
    code = ATTRIBUTE.format(before=BEFORE[what], model=MODEL, transcoders=TRANSCODERS)
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{Path(audit.__file__).parents[2]}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and int(done.stdout) > 0, done.stderr[-2000:]


def test_files_of_phases_that_are_installed_are_remembered(tmp_path, monkeypatch):
    """Then they lie among files of other packages, which are not."""
    phases = tmp_path / "site-packages" / "phases"
    phases.mkdir(parents=True)
    (phases / "__init__.py").touch()
    (phases / "words.json").write_text("[1]")
    monkeypatch.syspath_prepend(phases.parent)
    monkeypatch.setattr(audit, "_package", "phases")
    with audit.executing("phases.some"):
        (phases / "words.json").read_text()
    (phases / "words.json").write_text("[2]")
    with pytest.raises(StaleCodeError, match=r"words\.json.*restart"):
        audit.check_reads(["phases.some"])


def test_links_among_files_of_packages_are_followed(tmp_path, monkeypatch):
    packages, project = tmp_path / "site-packages", tmp_path / "project"
    packages.mkdir()
    project.mkdir()
    monkeypatch.syspath_prepend(packages)
    monkeypatch.chdir(project)
    folders.cache_clear()
    for folder in packages, project:
        (folder / "words.json").write_text("[1]")
    (packages / "link.json").symlink_to(project / "words.json")
    with audit.executing("tasks.some"):
        (packages / "words.json").read_text()
        (packages / "link.json").read_text()
    (packages / "words.json").write_text("[2]")
    audit.check_reads(["tasks.some"])
    (project / "words.json").write_text("[2]")
    with pytest.raises(StaleCodeError, match=r"link\.json.*restart"):
        audit.check_reads(["tasks.some"])
