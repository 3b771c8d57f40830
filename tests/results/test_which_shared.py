"""Which result is meant where names share one, where a setting changed nothing, and where it is upstream."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from places import KINDS, address, push
from shared import shared
from workspace import BEHAVIOUR, PROFILE, Outcome, Workspace, one_line_error, run

import circuitstore as cs
from circuitstore.errors import MissingError, UsageError
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named

OTHER_BEHAVIOUR, OTHER_PROFILE = "theirs", "twin"
PHASE, FIELD = "baseline", "baseline.top_k"
NAMES = [(PROFILE, BEHAVIOUR), (PROFILE, OTHER_BEHAVIOUR), (OTHER_PROFILE, BEHAVIOUR)]


class Alike(Workspace):
    """A profile and a behaviour, and beside each another one that is declared alike."""

    def build_as(self, profile: str, behaviour: str, *words: object) -> Outcome:
        """Build the baseline under a name."""
        chosen = ("--profile", self.root / f"{profile}.toml", "--prompts", self.root / f"{behaviour}.jsonl")
        outcome = run("build", PHASE, *chosen, "--store", self.store, "--json", *words)
        assert outcome.code == 0, outcome.err
        return outcome

    def key(self, profile: str, behaviour: str) -> str:
        return named(Store(self.store), Name(profile, behaviour, PHASE)).key

    def open(self, profile: str, behaviour: str | None, **way: object):
        path = str(self.root / f"{profile}.toml")
        return cs.open(PHASE, behaviour=behaviour, profile=path, store=self.store, **way)


@pytest.fixture(scope="module")
def alike(tmp_path_factory) -> Alike:
    return shared(tmp_path_factory, "alike", Alike, build_alike)


def build_alike(made: Alike) -> None:
    """Each name with 5 answers, and the second two with 7 and then with 6 answers afterwards."""
    shutil.copy(made.prompts, made.root / f"{OTHER_BEHAVIOUR}.jsonl")
    shutil.copy(made.profile, made.root / f"{OTHER_PROFILE}.toml")
    for count in (5, 7, 6):
        for profile, behaviour in NAMES if count == 5 else NAMES[1:]:
            made.build_as(profile, behaviour, "--set", f"{FIELD}={count}")


@pytest.mark.parametrize(("profile", "behaviour"), NAMES, ids=str)
def test_settings_find_what_another_name_was_first_built_for(alike, profile, behaviour):
    """By the ref that leads to it; and by its inputs, where no ref does any more."""
    first = alike.key(PROFILE, BEHAVIOUR)
    found = alike.open(profile, behaviour, settings={FIELD: 5})
    assert found.attrs["key"] == first
    assert (found.attrs["profile"], found.attrs["behaviour"]) == (profile, behaviour)
    every = alike.open(profile, None, settings={FIELD: 5})
    assert every.attrs[f"key_{behaviour}"] == first
    newest = alike.key(profile, behaviour)
    count = 5 if newest == first else 6
    assert alike.open(profile, behaviour, settings={FIELD: count}).attrs["key"] == newest
    if newest != first:  # no ref of this profile and behaviour leads to what has 7
        assert alike.open(profile, behaviour, settings={FIELD: 7}).sizes["top"] == 7


def test_settings_find_nothing_that_was_made_from_other_inputs(alike, tmp_path):
    """Neither of other prompts nor of another model; the error says whose result has the settings."""
    made = Alike(alike.copy(tmp_path / "work").root)
    made.write_prompts({"z": "the dogs"})
    shutil.move(made.prompts, made.root / "apart.jsonl")
    made.build_as(PROFILE, "apart", "--set", f"{FIELD}=4")
    with pytest.raises(MissingError, match=f"{FIELD}=4.*built with these.*{PROFILE}/{BEHAVIOUR}"):
        made.open(PROFILE, "apart", settings={FIELD: 5})
    with pytest.raises(MissingError, match="built with these"):
        made.open(PROFILE, OTHER_BEHAVIOUR, settings={FIELD: 4})


def test_settings_that_changed_nothing_above(alike, tmp_path):
    """A phase that was not computed again, for what it reads stayed the same, is found by both settings."""
    made = Alike(alike.copy(tmp_path / "work").root)
    before = made.key(PROFILE, BEHAVIOUR)
    rebuilt = made.build_as(PROFILE, BEHAVIOUR, "--set", f"{FIELD}=5", "--set", "prompts.seed=7")
    assert rebuilt.computed_of("prompts") > 0 and rebuilt.computed_of(PHASE) == 0
    assert made.key(PROFILE, BEHAVIOUR) == before
    for seed in (7, 42):
        found = made.open(PROFILE, BEHAVIOUR, settings={"prompts.seed": seed, FIELD: 5})
        assert found.attrs["key"] == before
    with pytest.raises(MissingError, match=r"prompts\.seed="):
        made.open(PROFILE, BEHAVIOUR, settings={"prompts.seed": 8, FIELD: 5})
    with pytest.raises(MissingError):
        made.open(PROFILE, BEHAVIOUR, settings={"prompts.seed": 7, FIELD: 3})


def test_a_key_or_tag_of_another_profile_is_refused(alike, tmp_path):
    """As one of another behaviour is; unless no profile is said, or a name of it leads there too."""
    made = Alike(alike.copy(tmp_path / "work").root)
    made.build_as(OTHER_PROFILE, BEHAVIOUR, "--set", f"{FIELD}=3")
    key = made.key(OTHER_PROFILE, BEHAVIOUR)
    run("tag", "three", f"{OTHER_PROFILE}/{BEHAVIOUR}/{PHASE}", "--store", made.store)
    where, ways = {"behaviour": BEHAVIOUR, "store": made.store}, ({"key": key}, {"tag": "three"})
    words = ("show", PHASE, "-b", BEHAVIOUR, "--store", made.store, "--tag", "three")
    for way in ways:
        with pytest.raises(UsageError, match=f"--profile {OTHER_PROFILE}, or none, got {PROFILE}"):
            cs.open(PHASE, **where, profile=PROFILE, **way)
        assert cs.open(PHASE, **where, profile=OTHER_PROFILE, **way).attrs["profile"] == OTHER_PROFILE
        assert cs.open(PHASE, **where, **way).attrs["profile"] == OTHER_PROFILE
    assert f"--profile {OTHER_PROFILE}" in one_line_error(run(*words, "--profile", PROFILE), code=2)
    assert run(*words).code == 0
    made.build_as(PROFILE, BEHAVIOUR, "--set", f"{FIELD}=3")
    for way in ways:
        assert cs.open(PHASE, **where, profile=PROFILE, **way).attrs["profile"] == PROFILE
    assert run(*words, "--profile", PROFILE).code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_meant_is_looked_for_upstream(alike, tmp_path, kind):
    """By key, whole or cut short; by settings; and by tag where tags are. Nothing else comes with it."""
    url = str(alike.store) if kind == "folder" else address(kind, tmp_path)
    if kind != "folder":
        assert push(alike, url).code == 0
    key = alike.key(PROFILE, OTHER_BEHAVIOUR)
    ways: list[dict] = [{"key": key}, {"key": key[:12]}, {"settings": {FIELD: 6}}]
    if kind == "folder":  # tags do not travel
        run("tag", "six", f"{PROFILE}/{OTHER_BEHAVIOUR}/{PHASE}", "--store", alike.store)
        ways += [{"tag": "six"}]
    profile = str(alike.root / f"{PROFILE}.toml")
    for number, way in enumerate(ways):
        store = tmp_path / f"store{number}"
        where = {"behaviour": OTHER_BEHAVIOUR, "store": store, "profile": profile}
        found = cs.open(PHASE, **where, upstream=url, **way)
        assert found.attrs["key"] == key and len(json.loads(found.attrs["summary"]))
        assert [path.stem for path in (store / "artifacts").iterdir()] == [key]
        assert not list((store / "refs").rglob("*.json"))
    with pytest.raises(MissingError, match="an artifact"):
        cs.open(PHASE, **where, upstream=url, key="0" * 64)


def test_what_a_key_was_made_from_is_looked_for_upstream(alike, tmp_path):
    """Where only the result itself is here."""
    key = alike.key(PROFILE, BEHAVIOUR)
    where = {"behaviour": BEHAVIOUR, "store": tmp_path / "store", "upstream": alike.store, "key": key}
    cs.open(PHASE, **where)
    assert cs.open("prompts", **where).prompt.values.tolist() == ["a", "b", "c"]
    assert len(list(Path(tmp_path / "store" / "artifacts").iterdir())) == 2
