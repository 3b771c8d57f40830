"""A model's config.json: what other inputs have to know of a model."""

from __future__ import annotations

from typing import Any

from circuitstore.hub.place import Place
from circuitstore.models import config as configs
from circuitstore.models.config import CONFIG
from tasks.inputs.files import parsed, required

REMEDY = "name a downloaded model folder, or a repository of one"


def config(place: Place) -> dict[str, Any]:
    """What config.json says. Raises ModelError."""
    required(place, [CONFIG], "model", REMEDY)
    return parsed(place, CONFIG)


def layer_count(place: Place) -> int:
    """Number of layers by config.json, which must also give the model's width. Raises ModelError."""
    return configs.layer_count(config(place), f"{CONFIG} in {place}")
