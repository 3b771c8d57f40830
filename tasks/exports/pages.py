"""Pages of the explorer as files: one for each prompt's graph, and one for the behaviour as a whole.

A page is one HTML file that asks for nothing. It holds a graph, the features in it, and the graph of the
prompt's minimal pair to compare with. `index.html` holds the behaviour: its prompts, what each phase says,
the figures, and the aggregated graph with its features.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from circuitstore.errors import UsageError
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name
from circuitstore.viewer.bundle import pack
from circuitstore.viewer.graphs import FEATURE
from circuitstore.viewer.page import page
from tasks.exploring import behaviours, features, graphs, stores
from tasks.exploring.phases import CIRCUIT, INTERPRETATION, PAIRS, Built

FORMATS = ("pruned", "full")
INDEX = "index.html"
MOST_UNITS = 300  # features of the aggregated graph with a page of their own in the index


def files(
    store: Store, name: Name, artifact: Artifact, formats: tuple[str, ...], prompts: tuple[str, ...]
) -> dict[str, bytes]:
    """File name → bytes of the page of every prompt and of the index, or of these prompts alone.

    Format "pruned" holds what pruning kept of a graph, "full" all of it. Raises UsageError for a prompt that
    there is not and for two formats, DamageError.
    """
    if len(formats) > 1:
        raise UsageError("--format", expected="pruned or full", got="both")
    known = [str(prompt) for prompt in artifact.coordinates("prompt")]
    if unknown := [prompt for prompt in prompts if prompt not in known]:
        few = ", ".join(known[:3])
        raise UsageError(f"--prompt {unknown[0]}", expected=f"one of {len(known)} prompts ({few}, …)")
    pages = Pages(Built(store, name.profile, name.behaviour), pruned=formats != ("full",))
    pages.files = {f"graph/{name.behaviour}/{prompt}": f"{prompt}.html" for prompt in prompts or known}
    if not prompts:
        pages.files |= {f"{kind}/{name.behaviour}": INDEX for kind in ("circuit", "features")}
    made = {f"{prompt}.html": pages.of_prompt(prompt) for prompt in prompts or known}
    return made if prompts else {INDEX: pages.index()} | made


class Pages:
    """The pages of one behaviour. What several of them hold is packed once."""

    def __init__(self, built: Built, *, pruned: bool):
        self.built, self.pruned = built, pruned
        self.features = features.Pages(built)
        self.files: dict[str, str] = {}  # record → the page that holds it
        self._packed: dict[str, bytes] = {}
        self._graphs: dict[str, dict[str, Any]] = {}

    def of_prompt(self, prompt: str) -> bytes:
        """The page of one graph."""
        name = self.built.behaviour
        partner = str(self.built.rows[prompt].partner.values)
        shown = [each for each in (prompt, partner) if each and each in self.built.place]
        records = {f"graph/{name}/{each}": self._graph(each) for each in shown}
        records |= self._features(_features(self._graphs[prompt]))
        text = str(self.built.rows[prompt].text.values)
        return page(
            f"{text} · {name}", records | self._shared(), f"#/graph/{name}/{prompt}", files=self.files
        )

    def index(self) -> bytes:
        """The page of the behaviour, whose prompts lead to the pages of their graphs."""
        built, name = self.built, self.built.behaviour
        records = self._shared()
        for figure in behaviours.of_behaviour(built)["figures"]:
            records[f"figure/{name}/{figure['name']}"] = pack(behaviours.of_figure(built, figure["name"]))
        if {CIRCUIT, PAIRS} <= built.phases:
            circuit = graphs.aggregated(built)
            records[f"circuit/{name}"] = pack(circuit)
            records |= self._features(_features(circuit)[:MOST_UNITS])
        if INTERPRETATION in built.phases:
            records[f"features/{name}"] = pack(features.index(built))
        return page(f"{name} · {built.profile}", records, f"#/behaviour/{name}", files=self.files)

    def _shared(self) -> dict[str, bytes]:
        """What every page holds: the behaviour, and what its results were made from."""
        built, name = self.built, self.built.behaviour
        made: dict[str, Any] = {f"behaviour/{name}": lambda: behaviours.of_behaviour(built)}
        for phase in sorted(built.phases):
            made[f"provenance/{name}/{phase}"] = lambda phase=phase: stores.provenance(built, phase)
        return {key: self._once(key, make) for key, make in made.items()}

    def _once(self, key: str, make: Any) -> bytes:
        if key not in self._packed:
            self._packed[key] = pack(make())
        return self._packed[key]

    def _graph(self, prompt: str) -> bytes:
        def make() -> dict[str, Any]:
            self._graphs[prompt] = graphs.of_prompt(self.built, prompt, pruned=self.pruned)
            return self._graphs[prompt]

        return self._once(f"graph/{prompt}", make)

    def _features(self, pairs: Iterable[tuple[int, int]]) -> dict[str, bytes]:
        keys = {(layer, f): f"feature/{self.built.behaviour}/{layer}/{f}" for layer, f in pairs}
        return {
            key: self._once(key, lambda pair=pair: self.features.page(*pair)) for pair, key in keys.items()
        }


def _features(record: dict[str, Any]) -> list[tuple[int, int]]:
    """(layer, feature) of what pruning kept of a graph, by influence."""
    nodes = record["nodes"]
    order = (-nodes["influence"]).argsort(kind="stable").tolist()
    rows = [i for i in order if nodes["kind"][i] == FEATURE and nodes["kept"][i]]
    return list(dict.fromkeys((int(nodes["layer"][i]), int(nodes["feature"][i])) for i in rows))
