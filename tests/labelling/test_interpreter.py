"""Explanations by a language model on a loopback endpoint: what is asked, how it is scored, what is kept."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from chat_server import serving
from interpreted import Interpreted
from workspace import BEHAVIOUR, run

import circuitstore as cs
from circuitstore.errors import DamageError, InputError
from circuitstore.storage.answers import find_answer, keep_answer
from circuitstore.storage.layout import Store
from tasks.labelling.examples import Shown, Text, drawn, elsewhere
from tasks.labelling.interpreter import interpreted as explained
from tasks.labelling.interpreter import post, scored


def texts(count: int, active: bool) -> list[Text]:
    """Texts whose second token is one on which the feature is active, or none is."""
    return [
        Text(["<s>", " key" if active else " box", f" {i}"], [False, active, False], float(active))
        for i in range(count)
    ]


def knowing(question: str) -> str:
    """A model that knows the feature: it is active on " key"."""
    if "In one short phrase" in question:
        return "the word\n key"
    lines = re.findall(r"^\d+\. (.*)$", question, re.MULTILINE)
    right = "<< key>>" if "tokens between << and >> are those" in question else " key"
    return "Here you are: " + json.dumps([int(right in line) for line in lines])


def noise(question: str) -> str:
    """A model that guesses."""
    if "In one short phrase" in question:
        return "anything"
    count = len(re.findall(r"^\d+\. ", question, re.MULTILINE))
    return json.dumps([generator.randrange(2) for _ in range(count)])


generator = random.Random(0)


def test_planted_scores():
    """A model that knows scores 1, one that says yes 1/2, one that guesses about 1/2, nonsense nothing."""
    shown = Shown(texts(10, True), texts(100, True), texts(60, False))
    assert explained(shown, knowing, random.Random(0)) == (
        "the word key",
        "detection 1.00, fuzzing 1.00, 100 active texts",
    )
    yes = [(text.marked(text.active), text.most > 0) for text in shown.active + shown.silent]
    assert scored(lambda question: json.dumps([1] * 160), "", yes) == 0.5
    assert abs(scored(noise, "", yes) - 0.5) < 0.15
    for said in ("", "[1, 0]", "yes", "[1, 0", "[]", "[2]"):
        assert scored(lambda question, said=said: said, "", yes) is None
    assert scored(knowing, "", yes[:5]) is None  # without silent texts there is nothing to tell apart


def test_texts_that_score_are_not_those_that_explain():
    """The most active explain, others score; of few, half; marks that are wrong are as many, elsewhere."""
    every = [
        Text(["<s>", f" {i}", " x", " y"], [False, i % 2 == 0, False, False], float(i % 2 == 0) * i)
        for i in range(41)
    ]
    shown = drawn(every, 5, "seed")
    assert [text.most for text in shown.explain] == [40, 38, 36, 34, 32]
    assert not {text.tokens[1] for text in shown.explain} & {text.tokens[1] for text in shown.active}
    assert len(shown.active) == len(shown.silent) == 5 and drawn(every, 5, "seed") == shown != drawn(
        every, 5, "s"
    )
    few = drawn(every[:6], 5, "seed")
    assert (len(few.explain), len(few.active)) == (1, 1)
    for text in shown.active:
        marks = elsewhere(text, random.Random(3))
        assert (
            sum(marks) == 1
            and not marks[0]
            and not any(a and b for a, b in zip(marks, text.active, strict=True))
        )
    assert elsewhere(Text(["<s>", " a"], [False, True], 1.0), random.Random(0)) is None


def labels(store: Interpreted) -> dict[tuple[int, int], tuple[str, str, str]]:
    """What `cs.open` shows."""
    units = cs.open("interpretation", behaviour=BEHAVIOUR, store=store.store, profile=store.profile)
    names = ("layer", "feature", "reviewer_label", "reviewer", "reviewer_note")
    rows = zip(*(units[name].values.tolist() for name in names), strict=True)
    return {(layer, feature): (label, who, note) for layer, feature, label, who, note in rows if label}


def test_features_are_explained_scored_and_asked_once(interpreted, monkeypatch):
    """Labels have the model's name and the scores. A second run sends nothing; the key is in no file."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    where = ("-b", BEHAVIOUR, "--store", interpreted.store, "--profile", interpreted.profile)
    before = set(Path(interpreted.store).rglob("*.json"))
    try:
        with serving(noise) as chat:
            words = ("--endpoint", chat.url, "--model", "small", "--top", 3, "--examples", 4)
            outcome = run("review", "explain", *where, *words)
            assert outcome.code == 0 and "3 labels" in outcome.err, outcome.err
            asked = len(chat.asked)
            assert 3 <= asked <= 9 and set(chat.keys) == {"Bearer sk-secret"}
            assert all(body["model"] == "small" and body["temperature"] == 0 for body in chat.asked)
            assert "<<" in chat.asked[0]["messages"][0]["content"]
            again = run("review", "explain", *where, *words)
            assert again.code == 0 and "nothing new" in again.err and len(chat.asked) == asked
        shown = labels(interpreted)
        assert len(shown) == 3 and {who for _, who, _ in shown.values()} == {"machine: small"}
        assert all(re.match(r"detection .*fuzzing .*active texts", note) for *_, note in shown.values())
        new = set(Path(interpreted.store).rglob("*.json")) - before
        assert not any("sk-secret" in path.read_text() for path in new)
        verified = run("verify", "--store", interpreted.store)
        assert verified.code == 0, verified.err
    finally:
        for path in set(Path(interpreted.store).rglob("*.json")) - before:
            path.unlink()


def test_an_answer_is_kept_under_its_question(tmp_path):
    """Another question has none, and a file under another question's name is damage."""
    store = Store(str(tmp_path)).check_or_new()
    one, other = ({"model": "m", "messages": [{"role": "user", "content": text}]} for text in "ab")
    keep_answer(store, one, "yes")
    assert find_answer(store, one) == "yes" and find_answer(store, other) is None
    keep_answer(store, other, "no")
    first, second = sorted((tmp_path / "inputs" / "answers").iterdir())
    second.write_bytes(first.read_bytes())
    with pytest.raises(DamageError, match="question"):
        find_answer(store, one), find_answer(store, other)


@pytest.mark.parametrize(
    "said", [500, 404, b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}']
)
def test_an_endpoint_that_does_not_answer_is_named(said):
    """An error in one line."""
    with (
        serving(lambda question: said) as chat,
        pytest.raises(InputError, match=r"chat/completions: expected"),
    ):
        post(chat.url, {"messages": [{"content": "x"}]}, "")
    with pytest.raises(InputError, match="expected an answer"):
        post(chat.url, {"messages": [{"content": "x"}]}, "")  # nobody listens any more
    with pytest.raises(InputError, match="--endpoint"):
        post("file:///etc/passwd", {}, "")
