"""The ids of prompts: each one that is accepted opens and is exported, and no other gets into a build."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from workspace import BEHAVIOUR, PROFILE, Workspace, one_line_error, prompt, run

import circuitstore as cs
import tasks.inputs.draw
from circuitstore.errors import InputError, PromptError
from circuitstore.results.folder import write_files
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name
from tasks.inputs import behaviour as declared

REFUSED = {
    "out of the folder": "../../evil",
    "absolute": "/tmp/evil",
    "slash": "a/b",
    "backslash": "..\\evil",
    "this folder": ".",
    "folder above": "..",
    "300 letters": "x" * 300,
    "221 bytes": "ü" * 110 + "x",
    "control": "a\x1b[31m",
    "line end": "a\nb",
    "NUL": "a\0",
    "text that turns around": "a\u202eb",
    "half a character": "a\ud800",
    "blank in front": " a",
    "blank behind": "a ",
    "only a blank": " ",
    "what an export keeps for itself": "provenance",
}
ACCEPTED = [
    "a",
    ".hidden",
    "-v",
    "...",
    "a b",
    "a:b",
    "100 %",
    "~root",
    "$HOME",
    "'q\"",
    "#1?",
    "*",
    "con",
    "a.json",
    "naïve",
    "ключ",
    "鍵",
    "x" * 200,
]


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_an_id_that_is_no_file_name_is_refused_before_anything_runs(new_workspace: Workspace, name):
    """The line is named, with the rule, beside all other bad lines; nothing is computed or written."""
    rows = [prompt(name, "the dog"), prompt("ok", "the cat"), {**prompt("b", ""), "id": "c"}]
    new_workspace.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    error = one_line_error(new_workspace.build(), code=1)
    assert "line 1: " in error and "line 3: text is empty" in error and "line 2" not in error
    assert error.isprintable() and not new_workspace.store.exists()


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_a_file_is_never_written_outside_of_its_folder(workspace: Workspace, tmp_path, name):
    """Also when such a name comes out of a store: nothing at all is written."""
    store, ref = Store(workspace.store), Name(PROFILE, BEHAVIOUR, "attribution")
    folder = tmp_path / "some" / "folder"
    files = {"good": b"1", f"{name}.json" if name == "provenance" else name: b"2"}
    with pytest.raises(InputError, match="a file in"):
        write_files(store, ref, workspace.artifact("attribution"), files, str(folder), force=True)
    assert not folder.exists() and not list(tmp_path.rglob("evil*"))


def test_a_declared_id_is_checked_too(monkeypatch):
    """A behaviour's own file makes ids as well."""
    monkeypatch.setattr(tasks.inputs.draw, "generate", lambda *_, **settings: [SimpleNamespace(id="a/b")])
    with pytest.raises(PromptError, match="got 'a/b'"):
        declared.load("plural")(SimpleNamespace(train=1, test=1, seed=1), None)


def test_every_accepted_id_opens_and_is_exported(new_workspace: Workspace, tmp_path):
    """`cs.open` has a node for each, and `export graphs` writes a file of its name."""
    rows = [prompt(name, f"the keys to the w{i}") for i, name in enumerate(ACCEPTED)]
    new_workspace.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = new_workspace.build()
    assert outcome.code == 0, outcome.err
    where = {"behaviour": BEHAVIOUR, "store": new_workspace.store, "profile": PROFILE}
    graphs = cs.open("attribution", **where)
    assert list(graphs.children) == ACCEPTED
    assert all(graphs[name].sizes["active_feature"] for name in ACCEPTED)
    assert cs.open("baseline", **where).prompt.values.tolist() == ACCEPTED
    words = ("-b", BEHAVIOUR, "--profile", new_workspace.profile, "--store", new_workspace.store)
    exported = run("export", "graphs", tmp_path / "out", *words)
    assert exported.code == 0, exported.err
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"{name}.json" for name in ACCEPTED} | {"provenance.json"}


def test_byte_order_marks_do_not_count(new_workspace: Workspace):
    """Editors on Windows put one in front of UTF-8. Prompts and profile mean the same with and without."""
    assert new_workspace.build(phase="prompts").code == 0
    for path in (new_workspace.prompts, new_workspace.profile):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    again = new_workspace.build(phase="prompts")
    assert again.code == 0, again.err
    assert again.computed == {}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
@pytest.mark.parametrize("which", ["prompts", "profile"])
def test_other_encodings_than_utf8_are_named(new_workspace: Workspace, encoding, which):
    """One line that says which file is not UTF-8."""
    path = new_workspace.prompts if which == "prompts" else new_workspace.profile
    text = path.read_text()
    path.write_bytes(
        (text.replace("the dog", "the dög") + ("# ü" if which == "profile" else "")).encode(encoding)
    )
    error = one_line_error(new_workspace.build(), code=1 if which == "prompts" else 2)
    assert "UTF-8" in error and path.name in error
