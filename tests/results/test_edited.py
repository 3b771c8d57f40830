"""Interventions and continuations of one text, from Python and from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from random_model import CONFORMANCE
from safetensors.numpy import load_file
from workspace import files, one_line_error, run

import circuitstore as cs
from circuitstore.errors import CircuitstoreError, UsageError
from circuitstore.models.load import load_model

PROMPT = load_file(CONFORMANCE / "relu" / "expected.safetensors")["input_tokens"].tolist()
STEPS = 6


@pytest.fixture(scope="module")
def where(tmp_path_factory) -> dict[str, object]:
    """The reference model with its relu transcoders, and a store of this module's."""
    store = tmp_path_factory.mktemp("edited") / "store"
    return {"model": CONFORMANCE / "model", "transcoders": CONFORMANCE / "relu", "store": store}


@pytest.mark.parametrize("kind", ["relu", "jumprelu"])
@pytest.mark.parametrize(
    ("regime", "name"), [("direct", "direct"), ("frozen_attention", "frozenattn"), ("free", "free")]
)
def test_an_ablation_agrees_with_the_reference(where, kind, regime, name):
    """Logits of every position, and activations (pre-activations in direct) of active features, to 1e-4."""
    expected = load_file(CONFORMANCE / kind / "expected.safetensors")
    edit = json.loads((CONFORMANCE / kind / "expected.json").read_text())["ablation"]
    edits = {(edit["layer"], edit["pos"], edit["feature_idx"]): edit["value"]}
    tokens, asked = expected["input_tokens"].tolist(), where | {"transcoders": CONFORMANCE / kind}
    answer = cs.intervene(tokens, edits, regime=regime, every_position=True, **asked)
    np.testing.assert_allclose(answer.logits.sel(run="before"), expected["base_logits"], atol=1e-4)
    np.testing.assert_allclose(answer.logits.sel(run="after"), expected[f"iv_{name}_logits"], atol=1e-4)
    place = tuple(answer[f"active_{axis}"].values for axis in ("layer", "position", "feature"))
    for which, acts in (("before", "base_acts"), ("after", f"iv_{name}_acts")):
        np.testing.assert_allclose(answer.activation.sel(run=which), expected[acts][place], atol=1e-4)
    active = (expected["base_acts"][:, 1:] > 0) | (
        (regime != "direct") & (expected[f"iv_{name}_acts"][:, 1:] > 0)
    )
    assert len(place[0]) == active.sum()
    assert answer.edit_before.values[0] == pytest.approx(expected["base_acts"][next(iter(edits))], abs=1e-4)
    shares = torch.from_numpy(answer.logits.values).softmax(-1)
    np.testing.assert_allclose(answer.probability, shares, atol=1e-6)


def test_the_same_question_is_answered_once(where):
    """Whatever order the edits come in; another value is another question."""
    edits = {(1, 3, 7): 2.0, (0, 2, 5): -1.0}
    first = cs.intervene(PROMPT, edits, **where)
    before = files(where["store"])
    again = cs.intervene(PROMPT, dict(reversed(edits.items())), **where)
    assert files(where["store"]) == before and again.identical(first)
    other = cs.intervene(PROMPT, edits | {(0, 2, 5): -2.0}, **where)
    assert other.attrs["key"] != first.attrs["key"] and not other.logits.equals(first.logits)


def test_constrained_edits_begin_to_act_above_the_layer(where):
    """Below and in it, nothing but what is edited changes."""
    edits = {(0, 2, 5): 9.0}
    answer = cs.intervene(PROMPT, edits, constrained=2, **where)
    before, after = answer.activation.values
    moved = ~np.isclose(before, after, atol=1e-5)
    assert set(answer.active_layer.values[moved & (answer.active_layer.values > 0)]) <= {1, 2, 3}
    free = cs.intervene(PROMPT, edits, **where)
    assert not np.allclose(answer.logits, free.logits, atol=1e-4)


def test_a_position_may_be_counted_from_the_end_or_be_a_range(where):
    """The same edits, written in three ways."""
    last = len(PROMPT) - 1
    answers = [
        cs.intervene(PROMPT, edits, **where).logits.values
        for edits in (
            {(1, last - 1, 4): 3.0, (1, last, 4): 3.0},
            {(1, -2, 4): 3.0, (1, -1, 4): 3.0},
            {(1, (-2, None), 4): 3.0},
        )
    ]
    assert np.array_equal(answers[0], answers[1]) and np.array_equal(answers[0], answers[2])


