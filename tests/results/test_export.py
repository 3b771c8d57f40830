"""`export figures`: everything is written, nothing of anybody else's is lost."""

from __future__ import annotations

import hashlib
import json

import pytest
from workspace import BEHAVIOUR, MODEL, PROFILE, one_line_error, run

import circuitstore as cs

KINDS = ("png", "svg", "pdf")


@pytest.fixture
def export(built, tmp_path):
    """Export the small store's figures to a folder of the test's own."""

    def run(*words: object, folder: object = tmp_path / "out"):
        return built.command(
            "export",
            "figures",
            folder,
            "-b",
            "mine",
            "--profile",
            built.profile,
            "--store",
            built.store,
            *words,
        )

    return run


def test_writes_every_figure_its_caption_and_the_report(export, built, tmp_path):
    """Each figure in each format, byte for byte as stored; captions say what it was drawn from; the paths are
    printed.
    """
    outcome = export()
    assert outcome.code == 0, outcome.err
    tree = cs.open("figures", behaviour="mine", store=built.store, profile="small")
    names = [name for name in tree.children if name != "report"]
    wanted = {f"{name}.{kind}" for name in names for kind in (*KINDS, "txt")} | {
        "report.html",
        "provenance.json",
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == wanted
    assert outcome.out.splitlines() == [str(tmp_path / "out" / name) for name in outcome_order(tree)]
    for name in names:
        figure = tree[name].to_dataset()
        assert (tmp_path / "out" / f"{name}.png").read_bytes() == figure.png.values.tobytes()
        assert str(figure.provenance.values) in (tmp_path / "out" / f"{name}.txt").read_text()


def outcome_order(tree) -> list[str]:
    return [
        f"{name}.{kind}"
        for name in tree.children
        for kind in (("html",) if name == "report" else (*KINDS, "txt"))
    ]


def test_provenance_leads_to_prompts_code_and_weights(export, built, tmp_path):
    """provenance.json names every artifact above the figures, with the hash of each weight file and of the
    code, and every file.
    """
    assert export().code == 0
    ledger = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert ledger["figures"]["content"] == built.artifact("figures").content
    assert {
        "prompts",
        "baseline",
        "activations",
        "features",
        "attribution",
        "circuit",
        "interventions",
    } <= ledger["artifacts"].keys()
    weights = ledger["artifacts"]["baseline"]["components"]["resources"]["model"]["files"][
        "model.safetensors"
    ]
    assert weights == hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest()
    assert "tasks.baseline" in ledger["artifacts"]["baseline"]["components"]["code"]
    for name, digest in ledger["files"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest


def test_format_chooses_and_unknown_ones_are_refused(export, tmp_path):
    """--format png writes no svg; a format that was not drawn is wrong usage, with how to draw it."""
    assert export("--format", "png").code == 0
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".png", ".txt", ".html", ".json"}
    one_line_error(export("--format", "gif"), code=2)


def test_a_format_that_was_not_drawn_says_how_to_draw_it(built, tmp_path):
    """The remedy is a command that works."""
    from circuitstore.errors import UsageError
    from circuitstore.storage.layout import Store
    from circuitstore.storage.refs import Name
    from tasks.exports.figures import files

    built.computed("--set", "figures.formats=['svg']", "--set", "figures.style=talk")
    artifact = built.artifact("figures")
    built.computed()  # the ref back to what other tests read
    with pytest.raises(UsageError, match=r"figures.formats=\[\"svg\",\"png\"\]"):
        files(Store(built.store), Name(PROFILE, BEHAVIOUR, "figures"), artifact, ("png",), ())


def test_again_changes_nothing(export, tmp_path):
    """A second export writes no file anew but says so."""
    assert export().code == 0
    before = {
        path.name: path.stat().st_mtime_ns
        for path in (tmp_path / "out").iterdir()
        if path.name != "provenance.json"
    }
    again = export()
    assert again.code == 0 and " 0 written" in again.err
    assert before == {
        path.name: path.stat().st_mtime_ns
        for path in (tmp_path / "out").iterdir()
        if path.name != "provenance.json"
    }


def test_what_is_not_from_an_export_is_never_overwritten(export, tmp_path):
    """A file of one's own, or one that was edited since, stops the export before anything is written; --force
    goes on.
    """
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "margins.png").write_bytes(b"mine")
    assert "margins.png" in one_line_error(export(), code=1)
    assert [path.name for path in folder.iterdir()] == ["margins.png"]
    assert export("--force").code == 0 and (folder / "margins.png").read_bytes() != b"mine"
    (folder / "margins.txt").write_text("a better caption")
    assert "margins.txt" in one_line_error(export(), code=1)
    assert (folder / "margins.txt").read_text() == "a better caption"


