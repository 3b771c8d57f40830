"""What every place promises: one suite, run on a local folder and on a repository of the hub."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import Hub, Repository

from circuitstore.errors import ModelError
from circuitstore.hub.place import Place
from circuitstore.storage.layout import Store
from tasks.inputs import places

FILES = {
    "config.json": b'{"a": 1}',
    "weights.safetensors": b"\0" * 1000,
    "layers/layer_0.safetensors": b"zero",
    "layers/deeper/layer_1.safetensors": b"one",
}
REPO = "someone/files"
Make = Callable[..., Place]


@pytest.fixture(params=["folder", "repository", "subfolder"])
def make(request, tmp_path: Path, hub_client) -> Iterator[Make]:
    """`make(files)`: a place with these files, of one of the kinds that there are."""
    store = Store(tmp_path / "store")
    inside = "inner/most/" if request.param == "subfolder" else ""

    def folder(files: dict[str, bytes]) -> Place:
        for name, content in files.items():
            path = tmp_path / "folder" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return places.Folder(str(tmp_path / "folder"), store)

    with Hub() as hub:
        hub_client(hub, tmp_path / "home")

        def repository(files: dict[str, bytes]) -> Place:
            beside = {"beside.json": b"{}", "inner/beside.json": b"{}"} if inside else {}
            held = hub.repositories.setdefault(REPO, Repository())
            held.commit({inside + name: content for name, content in files.items()} | beside)
            return places.Repository(REPO, "main", inside.rstrip("/"), store)

        yield folder if request.param == "folder" else repository


def test_names_are_those_directly_in_it(make: Make):
    """Sorted, without the files of folders inside it or of what lies around it."""
    assert make(FILES).names() == ["config.json", "weights.safetensors"]


def test_names_of_folders_inside_are_asked_for(make: Make):
    """Down to a depth."""
    files = {"a": b"1", "b/c": b"2", "b/d/e": b"3"}
    assert make(files).names(1) == ["a", "b/c"] and make(files).names(2) == ["a", "b/c", "b/d/e"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_whole_and_lies_where_it_is_said_to(make: Make, name: str):
    """In a folder inside the place too."""
    place = make(FILES)
    assert place.has(name) and place.read(name) == FILES[name]
    place.fetch([name])
    assert Path(place.path(name)).read_bytes() == FILES[name]
    assert Path(place.path(name)).is_relative_to(place.path(""))
    assert place.address(name).partition("?")[0].endswith(name)


def test_what_it_does_not_have(make: Make):
    """A missing file is not there, and whatever is asked of it is refused with its name."""
    place = make(FILES)
    assert not place.has("none.json") and not place.has("layers")
    for ask in (place.read, place.digest, lambda name: place.check([name]), lambda name: place.fetch([name])):
        with pytest.raises(ModelError, match=r"none\.json"):
            ask("none.json")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "layers/../config.json", "a\\b", "layers//x"])
def test_no_name_leads_out_of_it(make: Make, name: str):
    """Names come from files of strangers."""
    place = make(FILES)
    for ask in (place.has, place.read, place.digest, place.path):
        with pytest.raises(ModelError, match="inside it"):
            ask(name)


def test_a_digest_is_that_of_the_content(make: Make):
    """Equal content, equal digest; another byte, another digest. It is known before the file is fetched."""
    place = make(FILES | {"same.safetensors": FILES["weights.safetensors"], "other.safetensors": b"other"})
    digests = [place.digest(f"{name}.safetensors") for name in ("weights", "same", "other")]
    assert digests[0] == digests[1] != digests[2]
    assert all(len(digest) in (40, 64) for digest in digests)
    place.fetch(["weights.safetensors"])
    assert place.digest("weights.safetensors") == digests[0]


def test_nothing_is_missing_after_fetching(make: Make):
    """Before it, `missing` names at most what was asked for."""
    place, names = make(FILES), list(FILES)
    assert set(place.missing(names)) <= set(names)
    assert place.check(names) == []
    place.fetch(names)
    assert place.missing(names) == []


def test_a_changed_file_is_told_by_a_new_place(make: Make):
    """A place that is made anew sees what is there now, unless the store has pinned it."""
    before = make(FILES).digest("layers/layer_0.safetensors")
    again = make(FILES | {"layers/layer_0.safetensors": b"retrained"})
    if isinstance(again, places.Repository):
        assert again.digest("layers/layer_0.safetensors") == before, "main moved without being followed"
        again.follow()
        again = places.Repository(again.repo, again.revision, again.subfolder, again.store)
    assert again.digest("layers/layer_0.safetensors") != before


def test_places_are_equal_by_what_they_name_and_can_be_sent(make: Make):
    """A worker process gets the same place."""
    place = make(FILES)
    sent = pickle.loads(pickle.dumps(place))
    assert sent == place and sent.read("config.json") == place.read("config.json")
    assert str(sent) == str(place)


def test_a_file_that_a_list_names_by_repository(make: Make):
    """The place's own if it has it, else that of the named repository at the named revision."""
    place = make(FILES)
    home, name = place.linked("other/files", "v1", "far/layer_9.safetensors")
    assert (
        home == places.Repository("other/files", "v1", "", place.store) and name == "far/layer_9.safetensors"
    )
    inner = "inner/most/" if str(place).startswith(f"{REPO}/inner") else ""
    home, name = place.linked(REPO, "", f"{inner}config.json")
    assert (home, name) == (place, "config.json")


def test_an_identity_is_pinned_where_it_could_change_by_itself(make: Make):
    """A store keeps what it took a branch for; a folder is looked at each time."""
    place, identity = make(FILES), {"files": {"config.json": "0" * 64}}
    assert place.pinned("model") is None
    place.pin("model", identity)
    assert place.pinned("model") == (identity if place.origin else None)
    assert place.pinned("tokenizer") is None
