"""Which result is meant: the newest, or one by key, tag or settings. What is opened says which it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shared import shared
from workspace import BEHAVIOUR, PROFILE, TEXTS, Workspace, one_line_error, run

import circuitstore as cs
from circuitstore.errors import CircuitstoreError, MissingError, UsageError
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named
from circuitstore.storage.tags import tags

PHASE, FIELD = "attribution", "attribution.max_feature_nodes"
FEW, MANY = 5, 9


class Twice(Workspace):
    """Graphs of at most 5 features, tagged `few`; then other prompts; then graphs of 9 features."""

    @property
    def where(self) -> dict:
        return {"behaviour": BEHAVIOUR, "store": self.store, "profile": str(self.profile)}

    def key(self, phase: str = PHASE) -> str:
        return named(Store(self.store), Name(PROFILE, BEHAVIOUR, phase)).key


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> Twice:
    return shared(tmp_path_factory, "twice", Twice, build_twice)


def build_twice(made: Twice) -> None:
    texts = {name: TEXTS[name] for name in "ab"}
    made.write_prompts(texts)
    assert made.build("--set", f"{FIELD}={FEW}").code == 0
    tagged = run("tag", "few", f"{BEHAVIOUR}/{PHASE}", "--store", made.store, "--profile", made.profile)
    assert tagged.code == 0, tagged.err
    made.write_prompts({**texts, "c": "the dog sat"})
    assert made.build("--set", f"{FIELD}={MANY}").code == 0


def features(tree) -> int:
    """How many features the graph of prompt a has."""
    return int((tree["a"].node_kind == 1).sum())


def settings_of(opened) -> dict:
    return json.loads(opened.attrs["settings"])


def test_the_newest_is_meant_unless_something_is_said(twice):
    """By tag, by settings as a table or as words, by key whole or cut short."""
    old, new = cs.open(PHASE, **twice.where, tag="few"), cs.open(PHASE, **twice.where)
    assert (settings_of(old)["max_feature_nodes"], settings_of(new)["max_feature_nodes"]) == (FEW, MANY)
    assert (list(old.children), list(new.children)) == (["a", "b"], ["a", "b", "c"])
    ways = [
        {"settings": {FIELD: FEW}},
        {"settings": [f"{FIELD}={FEW}"]},
        {"key": old.attrs["key"]},
        {"key": old.attrs["key"][:8]},
    ]
    for way in ways:
        assert cs.open(PHASE, **twice.where, **way).attrs == old.attrs
    assert cs.open(PHASE, **twice.where, settings={FIELD: MANY}).attrs == new.attrs
    assert new.attrs["key"] == twice.key()


def test_a_tag_or_key_stands_for_what_it_was_made_from(twice):
    """The prompts of the old graphs, not the newest ones."""
    assert cs.open("prompts", **twice.where).prompt.values.tolist() == ["a", "b", "c"]
    for way in ({"tag": "few"}, {"key": cs.open(PHASE, **twice.where, tag="few").attrs["key"]}):
        assert cs.open("prompts", **twice.where, **way).prompt.values.tolist() == ["a", "b"]
        opened = cs.open("features", **twice.where, sparse=True, **way)
        assert set(opened.prompt.values) == {"a", "b"}


def test_what_is_opened_says_what_it_is(twice):
    """A dataset, a table of entries, a tree and its nodes, a graph: all of them."""
    told = {"phase", "profile", "behaviour", "key", "content", "settings", "upstream"}
    for way in ({}, {"tag": "few"}):
        tree = cs.open(PHASE, **twice.where, **way)
        upstream = json.loads(tree.attrs["upstream"])
        one = cs.graph("a", **twice.where, **way)
        opened = {
            PHASE: [tree, tree["a"], one],
            "features": [
                cs.open("features", **twice.where, sparse=sparse, **way) for sparse in (True, False)
            ],
        }
        for phase, several in opened.items():
            for each in several:
                attributes = getattr(each, "attrs", None) or each.graph
                assert told <= set(attributes), phase
                assert (attributes["phase"], attributes["profile"]) == (phase, PROFILE)
        assert (
            opened["features"][0].attrs["key"] == opened["features"][1].attrs["key"] == upstream["features"]
        )
        assert one.graph["key"] == tree.attrs["key"]


def test_graphs_are_chosen_as_well(twice):
    """`cs.graph` gives the graph of the settings that are asked for."""
    counts = [
        sum(kind == "feature" for _, kind in cs.graph("a", **twice.where, pruned=False, **way).nodes("kind"))
        for way in ({"settings": {FIELD: FEW}}, {})
    ]
    assert counts[0] <= FEW and counts[0] < counts[1] <= MANY


def test_commands_take_them_too(twice, tmp_path):
    """`show`, `export`, `diff`."""
    where = ("--store", twice.store, "--profile", twice.profile)
    shown = run("show", PHASE, "-b", BEHAVIOUR, "--tag", "few", "--json", *where).json
    assert shown["key"] != twice.key() and shown["components"]["config"]["max_feature_nodes"] == FEW
    assert run("show", PHASE, "-b", BEHAVIOUR, "--json", *where).json["key"] == twice.key()
    listed = run("show", "prompts", "-b", BEHAVIOUR, "--tag", "few", "--json", *where)
    assert [json.loads(line)["id"] for line in listed.out.splitlines()] == ["a", "b"]
    for words, count in ((("--set", f"{FIELD}={FEW}"), 2), (("--key", twice.key()[:10]), 3), ((), 3)):
        out = tmp_path / f"{count}{len(words)}"
        outcome = run("export", "graphs", out, "-b", BEHAVIOUR, "--format", "json", *words, *where)
        assert outcome.code == 0, outcome.err
        assert len([path for path in out.iterdir() if path.name != "provenance.json"]) >= count
        ledger = json.loads((out / "provenance.json").read_text())
        assert (ledger[PHASE]["artifact"] == twice.key()) == (count == 3)
    same = run("diff", f"{BEHAVIOUR}/a@few", f"{BEHAVIOUR}/a@{shown['key'][:12]}", "--json", *where).json
    assert same["nodes"]["jaccard"] == 1
    other = run("diff", f"{BEHAVIOUR}/a@few", f"{BEHAVIOUR}/a", "--json", *where).json
    assert other["nodes"]["a"] < other["nodes"]["b"]


@pytest.mark.parametrize(
    ("way", "error", "told"),
    [
        ({"tag": "fwe"}, UsageError, "few"),
        ({"tag": "../few"}, UsageError, "letter"),
        ({"key": "0" * 64}, MissingError, "an artifact"),
        ({"key": "xyz"}, UsageError, "hexadecimal"),
        ({"key": ""}, None, ""),
        ({"tag": "few", "key": "0" * 64}, UsageError, "one of"),
        ({"settings": {FIELD: 7}}, MissingError, f"{FIELD}={FEW}"),
        ({"settings": {"attribution.nothing": 7}}, UsageError, "nothing"),
        ({"settings": {FIELD: "x"}}, UsageError, FIELD),
    ],
)
def test_what_there_is_not(twice, way, error, told):
    """The error names what there is."""
    if error is None:
        assert cs.open(PHASE, **twice.where, **way).attrs["key"] == twice.key()
        return
    with pytest.raises(error) as raised:
        cs.open(PHASE, **twice.where, **way)
    assert told in str(raised.value)


def test_a_tag_of_another_phase_or_behaviour_is_refused(twice):
    """Of what it names and was made from there are neither."""
    with pytest.raises(UsageError, match="it names or was made from"):
        cs.open("circuit", **twice.where, tag="few")
    with pytest.raises(UsageError, match=f"--behaviour {BEHAVIOUR}"):
        cs.open(PHASE, behaviour="plural", store=twice.store, profile=str(twice.profile), tag="few")
    alone = cs.open(PHASE, store=twice.store, tag="few")
    assert (alone.attrs["behaviour"], alone.attrs["profile"]) == (BEHAVIOUR, PROFILE)


def test_several_results_of_the_same_settings(twice):
    """The newest counts if it is one of them; else they are named."""
    assert cs.open("prompts", **twice.where, settings={"prompts.seed": 42}).sizes["prompt"] == 3


@pytest.fixture
def tagging(twice, tmp_path) -> Twice:
    return Twice(twice.copy(tmp_path / "work").root)


def tag(made: Workspace, *words: object):
    return run("tag", *words, "--store", made.store, "--profile", made.profile)


def test_a_tag_is_made_listed_and_deleted(tagging):
    """It never moves: the same again is no mistake, another result under its name is."""
    assert tag(tagging, "new", f"{BEHAVIOUR}/{PHASE}").code == 0
    assert tag(tagging, "new", f"{PROFILE}/{BEHAVIOUR}/{PHASE}").code == 0
    assert "--delete few" in one_line_error(tag(tagging, "few", f"{BEHAVIOUR}/{PHASE}"), code=2)
    old = tags(Store(tagging.store))[0]
    assert tag(tagging, "again", f"{BEHAVIOUR}/{PHASE}", "--key", old.artifact).code == 0
    assert [row["tag"] for row in tag(tagging, "--list", "--json").json] == ["again", "few", "new"]
    assert tag(tagging, "--list").out.count(f"{PROFILE}/{BEHAVIOUR}/{PHASE}") == 3
    assert tag(tagging, "few", "--delete").code == 0
    assert "again, new" in one_line_error(tag(tagging, "few", "--delete"), code=2)
    assert tagging.verify().json["damaged"] == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("x",),
        ("x", "--list"),
        ("x", "mine/baseline", "--delete"),
        ("x", "mine"),
        ("x", "a/b/c/d"),
        ("../x", "mine/baseline"),
        ("x", "mine/nothing"),
        ("x", "/baseline"),
        ("--delete",),
    ],
    ids=str,
)
def test_words_that_are_no_tag(tagging, words):
    before = {each.tag for each in tags(Store(tagging.store))}
    one_line_error(tag(tagging, *words), code=2)
    assert {each.tag for each in tags(Store(tagging.store))} == before


@pytest.mark.parametrize("damage", ["text", "another name", "artifact gone"])
def test_a_damaged_tag_is_named(tagging, damage):
    """By readers and by `verify`, which sets it aside."""
    path = Path(Store(tagging.store).tag("few"))
    if damage == "text":
        path.write_text("{}")
    elif damage == "another name":
        path.rename(path.with_name("other.json"))
    else:
        Path(Store(tagging.store).artifact(tags(Store(tagging.store))[0].artifact)).unlink()
    name = "other" if damage == "another name" else "few"
    with pytest.raises(CircuitstoreError):
        cs.open(PHASE, **tagging.where, tag=name)
    (found,) = tagging.verify().json["damaged"]
    if damage == "artifact gone":  # a build, or a copy, may bring it back
        assert found["path"].startswith("artifacts/") and not found["quarantined"]
        assert path.exists() and len(tagging.verify().json["damaged"]) == 1
    else:
        assert found["path"] == f"tags/{name}.json" and found["quarantined"]
        assert tagging.verify().json["damaged"] == []
