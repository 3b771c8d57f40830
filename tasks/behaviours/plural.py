"""Subject–verb agreement across an attractor: "The keys near the cabinet" → " are", not " is".

The verb agrees with the subject, not with the nearer noun, the attractor. In half of the prompts the
attractor has the same number as the subject, in the other half it has the other number. The wording of the
template calls for the present ("Today"), the past ("Yesterday") or the perfect ("For years"). Attractors sit
in a prepositional phrase or in a relative clause.

A minimal pair changes the number of the subject. A lexical group is a subject noun. The attractor is a
lexical item too: the nouns of test prompts are in no train prompt.

Source: Linzen, Dupoux and Goldberg (2016), *Assessing the Ability of LSTMs to Learn Syntax-Sensitive
Dependencies*, §2.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from tasks.behaviours import Behaviour, Contrast, Side, Template

Noun = tuple[str, str]
NUMBERS = ("singular", "plural")
VERBS = {"be": (" is", " are"), "was": (" was", " were"), "have": (" has", " have")}

REGULAR = (
    "actor artist bag bird boat book bottle bridge cabinet car cat chair clock cow doctor dog door driver "
    "farmer flower garden horse house judge key lamp lawyer lion machine mirror nurse painter picture plate "
    "road rock sailor shop sign singer soldier statue student table teacher tower tree truck window worker "
    "writer"
)
NOUNS: tuple[Noun, ...] = (
    *((noun, noun + "s") for noun in REGULAR.split()),
    ("box", "boxes"),
    ("bus", "buses"),
    ("child", "children"),
    ("knife", "knives"),
    ("man", "men"),
    ("mouse", "mice"),
    ("shelf", "shelves"),
    ("wolf", "wolves"),
    ("woman", "women"),
)


def pair(lexicon: tuple[Noun, ...]) -> Iterator[Contrast]:
    """Each subject beside each other noun, in either number. The two sides differ in the subject's number."""
    for subject, attractor in permutations(lexicon, 2):
        for i, attractor_number in enumerate(NUMBERS):
            singular, plural = (
                Side(
                    group=subject[0],
                    words={
                        "subject": subject[j],
                        "attractor": attractor[i],
                        **{verb: forms[j] for verb, forms in VERBS.items()},
                    },
                    labels={
                        "subject_number": number,
                        "attractor_number": attractor_number,
                        "attractor": "match" if i == j else "mismatch",
                    },
                    items=(attractor[0],),
                )
                for j, number in enumerate(NUMBERS)
            )
            yield singular, plural


def _template(verb: str, name: str, text: str) -> Template:
    """A template that a verb completes."""
    return Template(f"{verb}-{name}", text, answer=f"{{{verb}}}", labels={"verb": verb})


BEHAVIOUR = Behaviour(
    name="plural",
    title="Subject–verb agreement with an attractor",
    description="The verb agrees in number with its subject, not with a nearer noun between them.",
    templates=(
        _template("be", "near", "The {subject} near the {attractor}"),
        _template("was", "near", "Yesterday the {subject} near the {attractor}"),
        _template("have", "near", "For years the {subject} near the {attractor}"),
        _template("be", "behind", "Today the {subject} behind the {attractor}"),
        _template("was", "beside", "Last week the {subject} beside the {attractor}"),
        _template("have", "behind", "Since then the {subject} behind the {attractor}"),
        _template("be", "next", "The {subject} next to the {attractor}"),
        _template("was", "by", "Years ago the {subject} by the {attractor}"),
        _template("have", "next", "Until now the {subject} next to the {attractor}"),
        _template("be", "that", "The {subject} that I found near the {attractor}"),
        _template("was", "that", "Yesterday the {subject} that I found by the {attractor}"),
        _template("have", "that", "For years the {subject} that I found beside the {attractor}"),
    ),
    lexicon=NOUNS,
    pair=pair,
)
