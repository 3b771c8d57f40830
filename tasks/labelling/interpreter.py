"""Explanations of features by a language model behind an OpenAI-compatible endpoint, with their scores.

A feature is explained from texts in which the tokens on which it is active are marked. The explanation is
scored on other texts, by two questions to the same model:

    detection   is the feature active in this text?
    fuzzing     are the marked tokens those on which it is active?

A score is the mean of the shares of right answers to yes and to no: 0.5 is chance.

Every answer is kept in the store under its question (`circuitstore.storage.answers`) and asked for once.

Sources: *Language models can explain neurons in language models* (Bills et al., 2023); *Automatically
Interpreting Millions of Features in Large Language Models* (Paulo et al., 2024), §3, for both scores.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from circuitstore.errors import InputError
from circuitstore.storage.answers import find_answer, keep_answer
from circuitstore.storage.layout import Store
from circuitstore.storage.reviews import Reviewed
from tasks.labelling.examples import Prompts, Shown, Text, drawn, elsewhere
from tasks.labelling.keeping import keep, subject

TIMEOUT, MOST_BYTES, MOST_LETTERS = 120, 1024**2, 300
Ask = Callable[[str], str]

EXPLAIN = (
    "A feature of a language model is active on the tokens between << and >>. In one short phrase, say what "
    "these tokens, or their contexts, have in common. Answer with the phrase alone.\n\n"
)
DETECT = (
    "A feature of a language model is described as: {explanation}\n\nFor each numbered text, say whether the "
    "feature is active anywhere in it. Answer with a JSON list of {count} numbers, 1 for yes and 0 for no, "
    "and nothing else.\n\n"
)
FUZZ = (
    "A feature of a language model is described as: {explanation}\n\nFor each numbered text, say whether the "
    "tokens between << and >> are those on which the feature is active. Answer with a JSON list of {count} "
    "numbers, 1 for yes and 0 for no, and nothing else.\n\n"
)


def explain(
    *,
    behaviour: str,
    profile: str | None,
    store: str,
    endpoint: str,
    model: str,
    top: int,
    examples: int,
    seed: int,
    key: str,
    told: Callable[[str], None],
) -> tuple[int, str]:
    """Explain and score the `top` features of most activation; (number of labels, path of the record).

    `examples` is how many texts of each kind are shown, drawn with `seed`; `key` is sent to the endpoint and
    kept nowhere; `told` is given a line for each feature. Features that people labelled are left out. Raises
    InputError for an endpoint that does not answer, MissingError, StoreError.
    """
    about, prompts = subject(behaviour, profile, store), Prompts(behaviour, profile, store)
    weight = about.units.mean_activation.values * about.units.active_prompts.values
    ids, spoken = about.ids(), about.by_people()
    ranked = [ids[i] for i in (-weight).argsort(kind="stable").tolist() if ids[i] not in spoken]
    ask, rows = asking(about.store, endpoint, model, key), []
    for layer, feature in sorted(ranked[:top]):
        shown = drawn(prompts.texts(layer, feature), examples, f"{seed} {layer} {feature}")
        explanation, note = interpreted(shown, ask, random.Random(f"{seed} {layer} {feature} marks"))
        told(f"layer {layer} feature {feature}: {explanation} ({note})")
        if explanation:
            rows.append(Reviewed(layer, feature, explanation, note))
    return keep(about, model, rows)


def interpreted(shown: Shown, ask: Ask, generator: random.Random) -> tuple[str, str]:
    """The explanation of a feature, and its scores as a note."""
    explanation = " ".join(ask(EXPLAIN + numbered([t.marked(t.active) for t in shown.explain])).split())
    explanation = explanation[:MOST_LETTERS]
    whole = [(text.marked([False] * len(text.tokens)), text.most > 0) for text in shown.active + shown.silent]
    marked = [(text.marked(text.active), True) for text in shown.active]
    marked += [(text.marked(where), False) for text, where in _misplaced(shown.active, generator)]
    scores = []
    for name, question, cases in (("detection", DETECT, whole), ("fuzzing", FUZZ, marked)):
        generator.shuffle(cases)
        score = scored(ask, question.format(explanation=explanation, count=len(cases)), cases)
        scores.append(f"{name} {'not measured' if score is None else f'{score:.2f}'}")
    return explanation, f"{', '.join(scores)}, {len(shown.active)} active texts"


def _misplaced(texts: list[Text], generator: random.Random) -> list[tuple[Text, list[bool]]]:
    """Texts with marks on tokens where the feature is silent."""
    pairs = [(text, elsewhere(text, generator)) for text in texts]
    return [(text, where) for text, where in pairs if where is not None]


def scored(ask: Ask, question: str, cases: list[tuple[str, bool]]) -> float | None:
    """The mean of the shares of right answers to yes and to no.

    None where either is missing, or where the answer is no list of as many zeros and ones.
    """
    truth = [right for _, right in cases]
    if len(set(truth)) < 2:
        return None
    found = re.search(r"\[[\s01,]*\]", ask(question + numbered([text for text, _ in cases])))
    try:
        said = json.loads(found[0]) if found else []
    except json.JSONDecodeError:
        said = []
    if len(said) != len(truth):
        return None
    shares = [
        sum(bool(s) == t for s, t in zip(said, truth, strict=True) if t == kind) / truth.count(kind)
        for kind in (True, False)
    ]
    return sum(shares) / 2


def numbered(texts: list[str]) -> str:
    """Texts as a numbered list."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))


def asking(store: Store, endpoint: str, model: str, key: str) -> Ask:
    """A function that answers a question from the store, or asks the endpoint and keeps the answer."""

    def ask(text: str) -> str:
        question = {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0}
        known = find_answer(store, question)
        if known is None:
            known = post(endpoint, question, key)
            keep_answer(store, question, known)
        return known

    return ask


def post(endpoint: str, question: dict[str, Any], key: str) -> str:
    """What the endpoint answers to one question.

    `endpoint` is the address that ends in /v1, `key` its bearer token, "" for none. Raises InputError.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise InputError("--endpoint", expected="an address, http:// or https://", got=endpoint)
    address = endpoint.rstrip("/") + "/chat/completions"
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = Request(address, json.dumps(question).encode(), headers)
    try:
        with urlopen(request, timeout=TIMEOUT) as answer:
            body = json.loads(answer.read(MOST_BYTES))
        text = body["choices"][0]["message"]["content"]
    except HTTPError as error:
        raise InputError(address, expected="an answer", got=f"{error.code} {error.reason}") from error
    except (URLError, TimeoutError, OSError) as error:
        raise InputError(address, expected="an answer", got=getattr(error, "reason", error)) from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(address, expected="choices[0].message.content", got="something else") from error
    if not isinstance(text, str):
        raise InputError(address, expected="choices[0].message.content, a text", got=type(text).__name__)
    return text
