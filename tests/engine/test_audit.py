"""The runtime audit: what a key does not cover is refused wherever it is read, and nothing else ever is."""

from __future__ import annotations

import shutil
import sys
import threading
import warnings
from pathlib import Path

import pytest
from project import Project
from workspace import MODEL, TRANSCODERS, Workspace, run_process

from circuitstore.engine import audit
from circuitstore.engine.fingerprint import Code
from circuitstore.engine.territory import Cover
from circuitstore.errors import StaleCodeError, UndeclaredReadError
from circuitstore.memo import Memo

BY_NAME = "import importlib\nimportlib.import_module('tasks.behaviours._words')"
READS = {
    "when it is imported": {"imports": "WORDS = Path(__file__).with_name('words.json').read_text()"},
    "when it draws": {"body": "Path(__file__).with_name('words.json').read_text()"},
    "and swallows the error": {
        "body": "try:\n        Path(__file__).with_name('words.json').read_text()\n"
        "    except Exception:\n        pass"
    },
    "from the working directory": {"body": "open('words.json').read()"},
    "in a thread": {
        "body": "import threading\n"
        "    reads = threading.Thread(target=lambda: open('words.json').read())\n"
        "    reads.start(), reads.join()"
    },
    "from a hidden file": {"body": "Path(__file__).with_name('.words').read_text()"},
    "from a file without an ending": {"body": "Path(__file__).with_name('words').read_text()"},
    "by what shows lines of code": {
        "imports": "import linecache",
        "body": "linecache.getline(str(Path(__file__).with_name('words.json')), 1)",
    },
    "from a room that no key covers": {
        "body": "(Path(__file__).parents[1] / 'settings' / 'words.json').read_text()"
    },
    "as a module by its name": {"imports": BY_NAME},
    "as a module beside cli.py": {"imports": "import words"},
}


@pytest.fixture
def project(tree: Path) -> Project:
    return Project(tree)


@pytest.mark.parametrize("how", READS)
def test_an_undeclared_read_of_a_behaviour_fails_and_is_named(project, how):
    """At import, while it draws, caught by the behaviour itself, in a thread, by any reader, and as code."""
    project.declare(**READS[how])
    for name in ("behaviours/.words", "behaviours/words", "settings/words.json"):
        (project.tree / "tasks" / name).write_text("[1]")
    outcome = project.run()
    error = outcome.err.splitlines()[-1]
    assert outcome.code == 1 and "words" in error and "key covers" in error
    assert ("MODULES" if "words.py" in error else "FILES") in error


def test_declared_files_and_modules_are_in_the_key(project):
    """They may be read, and an edit of either plans the phase anew."""
    after = '\nFILES: tuple[str, ...] = ("words.json",)\nMODULES = ("tasks.behaviours._words",)\n'
    project.declare(BY_NAME, READS["when it draws"]["body"], after)
    outcome = project.run()
    assert outcome.computed_of("prompts") == 1, outcome.err
    assert project.run().computed_of("prompts") == 0
    (project.room / "words.json").write_text("[2]")
    assert "resources: behaviour.files.words.json" in project.run("explain").out
    assert project.run().computed_of("prompts") == 1
    (project.room / "_words.py").write_text("WORDS = 2\n")
    assert "tasks.behaviours._words changed" in project.run("explain").out


def test_a_module_that_is_moved_into_the_package_is_in_the_key(project):
    """The remedy for a module beside cli.py."""
    shutil.move(project.tree / "words.py", project.tree / "tasks" / "words.py")
    project.declare(imports="from tasks.words import WORDS")
    assert project.run().computed_of("prompts") == 1
    (project.tree / "tasks" / "words.py").write_text("WORDS = 2\n")
    assert "tasks.words changed" in project.run("explain").out


@pytest.mark.parametrize(
    ("after", "complaint"),
    [
        ('\nFILES = ("gone.json",)\n', "gone.json"),
        ('\nFILES = ("../attribution.py",)\n', "names of files in its folder"),
        ("\nFILES = tuple(NAMES)\n", "a literal tuple"),
        ('\nMODULES = ("tasks.behaviours.gone",)\n', "tasks.behaviours.gone"),
    ],
)
def test_a_wrong_declaration_is_told_before_anything_runs(project, after, complaint):
    project.declare(after=after)
    outcome = project.run()
    assert outcome.code == 1 and complaint in outcome.err and "Traceback" not in outcome.err


