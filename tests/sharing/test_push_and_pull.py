"""Results go from store to store: only what is missing travels, and all that arrives is as it was sent."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from kept_store import VERSIONS, kept
from places import KINDS, address, empty, pull, push, sound
from resealed import last_bits, plant
from workspace import BEHAVIOUR, PHASES, PROFILE, TEXTS, Workspace, files, one_line_error, run

from circuitstore.storage.layout import Store
from circuitstore.storage.pins import Pin, pins, write_pin
from circuitstore.storage.refs import Name, named, names
from circuitstore.storage.reviews import Review, Reviewed, labels_of, write_review
from circuitstore.storage.verify import verify


@pytest.fixture
def other(workspace: Workspace, tmp_path: Path) -> Workspace:
    """The workspace of somebody else, with the same prompts and no store yet."""
    return empty(workspace, tmp_path / "other")


@pytest.fixture(params=KINDS)
def url(request, tmp_path: Path) -> str:
    """The address of a place of each kind, where nothing lies yet."""
    return address(request.param, tmp_path)


def review(behaviour: str, label: str, time_ns: int) -> Review:
    return Review(PROFILE, behaviour, "a reviewer", time_ns, {"files": {}}, [Reviewed(3, 7, label)])


def test_what_is_pushed_can_be_pulled(workspace, other, url):
    """The same contents, nothing damaged, and a build has nothing to do."""
    sent = push(workspace, url)
    assert sent.code == 0, sent.err
    here = os.listdir(workspace.store / "artifacts")  # other tests that share it ask about single texts
    assert sent.json["artifacts"] == len(here) >= len(PHASES) and sent.json["failed"] == []
    came = pull(other, url)
    assert came.code == 0, came.err
    assert {key: came.json[key] for key in ("artifacts", "objects", "bytes")} == {
        key: sent.json[key] for key in ("artifacts", "objects", "bytes")
    }
    assert sound(other) == workspace.contents()
    assert other.build().computed == {}


def test_what_is_there_does_not_travel_again(workspace, other, tmp_path):
    """A second push, and a second pull, change no file and count nothing."""
    for kind in ("folder", "memory"):
        url = address(kind, tmp_path)
        push(workspace, url)
        pull(other, url)
        before = _written(tmp_path)
        again = [push(workspace, url).json, pull(other, url).json]
        assert all(not any(report.values()) for report in again), again
        assert _written(tmp_path) == before


def _written(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of a store below a folder → its size and which file it is; what is in use is touched."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_ino) for path in found}


def test_one_changed_prompt_sends_what_it_changed(workspace, url, tmp_path):
    """The cells of the other prompts are there already."""
    if url.endswith(".zip"):
        url = address("memory", tmp_path)
    first = push(workspace, url).json
    workspace.write_prompts({**TEXTS, "c": "the dogs"})
    workspace.build()
    second = push(workspace, url).json
    assert 0 < second["bytes"] < first["bytes"]
    assert second["refs"] == [f"{PROFILE}/{BEHAVIOUR}/{phase}" for phase in sorted(PHASES)]


def test_one_phase_alone(workspace, other, url):
    """Of the others nothing travels; what came can be read."""
    push(workspace, url)
    came = pull(other, url, "attribution", "--behaviour", BEHAVIOUR)
    assert came.json["artifacts"] == 1 and came.json["refs"] == [f"{PROFILE}/{BEHAVIOUR}/attribution"]
    assert sound(other, ("attribution",)) == workspace.contents(("attribution",))
    assert len(Store(other.store).object_ids()) == len(workspace.artifact("attribution").objects)
    shown = run("show", "attribution", "-b", BEHAVIOUR, "--profile", PROFILE, "--store", other.store)
    assert shown.code == 0, shown.err


def test_with_all_that_it_was_computed_from(workspace, other, url):
    """`--with-inputs` takes the ancestry as artifacts; only the phase that was asked for has a name."""
    push(workspace, url)
    came = pull(other, url, "features", "--with-inputs")
    wanted = {"features", "activations", "prompts"}
    assert names(Store(other.store)) == [Name(PROFILE, BEHAVIOUR, "features")]
    keys = {workspace.artifact(phase).key for phase in wanted}
    assert {path.stem for path in (other.store / "artifacts").iterdir()} == keys
    assert came.json["artifacts"] == len(wanted)
    assert other.build(phase="features").computed == {}


def test_a_name_that_means_something_newer_keeps_its_meaning(workspace, other, tmp_path):
    """By pull and by push, which say so; what the older one means is there as an artifact."""
    url = address("memory", tmp_path)
    other.write_prompts({**TEXTS, "c": "the dogs"})
    assert other.build(phase="prompts").code == 0
    newer = other.artifact("prompts")
    push(workspace, url, "prompts")
    came = pull(other, url, "prompts").json
    assert f"is newer in {other.store}" in came["notes"][0] and came["artifacts"] == 1 and came["refs"] == []
    assert other.artifact("prompts").key == newer.key
    assert push(other, url, "prompts").json["refs"] == [f"{PROFILE}/{BEHAVIOUR}/prompts"]
    back = push(workspace, url, "prompts").json
    assert f"is newer in {url}" in back["notes"][0] and back["refs"] == []
    third = empty(other, tmp_path / "third")
    pull(third, url)
    assert third.artifact("prompts").key == newer.key


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_another_content_of_the_same_inputs_is_not_taken(workspace, tmp_path, kind):
    """Each side keeps what it has, and says so."""
    url = address(kind, tmp_path)
    far = workspace.copy(tmp_path / "far")
    plant(far, "activations", last_bits, host="elsewhere")
    mine, theirs = workspace.contents(("activations",)), far.contents(("activations",))
    assert mine != theirs
    push(workspace, url, "activations")
    for outcome in (push(far, url, "activations"), pull(far, url, "activations")):
        assert outcome.code == 0 and "gave two results" in outcome.json["notes"][0], outcome
        assert outcome.json["refs"] == []
    assert far.contents(("activations",)) == theirs
    third = empty(workspace, tmp_path / "third")
    pull(third, url)
    assert third.contents(("activations",)) == mine


def test_inputs_are_added_to_those_that_are_there(workspace, other, url):
    """Reviews of both; a pin that differs stays what it is on either side, and both are told."""
    mine, theirs = Store(workspace.store), Store(other.store).create()
    write_review(mine, review(BEHAVIOUR, "mine", 1))
    write_review(theirs, review(BEHAVIOUR, "theirs", 2))
    one, two = (Pin("model", "a/b", "main", "", digit * 40, {}) for digit in "12")
    write_pin(mine, one)
    write_pin(mine, Pin("model", "a/c", "main", "", "3" * 40, {}))
    write_pin(theirs, two)
    assert push(workspace, url).json["inputs"] == 3
    came = pull(other, url).json
    assert came["inputs"] == 2 and f"222222222222 in {other.store} and" in came["notes"][0]
    assert {pin.commit[0] for pin in pins(theirs)} == {"2", "3"}
    assert labels_of(theirs, PROFILE, BEHAVIOUR, {"files": {}})[3, 7].label == "theirs"
    back = push(other, url).json
    assert back["inputs"] == 1 and f"the pin in {url} is kept" in back["notes"][0]
    pull(workspace, url)
    assert labels_of(mine, PROFILE, BEHAVIOUR, {"files": {}})[3, 7].label == "theirs"


def test_two_who_push_different_results_lose_nothing(workspace, tmp_path):
    """The name means the newer one, and the other one is still an artifact."""
    url = address("folder", tmp_path)
    far = workspace.copy(tmp_path / "far")
    far.write_prompts({**TEXTS, "d": "the dog is w17"})
    assert far.build(phase="baseline").code == 0
    push(far, url)
    push(workspace, url)
    both = Workspace(tmp_path)
    both.store = Path(url)
    for each in (workspace, far):
        assert (both.store / "artifacts" / f"{each.artifact('baseline').key}.json").is_file()
    assert named(Store(url), Name(PROFILE, BEHAVIOUR, "baseline")).key == far.artifact("baseline").key


def test_a_store_that_may_only_be_read_can_be_pushed(workspace, other, tmp_path):
    """Nothing in it changes, not even for a moment: a file lies where scratch would."""
    shutil.rmtree(workspace.store / "tmp", ignore_errors=True)
    (workspace.store / "tmp").write_text("in the way")
    before = files(workspace.store)
    for kind in KINDS:
        outcome = push(workspace, address(kind, tmp_path))
        assert outcome.code == 0, outcome.err
    assert files(workspace.store) == before


def test_questions_that_have_no_answer(workspace, other, tmp_path):
    """Each is one line that says what is wrong; nothing is made."""
    url = address("memory", tmp_path)
    push(workspace, url)
    store = ("--store", other.store)
    asked = {
        ("pull", tmp_path / "nothing", *store): (1, "no format.json"),
        ("pull", tmp_path / "nothing.zip", *store): (1, "no such file"),
        ("pull", "atribution", url, *store): (2, "did you mean attribution?"),
        ("pull", "attribution", *store): (2, "only phases"),
        ("pull", "a/b", "a/c", *store): (2, "a/b and a/c"),
        ("pull", "nosuch://a/b", *store): (2, "nosuch"),
        ("pull", url, "--behaviour", "nobody", *store): (1, f"{PROFILE}/{BEHAVIOUR}/attribution"),
        ("push", url, *store): (1, "nothing there yet"),
        ("push", tmp_path, "--store", workspace.store): (1, "other files"),
    }
    for words, (code, part) in asked.items():
        assert part in one_line_error(run(*words), code=code)
        assert not other.store.exists()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_store_of_each_version_travels(tmp_path, version, kind):
    """There and back, with the same contents; a store of an earlier version that is added to is raised."""
    store, url = kept(version, tmp_path / "kept"), address(kind, tmp_path)
    before = {name: named(Store(store), name).content for name in names(Store(store))}
    assert run("push", url, "--store", store).code == 0
    assert run("pull", url, "--store", tmp_path / "back").code == 0
    back = Store(tmp_path / "back")
    assert {name: named(back, name).content for name in names(back)} == before
    assert verify(back, deep=True).damaged == []
    pulled = run("pull", url, "--store", store)
    assert pulled.code == 0 and ("format version 2 now" in pulled.err) == (version == 1), pulled.err
