"""Phase `interpretation`: planted patterns are found, and numbers agree with plain recomputation."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from interpreted import ROWS
from minimal_pairs import Cells
from safetensors.torch import load_file
from scipy import stats
from workspace import MODEL, TRANSCODERS

from circuitstore.models.hooks import Hooks
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader, write_object
from tasks.interpretation import interpretation, summary
from tasks.settings.phases import Interpretation

WORDS = ["<s>", "the", "near", "key", "keys", "dog", "dogs", "cat", "cats", "box", "man", "sea"]


def planted(order: np.random.Generator | None = None):
    """What the phase is given, and settings: prompts "the SUBJECT near the OBJECT" with planted features.

    With `order`, prompts and features are shuffled.
    """
    rng, prompts, features = np.random.default_rng(0), [], []
    subjects, objects = ("key", "keys", "dog", "dogs", "cat", "cats"), ("box", "man", "keys", "key", "dogs")
    for i, (subject, attractor) in enumerate((s, o) for s in subjects for o in objects):
        words = ["<s>", "the", subject, "near", "the", attractor]
        number = "plural" if subject.endswith("s") else "singular"
        row = {
            "correct": f" {number}",
            "template": "t",
            "group": subject[:3],
            "split": ["train", "test"][i % 2],
            "labels": json.dumps({"subject_number": number}),
        }
        variables = {name: ((), np.array(text)) for name, text in row.items()}
        tokens = np.array([WORDS.index(word) for word in words], dtype=np.int32)
        prompts.append(({"prompt": f"p{i:02}"}, xr.Dataset({**variables, "tokens": ("position", tokens)})))
        # (feature, position, activation)
        of_token = [
            (3, position, 2.0 + rng.random()) for position, word in enumerate(words) if word == "keys"
        ]
        of_label = [(5, 5, 1.0 + rng.random())] * (number == "plural")
        noise = [(7, position, rng.exponential()) for position in range(1, 6) if rng.random() < 0.3]
        rare = [(8, 5, 1.0)] * (i < 2)
        of_position, of_subject = (1, 5, 3.0 + rng.random()), (4, 2, 1.0)
        for layer, entries in ((0, of_token + of_label + noise + rare), (2, [of_position, of_subject])):
            features.append(({"layer": layer, "prompt": f"p{i:02}"}, sparse(entries)))
    for part in (prompts, features) if order else ():
        order.shuffle(part)
    arguments = (Cells(prompts), Cells(features), identity_model(), identity_transcoders())
    return arguments, Interpretation(top_prompts=4, top_tokens=2)


def sparse(entries: list[tuple[int, int, float]]) -> xr.Dataset:
    """A cell of phase `features` with these features, positions and activations, of six positions."""
    entries = sorted(entries, key=lambda entry: (entry[1], entry[0]))
    feature, position, value = zip(*entries, strict=True) if entries else ((), (), ())
    return xr.Dataset(
        {
            "activation.pointer": ("row", np.searchsorted(position, np.arange(7))),
            "activation.feature": ("entry", np.array(feature, dtype=np.int32)),
            "activation.value": ("entry", np.array(value, dtype=np.float32)),
        }
    )


def identity_model() -> SimpleNamespace:
    """A model whose unembedding is the identity."""
    tokenizer = type(
        "Tokenizer",
        (),
        {
            "__len__": lambda self: len(WORDS),
            "decode": lambda self, ids: WORDS[ids[0]],
            "convert_ids_to_tokens": lambda self, token: WORDS[token],
        },
    )()
    parts = SimpleNamespace(
        unembedding=torch.eye(len(WORDS)),
        mean_unembedding=torch.full((len(WORDS),), 1 / len(WORDS)),
        final_norm=None,
        gain=lambda norm: torch.ones(len(WORDS)),
        layers=[SimpleNamespace(post_mlp_norm=None)] * 3,
    )
    return SimpleNamespace(tokenizer=tokenizer, parts=parts, device="cpu")


def identity_transcoders() -> SimpleNamespace:
    """Transcoders whose encoders and decoders are the identity."""
    rows = SimpleNamespace(
        decoder_rows=lambda ids, to=None: torch.eye(len(WORDS))[ids],
        encoder_rows=lambda ids: torch.eye(len(WORDS))[ids],
    )
    return SimpleNamespace(
        layer=lambda layer: rows, written_by=lambda layer: range(layer, layer + 1), hooks=Hooks()
    )


def run(arguments, settings) -> xr.Dataset:
    """The dataset of the phase."""
    ((coords, dataset),) = interpretation([{}], settings, *arguments)
    assert coords == {}
    return dataset


def test_planted_features_get_their_labels():
    """A token, a label of the prompt and a position are recognised; noise and rare features are not."""
    result = run(*planted())
    labels = {
        (layer, feature): text
        for layer, feature, text in zip(
            *(result[n].values.tolist() for n in ("layer", "feature", "label")), strict=True
        )
    }
    assert labels[0, 3] == "token 'keys' (r=1.00)"
    assert labels[0, 5] == "subject_number=plural (r=1.00)"
    assert labels[0, 7] == labels[0, 8] == "unlabelled"
    assert labels[2, 1] == "position -1 (r=1.00)"
    assert labels[2, 4] == "position -4 (r=1.00)"
    units = result.set_index(unit=["layer", "feature"])
    assert units.confidence.sel(unit=(0, 5)) == pytest.approx(1) and units.confidence.sel(unit=(0, 7)) < 0.5
    rare = units.sel(unit=(0, 8))
    assert rare.p.isnull().all() and rare.confidence == 0 and rare.label_category == -1
    assert units.q.sel(unit=(0, 5), category="subject_number=plural") < 1e-4
    assert units.effect.sel(unit=(0, 5), category="subject_number=singular") == -1


def test_all_tests_are_kept_and_counted():
    """Every p has its q over all of them, the control is tested, and the summary counts the arrays."""
    result = run(*planted())
    assert {
        "split=train",
        "split=test",
        "correct= plural",
        "group=key",
        "token 'the'",
        "after token 'near'",
    } <= set(result.category.values.tolist())
    tested = np.isfinite(result.p.values)
    np.testing.assert_allclose(
        result.q.values[tested], stats.false_discovery_control(result.p.values[tested])
    )
    counts = summary([({}, result)], Interpretation())
    assert (
        counts["tests"] == tested.sum() and counts["significant"] == (result.q.values[tested] <= 0.05).sum()
    )
    assert counts["units"] == counts["distinct"] == 6 and counts["labelled"] == pytest.approx(4 / 6)
    assert counts["tied"] == 0  # correct= plural ties with subject_number=plural, and says the same
    assert "template=t" not in result.category.values  # all prompts have it: nothing to compare with


def test_a_label_needs_its_confidence_and_the_control_never_gives_one():
    """At threshold 1 a noisy pattern stays unlabelled, and the split is never a label."""
    arguments, settings = planted()
    upper = [cell for coords, cell in arguments[1].pairs if coords["layer"] == 2]
    for (_, row), cell in zip(arguments[0].pairs, upper, strict=True):
        cell["activation.value"].values[cell["activation.feature"].values == 1] = (
            5 if str(row.split.values) == "train" else 0
        )
    result = run(arguments, settings).set_index(unit=["layer", "feature"]).sel(unit=(2, 1))
    assert result.effect.sel(category="split=train") == 1 and result.q.sel(category="split=train") < 0.05
    assert "split" not in str(result.label.values)
    strict = run(planted()[0], Interpretation(label_confidence=1.0, top_prompts=4, top_tokens=2))
    assert set(strict.label.values[strict.confidence.values < 1].tolist()) == {"unlabelled"}


def test_categories_of_the_same_prompts_are_marked():
    """subject_number=plural and correct= plural are one set; group=key is itself."""
    result = run(*planted())
    names = result.category.values.tolist()
    first = dict(zip(names, (names[i] for i in result.category_same.values), strict=True))
    assert first["correct= plural"] == first["subject_number=plural"] == "subject_number=plural"
    assert first["split=train"] == "split=train" and first["group=key"] == "group=key"


def test_features_that_are_one_feature_twice_are_counted_once():
    """Planted: in each layer, feature 5 has the weights of 3."""
    arguments, settings = planted()
    rows = torch.eye(len(WORDS))
    rows[5] = 3 * rows[3]
    layer = SimpleNamespace(decoder_rows=lambda ids, to=None: rows[ids], encoder_rows=lambda ids: rows[ids])
    coders = identity_transcoders()
    coders.layer = lambda index: layer
    result = run((*arguments[:3], coders), settings)
    place = {pair: i for i, pair in enumerate(zip(result.layer.values, result.feature.values, strict=True))}
    assert result.twin.values[place[0, 5]] == place[0, 3] and result.twin.values[place[2, 4]] == place[2, 4]
    assert summary([({}, result)], settings)["distinct"] == 5


def test_the_order_of_prompts_does_not_matter():
    """Prompts and features shuffled: the same result."""
    first, second = run(*planted()), run(*planted(np.random.default_rng(1)))
    xr.testing.assert_identical(first, second)


def test_top_prompts_are_listed_by_activation_with_their_peaks():
    """Largest first, equal ones by id; where there is none the entry is empty, never a zero."""
    result = run(*planted()).set_index(unit=["layer", "feature"])
    rare = result.sel(unit=(0, 8))
    assert rare.top_prompt.values.tolist() == ["p00", "p01", "", ""]
    assert rare.top_position.values.tolist() == [-1, -1, 0, 0]
    assert result.token_text.sel(token=rare.top_token).values.tolist() == ["box", "man", "", ""]
    np.testing.assert_array_equal(rare.top_activation.values, [1, 1, np.nan, np.nan])
    assert (rare.active_prompts, rare.mean_activation, rare.max_activation) == (2, 1, 1)


def test_no_active_feature_is_an_empty_result(tmp_path):
    """Where nothing is active there are no units, and tables of no text keep their shape in the store."""
    arguments, settings = planted()
    silent = xr.Dataset(
        {
            "activation.pointer": ("row", np.zeros(7, np.int64)),
            "activation.feature": ("entry", np.zeros(0, np.int32)),
            "activation.value": ("entry", np.zeros(0, np.float32)),
        }
    )
    features = Cells([(coords, silent) for coords, _ in arguments[1].pairs])
    result = run((arguments[0], features, *arguments[2:]), settings)
    assert result.sizes["unit"] == 0 and result.top_prompt.shape == (0, 4)
    assert summary([({}, result)], settings)["labelled"] == 0
    store = Store(tmp_path / "store").create()
    stored = reader(store, write_object(store, [({}, result)]).object).cell(0)
    assert {name: stored[name].shape for name in result} == {name: result[name].shape for name in result}


def test_rounding_between_prompts_is_no_evidence():
    """Activations of one context that differ in the last bits tie: no category goes with rounding."""
    arguments, settings = planted()
    for coords, cell in arguments[1].pairs:
        if coords["layer"] == 2:
            plural = int(coords["prompt"][1:]) // 5 % 2
            cell["activation.feature"].values[:] = 1
            cell["activation.pointer"].values[:] = [0, 0, 1, 1, 1, 1, 2]
            # At "the", which is the same context in every prompt.
            cell["activation.value"].values[:] = np.float32([3.0 + (1 - plural) * 1e-6, 0])
    result = run(arguments, settings).set_index(unit=["layer", "feature"]).sel(unit=(2, 1))
    assert result.effect.sel(category="subject_number=plural") == 0
    assert result.max_activation == np.float32(3.000001)  # the largest counts


def test_units_are_the_active_features(interpreted):
    """Each feature that is active anywhere, once, in order, with counts and maxima of phase `features`."""
    entries = interpreted.open("features", sparse=True).to_dataframe()
    peaks = entries.groupby(["layer", "feature", "prompt"]).activation.max().reset_index()
    units = peaks.groupby(["layer", "feature"]).activation.agg(["size", "mean", "max"]).reset_index()
    result = interpreted.open()
    assert result.attrs["phase"] == "interpretation"
    assert json.loads(result.attrs["summary"])["units"] == len(units)
    columns = units[["layer", "feature", "size"]].to_numpy().T
    np.testing.assert_array_equal([result.layer, result.feature, result.active_prompts], columns)
    np.testing.assert_allclose(result.mean_activation, units["mean"], rtol=1e-4)
    np.testing.assert_allclose(result.max_activation, units["max"], rtol=1e-4)


def test_tests_agree_with_scipy_on_the_features_phase(interpreted):
    """Effect and p of a label, recomputed for one feature from the dense features."""
    result = interpreted.open().load()
    unit = int(np.argmin(np.where(result.active_prompts == 12, result.p.sel(category="group=keys"), 2)))
    dense = interpreted.open("features").activation
    values = (
        dense.sel(layer=int(result.layer[unit]), feature=int(result.feature[unit])).max("position").values
    )
    group = np.array([row["group"] == "keys" for row in ROWS])
    peer = stats.mannwhitneyu(values[group], values[~group], method="exact")
    assert result.effect.sel(category="group=keys")[unit] == pytest.approx(2 * peer.statistic / (3 * 9) - 1)
    assert result.p.sel(category="group=keys")[unit] == pytest.approx(peer.pvalue)


def test_promoted_tokens_are_the_models(interpreted):
    """The decoder through the gain and the unembedding of the files."""
    weights = load_file(MODEL / "model.safetensors")
    unembedding = weights.get("lm_head.weight", weights["model.embed_tokens.weight"]).float().numpy()
    gain = weights["model.norm.weight"].float().numpy()
    result = interpreted.open().load()
    for unit in (0, result.sizes["unit"] // 2, result.sizes["unit"] - 1):
        decoders = load_file(TRANSCODERS / f"layer_{int(result.layer[unit])}.safetensors")["W_dec"]
        direction = decoders[int(result.feature[unit])].float().numpy()
        values = unembedding @ (direction * gain)
        values -= values.mean()
        assert set(result.promoted_token[unit].values.tolist()) == set(np.argsort(-values)[:8].tolist())
        np.testing.assert_allclose(result.suppressed_value[unit], np.sort(values)[:8], atol=1e-5)
    text = result.token_text.sel(token=result.promoted_token).values
    assert text.shape == (result.sizes["unit"], 8) and "" not in text


def test_prompts_in_another_order_give_the_same_content(interpreted):
    """Only the order changes: interpretation runs again and gives, to the bit, what it gave."""
    before = interpreted.artifact("interpretation")
    interpreted.write_rows(ROWS[::-1])
    interpreted.interpret()
    after = interpreted.artifact("interpretation")
    interpreted.write_rows(ROWS)
    interpreted.interpret()
    assert after.key != before.key and after.content == before.content
