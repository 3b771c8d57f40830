"""What a language model is shown of a feature: texts with the tokens on which it is active.

Texts are drawn with a seed, each feature by itself: those in which it is most active to explain it, others to
score the explanation. Positions that have no features are never marked.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np

import circuitstore.results.open as results

OPEN, CLOSE = "<<", ">>"


class Text(NamedTuple):
    """One prompt: its tokens, on which of them the feature is active, and how much at most."""

    tokens: list[str]
    active: list[bool]
    most: float

    def marked(self, where: list[bool]) -> str:
        """The text with the tokens `where` between « signs »; the prepended token is left out."""
        pairs = zip(self.tokens, where, strict=True)
        return "".join(f"{OPEN}{token}{CLOSE}" if here else token for token, here in pairs)


class Shown(NamedTuple):
    """The texts of one feature: to explain it, and active and silent ones to score the explanation with."""

    explain: list[Text]
    active: list[Text]
    silent: list[Text]


class Prompts:
    """All prompts of a behaviour, and their activations layer by layer."""

    def __init__(self, behaviour: str, profile: str | None, store: str):
        prompts: Any = results.open("prompts", behaviour=behaviour, profile=profile, store=store)
        self._features: Any = results.open("features", behaviour=behaviour, profile=profile, store=store)
        order = self._features.prompt.values
        self._tokens = prompts.token_text.sel(prompt=order).values[:, -self._features.sizes["position"] :]
        self._layer: tuple[int, Any] = (-1, None)

    def texts(self, layer: int, feature: int) -> list[Text]:
        """Every prompt, as the feature sees it, in order."""
        if self._layer[0] != layer:
            self._layer = layer, self._features.activation.sel(layer=layer).values
        values = np.nan_to_num(self._layer[1][:, :, feature])
        rows = zip(self._tokens.tolist(), values.tolist(), strict=True)
        return [
            Text([t for t, _ in kept], [v > 0 for _, v in kept], max(row))
            for tokens, row in rows
            if (kept := [(t, v) for t, v in zip(tokens, row, strict=True) if t])
        ]


def drawn(texts: list[Text], count: int, seed: str) -> Shown:
    """The `count` most active texts to explain with, and up to `count` others of either kind to score with.

    Where fewer are active, half of them explain and half score.
    """
    generator = random.Random(seed)
    ranked = sorted((text for text in texts if text.most > 0), key=lambda text: -text.most)
    silent = [text for text in texts if not text.most > 0]
    explain, others = ranked[: min(count, -(-len(ranked) // 2))], ranked[min(count, -(-len(ranked) // 2)) :]
    active = generator.sample(others, min(count, len(others)))
    return Shown(explain, active, generator.sample(silent, min(count, len(silent))))


def elsewhere(text: Text, generator: random.Random) -> list[bool] | None:
    """As many marks on tokens where the feature is silent; None where there are too few such tokens."""
    silent = [i for i, here in enumerate(text.active) if not here and i]  # not the prepended token
    if len(silent) < sum(text.active):
        return None
    chosen = set(generator.sample(silent, sum(text.active)))
    return [i in chosen for i in range(len(text.tokens))]
