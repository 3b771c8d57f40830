"""A model's config.json: what other inputs have to know of a model."""

from __future__ import annotations

from typing import Any

from circuitstore.errors import ModelError
from circuitstore.hub.place import Place
from tasks.inputs.files import parsed, required

CONFIG = "config.json"
REMEDY = "name a downloaded model folder, or a repository of one"


def config(place: Place) -> dict[str, Any]:
    """What config.json says. Raises ModelError."""
    required(place, [CONFIG], "model", REMEDY)
    return parsed(place, CONFIG)


def layer_count(place: Place) -> int:
    """Number of layers by config.json, which must also give the model's width. Raises ModelError."""
    settings = config(place)
    for name in ("num_hidden_layers", "hidden_size"):
        if not isinstance(settings.get(name), int):
            raise ModelError(f"{CONFIG} in {place}", expected=name, got=settings.get(name))
    return int(settings["num_hidden_layers"])
