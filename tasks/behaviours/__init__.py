"""Behaviours as declarations: what a model is asked, word by word.

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
- ``group`` is what determines the answer of a prompt, a noun or a state for instance, and ``items`` are other
  words of its lexicon. No group or item is in both train and test.
- A template is filled from the contrasts that have a word for each of its slots.
- ``labels`` are the categories that a later analysis compares; the labels of the template are added. Labels,
  answers, templates and groups are balanced, singly and two by two, as far as the lexicon allows.
- Both prompts of a pair have equally many words. Whether they have equally many tokens, and whether each
  answer is a single token, depends on the tokenizer. It is checked when prompts are built for a model.
- Files that the declaration reads are named beside it: ``FILES = ("colour.json",)``, by their paths from this
  folder. So are modules that it imports by a name that it makes: ``MODULES = ("tasks.behaviours._words",)``.
  Both are literal, for they are read without running the file. What is read and not named is refused.

No function stands in here, because a file of this folder named like it would take its place: Python puts a
module under its name into the package. How prompts are drawn is in `tasks/inputs/draw.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Template:
    """A sentence with slots whose next token is the answer."""

    name: str
    text: str
    answer: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Side:
    """One half of a contrast: the words that fill a template, their lexical group and their categories.

    ``items`` are further lexical items that may not be in both splits.
    """

    group: str
    words: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    items: tuple[str, ...] = ()


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
