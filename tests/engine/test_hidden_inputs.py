"""Attempts to make a key lie: results that change while the key stays. Each is refused, or moves the key."""

from __future__ import annotations

import ast
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from workspace import ROOT, TRANSCODERS, Workspace, one_line_error, run_process

from circuitstore.engine.fingerprint import Code, computes
from circuitstore.engine.hidden import hidden_input
from circuitstore.errors import InputError, ModelError, StoreError
from circuitstore.memo import Memo
from circuitstore.models.config import parse_yaml
from circuitstore.storage.content import content_hash
from tasks import features as features_phase
from tasks.inputs import texts

CODE = {  # what a phase could do, and what the error names
    "NOTE = __doc__": "__doc__",
    "def f(): return f.__doc__": "__doc__",
    "NOTE = getattr(len, '__doc__')": "__doc__",
    "import inspect\nNOTE = inspect.getsource(len)": "inspect",
    "import inspect as i\nLINE = i.stack()[0].lineno": "inspect",
    "import typing\ntyping.TYPE_CHECKING = True": "TYPE_CHECKING",
    "def f(): pass\nNOTE = repr(f.__code__)": "__code__",
    "import sys\nLINE = sys._getframe().f_lineno": "f_lineno",
    "def f(): return f.__code__.co_consts": "co_consts",
    "import linecache\nNOTE = linecache.getline(__file__, 1)": "linecache",
    "import inspect\nLINE = inspect.stack()[0].lineno": "inspect",
    "from inspect import stack as frames": "inspect",
    "import traceback\nLINE = traceback.extract_stack()[0].lineno": "traceback",
    "TYPE_CHECKING = True": "TYPE_CHECKING",
    "from wordlists import TYPE_CHECKING": "TYPE_CHECKING of wordlists",
    "from wordlists import yes as TYPE_CHECKING": "TYPE_CHECKING of wordlists",
    "if (TYPE_CHECKING := 1): pass": "TYPE_CHECKING",
    "def f(TYPE_CHECKING): pass": "TYPE_CHECKING",
    "f = lambda *, TYPE_CHECKING: 1": "TYPE_CHECKING",
    "def TYPE_CHECKING(): pass": "TYPE_CHECKING",
    "class TYPE_CHECKING: pass": "TYPE_CHECKING",
    "import os as TYPE_CHECKING": "TYPE_CHECKING",
    "for TYPE_CHECKING in (1, 2): pass": "TYPE_CHECKING",
    "try: pass\nexcept OSError as TYPE_CHECKING: pass": "TYPE_CHECKING",
    "match 1:\n    case TYPE_CHECKING: pass": "TYPE_CHECKING",
    "match [1]:\n    case [*TYPE_CHECKING]: pass": "TYPE_CHECKING",
    "match {}:\n    case {**TYPE_CHECKING}: pass": "TYPE_CHECKING",
    "from tasks.parts import *": "import *",
}


@pytest.mark.parametrize("code", CODE)
def test_code_may_not_read_what_its_tree_does_not_say(code):
    """Docstrings, source, line numbers; what is imported only if TYPE_CHECKING lies; what * stands for."""
    assert CODE[code] in hidden_input(ast.parse(code))


def test_the_error_of_a_plan_names_file_and_line(tree):
    """And what to do instead."""
    with (tree / "tasks" / "baseline.py").open("a") as file:
        file.write("\n\nNOTE = __doc__\n")
    outcome = run_process("status", "-b", "plural", "--store", tree / "store", tree=_whole(tree))
    error = one_line_error(outcome, code=1)
    assert "tasks/baseline.py" in error and "__doc__" in error and "in line" in error and "constant" in error


def _whole(tree: Path) -> Path:
    (tree / "tasks" / "profiles").symlink_to(ROOT / "tasks" / "profiles")
    return tree


def test_no_module_of_ours_does_so(tmp_path):
    """All that computes is planned without an error."""
    code = Code("tasks", Memo(str(tmp_path / "memo.json")))
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "tasks").rglob("*.py")]
    names = [".".join(file.parts).removesuffix(".__init__") for file in files]
    assert len(code.closure(*(name for name in names if computes(name, "tasks")))) > 80


@pytest.mark.parametrize("phase_after", [0, 1, 5])
def test_weights_that_change_while_they_are_read_are_noticed(tmp_path, monkeypatch, phase_after):
    """A transcoder is read when its layer's turn comes, which can be hours after the plan."""
    folder = Path(shutil.copytree(TRANSCODERS, tmp_path / "coders"))
    work = Workspace.create(tmp_path / "work", transcoders=folder)
    assert work.build(phase="activations").code == 0
    original = features_phase.features
    retrained = (folder / "layer_3.safetensors").read_bytes()[:-4] + np.float32(0.25).tobytes()

    def while_retraining(cells, *inputs, **named):
        for done, output in enumerate(original(cells, *inputs, **named)):
            if done == phase_after:
                (folder / "layer_3.safetensors").write_bytes(retrained)
            yield output

    with monkeypatch.context() as patch:
        patch.setattr(features_phase, "features", while_retraining)
        error = one_line_error(work.build(phase="features"), code=1)
    assert "files changed since" in error and "build again" in error
    assert not (work.store / "actions" / "features").exists()
    assert work.build(phase="features").computed == {"features": 12}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [1.0, x], lambda x: {"inner": [x]}, np.float32])
def test_an_attribute_that_json_has_not_is_refused(value, wrap):
    """NaN and infinity would be read back as nothing, and have the content hash of nothing."""
    with pytest.raises(StoreError, match="finite"):
        content_hash(xr.Dataset(attrs={"x": wrap(value)}))
    with pytest.raises(StoreError, match="finite"):
        content_hash(xr.Dataset({"v": ((), 1.0, {"x": wrap(value)})}))


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "2024-01-01", "[1, {a: .inf}]", "!!binary aGk="])
def test_a_configuration_that_json_cannot_hold_is_refused(value):
    """Its digest is that of its JSON, where .nan, .inf and null are the same, and a date is a text."""
    with pytest.raises(ModelError, match="JSON could hold"):
        parse_yaml(f"k: {value}\n".encode(), "config.yaml")
    assert parse_yaml(b"k: [1, 1.5, null, true, 'x', {a: []}]\n", "config.yaml")


def test_line_endings_and_blank_lines_of_a_corpus_do_not_count(tmp_path):
    """Its identity is the lines as they are loaded; another word is another corpus."""
    path, found = tmp_path / "texts.txt", []
    for content in (b"one two\nthree\n", b"one two\r\nthree\r\n", b"\xef\xbb\xbf  one two \n\n\nthree"):
        path.write_bytes(content)
        found.append((texts.identity(str(path), "eos"), texts.load(str(path), "eos")))
    assert found[0] == found[1] == found[2]
    for content in (b"one two\nthre\n", b"one two three\n", b"one\ntwo\nthree\n", b"three\none two\n"):
        path.write_bytes(content)
        assert texts.identity(str(path), "eos") != found[0][0]
    path.write_bytes(b"\xff\n")
    with pytest.raises(InputError, match="UTF-8"):
        texts.identity(str(path), "eos")
