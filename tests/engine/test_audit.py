"""The runtime audit: what a key does not cover is refused wherever it is read, and nothing else ever is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from project import Project
from workspace import MODEL, TRANSCODERS, Workspace, run_process

from circuitstore.engine import audit
from circuitstore.engine.fingerprint import Code
from circuitstore.engine.territory import Cover
from circuitstore.errors import StaleCodeError, UndeclaredReadError
from circuitstore.memo import Memo

BY_NAME = "import importlib\nimportlib.import_module('.'.join(['tasks', 'behaviours', '_words']))"
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
    "from a hidden folder": {"body": "open(Path(__file__).parent / '.words' / 'words.json').read()"},
    "by another name": {
        "body": "import os\n    os.link('words.json', '/tmp/words-' + str(os.getpid()))",
    },
    "as a database": {"body": "import sqlite3\n    sqlite3.connect('words.json')"},
    "from a room that no key covers": {
        "body": "(Path(__file__).parents[1] / 'settings' / 'words.json').read_text()"
    },
    "as a module by its name": {"imports": BY_NAME},
    "as a module beside cli.py": {"imports": "import importlib\nimportlib.import_module('wor' + 'ds')"},
    "as a database by its address": {
        "body": "import sqlite3\n    sqlite3.connect("
        "Path(__file__).with_name('words.json').as_uri() + '?mode=ro', uri=True)"
    },
    "from a file that is named like no file": {"body": "open('<words>').read()"},
    "through an open folder": {
        "body": "import os\n    os.open('words.json', os.O_RDONLY, dir_fd=os.open('.', os.O_RDONLY))"
    },
    "by the names in its folder": {"body": "sorted(Path(__file__).with_name('words').iterdir())"},
    "by the names in its folder, when it is imported": {
        "imports": "import os\nos.listdir(os.path.join(os.path.dirname(__file__), 'words'))"
    },
    "as the text of a module": {"body": "Path(__file__).with_name('_words.py').read_text()"},
    "as the text of a module, by pkgutil": {
        "body": "import pkgutil\n    pkgutil.get_data('tasks.behaviours', '_words.py')"
    },
    "as the text of a module, by its loader": {
        "imports": "from tasks.behaviours import _words",
        "body": "_words.__loader__.get_source('tasks.behaviours._words')",
    },
    "through a link outside, when it is imported": {
        "imports": "WORDS = (Path(__file__).parents[3] / 'link' / 'words.json').read_text()"
    },
    "by .. behind a link": {"body": "open('link/../words.txt').read()"},
    "that was not there at first": {
        "body": "late = Path(__file__).with_name('words.late')\n"
        "    try:\n        late.read_text()\n"
        "    except FileNotFoundError:\n        late.write_text('1')\n"
        "    late.read_text()"
    },
}


@pytest.fixture
def project(tree: Path) -> Project:
    return Project(tree)


@pytest.mark.parametrize("how", READS)
def test_an_undeclared_read_of_a_behaviour_fails_and_is_named(project, how):
    """At import, while it draws, caught by the behaviour itself, in a thread, by any reader, and as code."""
    project.declare(**READS[how])
    hidden = ".words/words.json" if "hidden folder" in how else ".words"
    (project.room / hidden).parent.mkdir(exist_ok=True)
    tasks, odd = project.tree / "tasks", project.tree / "<words>"
    for file in (project.room / hidden, tasks / "settings" / "words.json", tasks / "words.txt", odd):
        file.write_text("[1]")
    words = project.room / "words"
    words.mkdir() if "names" in how else words.write_text("[1]")
    (project.tree.parent / "link").symlink_to(project.tree)
    (project.tree / "link").symlink_to("tasks/settings")
    outcome = project.run()
    error = outcome.err.splitlines()[-1]
    assert outcome.code == 1 and "key covers" in error
    assert ("words" in error) == ("open folder" not in how)
    of_names = "names" in how or "open folder" in how
    assert ("name the files" if of_names else "MODULES" if "as a module" in how else "FILES") in error


NAMED = {
    "by import_module": "from importlib import import_module\nimport_module('tasks.behaviours._words')",
    "by import_module of another name": "from importlib import import_module as load\n"
    "load('tasks.behaviours._words')",
    "by a name of its own": "import tasks.behaviours._words as w\nw.WORDS",
    "relatively": "import importlib\nimportlib.import_module('._words', __package__)",
    "relatively to another package": "import importlib\n"
    "importlib.import_module('.behaviours._words', 'tasks')",
    "as a text": "import sys\nsys.modules['tasks.behaviours._words']",
}


@pytest.mark.parametrize(
    "how",
    [pytest.param(how, marks=pytest.mark.slow if "name" in how or "another" in how else ()) for how in NAMED],
)
def test_a_module_that_is_at_hand_already_is_in_the_key(project, how):
    """Another behaviour, or the package, may have imported it: then no import is heard."""
    (project.room / "__init__.py").open("a").write("\nfrom tasks.behaviours import _words\n")
    project.declare(imports=NAMED[how])
    assert project.run().computed_of("prompts") == 1
    (project.room / "_words.py").write_text("WORDS = 2\n")
    assert project.run().computed_of("prompts") == 1


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


UNCOVERED = {
    "from tasks import WORDS": "tasks.WORDS",
    "import tasks\ntasks.WORDS": "the package tasks",
    "import circuitstore as cs\ncs.open": "the package circuitstore",
    "from circuitstore import open": "circuitstore.open",
    "from circuitstore.models import WORDS": "circuitstore.models.WORDS",
    "from words import WORDS": "words, which is of this project and lies outside of the package tasks",
    "import inspect": "inspect, which tells what no key covers",
    "import tasks.parts as parts": "the package tasks.parts",
    "from tasks import parts": "the package tasks.parts",
    "from .. import parts": "the package tasks.parts",
    "import tasks.parts.layers": "the package tasks",
    "import circuitstore": "the package circuitstore",
    "from importlib import import_module\nimport_module('tasks.parts')": "the package tasks.parts",
    "import importlib\nimportlib.import_module('tasks')": "the package tasks",
    "from importlib import import_module as load\nload('.parts', 'tasks')": "the package tasks.parts",
    "__import__('tasks.parts.layers')": "the package tasks",
    "from tasks.inputs.behaviour import selection": "tasks.inputs",
}


@pytest.mark.parametrize("imports", UNCOVERED)
def test_what_no_key_covers_is_refused_before_anything_runs(project, imports):
    """What packages say and lead to, the results in the store, what carries inputs, modules beside cli.py."""
    project.declare(imports=imports)
    outcome = project.run()
    assert outcome.code == 1 and UNCOVERED[imports] in outcome.err and "colour.py" in outcome.err
    assert not (project.tree / "store" / "actions").exists()


def test_a_behaviour_may_be_a_link(project):
    """Its code is what it leads to."""
    project.declare()
    shutil.move(project.room / "colour.py", project.tree / "kept.py")
    (project.room / "colour.py").symlink_to(project.tree / "kept.py")
    assert project.run().computed_of("prompts") == 1
    with (project.tree / "kept.py").open("a") as file:
        file.write("\nMORE = 1\n")
    assert project.run().computed_of("prompts") == 1


@pytest.mark.parametrize("room", ["costs", "settings", "exports"])
def test_code_that_no_key_covers_may_not_be_imported(project, room):
    """What only plans or exports may change without a key; a behaviour that imports it is refused."""
    (project.tree / "tasks" / room / "words.py").write_text("WORDS = 1\n")
    project.declare(imports=f"from tasks.{room}.words import WORDS")
    outcome = project.run()
    assert outcome.code == 1 and f"got tasks.{room}; move what it needs into a module" in outcome.err


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


def cover(folder: Path, **more: object) -> Cover:
    return Cover("tasks", {"tasks.baseline": "0"}, **more)


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
