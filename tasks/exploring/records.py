"""Records by key, as the page asks for them."""

from __future__ import annotations

from typing import Any

from circuitstore import pipeline
from circuitstore.errors import UsageError
from circuitstore.storage.layout import Store, safe_name
from circuitstore.viewer.server import Decision, Label
from tasks.exploring import behaviours, decisions, features, graphs, stores
from tasks.exploring.phases import FIGURES, Built

NAMES = {  # kind of record → how many names follow it in the key
    "store": 0,
    "status": 1,
    "behaviour": 1,
    "graph": 2,
    "text": 1,
    "circuit": 1,
    "features": 1,
    "feature": 3,
    "figure": 2,
    "provenance": 2,
}
MOST_OPEN = 4  # behaviours whose tables are kept in memory


class Records:
    """What one store holds of one profile: of these behaviours, or of all."""

    def __init__(self, store: Store, profile: str, behaviours: tuple[str, ...] = ()):
        self.store, self.profile, self.behaviours = store, profile, behaviours
        self._open: dict[tuple[Any, ...], tuple[Built, features.Pages]] = {}

    def get(self, key: str) -> dict[str, Any]:
        """The record of a key. Raises UsageError for one that there is not, MissingError, DamageError."""
        kind, *rest = key.split("/")
        if NAMES.get(kind) != len(rest):
            raise UsageError(f"record {key!r}", expected="one of " + ", ".join(NAMES))
        if kind == "store":
            phases = [task.name for task in pipeline.load().every if "text" not in task.needs]
            return stores.of_store(self.store, self.profile, phases, self.behaviours)
        behaviour, *names = rest
        if kind == "status":
            return stores.status(pipeline.load(), self.store, self.profile, behaviour)
        built, pages = self._opened(safe_name(behaviour, "behaviour"))
        return self._of(kind, names, built, pages)

    def _of(self, kind: str, names: list[str], built: Built, pages: features.Pages) -> dict[str, Any]:
        match kind:
            case "behaviour":
                return behaviours.of_behaviour(built)
            case "graph":
                return graphs.of_prompt(built, names[0])
            case "text":
                return graphs.of_text(built)
            case "circuit":
                return graphs.aggregated(built)
            case "features":
                return features.index(built)
            case "feature":
                return pages.page(*map(_number, names))
            case "figure":
                return behaviours.of_figure(built, names[0])
        return stores.provenance(built, safe_name(names[0], "phase"))

    def decide(self, decision: Decision, author: str) -> tuple[bool, Label]:
        """Take a reviewer's decision, see `tasks.exploring.decisions`."""
        built, _ = self._opened(safe_name(decision.behaviour, "behaviour"))
        return decisions.decide(built, decision, author)

    def _opened(self, behaviour: str) -> tuple[Built, features.Pages]:
        """The behaviour as it is now: its tables are kept until one of its phases is built anew."""
        built = Built(self.store, self.profile, behaviour)
        contents = tuple(built.artifact(phase).content for phase in sorted(built.phases - {FIGURES}))
        key = (behaviour, *sorted(built.phases), *contents)
        if key not in self._open:
            while len(self._open) >= MOST_OPEN:
                del self._open[next(iter(self._open))]
            self._open[key] = built, features.Pages(built)
        return self._open[key]


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f"feature {text!r}", expected="a number")
    return int(text)