@contextmanager
def hooked(model, tensors, edits) -> Iterator[None]:
    """Edits by hooks of their own on the model's MLPs; they act at the positions that a pass covers."""
    layers = model.hf.model.layers
    offset = [0]

    def of(layer):
        def hook(module, args, output):
            x, output = args[0], output.clone()
            for (at, position, feature), value in edits.items():
                start, stop = position if isinstance(position, tuple) else (position, position + 1)
                for i in range(x.shape[1]):
                    place = i + offset[0]
                    if at == layer and start <= place < (stop or 10**9):
                        t = tensors[layer]
                        old = torch.relu(t["W_enc"][feature] @ x[0, i] + t["b_enc"][feature])
                        output[0, i] += (value - old) * t["W_dec"][feature]
            if layer == len(layers) - 1:
                offset[0] += x.shape[1]
            return output

        return hook

    hooks = [each.mlp.register_forward_hook(of(i)) for i, each in enumerate(layers)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def naive(edits, temperature: float, seed: int, *, cached: bool) -> list[int]:
    """The continuation by transformers' own forward pass, whole or with its cache of keys and values."""
    model = load_model(CONFORMANCE / "model")
    paths = [CONFORMANCE / "relu" / f"layer_{i}.safetensors" for i in range(4)]
    tensors = [{name: torch.from_numpy(t) for name, t in load_file(path).items()} for path in paths]
    draws = np.random.default_rng(seed).random(STEPS)
    text, new, past = list(PROMPT), list(PROMPT), None
    with torch.no_grad():
        for draw in draws:
            if cached and past is None:
                context = hooked(model, tensors, edits)
                context.__enter__()
            if not cached:
                with hooked(model, tensors, edits):
                    logits = model.hf(torch.tensor([text])).logits[0, -1]
            else:
                output = model.hf(torch.tensor([new]), past_key_values=past, use_cache=True)
                logits, past = output.logits[0, -1], output.past_key_values
            if temperature:
                shares = (logits.double() / temperature).softmax(-1)
                token = int((shares.cumsum(-1) <= draw * shares.sum()).sum())
            else:
                token = int(logits.argmax())
            new = [token]
            text.append(token)
    return text[len(PROMPT) :]


EDITS = {
    "none": {},
    "one": {(1, 3, 7): 6.0},
    "negative and inactive": {(0, 2, 5): -4.0, (2, 2, 11): 3.0, (2, 2, 12): 1.0},
    "on new tokens": {(3, (4, None), 8): 12.0, (0, 1, 3): 2.0},
}


@pytest.mark.parametrize("temperature", [0.0, 1.3], ids=["greedy", "sampled"])
@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
def test_edits_are_held_while_tokens_are_chosen(where, edits, temperature):
    """Token by token what a plain version with hooks gives, whole and with a cache of keys and values."""
    answer = cs.generate(PROMPT, edits, max_new_tokens=STEPS, temperature=temperature, seed=3, **where)
    for which, applied in (("before", {}), ("after", edits)):
        ours = [token for token in answer.new_token.sel(run=which).values.tolist() if token >= 0]
        assert len(ours) >= 1
        for cached in (False, True):
            assert naive(applied, temperature, 3, cached=cached)[: len(ours)] == ours
    assert answer.continuation.dims == ("run",) and answer.new_probability.sel(run="after").values[0] > 0


def test_edits_change_what_is_chosen(where):
    """The test above could not fail if none of these did."""
    answer = cs.generate(PROMPT, EDITS["on new tokens"], max_new_tokens=STEPS, **where)
    assert (
        answer.new_token.sel(run="before").values.tolist()
        != answer.new_token.sel(run="after").values.tolist()
    )


WRONG = {
    "no mapping": [(1, 2, 3, 0.0)],
    "two numbers": {(1, 2): 0.0},
    "a fraction": {(1.5, 2, 3): 0.0},
    "no number": {(1, 2, 3): "x"},
    "not finite": {(1, 2, 3): float("nan")},
    "no such layer": {(9, 2, 3): 0.0},
    "no such position": {(1, 99, 3): 0.0},
    "twice": {(1, -1, 3): 0.0, (1, len(PROMPT) - 1, 3): 1.0},
    "no such feature": {(1, 2, 10**6): 0.0},
}


@pytest.mark.parametrize("edits", WRONG.values(), ids=WRONG)
def test_what_cannot_be_an_edit_is_refused(where, edits):
    """In one line, of Python's own errors none."""
    with pytest.raises(CircuitstoreError, match="expected") as raised:
        cs.intervene(PROMPT, edits, **where)
    assert "\n" not in str(raised.value) and "cells" not in str(raised.value)


def test_an_unknown_regime_is_refused(where):
    """With those that there are."""
    with pytest.raises(UsageError, match="free"):
        cs.intervene(PROMPT, {(1, 2, 3): 0.0}, regime="freely", **where)


def command(workspace, *words: object):
    return run("intervene", "the dog", *words, "--profile", workspace.profile, "--store", workspace.store)


def test_the_command_says_what_the_function_says(built_once):
    """Edits as words; what is printed is what `cs` gives."""
    words = ("-f", "1/2/7=4", "-f", "0/-1/3=-2", "--regime", "frozen_attention")
    told = command(built_once, *words, "--json").json
    answer = cs.intervene(
        "the dog",
        {(1, 2, 7): 4.0, (0, -1, 3): -2.0},
        regime="frozen_attention",
        model=str(built_once.profile),
        store=built_once.store,
    )
    shares = [row["probability"] for row in told["most_probable"]]
    np.testing.assert_allclose(shares, answer.top_probability.values.ravel(), atol=1e-6)
    assert {(edit["layer"], edit["position"], edit["feature"]) for edit in told["edits"]} == {
        (1, 2, 7),
        (0, 2, 3),
    }
    changes = [abs(row["after"] - row["before"]) for row in told["reacting"]]
    assert changes == sorted(changes, reverse=True) and changes
    assert "L1 #7 at 2 'dog'" in command(built_once, *words).out
    continued = command(built_once, "-f", "1/2/7=4", "--generate", 3, "--json").json
    assert len(continued["tokens"]["after"]) <= 3 and set(continued["continuation"]) == {"before", "after"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--feature"),
        (("-f", "1/2=3"), "LAYER/POSITION/FEATURE=VALUE"),
        (("-f", "1/2/3=4", "-f", "1/2/3=5"), "one value"),
        (("-f", "1/2/3=x"), "LAYER/POSITION/FEATURE=VALUE"),
        (("-f", "1/2/3=4", "--temperature", "1"), "--generate N"),
        (("-f", "1/2/3=4", "--generate", "2", "--regime", "direct"), "--regime"),
        (("-f", "7/2/3=4"), "a layer from 0 to 3"),
        (("-f", "1/8/3=4"), "a position from -3 to 2"),
    ],
)
def test_the_command_refuses_what_cannot_be(built_once, words, said):
    """Exit code 2, and what can."""
    assert said in one_line_error(command(built_once, *words), code=2)
