"""Attribution graphs as JSON of circuit-tracer and Neuronpedia, or as GraphML, one file a prompt."""

from __future__ import annotations

import circuitstore.results.open as results
from circuitstore.errors import UsageError
from circuitstore.results.graph_file import FORMATS, to_bytes
from circuitstore.results.interchange import to_file, to_graphml
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.refs import Name, names

__all__ = ["FORMATS", "files"]

LABELLING = "interpretation"


def files(
    store: Store, name: Name, artifact: Artifact, formats: tuple[str, ...], prompts: tuple[str, ...]
) -> dict[str, bytes]:
    """File name → bytes of the graph of every prompt, or of these; JSON when no format is named.

    Features carry the reviewer's label, else the automatic one, where features were interpreted. Raises
    UsageError for a prompt that there is not, DamageError.
    """
    cells = {str(cell.coords["prompt"]): cell for cell in artifact.cells}
    if unknown := [prompt for prompt in prompts if prompt not in cells]:
        known = ", ".join(list(cells)[:3])
        raise UsageError(f"--prompt {unknown[0]}", expected=f"one of {len(cells)} prompts ({known}, …)")
    threshold, labels = artifact.components.config.get("node_threshold"), _labels(store, name)
    made: dict[str, bytes] = {}
    for prompt in prompts or cells:
        graph = reader(store, cells[prompt].object).cell(cells[prompt].row)
        if "json" in formats or not formats:
            slug = f"{name.behaviour}-{prompt}"
            file = to_file(graph, slug=slug, scan=name.profile, node_threshold=threshold, labels=labels)
            made[f"{prompt}.json"] = to_bytes(file)
        if "graphml" in formats:
            made[f"{prompt}.graphml"] = to_graphml(graph)
    return made


def _labels(store: Store, name: Name) -> dict[tuple[int, int], str]:
    """(layer, feature) → the reviewer's label, else the automatic one.

    It is empty where features were not interpreted.
    """
    profile, behaviour = name.profile, name.behaviour
    if Name(profile, behaviour, LABELLING) not in names(store):
        return {}
    units = results.open(LABELLING, behaviour=behaviour, store=store.root, profile=profile)
    columns = [units[name].to_numpy().tolist() for name in ("layer", "feature", "reviewer_label", "label")]
    rows = zip(*columns, strict=True)
    return {(layer, feature): reviewed or automatic for layer, feature, reviewed, automatic in rows}
