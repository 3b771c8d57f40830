"""What a model is, by its config.json: what a reader of results must know of it, and no weights."""

from __future__ import annotations

from typing import Any

from circuitstore.engine.task import Sources
from circuitstore.hub.place import Place
from circuitstore.models.config import CONFIG
from tasks.inputs.model_config import config, layer_count

KIND = "architecture"
HEAD = "ForCausalLM"  # what transformers puts behind the name of an architecture


def identity(place: Place) -> dict[str, Any]:
    """Keys name, layers, d_model; repo and commit as well of a repository of the hub. Raises ModelError."""
    return place.pinned(KIND) or _said(place)


def load(place: Place) -> dict[str, Any]:
    """The same. Raises ModelError."""
    return identity(place)


def keep(place: Place) -> None:
    """Let the store keep what the model was. Raises ModelError, StoreError."""
    place.pin(KIND, identity(place))


def sources(place: Place) -> Sources:
    """config.json. Raises ModelError."""
    return Sources([], consulted=[place.path(CONFIG)])


def _said(place: Place) -> dict[str, Any]:
    layers, said = layer_count(place), config(place)
    classes = said.get("architectures")
    first = classes[0] if isinstance(classes, list) and classes else said.get("model_type", "")
    return {
        **place.origin,
        "name": str(first).removesuffix(HEAD),
        "layers": layers,
        "d_model": said["hidden_size"],
    }
