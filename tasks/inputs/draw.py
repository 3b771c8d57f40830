"""How the prompts of a behaviour are drawn.

Groups, then contrasts, are ordered by the SHA-256 of the seed and their words. The first groups of that order
are the test groups. Templates take turns. Each takes, among the next few unused contrasts, the one that
repeats the least of what has been drawn so far. The same seed gives the same prompts on any platform and
version of Python. A word that is added to a lexicon leaves the order of all others as it was.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from itertools import combinations, islice

from circuitstore.errors import PromptError, UsageError
from tasks.behaviours import Behaviour, Contrast, Prompt, Side, Template

_WINDOW = 100  # contrasts compared for each pair drawn: enough for balance, few enough to be quick

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
    for turn in range(count // 2):
        template = behaviour.templates[turn % len(behaviour.templates)]
        pairs = (_render(behaviour, template, contrast, split) for contrast in contrasts)
        unused = (
            pair
            for pair in pairs
            if texts.isdisjoint(prompt.text for prompt in pair) and (fits is None or fits(*pair))
        )
        pair = min(islice(unused, _WINDOW), key=lambda pair: _repeats(pair, tally), default=None)
        if pair is None:
            raise PromptError(
                f"behaviour {behaviour.name}, {split} prompts",
                expected=f"{count} distinct prompts",
                got=len(drawn),
                remedy="add words or templates, or ask for fewer",
            )
        drawn += pair
        texts.update(prompt.text for prompt in pair)
        for prompt in pair:
            tally.update(_facets(prompt))
            tally.update(combinations(_facets(prompt), 2))
    return drawn


def _facets(prompt: Prompt) -> list[tuple[str, str]]:
    """The properties of a prompt that are balanced."""
    return [
        ("template", prompt.template),
        ("group", prompt.group),
        ("correct", prompt.correct),
        *prompt.labels.items(),
    ]


def _repeats(pair: tuple[Prompt, Prompt], tally: Counter[object]) -> tuple[int, int]:
    """How often the facets of two prompts have been drawn already, singly and two by two."""
    facets = [_facets(prompt) for prompt in pair]
    singly = sum(tally[facet] for some in facets for facet in some)
    two_by_two = sum(tally[both] for some in facets for both in combinations(some, 2))
    return singly, two_by_two


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
