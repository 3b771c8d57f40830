"""Where transcoders read and write: all that capturing a model's activations has to know of them."""

from __future__ import annotations

import os
from typing import Any

from circuitstore.engine.task import Sources
from circuitstore.errors import ModelError
from circuitstore.hub.place import Place
from circuitstore.models import shards
from circuitstore.models.hooks import Hooks
from circuitstore.transcoders import companions, formats
from tasks.inputs.files import File, parsed
from tasks.inputs.transcoder_files import CONFIG, beside, config, layer_files

KIND = "hooks"


def identity(place: Place, k: int | None = None) -> dict[str, Any]:
    """The hooks. ``k`` is that of top-k transcoders whose config.yaml lacks it. Raises ModelError."""
    return place.pinned(KIND) or vars(_hooks(place, k))


def load(place: Place, k: int | None = None) -> Hooks:
    """The hooks. Raises ModelError."""
    return Hooks(**identity(place, k))


def keep(place: Place, k: int | None = None) -> None:
    """Let the store keep what the hooks were. Raises ModelError, StoreError."""
    place.pin(KIND, identity(place, k))


def sources(place: Place) -> Sources:
    """config.yaml and the configuration beside the first layer's file. Raises ModelError."""
    found = [] if (companion := _companion(place)) is None else [companion]
    return Sources([], consulted=[file.place.path(file.name) for file in [File(place, CONFIG), *found]])


def _first(place: Place) -> File:
    """The file of the first layer that has a transcoder. Raises ModelError."""
    return next(file for file in layer_files(place) if file is not None)


def _companion(place: Place) -> File | None:
    """The configuration beside the file of the first layer."""
    names = (file for file in beside(_first(place)) if file.name.endswith(".json"))
    return next((file for file in names if not file.name.endswith(shards.INDEX)), None)


def _hooks(place: Place, k: int | None) -> Hooks:
    """The hooks; the common ones where there are no transcoders, so that a model alone can be captured."""
    try:
        first = _first(place).name
    except ModelError:
        return Hooks()
    said, stated = config(place, k), None
    if (companion := _companion(place)) is not None:
        home, name = companion
        folder = os.path.basename(os.path.dirname(home.path(name)))
        stated = companions.said(parsed(home, name), f"{name} in {home}", folder).hooks
    return formats.hooks(said, first, stated, f"{CONFIG} in {place}")
