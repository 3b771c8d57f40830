"""An address that holds no store is answered with what it must hold; nothing that lies there is touched."""

from __future__ import annotations

import zipfile
from pathlib import Path

import fsspec
import pytest
from places import address, empty, pull, push
from workspace import BEHAVIOUR, PROFILE, Outcome, Workspace, files, one_line_error, run

from circuitstore.storage.layout import Store
from circuitstore.storage.refs import names


@pytest.fixture
def mine(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with the same prompts and no store yet."""
    return empty(workspace, tmp_path / "mine")


def each_way(workspace: Workspace, mine: Workspace, url: str) -> dict[str, Outcome]:
    """A push to an address, a pull from it, and a build and `show` with it as their upstream."""
    show = run("show", "features", "-b", BEHAVIOUR, "--store", mine.store, "--upstream", url)
    return {
        "push": push(workspace, url),
        "pull": pull(mine, url),
        "build": mine.build("--upstream", url),
        "show": show,
    }


@pytest.mark.parametrize("name", ["store.zip", "store.txt", "store"])
def test_a_file_that_is_no_zip(workspace, mine, tmp_path, name):
    """Whatever it is called; a push does not write to it either."""
    (tmp_path / name).write_text("no zip")
    for outcome in each_way(workspace, mine, str(tmp_path / name)).values():
        error = one_line_error(outcome, code=1)
        assert "a folder, or a zip file whose name ends in .zip" in error and name in error
    assert (tmp_path / name).read_text() == "no zip" and not mine.store.exists()


def test_a_zip_of_another_name(workspace, mine, tmp_path):
    """It can be renamed, and then be used."""
    assert push(workspace, str(tmp_path / "store.zip")).code == 0
    (tmp_path / "store.zip").rename(tmp_path / "store.bin")
    for outcome in each_way(workspace, mine, str(tmp_path / "store.bin")).values():
        assert "rename it to end in .zip" in one_line_error(outcome, code=1)


def test_a_zip_of_something_else_is_not_pushed_to(workspace, mine, tmp_path):
    """As a folder of something else is not."""
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        file.writestr("photo.jpg", "x")
    before = (tmp_path / "photos.zip").read_bytes()
    assert "other files (photo.jpg)" in one_line_error(push(workspace, str(tmp_path / "photos.zip")), code=1)
    assert "no format.json" in one_line_error(pull(mine, str(tmp_path / "photos.zip")), code=1)
    assert (tmp_path / "photos.zip").read_bytes() == before


def test_a_push_adds_to_a_zip(workspace, mine, tmp_path):
    """What was in it is in it still, and a newer result of the same name takes its name."""
    url = str(tmp_path / "store.zip")
    for phase in ("baseline", "features", "features"):
        assert push(workspace, url, phase).code == 0
    with zipfile.ZipFile(url) as file:
        assert len(file.namelist()) == len(set(file.namelist()))
    assert pull(mine, url).code == 0
    assert {name.phase for name in names(Store(mine.store))} == {"baseline", "features"}
    assert mine.verify("--deep").json["damaged"] == []
    whole = Path(url).read_bytes()
    Path(url).write_bytes(whole[: len(whole) // 2] + bytes(100) + whole[len(whole) // 2 + 100 :])
    kept = Path(url).read_bytes()
    assert "whole" in one_line_error(push(workspace, url, "attribution"), code=1)
    assert Path(url).read_bytes() == kept and not list(tmp_path.glob("*.part"))


def test_a_zip_is_no_store(workspace, tmp_path):
    """The error names the command that takes results out of it, and the command does."""
    url = tmp_path / "results.zip"
    assert push(workspace, str(url)).code == 0
    for words in (("show", "features", "-b", BEHAVIOUR), ("status",), ("verify",), ("du",)):
        error = one_line_error(run(*words, "--store", url), code=1)
        assert f"`circuitstore pull {url}`" in error
    assert run("pull", url, "--store", tmp_path / "new").code == 0


@pytest.mark.parametrize("kind", ["here", "folder", "memory"])
def test_a_store_that_lost_its_first_file(workspace, mine, tmp_path, kind):
    """It is no stranger's folder: the error says which line to put back, and then all is there again."""
    before, sound = files(workspace.store), workspace.copy(tmp_path / "sound")
    (workspace.store / "format.json").unlink()
    url = str(workspace.store) if kind == "folder" else address("memory", tmp_path)
    if kind == "here":
        outcomes = [workspace.build(), workspace.verify(), run("status", *workspace.selection)]
    else:
        fsspec.filesystem("memory").put(str(workspace.store), url, recursive=True)
        outcomes = [pull(mine, url), mine.build("--upstream", url), push(sound, url)]
    for outcome in outcomes:
        error = one_line_error(outcome, code=1)
        assert "put the file back" in error
    assert not mine.store.exists()
    line = error.partition("is the line ")[2].partition(", and run")[0]
    (workspace.store / "format.json").write_text(line + "\n")
    assert files(workspace.store).keys() == before.keys()
    assert workspace.verify().json["damaged"] == [] and workspace.build().computed == {}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("features", "-b", "mien"), BEHAVIOUR),
        (("featurs",), "features"),
        (("--profile", "smal"), PROFILE),
        (("features", "-b", BEHAVIOUR, "--profile", "smal"), PROFILE),
    ],
    ids=str,
)
def test_a_name_that_is_not_there(workspace, mine, tmp_path, words, meant):
    """The one that was probably meant is told, by pull and by push."""
    url = address("folder", tmp_path)
    assert push(workspace, url).code == 0
    for outcome in (pull(mine, url, *words), push(workspace, url, *words)):
        assert outcome.code in (1, 2) and f"did you mean {meant}?" in one_line_error(
            outcome, code=outcome.code
        )


@pytest.mark.parametrize(
    "words", [("verify", "--rebuild", "-b", "mine"), ("build", "-j", "--keep-going")], ids=str
)
def test_an_option_in_the_place_of_a_number(words):
    """The message shows how the option is written."""
    outcome = run(*words)
    assert (
        outcome.code == 2
        and f"a number must follow, as in {words[1].replace('-j', '--jobs')} 3" in outcome.err
    )
    assert "'x' is not a valid whole number" in run("verify", "--rebuild", "x").err


def test_a_wrong_selection_is_told_before_anything_is_checked(workspace, monkeypatch):
    """A behaviour that is a prompts file is answered with the option that takes it."""
    monkeypatch.chdir(workspace.root)
    outcome = run("verify", "--rebuild", "2", "-b", BEHAVIOUR, "--store", workspace.store)
    assert f"--prompts {BEHAVIOUR}.jsonl" in one_line_error(outcome, code=2)
    assert outcome.err.count("\n") == 1
