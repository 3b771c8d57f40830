"""For every input of every kind of selection: what loading opens is what was hashed, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from project import Project
from workspace import MODEL, TRANSCODERS, run_process

SUPPORT = Path(__file__).parents[1] / "support"
WITH_FILES = {"behaviour", "texts", "tokenizer", "model", "transcoders", "review", "hooks", "architecture"}

SCRIPT = r"""
import json, os, sys
from pathlib import Path

from opened import opened_below

import circuitstore
from circuitstore import memo
from circuitstore.engine.task import Sources
from circuitstore.storage.layout import Store
from tasks import SETTINGS
from tasks.inputs.resources import resources
from tasks.settings.phases import Prompts
from tasks.settings.selection import Text, select, select_text

memo.SETTLED = -1  # what is hashed once is not read again to be hashed
here = os.getcwd()


def inside(paths):
    names = (os.path.relpath(os.path.realpath(path), here) for path in paths if os.path.isfile(path))
    return sorted(name for name in names if not name.endswith((".py", ".pyc")))


def opened(call, use=id):
    with opened_below(Path(here)) as seen:
        value = call()
        used = use(value)
    return inside(os.path.join(here, name) for name in seen.read | seen.linked)


USES = {  # what phases do with it that reads more
    "behaviour": lambda draw: draw(Prompts(train=4, test=2), None),
    "transcoders": lambda coders: [coders.layer(layer).b_enc for layer in range(4)],
}


def counts(name, identity):
    # Whether an edit of this file moves the identity.
    before, content = identity(), Path(name).read_bytes()
    if name.endswith("json") and b"{" in content:
        edited = content.replace(b"{", b'{"more": 1,', 1)
    else:
        edited = content.replace(b"keys", b"cats") + (b"" if name.endswith("jsonl") else b"\nmore: 1\n")
    Path(name).write_bytes(edited)
    try:
        return identity() != before
    except circuitstore.errors.InputError:
        return True
    finally:
        Path(name).write_bytes(content)


selections = {
    "declared": select(SETTINGS, "own.toml", ("colour",))[0],
    "own": select(SETTINGS, "own.toml", prompts_file="mine.jsonl")[0],
    "text": select_text(SETTINGS, "own.toml", None, Text(text="the keys", targets=(" are",))),
}
answer = {}
for about, selection in selections.items():
    for name, resource in resources(selection, Store("store")).items():
        if (about, name) == ("text", "behaviour"):
            continue  # no phase about one text has one
        memo.shared.cache_clear()
        hashed, loaded = opened(resource.identity), opened(resource.load, USES.get(name, id))
        sources = resource.sources() if resource.sources else Sources(())
        files = inside(sources.files)
        answer[f"{about} {name}"] = {
            "hashed": hashed,
            "loaded": loaded,
            "files": files,
            "consulted": inside(sources.consulted),
            "idle": [file for file in files if not counts(file, resource.identity)],
        }
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def seen(pristine_tree, tmp_path_factory) -> dict[str, dict[str, list[str]]]:
    """Selection and input → the files that it hashes, opens and says it opens."""
    tree = Path(shutil.copytree(pristine_tree, tmp_path_factory.mktemp("opened") / "tree"))
    project = Project(tree)
    project.declare(
        body="Path(__file__).with_name('words.json').read_text()", after='\nFILES = ("words.json",)\n'
    )
    for folder, name in ((MODEL, "model"), (TRANSCODERS, "coders")):
        shutil.copytree(folder, tree / name)
        (tree / name / "junk.json").write_text("{}")
    profile = '[model]\npath = "model"\n[transcoders]\npath = "coders"\n[texts]\npath = "corpus.txt"\n'
    (tree / "own.toml").write_text(profile)
    (tree / "corpus.txt").write_text("the keys\nthe dog\n")
    row = {"text": "the keys", "correct": " are", "incorrect": " is"}
    (tree / "mine.jsonl").write_text(json.dumps(row) + "\n")
    (tree / "script.py").write_text(SCRIPT)
    shutil.copy(SUPPORT / "opened.py", tree)
    outcome = run_process(tree=tree, python=("script.py",))
    assert outcome.code == 0, outcome.err
    return outcome.json


def test_what_is_opened_is_what_was_hashed(seen):
    """Or was consulted: it decides what else the identity tells."""
    for key, each in seen.items():
        assert set(each["loaded"]) <= {*each["hashed"], *each["consulted"]}, key
        assert set(each["hashed"]) <= {*each["files"], *each["consulted"]}, key
        assert set(each["files"]) <= {*each["hashed"]}, key


def test_every_input_with_files_says_so_and_opens_them(seen):
    """And the others open nothing."""
    for key, each in seen.items():
        name = key.split()[1]
        if name not in WITH_FILES:
            assert each["loaded"] == each["files"] == [], key
        elif name not in ("review", "hooks", "architecture"):  # which consult files
            assert each["files"] and set(each["files"]) <= set(each["loaded"]), key
    assert seen["declared behaviour"]["files"] == ["tasks/behaviours/words.json"]
    assert seen["own behaviour"]["files"] == ["mine.jsonl"]
    assert seen["own architecture"]["consulted"] == ["model/config.json"]
    assert seen["own texts"]["files"] == ["corpus.txt"]


def test_an_edit_of_any_file_moves_the_identity(seen):
    assert {key: each["idle"] for key, each in seen.items() if each["idle"]} == {}