def test_a_phase_declares_files_and_modules(project):
    """An undeclared read of a phase fails each cell; a declared file moves its key, and no other."""
    project.declare()
    file = project.tree / "tasks" / "baseline.py"
    reading = "\nimport os\nWORDS = os.path.join(os.path.dirname(__file__), 'words.json')\n"
    loop = "\n    for cell in cells"
    text = file.read_text().replace(loop, "\n    open(WORDS).close()" + loop, 1)
    assert "open(WORDS)" in text
    file.write_text(text + reading)
    (project.tree / "tasks" / "words.json").write_text("[1]")
    refused = project.run(phase="baseline")
    assert refused.code == 1 and "tasks/words.json" in refused.err and "6 of 6 cells failed" in refused.err
    contents = project.tree / "tasks" / "__init__.py"
    line = "\n        phases.Baseline,"
    contents.write_text(contents.read_text().replace(line, line + '\n        files=("words.json",),', 1))
    assert project.run("build", "--ignore-gate", phase="baseline").computed_of("baseline") == 6
    (project.tree / "tasks" / "words.json").write_text("[2]")
    explained = project.run("explain", phase="baseline").json["phases"]
    assert [row["phase"] for row in explained if row["state"] != "fresh"] == ["baseline"]
    assert "code: tasks/words.json changed" in str(explained)


@pytest.mark.parametrize("room", ["costs", "settings", "exports"])
def test_code_that_no_key_covers_may_not_be_imported(project, room):
    """What only plans or exports may change without a key; a behaviour that imports it is refused."""
    (project.tree / "tasks" / room / "words.py").write_text("WORDS = 1\n")
    project.declare(imports=f"from tasks.{room}.words import WORDS")
    outcome = project.run()
    assert outcome.code == 1 and f"got tasks.{room}; move what it needs to a room" in outcome.err


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_loader_that_opens_more_than_was_hashed_fails(tree, tmp_path, jobs):
    """A file beside a model's that its identity leaves out; in this process and in workers of joblib."""
    model = shutil.copytree(MODEL, tmp_path / "model")
    (model / "extra.txt").write_text("1")
    made = Workspace.create(tmp_path / "work", model, TRANSCODERS)
    loader = tree / "tasks" / "inputs" / "model.py"
    text = loader.read_text()
    line = "    wanted.fetch()\n"
    assert text.count(line) == 1
    loader.write_text(text.replace(line, line + "    open(place.path('extra.txt')).close()\n"))
    outcome = run_process("build", "activations", *made.selection, "--jobs", jobs, tree=tree)
    assert outcome.code == 1 and "extra.txt" in outcome.err and "in `identity`" in outcome.err


def test_a_worker_of_joblib_is_watched(project):
    """A read in a phase that several processes compute."""
    project.declare()
    file = project.tree / "tasks" / "activations.py"
    text = file.read_text()
    changed = text.replace("\n    for ", "\n    open('words.json').close()\n    for ", 1)
    assert changed != text
    file.write_text(changed)
    contents = project.tree / "tasks" / "__init__.py"
    contents.write_text(contents.read_text().replace("batch=96", "batch=4"))
    outcome = project.run("build", "--jobs", 2, phase="activations")
    assert outcome.code == 1 and "words.json" in outcome.err and "key covers" in outcome.err


def test_the_packages_around_a_phase_are_in_its_key(tmp_path):
    """They run when it is imported."""
    assert "tasks.training" in Code("tasks", Memo(str(tmp_path / "memo"))).closure("tasks.training.corpus")


# What is never complained of


def test_a_helper_may_be_called_like_a_function_of_the_package(project):
    """`_words.py`, beside behaviours, is imported by name and covered without being declared."""
    project.declare(imports="from tasks.behaviours._words import WORDS")
    assert project.run().computed_of("prompts") == 1
    project.declare(imports="from tasks.behaviours import names, generate, load, _draw\n")
    for name in ("names", "generate", "load", "_draw"):
        (project.room / f"{name}.py").write_text("")
    assert project.run().computed_of("prompts") == 1


def cover(folder: Path, **more: object) -> Cover:
    return Cover("tasks", {"tasks.baseline": "0"}, **more)


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


def test_what_a_loader_consults_is_not_for_the_phase(tmp_path, monkeypatch):
    """Files that decide what an identity tells may be read inside the block, and not after it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    with audit.watching("any", cover(tmp_path)) as watch:
        with watch.allowing(["config.yaml"]):
            assert (tmp_path / "config.yaml").read_text() == ""
        with pytest.raises(UndeclaredReadError, match=r"config\.yaml"):
            (tmp_path / "config.yaml").read_text()


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


def test_a_file_that_a_module_read_when_it_was_imported_may_not_change(tmp_path, monkeypatch):
    """A process that goes on with what it has read would file it under the key of the new content."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.json").write_text("[1]")
    with audit.executing("tasks.some"):
        (tmp_path / "words.json").read_text()
    audit.check_reads(["tasks.some"])
    with audit.watching("any", cover(tmp_path)) as watch, pytest.raises(UndeclaredReadError, match="words"):
        watch.check_imports(["tasks.some"])
    (tmp_path / "words.json").write_text("[2]")
    with pytest.raises(StaleCodeError, match=r"words\.json.*restart"):
        audit.check_reads(["tasks.some"])


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
