"""How the prompts of a behaviour are drawn.

Groups, then contrasts, are ordered by the SHA-256 of the seed and their words. The first groups of that order
are the test groups: their share is that of the test prompts, but they are at least eight where that is at
most a third of all, because intervals resample groups. Templates take turns. Each takes, among the next few
unused contrasts, the one that repeats the least of what has been drawn so far. The same seed gives the same
prompts on any platform and version of Python. A word that is added to a lexicon leaves the order of all
others as it was.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from itertools import combinations, islice
from string import Formatter

from circuitstore.errors import PromptError, UsageError
from tasks.behaviours import Behaviour, Contrast, Prompt, Side, Template

_TEST_GROUPS = 8  # fewer groups than these tell little of others
_WINDOW = 200  # contrasts compared for each pair drawn: enough for balance, few enough to be quick

Fits = Callable[[Prompt, Prompt], bool]
"""Whether the two prompts of a minimal pair can be used, with some tokenizer."""


def generate(
    behaviour: Behaviour, *, train: int = 80, test: int = 20, seed: int = 42, fits: Fits | None = None
) -> list[Prompt]:
    """Draw ``train``, then ``test`` distinct prompts, partners side by side; no lexical item is in both.

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
    items = sorted({item for pair in contrasts for item in _items(pair)}, key=lambda item: _rank(seed, item))
    share = round(len(items) * test / (train + test)) if test else 0
    test_items = frozenset(items[: max(2, share, min(_TEST_GROUPS, len(items) // 3))] if test else ())
    prompts: list[Prompt] = []
    for split, count in ("train", train), ("test", test):
        inside = [
            pair
            for pair in contrasts
            if all((item in test_items) == (split == "test") for item in _items(pair))
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
        # Where no contrast has all words, the first of them names the slot that is missing.
        filled = [contrast for contrast in contrasts if _fills(template, contrast)] or contrasts
        rendered = (_render(behaviour, template, contrast, split) for contrast in filled)
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
        raise PromptError(where, expected=expected, got=f"at most {most}", remedy=remedy)


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


def _fills(template: Template, contrast: Contrast) -> bool:
    """Whether both sides of a contrast have a word for every slot of a template."""
    slots = {slot for _, slot, _, _ in Formatter().parse(template.text + template.answer) if slot}
    return all(slots <= side.words.keys() for side in contrast)


def _items(contrast: Contrast) -> set[str]:
    """The lexical groups and items of both sides."""
    return {item for side in contrast for item in (side.group, *side.items)}


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
