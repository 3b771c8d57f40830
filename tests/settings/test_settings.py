"""A profile is made from the phases: a new phase brings its settings along, and nothing else lists them."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest

from circuitstore.engine.task import Task
from circuitstore.errors import UsageError
from tasks import PIPELINE, SETTINGS
from tasks.settings import phases, training
from tasks.settings.describe import describe
from tasks.settings.model import location
from tasks.settings.profile import Settings, load_profile, profile_names
from tasks.settings.section import Count, Section
from tasks.settings.selection import Text, behaviour_names, select, select_text


class Toy(Section, frozen=True):
    """Settings of a phase that nobody has heard of."""

    size: Count = 3
    name: str = "plain"


TOY = Task("toy", Toy, needs=("prompts",))
WITH_TOY = Settings.of((*PIPELINE.every, TOY))


@pytest.fixture
def profile(tmp_path: Path):
    """`profile(text)`: the path of a profile with these tables beside a model and transcoders."""

    def write(text: str = "") -> str:
        path = tmp_path / "mine.toml"
        path.write_text(f'[model]\npath = "m"\n[transcoders]\npath = "t"\n{text}')
        return str(path)

    return write


def refused(action, *words: str) -> None:
    with pytest.raises(UsageError) as caught:
        action()
    assert [word for word in words if word not in str(caught.value)] == [], caught.value


# ---- a phase brings its table


def test_a_new_phase_brings_its_settings(profile):
    """From its declaration alone: in files, in --set, in what is described, in what a build is given."""
    path = profile("[toy]\nsize = 7\n")
    (selection,) = select(WITH_TOY, path, ("plural",), overrides=("toy.name=other",))
    assert TOY.settings(selection) == selection.profile.of(Toy) == Toy(size=7, name="other")
    rows = {(row.section, row.field): (row.value, row.origin) for row in describe(WITH_TOY, path)}
    assert rows["toy", "size"] == (7, "profile") and rows["toy", "name"] == ("plain", "default")
    refused(lambda: load_profile(SETTINGS, path), "toy")


def test_every_phase_has_its_settings_by_name_and_by_struct(profile):
    """As the declaration of the phase says."""
    (selection,) = select(SETTINGS, profile(), ("plural",))
    for task in PIPELINE.every:
        assert type(task.settings(selection)) is task.config
        assert selection.profile.of(task.config) == task.settings(selection)


def test_two_phases_may_share_a_table(profile):
    """`attribute` reads that of `attribution`."""
    (selection,) = select(SETTINGS, profile("[attribution]\nmax_logits = 3\n"), ("plural",))
    first, second = (PIPELINE.task(name).settings(selection) for name in ("attribution", "attribute"))
    assert first == second == phases.Attribution(max_logits=3)


@pytest.mark.parametrize("name", ["prompts", "model", "transcoders"])
def test_two_structs_for_one_table_are_a_mistake(name):
    """Of the one who declares the phase."""
    with pytest.raises(ValueError, match=name):
        Settings.of((*PIPELINE.every, Task(name, Toy, needs=())))


def test_settings_that_no_phase_has(profile):
    """Are asked for in vain, by struct or by table."""
    _, loaded = load_profile(SETTINGS, profile())
    refused(lambda: loaded.of(Toy), "Toy")
    refused(lambda: loaded.table("toy"), "toy", "attribution")


def test_settings_are_plain_data():
    """Frozen, with defaults that can be stored; no struct computes anything."""
    for kind in SETTINGS.tables.values():
        assert kind.__struct_config__.frozen
        msgspec.json.encode(kind())
        assert [name for name in vars(kind) if callable(vars(kind)[name]) and not name.startswith("__")] == []


# ---- profiles


def test_paths_are_relative_to_the_profile(profile, tmp_path):
    """Also of texts; those of --set are relative to where it is typed."""
    _, loaded = load_profile(SETTINGS, profile('[texts]\npath = "../corpus.txt"\n'))
    assert loaded.model.path == str(tmp_path / "m")
    assert loaded.texts.path == str(tmp_path.parent / "corpus.txt")
    _, loaded = load_profile(SETTINGS, profile(), ("texts.path=corpus.txt",))
    assert loaded.texts.path == str(Path("corpus.txt").resolve())


@pytest.mark.parametrize("name", profile_names())
def test_built_in_profiles_load(name):
    """Every one of them."""
    assert load_profile(SETTINGS, name)[0] == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[prompts]\ntrain = -1\n", ["prompts.train", "mine.toml", "expected `int` >= 0"]),
        ("[prompts]\nteach = 1\n", ["prompts", "got teach"]),
        ("[prompt]\ntrain = 1\n", ["got prompt"]),
        ('repo = "a/b"\n', ["transcoders", "either path or repo", "both"]),
        ('[figures]\nstyle = "huge"\n', ["figures.style", "huge"]),
        ("[prompts]\ntrain = \n", ["readable TOML"]),
        ("prompts = 3\n", ["transcoders", "prompts"]),
    ],
)
def test_what_is_wrong_in_a_profile_is_named(profile, text, words):
    """The setting, the file, what is right and what was there."""
    refused(lambda: load_profile(SETTINGS, profile(text)), *words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("baseline.gate", ["phase.field=value", "for example"]),
        ("gate=1", ["phase.field=value"]),
        ("base.gate=1", ["unknown phase", "baseline", "'base'"]),
        ("baseline.gait=1", ["unknown setting of baseline", "one of top_k, gate", "'gait'"]),
        ("features.x=1", ["expected nothing", "it has no settings"]),
        ("baseline.gate=2", ["baseline.gate", "--set", "<= 1.0"]),
    ],
)
def test_what_is_wrong_in_an_override_is_named(profile, override, words):
    """And what would be right."""
    refused(lambda: load_profile(SETTINGS, profile(), (override,)), *words)


@pytest.mark.parametrize(
    ("override", "kind", "field", "value"),
    [
        ("attribution.memory=64GB", phases.Attribution, "memory", "64GB"),
        ("activations.layers=3", phases.Activations, "layers", "3"),
        ("activations.layers = 1-2", phases.Activations, "layers", "1-2"),
        ("interventions.sizes=[1, 2]", phases.Interventions, "sizes", (1, 2)),
        ("training.rate=1e-3", training.Training, "rate", 1e-3),
        ("training.skip=true", training.Training, "skip", True),
    ],
)
def test_values_of_overrides(profile, override, kind, field, value):
    """As TOML has them; words need no quotes, and neither do texts that look like numbers."""
    _, loaded = load_profile(SETTINGS, profile(), (override,))
    assert getattr(loaded.of(kind), field) == value


def test_an_override_of_where_files_are_replaces_the_whole_place(profile):
    """A repository instead of a folder, and back."""
    _, loaded = load_profile(SETTINGS, profile(), ("model.repo=a/b", "model.revision=v1"))
    assert (loaded.model.path, loaded.model.repo, loaded.model.revision) == ("", "a/b", "v1")
    overrides = ("model.repo=a/b", "model.revision=v1", "model.path=/m")
    _, loaded = load_profile(SETTINGS, profile(), overrides)
    assert (loaded.model.path, loaded.model.repo, loaded.model.revision) == ("/m", "", "main")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a/b", {"repo": "a/b"}),
        ("a/b/c/d@v1/x", {"repo": "a/b", "subfolder": "c/d", "revision": "v1/x"}),
        ("./a/b", {"path": str(Path("a/b").resolve())}),
        ("tests", {"path": str(Path("tests").resolve())}),
        ("/", {"path": "/"}),
    ],
)
def test_a_location_is_a_folder_or_a_repository(text, fields, monkeypatch):
    """A folder if there is one of that name."""
    monkeypatch.chdir(Path(__file__).parents[2])
    fields = {name: str(Path(value).resolve()) if name == "path" else value for name, value in fields.items()}
    assert location(text) == fields


# ---- selections


def test_a_selection_is_a_behaviour_each(profile):
    """All of them when none is named, each once."""
    assert [each.behaviour for each in select(SETTINGS, profile())] == behaviour_names()
    chosen = select(SETTINGS, profile(), ("plural", "capital", "plural"))
    assert [each.behaviour for each in chosen] == ["plural", "capital"]
    assert pickle.loads(pickle.dumps(chosen)) == chosen


def test_phases_about_a_corpus_stand_alone(profile):
    """Together with others of the same corpus, but with nothing that is about a behaviour."""
    about_corpus = tuple(task.name for task in PIPELINE.every if task.about == "corpus")
    assert about_corpus == ("audit", "corpus", "corpus_activations", "transcoders", "replacement")
    (selection,) = select(SETTINGS, profile(), phases=about_corpus)
    assert selection.behaviour == "corpus"
    for others in (
        {"phases": ("corpus", "features")},
        {"phases": ("corpus",), "behaviours": ("plural",)},
        {"phases": ("corpus",), "prompts_file": "mine.jsonl"},
    ):
        refused(lambda others=others: select(SETTINGS, profile(), **others), "phase corpus", "by itself")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"behaviours": ("plurall",)}, ["plurall", "plural", "--prompts"]),
        ({"prompts_file": "none.jsonl"}, ["none.jsonl", "no such file"]),
        ({"prompts_file": "none.jsonl", "behaviours": ("plural",)}, ["--prompts", "no --behaviour"]),
    ],
)
def test_selections_that_cannot_be(profile, chosen, words):
    """Named with what would be right."""
    refused(lambda: select(SETTINGS, profile(), **chosen), *words)


def test_a_text_with_a_model_and_transcoders(tmp_path):
    """No profile is needed. The same question has the same name, another one another."""
    asked = Text(text="The keys", targets=(" are",))
    chosen = select_text(SETTINGS, str(tmp_path), "a/b@v1", asked, ("attribution.max_logits=2",))
    assert chosen.profile.model.path == str(tmp_path) and chosen.profile.transcoders.revision == "v1"
    assert chosen.profile.of(phases.Attribution).max_logits == 2
    again = select_text(SETTINGS, "tiny", None, asked)
    assert chosen.behaviour == again.behaviour
    assert chosen.behaviour != select_text(SETTINGS, "tiny", None, Text(text="The key")).behaviour
    refused(lambda: select_text(SETTINGS, "tiny", None, Text()), "at least one token")
    refused(
        lambda: select_text(SETTINGS, "tiny", None, Text(text="a", against=" b")), "--against", "0 of them"
    )
