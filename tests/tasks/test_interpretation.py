"""Phase `interpretation` and manual review: planted patterns are found, numbers agree with plain
recomputation, labels stay.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

import circuitstore as cs
from circuitstore.command import main
from circuitstore.engine.planner import Planner
from circuitstore.errors import DamageError, InputError
from circuitstore.models.lens import extreme_tokens
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader, write_object
from circuitstore.storage.refs import Name, named
from circuitstore.storage.reviews import labels_of
from tasks import PIPELINE
from tasks.exports.review_table import read_table
from tasks.interpretation import interpretation, summary
from tasks.parts.contexts import Contexts, categories
from tasks.settings import config

CONFORMANCE = Path(__file__).parents[1] / "conformance"
WORDS = ["<s>", "the", "near", "key", "keys", "dog", "dogs", "cat", "cats", "box", "man", "sea"]


# Planted patterns


class Read:
    """What a phase sees of a phase above it."""

    def __init__(self, cells):
        self.cells = cells

    def all(self, cell):
        return self.cells


def planted(order: np.random.Generator | None = None):
    """Prompts "the SUBJECT near the OBJECT", and what features say of them: (arguments of the phase, config)."""
    rng, prompts, features = np.random.default_rng(0), [], []
    subjects, objects = ("key", "keys", "dog", "dogs", "cat", "cats"), ("box", "man", "keys", "key", "dogs")
    for i, (subject, attractor) in enumerate((s, o) for s in subjects for o in objects):
        words = ["<s>", "the", subject, "near", "the", attractor]
        number = "plural" if subject.endswith("s") else "singular"
        fields = {
            "correct": f" {number}",
            "template": "t",
            "group": subject[:3],
            "split": ["train", "test"][i % 2],
        }
        texts = {**fields, "labels": json.dumps({"subject_number": number})}
        row = {name: ((), np.array(text)) for name, text in texts.items()}
        row["tokens"] = ("position", np.array([WORDS.index(word) for word in words], dtype=np.int32))
        prompts.append(({"prompt": f"p{i:02}"}, xr.Dataset(row)))
        active = {
            0: [(3, position, 2.0 + rng.random()) for position, word in enumerate(words) if word == "keys"]
            + [(5, 5, 1.0 + rng.random())]
            * (number == "plural")  # the subject's number, at the last position
            + [(7, position, rng.exponential()) for position in range(1, 6) if rng.random() < 0.3]  # nothing
            + [(8, 5, 1.0)] * (i < 2),  # too rare to say
            2: [(1, 5, 3.0 + rng.random()), (4, 2, 1.0)],  # the last position; the subject's
        }
        for layer, entries in active.items():
            entries = sorted(entries, key=lambda entry: (entry[1], entry[0]))
            pointer = np.searchsorted([position for _, position, _ in entries], np.arange(7))
            cell = {
                "activation.pointer": ("row", pointer),
                "activation.feature": (
                    "entry",
                    np.array([feature for feature, _, _ in entries], dtype=np.int32),
                ),
                "activation.value": ("entry", np.array([value for _, _, value in entries], dtype=np.float32)),
            }
            features.append(({"layer": layer, "prompt": f"p{i:02}"}, xr.Dataset(cell)))
    for part in (prompts, features) if order else ():
        order.shuffle(part)
    tokenizer = type(
        "Tokenizer", (), {"__len__": lambda self: len(WORDS), "decode": lambda self, ids: WORDS[ids[0]]}
    )()
    parts = SimpleNamespace(
        unembedding=torch.eye(len(WORDS)),
        mean_unembedding=torch.full((len(WORDS),), 1 / len(WORDS)),
        final_norm=SimpleNamespace(weight=torch.ones(len(WORDS))),
    )
    model = SimpleNamespace(tokenizer=tokenizer, parts=parts, device="cpu")
    transcoders = SimpleNamespace(
        layer=lambda layer: SimpleNamespace(decoder_rows=lambda ids: torch.eye(len(WORDS))[ids])
    )
    return (Read(prompts), Read(features), model, transcoders), config.Interpretation(
        top_prompts=4, top_tokens=2
    )


def run(arguments, settings) -> xr.Dataset:
    ((coords, dataset),) = interpretation([{}], settings, *arguments)
    assert coords == {}
    return dataset


def test_planted_features_get_their_labels():
    """A token, a label of the prompt, a position and a place after a token are recognised; noise and rare
    features are not.
    """
    found = run(*planted())
    labels = {
        (layer, feature): text
        for layer, feature, text in zip(
            *(found[n].values.tolist() for n in ("layer", "feature", "label")), strict=True
        )
    }
    assert labels[0, 3] == "token 'keys' (r=1.00)"
    assert labels[0, 5] == "subject_number=plural (r=1.00)"
    assert labels[0, 7] == labels[0, 8] == "unlabelled"
    assert labels[2, 1] == "position -1 (r=1.00)"
    assert labels[2, 4] == "position -4 (r=1.00)"
    units = found.set_index(unit=["layer", "feature"])
    assert units.confidence.sel(unit=(0, 5)) == pytest.approx(1) and units.confidence.sel(unit=(0, 7)) < 0.5
    rare = units.sel(unit=(0, 8))
    assert rare.p.isnull().all() and rare.confidence == 0 and rare.label_category == -1
    assert units.q.sel(unit=(0, 5), category="subject_number=plural") < 1e-4
    assert units.effect.sel(unit=(0, 5), category="subject_number=singular") == -1


def test_all_tests_are_kept_and_counted():
    """Every p has its q over all of them, the control is tested, and the summary counts what the arrays say."""
    found = run(*planted())
    assert {
        "split=train",
        "split=test",
        "correct= plural",
        "group=key",
        "token 'the'",
        "after token 'near'",
    } <= set(found.category.values.tolist())
    tested = np.isfinite(found.p.values)
    np.testing.assert_allclose(found.q.values[tested], stats.false_discovery_control(found.p.values[tested]))
    said = summary([({}, found)], config.Interpretation())
    assert said["tests"] == tested.sum() and said["significant"] == (found.q.values[tested] <= 0.05).sum()
    assert said["units"] == 6 and said["labelled"] == pytest.approx(4 / 6)
    assert "template=t" not in found.category.values  # all prompts have it: nothing to compare with


def test_a_label_needs_its_confidence_and_the_control_never_gives_one():
    """At threshold 1 a noisy pattern stays unlabelled, though its dominant category is told; split is no
    pattern.
    """
    arguments, settings = planted()
    upper = [cell for coords, cell in arguments[1].cells if coords["layer"] == 2]
    for (_, row), cell in zip(arguments[0].cells, upper, strict=True):
        cell["activation.value"].values[cell["activation.feature"].values == 1] = (
            5 if str(row.split.values) == "train" else 0
        )
    found = run(arguments, settings).set_index(unit=["layer", "feature"]).sel(unit=(2, 1))
    assert found.effect.sel(category="split=train") == 1 and found.q.sel(category="split=train") < 0.05
    assert "split" not in str(found.label.values)
    strict = run(planted()[0], config.Interpretation(label_confidence=1.0, top_prompts=4, top_tokens=2))
    assert set(strict.label.values[strict.confidence.values < 1].tolist()) == {"unlabelled"}


def test_the_order_of_prompts_does_not_matter():
    first, second = run(*planted()), run(*planted(np.random.default_rng(1)))
    xr.testing.assert_identical(first, second)


def test_top_prompts_are_listed_by_activation_with_their_peaks():
    """Largest first, equal ones by id; position from the end; what is not there is empty, never a zero that
    looks like data.
    """
    found = run(*planted()).set_index(unit=["layer", "feature"])
    rare = found.sel(unit=(0, 8))
    assert rare.top_prompt.values.tolist() == ["p00", "p01", "", ""]
    assert rare.top_position.values.tolist() == [-1, -1, 0, 0]
    assert found.token_text.sel(token=rare.top_token).values.tolist() == ["box", "man", "", ""]
    np.testing.assert_array_equal(rare.top_activation.values, [1, 1, np.nan, np.nan])
    assert (rare.active_prompts, rare.mean_activation, rare.max_activation) == (2, 1, 1)


def test_no_active_feature_is_an_empty_result(tmp_path):
    """Where nothing is active there are no units, and tables of no text keep their shape in the store."""
    arguments, settings = planted()
    silent = {
        "activation.pointer": ("row", np.zeros(7, np.int64)),
        "activation.feature": ("entry", np.zeros(0, np.int32)),
    }
    silent["activation.value"] = ("entry", np.zeros(0, np.float32))
    found = run(
        (
            arguments[0],
            Read([(coords, xr.Dataset(silent)) for coords, _ in arguments[1].cells]),
            *arguments[2:],
        ),
        settings,
    )
    assert found.sizes["unit"] == 0 and found.top_prompt.shape == (0, 4)
    assert summary([({}, found)], settings)["labelled"] == 0
    store = Store(tmp_path / "store").create()
    stored = reader(store, write_object(store, [({}, found)]).object).cell(0)
    assert {name: stored[name].shape for name in found} == {name: found[name].shape for name in found}


def test_shared_contexts_are_one_observation():
    """Prompts that begin alike share contexts; the prepended token is none; a position is counted from the
    end.
    """
    rows = {
        name: xr.Dataset({"tokens": ("position", np.array(tokens))})
        for name, tokens in (("b", [0, 1, 2, 3]), ("a", [0, 1, 2]))
    }
    contexts = Contexts.of(rows, {"a": 3, "b": 4})
    assert contexts.prompts == ("a", "b")
    np.testing.assert_array_equal(contexts.place, [[-1, -1, 0, 1], [-1, 0, 1, 2]])
    np.testing.assert_array_equal([contexts.before, contexts.token], [[0, 1, 2], [1, 2, 3]])


def test_rounding_between_prompts_is_no_evidence():
    """Activations of one context that differ in the last bits tie, so no category that goes with a prompt's
    length is found.
    """
    arguments, settings = planted()
    for coords, cell in arguments[1].cells:
        if coords["layer"] == 2:
            plural = int(coords["prompt"][1:]) // 5 % 2
            cell["activation.feature"].values[:] = 1
            cell["activation.pointer"].values[:] = [0, 0, 1, 1, 1, 1, 2]
            cell["activation.value"].values[:] = np.float32(
                [3.0 + (1 - plural) * 1e-6, 0]
            )  # at "the", the same context everywhere
    found = run(arguments, settings).set_index(unit=["layer", "feature"]).sel(unit=(2, 1))
    assert found.effect.sel(category="subject_number=plural") == 0
    assert found.max_activation == np.float32(3.000001)  # the largest counts


def test_categories_that_read_alike_are_told_apart():
    """Two tokens that decode to the same text have two names."""
    rows = {
        f"p{i}": xr.Dataset({"tokens": ("position", np.array([0, 1 + i % 2, 3 + i])), **no_labels()})
        for i in range(8)
    }
    found = categories(rows, Contexts.of(rows, dict.fromkeys(rows, 2)), 1, lambda token: "\ufffd")
    names = [category.text for category in found]
    assert len(set(names)) == len(names)


def no_labels() -> dict:
    return {
        name: ((), np.array(text))
        for name, text in {
            **dict.fromkeys(("correct", "template", "group", "split"), ""),
            "labels": "{}",
        }.items()
    }


def test_extreme_tokens_are_those_of_the_whole_vocabulary(monkeypatch):
    """Chunks of the vocabulary and of the directions give what one product gives; ids that the tokenizer
    lacks are left out.
    """
    generator = torch.Generator().manual_seed(0)
    unembedding, gain, directions = (
        torch.randn(*shape, generator=generator) for shape in ((50, 8), (8,), (3, 8))
    )
    tokenizer = type("Tokenizer", (), {"__len__": lambda self: 45})()
    parts = SimpleNamespace(
        unembedding=unembedding, mean_unembedding=unembedding.mean(0), final_norm=SimpleNamespace(weight=gain)
    )
    model = SimpleNamespace(parts=parts, device="cpu", tokenizer=tokenizer)
    monkeypatch.setattr("circuitstore.models.lens._VOCABULARY_CHUNK", 7)
    monkeypatch.setattr("circuitstore.models.lens._DIRECTIONS", 2)
    found = extreme_tokens(model, directions, 4)
    values = ((directions * gain) @ (unembedding - unembedding.mean(0)).T)[:, :45].numpy()
    order = np.argsort(-values, axis=1)
    np.testing.assert_array_equal(found.promoted, order[:, :4])
    np.testing.assert_array_equal(found.suppressed, order[:, :-5:-1])
    np.testing.assert_allclose(found.promoted_value, np.take_along_axis(values, order[:, :4], 1), atol=1e-5)
    np.testing.assert_allclose(
        found.suppressed_value, np.take_along_axis(values, order[:, :-5:-1], 1), atol=1e-5
    )
    assert extreme_tokens(model, directions, 100).promoted.shape == (3, 45)


# The whole way, on the reference model


ROWS = [
    {
        "id": f"m{i:02}",
        "text": f"the {subject} to the {attractor}",
        "correct": " are" if subject in ("keys", "cat") else " is",
        "incorrect": " is" if subject in ("keys", "cat") else " are",
        "group": subject,
        "labels": {"attractor": attractor},
    }
    for i, (subject, attractor) in enumerate(
        (s, a) for s in ("keys", "cat", "mat", "dog") for a in ("cabinet", "mat", "paris")
    )
]


def build(command: list[str]) -> None:
    """Run a build in a process of its own, so that its code is that of the files."""
    done = subprocess.run(
        [sys.executable, str(CONFORMANCE.parent.parent / "cli.py"), *command], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> SimpleNamespace:
    """A store with the interpretation of twelve prompts."""
    folder = tmp_path_factory.mktemp("interpretation")
    profile, prompts = folder / "small.toml", folder / "mine.jsonl"
    profile.write_text(
        f'[model]\npath = "{CONFORMANCE}/model"\nthreads = 1\n[transcoders]\npath = "{CONFORMANCE}/relu"\n'
        "[activations]\npositions = 4\n[baseline]\ngate = 0.0\n"
    )
    prompts.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    where = {"store": str(folder / "store"), "profile": str(profile)}
    options = ["--store", where["store"], "--profile", where["profile"]]
    command = ["build", "interpretation", "--prompts", str(prompts), *options]
    build(command)
    return SimpleNamespace(where=where, options=options, command=command, prompts=prompts)


def opened(built) -> xr.Dataset:
    return cs.open("interpretation", behaviour="mine", **built.where)


def test_units_are_the_active_features(built):
    """Each feature that is active anywhere, once, in order, with counts and maxima of the features phase."""
    entries = cs.open("features", behaviour="mine", sparse=True, **built.where).to_dataframe()
    peaks = entries.groupby(["layer", "feature", "prompt"]).activation.max().reset_index()
    units = peaks.groupby(["layer", "feature"]).activation.agg(["size", "mean", "max"]).reset_index()
    found = opened(built)
    assert found.attrs["phase"] == "interpretation" and json.loads(found.attrs["summary"])["units"] == len(
        units
    )
    np.testing.assert_array_equal(
        [found.layer, found.feature, found.active_prompts], units[["layer", "feature", "size"]].to_numpy().T
    )
    np.testing.assert_allclose(found.mean_activation, units["mean"], rtol=1e-4)
    np.testing.assert_allclose(found.max_activation, units["max"], rtol=1e-4)


def test_tests_agree_with_scipy_on_the_features_phase(built):
    """Effect and p of a label, recomputed for one feature from the dense features."""
    found = opened(built).load()
    unit = int(np.argmin(np.where(found.active_prompts == 12, found.p.sel(category="group=keys"), 2)))
    dense = cs.open("features", behaviour="mine", **built.where).activation
    values = dense.sel(layer=int(found.layer[unit]), feature=int(found.feature[unit])).max("position").values
    group = np.array([row["group"] == "keys" for row in ROWS])
    peer = stats.mannwhitneyu(values[group], values[~group], method="exact")
    assert found.effect.sel(category="group=keys")[unit] == pytest.approx(2 * peer.statistic / (3 * 9) - 1)
    assert found.p.sel(category="group=keys")[unit] == pytest.approx(peer.pvalue)


def test_promoted_tokens_are_the_models(built, reference):
    """The decoder through gain and unembedding of the model as transformers loads it."""
    found = opened(built).load()
    for unit in (0, found.sizes["unit"] // 2, found.sizes["unit"] - 1):
        direction = reference.decoder(int(found.layer[unit]), int(found.feature[unit]))
        values = reference.unembedding @ (direction * reference.gain)
        values -= values.mean()
        assert set(found.promoted_token[unit].values.tolist()) == set(np.argsort(-values)[:8].tolist())
        np.testing.assert_allclose(found.suppressed_value[unit], np.sort(values)[:8], atol=1e-5)
    text = found.token_text.sel(token=found.promoted_token).values
    assert text.shape == (found.sizes["unit"], 8) and "" not in text


@pytest.fixture(scope="module")
def reference() -> SimpleNamespace:
    from safetensors.torch import load_file

    model = load_file(CONFORMANCE / "model" / "model.safetensors")
    unembedding = model.get("lm_head.weight", model["model.embed_tokens.weight"]).float().numpy()

    def decoder(layer: int, feature: int) -> np.ndarray:
        return (
            load_file(CONFORMANCE / "relu" / f"layer_{layer}.safetensors")["W_dec"][feature].float().numpy()
        )

    return SimpleNamespace(
        unembedding=unembedding, gain=model["model.norm.weight"].float().numpy(), decoder=decoder
    )


def test_prompts_in_another_order_give_the_same_content(built, tmp_path):
    """Only the order changes: interpretation runs again and gives, to the bit, what it gave."""
    before = named(Store(built.where["store"]), Name("small", "mine", "interpretation"))
    again = tmp_path / "mine.jsonl"
    again.write_text("".join(json.dumps(row) + "\n" for row in reversed(ROWS)))
    build(["build", "interpretation", "--prompts", str(again), *built.options])
    after = named(Store(built.where["store"]), Name("small", "mine", "interpretation"))
    assert after.key != before.key and after.content == before.content
    build(built.command)


# Review


def edited(built, path: Path, labels: dict[int, tuple[str, str]]) -> list[dict]:
    """Export, write labels into some rows (row → label, note), and save."""
    assert main(["review", "export", str(path), "-b", "mine", *built.options, "--top", "10"]) == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for i, (label, note) in labels.items():
        rows[i].update(reviewer_label=label, note=note)
    save(path, rows)
    return rows


def save(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def shown(built) -> dict[tuple[int, int], tuple[str, str, str]]:
    """What `cs.open` shows of reviews."""
    columns = ("layer", "feature", "reviewer_label", "reviewer", "reviewer_note")
    rows = zip(*(opened(built)[name].values.tolist() for name in columns), strict=True)
    return {(layer, feature): (label, author, note) for layer, feature, label, author, note in rows if label}


@pytest.fixture
def reviewing(built):
    """The store without reviews, before and after."""
    yield built
    folder = Path(Store(built.where["store"]).reviews("small", "mine"))
    for path in folder.glob("*.json"):
        path.unlink()


def test_a_review_is_shown_and_kept(reviewing, tmp_path, capsys):
    """Export, edit, import; the newest import of a feature counts, earlier ones are kept; the same again
    stores nothing.
    """
    assert shown(reviewing) == {}
    rows = edited(reviewing, tmp_path / "a.csv", {0: ("plural, noun", ""), 3: ("„verb“", "see p. 3")})
    unit = [(int(row["layer"]), int(row["feature"])) for row in rows]
    import_ = ["-b", "mine", *reviewing.options, "--author"]
    assert main(["review", "import", str(tmp_path / "a.csv"), *import_, "Ada"]) == 0
    assert shown(reviewing) == {unit[0]: ("plural, noun", "Ada", ""), unit[3]: ("„verb“", "Ada", "see p. 3")}
    rows = edited(reviewing, tmp_path / "b.csv", {3: ("verb", ""), 5: ("new", "")})
    assert rows[0]["reviewer_label"] == "plural, noun"
    assert main(["review", "import", str(tmp_path / "b.csv"), *import_, "Bo"]) == 0
    expected = {unit[0]: ("plural, noun", "Ada", ""), unit[3]: ("verb", "Bo", ""), unit[5]: ("new", "Bo", "")}
    assert shown(reviewing) == expected
    folder = Path(Store(reviewing.where["store"]).reviews("small", "mine"))
    assert len(list(folder.iterdir())) == 2
    assert main(["review", "import", str(tmp_path / "b.csv"), *import_, "Cy"]) == 0
    assert "nothing new" in capsys.readouterr().err and len(list(folder.iterdir())) == 2


def test_importing_changes_nothing_of_the_analysis_and_analysing_loses_no_label(reviewing, tmp_path):
    """Interpretation stays fresh, the resource `review` changes; results under other settings show the same
    labels.
    """
    store = reviewing.where["store"]
    selection, *_ = config.select(reviewing.where["profile"], (), str(reviewing.prompts), ())

    def planned():
        planner = Planner(PIPELINE, Store(store))
        step = planner.steps(selection, PIPELINE.closure(("interpretation",)))[-1]
        return step.state, step.key, PIPELINE.resources(selection, store)["review"].identity()

    state, key, nothing = planned()
    assert state == "fresh" and nothing == {}
    rows = edited(reviewing, tmp_path / "a.csv", {1: ("mine", "")})
    assert (
        main(
            ["review", "import", str(tmp_path / "a.csv"), "-b", "mine", *reviewing.options, "--author", "Ada"]
        )
        == 0
    )
    state, same, said = planned()
    assert (state, same) == ("fresh", key)
    assert said == {f"layer {rows[1]['layer']} feature {rows[1]['feature']}": ["mine", "Ada", ""]}
    assert [label.label for label in PIPELINE.resources(selection, store)["review"].load().values()] == [
        "mine"
    ]
    build([*reviewing.command, "--set", "interpretation.fdr=0.2"])
    labels = shown(reviewing)
    build(reviewing.command)
    assert list(labels.values()) == [("mine", "Ada", "")] and shown(reviewing) == labels


def test_labels_of_other_transcoders_are_not_shown(reviewing, tmp_path):
    edited(reviewing, tmp_path / "a.csv", {1: ("mine", "")})
    assert (
        main(
            ["review", "import", str(tmp_path / "a.csv"), "-b", "mine", *reviewing.options, "--author", "Ada"]
        )
        == 0
    )
    store = Store(reviewing.where["store"])
    identity = named(store, Name("small", "mine", "interpretation")).components.resources["transcoders"]
    assert len(labels_of(store, "small", "mine", identity)) == 1
    assert labels_of(store, "small", "mine", {"files": {"layer_0.safetensors": "0" * 64}}) == {}


def test_a_damaged_review_is_named(reviewing, tmp_path, capsys):
    """A changed byte in a review is found by `verify`, and never shown as a label."""
    edited(reviewing, tmp_path / "a.csv", {1: ("mine", "")})
    assert (
        main(
            ["review", "import", str(tmp_path / "a.csv"), "-b", "mine", *reviewing.options, "--author", "Ada"]
        )
        == 0
    )
    (path,) = Path(Store(reviewing.where["store"]).reviews("small", "mine")).glob("*.json")
    path.write_bytes(path.read_bytes().replace(b"mine", b"mime"))
    with pytest.raises(DamageError):
        opened(reviewing)
    assert main(["verify", "--store", reviewing.where["store"]]) == 1
    assert path.name in capsys.readouterr().out and not path.exists()


def test_an_export_never_overwrites(reviewing, tmp_path, capsys):
    """A table that is there may have been edited."""
    path = tmp_path / "a.csv"
    path.write_text("precious")
    assert main(["review", "export", str(path), "-b", "mine", *reviewing.options]) == 2
    assert path.read_text() == "precious"


def test_every_bad_line_is_reported_at_once(tmp_path):
    """Line number and reason of each, and nothing is stored; a quoted line break does not shift the numbers."""
    path = tmp_path / "bad.csv"
    path.write_text(
        'layer,feature,label,reviewer_label,note\n0,3,x,"two\nlines",\n0,4,x,ok,\n'
        "0,4,x,again,\nzero,5,x,label,\n0,99,x,label,\n1,2,x,,note only\n"
    )
    with pytest.raises(InputError) as caught:
        read_table(str(path), {(0, 3), (0, 4), (0, 5), (1, 2)})
    for reason in (
        "line 5: the same feature as line 4",
        "line 6: layer 'zero' is not a number",
        "line 7: layer 0 feature 99 is not active",
        "line 8: a note but no label",
    ):
        assert reason in str(caught.value)
    assert "line 2" not in str(caught.value) and "line 4:" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("layer,feature,note\n0,3,\n", "line 1: no column reviewer_label"),
        ("layer,feature,reviewer_label,note,mood\n0,3,a,,\n", "line 1: unknown column 'mood'"),
        ("layer,feature,reviewer_label,note\n0,3,a\n", "line 2: 3 cells, not 4"),
        ("layer,layer,feature,reviewer_label,note\n", "line 1: column layer twice"),
        ("layer,feature,reviewer_label,note\n0,3,,\n", "no label in any line"),
        ("", "line 1: no column layer"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, text, reason):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        read_table(str(path), {(0, 3)})


def test_a_spreadsheets_mark_and_blank_lines_are_accepted(tmp_path):
    path = tmp_path / "good.csv"
    path.write_bytes("layer,feature,reviewer_label,note\r\n0,3, größe ,\r\n,,,\r\n".encode("utf-8-sig"))
    (row,) = read_table(str(path), {(0, 3)})
    assert (row.layer, row.feature, row.label, row.note) == (0, 3, "größe", "")
    path.write_bytes("layer,feature,reviewer_label,note\n0,3,größe,\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_table(str(path), {(0, 3)})
