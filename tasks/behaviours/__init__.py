"""Behaviours as declarations: what a model is asked, word by word, and how the prompts are drawn.

A *behaviour* is one skill shown by next-token prediction: a prompt, the correct answer and an incorrect
answer, each of one token. Prompts come in *minimal pairs*: two prompts of one template that differ in as
little as changes the answer. The incorrect answer of each is the correct answer of the other, so that one can
be patched into the other.

**Adding a behaviour** means adding one file to this folder. The name of the file is the name of the
behaviour. This is the whole of ``number.py``, with words that the model `tiny` knows::

    from collections.abc import Iterator

    from tasks.behaviours import Behaviour, Contrast, Side, Template

    NOUNS = (("key", "keys"), ("man", "men"), ("dog", "dogs"), ("girl", "girls"), ("book", "books"))

    def pair(lexicon: tuple[tuple[str, str], ...]) -> Iterator[Contrast]:
        for one, many in lexicon:
            yield (
                Side(group=one, words={"noun": one, "verb": "is"}, labels={"number": "singular"}),
                Side(group=one, words={"noun": many, "verb": "are"}, labels={"number": "plural"}),
            )

    BEHAVIOUR = Behaviour(
        name="number",
        title="Number of the subject",
        description="A verb agrees with its subject.",
        templates=(Template("today", "Today the {noun}", answer=" {verb}"),),
        lexicon=NOUNS,
        pair=pair,
    )

It has five pairs, so it is built with ``--set prompts.train=6 --set prompts.test=2``.

- The ``text`` and ``answer`` of a template are filled from the words of a side: ``{thing}`` is
  ``side.words["thing"]``. An answer carries its leading space, if it has one.
- ``group`` is the lexical item that a prompt is about. No group is in both train and test.
- ``labels`` are the categories that a later analysis compares; the labels of the template are added. Labels,
  answers, templates and groups are balanced, singly and two by two, as far as the lexicon allows.
- Both prompts of a pair have equally many words. Whether they have equally many tokens, and whether each
  answer is a single token, depends on the tokenizer. It is checked when prompts are built for a model.

**How prompts are drawn.** Groups, then contrasts, are ordered by the SHA-256 of the seed and their words. The
first groups of that order are the test groups. Templates take turns. Each takes, among the next few unused
contrasts, the one that repeats the least of what has been drawn so far. The same seed gives the same prompts
on any platform and version of Python. A word that is added to a lexicon leaves the order of all others as it
was.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from circuitstore.errors import PromptError, UsageError

_WINDOW = 100  # contrasts compared for each pair drawn: enough for balance, few enough to be quick


@dataclass(frozen=True, slots=True)
class Template:
    """A sentence with slots whose next token is the answer."""

    name: str
    text: str
    answer: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Side:
    """One half of a contrast: the words that fill a template, their lexical group and their categories."""

    group: str
    words: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)


Contrast = tuple[Side, Side]
"""What the two prompts of a minimal pair are made of, whatever the template."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A declaration. ``pair(lexicon)`` yields every contrast that the lexicon allows."""

    name: str
    title: str
    description: str
    templates: tuple[Template, ...]
    lexicon: tuple[Any, ...]
    pair: Callable[[tuple[Any, ...]], Iterator[Contrast]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt, ready to be tokenized.

    ``id`` is made from text and answers, so that it stays when other prompts come or go. ``partner`` is the
    id of the other prompt of the minimal pair, or "" without one. ``labels`` maps a category to its value.
    """

    id: str
    text: str
    correct: str
    incorrect: str
    split: str
    template: str
    group: str
    partner: str
    labels: dict[str, str]


def names() -> list[str]:
    """The behaviours that can be loaded, sorted: one for each file in this folder."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith("_"))


def path(name: str) -> Path:
    """The file that declares a behaviour. Raises UsageError for a name that nobody declared."""
    known = names()
    if name not in known:
        from difflib import get_close_matches

        close = get_close_matches(name, known, n=1)
        remedy = f"did you mean {close[0]}?" if close else "a behaviour is a file in tasks/behaviours/"
        raise UsageError(f"unknown behaviour {name!r}", expected=f"one of {', '.join(known)}", remedy=remedy)
    return Path(__file__).parent / f"{name}.py"


def load(name: str) -> Behaviour:
    """The behaviour declared in the file of that name.

    Raises UsageError for a name that nobody declared, and PromptError for a file that does not declare it.
    """
    from importlib import import_module

    file = path(name)
    behaviour = getattr(import_module(f"{__name__}.{name}"), "BEHAVIOUR", None)
    if not isinstance(behaviour, Behaviour) or behaviour.name != name:
        raise PromptError(str(file), expected=f"BEHAVIOUR = Behaviour(name={name!r}, …)", got=repr(behaviour))
    return behaviour


Fits = Callable[[Prompt, Prompt], bool]
"""Whether the two prompts of a minimal pair can be used, with some tokenizer."""


def generate(
    behaviour: Behaviour, *, train: int = 80, test: int = 20, seed: int = 42, fits: Fits | None = None
) -> list[Prompt]:
    """Draw ``train``, then ``test`` distinct prompts, partners side by side; no lexical group is in both.

    Minimal pairs for which ``fits`` is False are left out. Raises UsageError if a count is odd or negative.
    Raises PromptError if the declaration cannot give so many prompts, or if two partners differ in their
    number of words.
    """
    for count in (train, test):
        if count < 0 or count % 2:
            raise UsageError("number of prompts", expected="even, because prompts come in pairs", got=count)
    contrasts = sorted(
        behaviour.pair(behaviour.lexicon), key=lambda contrast: _rank(seed, *map(_words, contrast))
    )
    groups = sorted(
        {side.group for contrast in contrasts for side in contrast}, key=lambda group: _rank(seed, group)
    )
    test_groups = frozenset(groups[: max(2, round(len(groups) * test / (train + test)))] if test else ())
    prompts: list[Prompt] = []
    for split, count in ("train", train), ("test", test):
        inside = [
            pair
            for pair in contrasts
            if all((side.group in test_groups) == (split == "test") for side in pair)
        ]
        prompts += _draw(behaviour, inside, split, count, fits)
    return prompts


def _draw(
    behaviour: Behaviour, contrasts: list[Contrast], split: str, count: int, fits: Fits | None
) -> list[Prompt]:
    """Draw ``count`` prompts, templates in turn, always the pair that repeats the least of what was drawn."""
    drawn: list[Prompt] = []
    texts: set[str] = set()
    tally: Counter[object] = Counter()
    _require(behaviour, split, count, 2 * len(contrasts) * len(behaviour.templates))

    def offered(template: Template) -> Iterator[_Candidate]:
        rendered = (_render(behaviour, template, contrast, split) for contrast in contrasts)
        return (_Candidate(pair) for pair in rendered if fits is None or fits(*pair))

    waiting = [_Waiting(offered(template)) for template in behaviour.templates]
    for turn in range(count // 2):
        first = waiting[turn % len(waiting)].first(texts)
        if not first:
            _require(behaviour, split, count, len(drawn))
        chosen = min(first, key=lambda candidate: candidate.repeats(tally))
        drawn += chosen.pair
        texts.update(chosen.texts)
        tally.update([*chosen.single, *chosen.double])
    return drawn


def _require(behaviour: Behaviour, split: str, count: int, most: int) -> None:
    """Raise PromptError if there are at most so many prompts, and more are asked for."""
    if count > most:
        where, expected = f"behaviour {behaviour.name}, {split} prompts", f"{count} distinct prompts"
        remedy = "add words or templates, or ask for fewer"
        raise PromptError(where, expected=expected, got=most, remedy=remedy)


class _Candidate:
    """A minimal pair that may be drawn, with its texts, and its facets singly and two by two."""

    def __init__(self, pair: tuple[Prompt, Prompt]):
        self.pair, self.texts = pair, [prompt.text for prompt in pair]
        facets = [_facets(prompt) for prompt in pair]
        self.single = [facet for some in facets for facet in some]
        self.double = [both for some in facets for both in combinations(some, 2)]

    def repeats(self, tally: Mapping[object, int]) -> tuple[int, int]:
        """How often its facets have been drawn already, singly and two by two."""
        return sum(tally.get(one, 0) for one in self.single), sum(tally.get(two, 0) for two in self.double)


class _Waiting:
    """The minimal pairs of one template that were not drawn yet, rendered once, as far as needed."""

    def __init__(self, more: Iterator[_Candidate]):
        self._more = more
        self._first: list[_Candidate] = []

    def first(self, used: Set[str]) -> list[_Candidate]:
        """The first pairs, in order, whose texts are not used; what was used once never comes back."""
        kept = [candidate for candidate in self._first if used.isdisjoint(candidate.texts)]
        unused = (candidate for candidate in self._more if used.isdisjoint(candidate.texts))
        self._first = [*kept, *islice(unused, _WINDOW - len(kept))]
        return self._first


def _facets(prompt: Prompt) -> list[tuple[str, str]]:
    """The properties of a prompt that are balanced."""
    return [
        ("template", prompt.template),
        ("group", prompt.group),
        ("correct", prompt.correct),
        *prompt.labels.items(),
    ]


def _render(
    behaviour: Behaviour, template: Template, contrast: Contrast, split: str
) -> tuple[Prompt, Prompt]:
    """The two prompts that a template makes of a contrast."""
    where = f"behaviour {behaviour.name}, template {template.name}"
    try:
        texts = [template.text.format_map(side.words) for side in contrast]
        answers = [template.answer.format_map(side.words) for side in contrast]
    except KeyError as missing:
        raise PromptError(
            where, expected=f"a word for the slot {missing}", got=dict(contrast[0].words)
        ) from None
    if len(texts[0].split()) != len(texts[1].split()) or answers[0] == answers[1]:
        raise PromptError(where, expected="partners of equally many words and different answers", got=texts)
    ids = [_id(behaviour.name, texts[i], answers[i], answers[1 - i]) for i in (0, 1)]
    first, second = (
        Prompt(
            id=ids[i],
            text=texts[i],
            correct=answers[i],
            incorrect=answers[1 - i],
            split=split,
            template=template.name,
            group=side.group,
            partner=ids[1 - i],
            labels={**template.labels, **side.labels},
        )
        for i, side in enumerate(contrast)
    )
    return first, second


def _words(side: Side) -> str:
    """The words of a side in one text."""
    return " ".join(side.words.values())


def _rank(*parts: object) -> bytes:
    """What things are ordered by: the SHA-256 of their parts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).digest()


def _id(name: str, *parts: str) -> str:
    """The id of a prompt, from its text and answers."""
    return f"{name}-{_rank(*parts).hex()[:8]}"
