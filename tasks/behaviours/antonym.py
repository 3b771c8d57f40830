"""Opposites: 'The opposite of "hot" is "' → 'cold', not 'hot'.

The incorrect answer repeats the word that was asked about, so a model must invert the word and not merely
recall what it goes with. A minimal pair asks for the opposite of either word of a pair of antonyms. The two
antonyms are one lexical group, so every word is the correct answer as often as it is the incorrect one. The
opening quotation mark makes the answer a word without leading space. In that form, every word here is a
single token of Qwen3's tokenizer.

Source: Lindsey et al. (2025), *On the Biology of a Large Language Model*, "Multilingual circuits".
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.behaviours import Behaviour, Contrast, Side, Template

Antonyms = tuple[str, str, str]

PAIRS = {
    "quality": "big/small bright/dim clean/dirty empty/full fast/slow good/bad happy/sad heavy/light "
    "hot/cold loud/quiet public/private simple/complex smooth/rough true/false weak/strong black/white",
    "space": "above/below east/west front/back high/low inside/outside left/right near/far north/south "
    "top/bottom up/down local/global internal/external",
    "time": "always/never before/after day/night early/late first/last long/short old/young summer/winter "
    "start/stop",
    "action": "accept/reject add/remove allow/deny buy/sell create/destroy give/take import/export "
    "lock/unlock push/pull remember/forget rise/fall send/receive win/lose",
}


def pair(lexicon: tuple[Antonyms, ...]) -> Iterator[Contrast]:
    """Each pair of antonyms, asked both ways round."""
    for domain, one, other in lexicon:
        there, back = (
            Side(
                group=f"{one}/{other}",
                words={"word": word, "opposite": opposite},
                labels={"domain": domain},
            )
            for word, opposite in ((one, other), (other, one))
        )
        yield there, back


BEHAVIOUR = Behaviour(
    name="antonym",
    title="Antonyms",
    description="The opposite of a word, which is not the word itself.",
    templates=(
        Template("opposite", 'The opposite of "{word}" is "', answer="{opposite}"),
        Template("antonym", 'The antonym of "{word}" is "', answer="{opposite}"),
        Template("means", 'The word "{word}" means the opposite of "', answer="{opposite}"),
        Template("another", 'A word that means the opposite of "{word}" is "', answer="{opposite}"),
        Template("contrary", 'The contrary of the word "{word}" is the word "', answer="{opposite}"),
    ),
    lexicon=tuple((domain, *words.split("/")) for domain, pairs in PAIRS.items() for words in pairs.split()),
    pair=pair,
)
