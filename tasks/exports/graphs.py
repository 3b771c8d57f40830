"""Attribution graphs as JSON of circuit-tracer and Neuronpedia, or as GraphML, one file a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from circuitstore.errors import unknown
from circuitstore.results.graph_file import FORMATS, GraphFile, to_bytes
from circuitstore.results.interchange import Labels, to_file, to_graphml
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.refs import Name
from tasks.exports.feature_labels import labels
from tasks.parts.turns import turns_of

if TYPE_CHECKING:
    import xarray as xr

PICTURES = ("png", "svg", "pdf")

__all__ = ["FORMATS", "files"]


def files(
    store: Store,
    name: Name,
    artifact: Artifact,
    formats: tuple[str, ...],
    prompts: tuple[str, ...],
    scan: str = "",
) -> dict[str, bytes]:
    """File name → bytes of the graph of every prompt, or of these; JSON when no format is named.

    Features carry the reviewer's label, else the automatic one, where features were interpreted. `scan` is
    what the files call the model and its transcoders, else the profile's name. Raises UsageError for a prompt
    that there is not, DamageError.
    """
    made: dict[str, bytes] = {}
    if "json" in formats or not formats:
        for prompt, file in graph_files(store, name, artifact, prompts, scan):
            made[f"{prompt}.json"] = to_bytes(file)
    if "graphml" in formats:
        for prompt, graph, labelled in _graphs(store, name, artifact, prompts):
            made[f"{prompt}.graphml"] = to_graphml(graph, labelled)
    if pictures := [kind for kind in PICTURES if kind in formats]:
        from tasks.exports.graph_pictures import picture, short_labels

        origin = {name.phase: artifact.content}
        short = short_labels(store, name, artifact.components.resources["transcoders"])
        turns = _turns(store, artifact)
        for prompt, graph, _ in _graphs(store, name, artifact, prompts):
            given = (prompt, origin, short, turns.get(prompt, ()))
            made |= {f"{prompt}.{kind}": picture(graph, kind, *given) for kind in pictures}
    return made


def _turns(store: Store, artifact: Artifact) -> dict[str, list[str]]:
    """Prompt → whose turn each of its tokens is, of the prompts that graphs were computed from."""
    made_from = read_artifact(store, artifact.upstream["prompts"])
    cells = made_from.cells if made_from is not None else ()
    return {str(cell.coords["prompt"]): turns_of(reader(store, cell.object).cell(cell.row)) for cell in cells}


def graph_files(
    store: Store, name: Name, artifact: Artifact, prompts: tuple[str, ...], scan: str = ""
) -> Iterator[tuple[str, GraphFile]]:
    """(prompt, graph as a file of circuit-tracer) of every prompt, or of these. Raises as `files`."""
    threshold = artifact.components.config.get("node_threshold")
    for prompt, graph, labelled in _graphs(store, name, artifact, prompts):
        slug, model = f"{name.behaviour}-{prompt}", scan or name.profile
        yield prompt, to_file(graph, slug=slug, scan=model, node_threshold=threshold, labels=labelled)


def _graphs(
    store: Store, name: Name, artifact: Artifact, prompts: tuple[str, ...]
) -> Iterator[tuple[str, xr.Dataset, Labels]]:
    """(prompt, graph, labels of its features) of every prompt, or of these."""
    cells = {str(cell.coords["prompt"]): cell for cell in artifact.cells}
    if wrong := [prompt for prompt in prompts if prompt not in cells]:
        raise unknown("--prompt", wrong[0], cells)
    transcoders = artifact.components.resources["transcoders"]
    named = labels(store, name.profile, name.behaviour, transcoders)
    for prompt in prompts or cells:
        yield prompt, reader(store, cells[prompt].object).cell(cells[prompt].row), named