def test_an_export_that_was_not_touched_is_replaced(export, built, tmp_path):
    """New figures take the place of the old ones that came from here."""
    folder = tmp_path / "out"
    assert export().code == 0
    first = (folder / "margins.png").read_bytes()
    ledger = json.loads((folder / "provenance.json").read_text())
    (folder / "margins.png").write_bytes(first + b" ")  # as if an earlier version had drawn it
    ledger["files"]["margins.png"] = hashlib.sha256(first + b" ").hexdigest()
    (folder / "provenance.json").write_text(json.dumps(ledger))
    assert " 1 written" in export().err
    assert (folder / "margins.png").read_bytes() == first


def test_json_lists_the_files(export, tmp_path):
    """behaviour → paths."""
    listed = export("--json", "--format", "pdf").json
    assert list(listed) == ["mine"] and str(tmp_path / "out" / "report.html") in listed["mine"]


def test_nothing_built_and_nowhere_to_write(built, tmp_path):
    """Both are one line with a remedy, no traceback."""
    where = ("--profile", built.profile, "--store", built.store)
    assert "build figures" in one_line_error(
        built.command("export", "figures", tmp_path / "x", "-b", "capital", *where), code=1
    )
    (tmp_path / "file").write_text("")
    one_line_error(built.command("export", "figures", tmp_path / "file", "-b", "mine", *where), code=1)


def test_build_says_how_to_export(built, tmp_path):
    """The hint on stderr is a command that works, also from another folder."""
    import shlex

    outcome = built.command("build", "figures", *built.selection, "--json")
    hint = next(
        line for line in outcome.err.splitlines() if line.startswith("to see the figures: circuitstore ")
    )
    words = shlex.split(hint.partition("circuitstore ")[2])
    assert built.command(*words[:2], tmp_path / "hint", *words[2:]).code == 0
    assert list(outcome.json) == ["phases"]


def test_one_page_goes_to_a_file_that_is_named(built, tmp_path):
    """One file where it was asked for, and nothing beside it; another's file is not overwritten."""
    path = tmp_path / "graph.html"
    where = ["-b", "mine", "--profile", built.profile, "--store", built.store]
    outcome = run("export", "page", path, *where, "-p", "p0a")
    assert outcome.code == 0 and outcome.out == f"{path}\n", outcome.err
    assert [each.name for each in tmp_path.iterdir()] == ["graph.html"]
    path.write_text("mine")
    assert "--force" in one_line_error(run("export", "page", path, *where, "-p", "p0a"), code=1)
    assert path.read_text() == "mine"
    assert run("export", "page", path, *where, "-p", "p0a", "--force").code == 0
    assert path.read_text() != "mine"


def test_several_pages_need_a_folder(built, tmp_path):
    """The name of one file for thirteen is refused before anything is written."""
    where = ["-b", "mine", "--profile", built.profile, "--store", built.store]
    assert "--prompt" in one_line_error(run("export", "page", tmp_path / "all.html", *where), code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_page_has_the_same_bytes_in_every_process(built, tmp_path):
    """Nothing of a page depends on the order of sets."""
    where = ["-b", "mine", "-p", "p0a", "--profile", built.profile, "--store", built.store]
    for name, command in (("here.html", run), ("there.html", built.command)):
        assert command("export", "page", tmp_path / name, *where).code == 0
    assert (tmp_path / "here.html").read_bytes() == (tmp_path / "there.html").read_bytes()
