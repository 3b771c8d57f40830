"""Which layers of a model a phase has cells for. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from circuitstore.errors import UsageError

if TYPE_CHECKING:
    from circuitstore.engine.task import Resource
    from tasks.settings.phases import Activations
    from tasks.settings.training import CorpusActivations


def of_activations(axis: str, config: Activations, resources: Mapping[str, Resource]) -> list[int]:
    """The layers that the settings of phase `activations` choose, ascending. Raises UsageError."""
    return layer_range(config.layers, _count(resources))


def of_corpus_activations(
    axis: str, config: CorpusActivations, resources: Mapping[str, Resource]
) -> list[int]:
    """The layers that transcoders are trained for, ascending. Raises UsageError."""
    return layer_range(config.layers, _count(resources), "corpus_activations.layers")


def _count(resources: Mapping[str, Resource]) -> int:
    """How many layers the model has."""
    return int(resources["model"].identity()["layers"])


def layer_range(text: str, available: int, setting: str = "activations.layers") -> list[int]:
    """The layers of "all", "10-24" (inclusive) or "3,5,7", ascending.

    Raises UsageError, which names the ``setting``.
    """
    if text == "all":
        return list(range(available))
    chosen: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(
                setting,
                expected='"all", a range like "10-24" or a list like "3,5,7"',
                got=repr(text),
            )
        start, stop = _number(first, available), _number(last or first, available)
        chosen.update(range(start, stop + 1))
    if not chosen or max(chosen) >= available:
        raise UsageError(setting, expected=f"layers from 0 to {available - 1}", got=repr(text))
    return sorted(chosen)


def _number(text: str, available: int) -> int:
    """A layer; all those that are too large are alike, so that nobody counts up to one."""
    return min(int(text), available) if len(text) < 20 else available
