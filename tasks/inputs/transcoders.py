"""Transcoders: what they are, and the transcoders that load from their files (`transcoder_files`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from circuitstore.engine.task import Sources
from circuitstore.hub.place import Place
from circuitstore.models.config import CONFIG as MODEL_CONFIG
from circuitstore.models.device import choose, limit_threads
from tasks.inputs import model_config
from tasks.inputs.transcoder_files import config, files, layer_files
from tasks.parts.layers import layer_range

if TYPE_CHECKING:
    from circuitstore.transcoders.per_layer import Transcoders

KIND = "transcoders"


def identity(place: Place, k: int | None = None) -> dict[str, Any]:
    """What the transcoders are: the digest of each file, of all layers, and ``k`` where it is a setting.

    Raises ModelError.
    """
    known = _known(place)
    return known if k is None else {**known, "k": k}


def _known(place: Place) -> dict[str, Any]:
    return place.pinned(KIND) or files(place).identity()


def chosen(model: Place, layers: str) -> list[int] | None:
    """The layers in use, by a setting such as "10-24"; None for all of them if it is empty."""
    return layer_range(layers, model_config.layer_count(model)) if layers else None


def sources(place: Place, model: Place) -> Sources:
    """What loading reads on this machine; of the model, what says how large it is. Raises ModelError."""
    return files(place).sources()._replace(consulted=[model.path(MODEL_CONFIG)])


def load(
    place: Place, model: Place, layers: str, device: str, threads: int, k: int | None = None
) -> Transcoders:
    """The transcoders of these layers ("": all), which must fit the model. Raises ModelError, UsageError."""
    limit_threads(threads)
    return _opened(place, model, chosen(model, layers), device, k)


def keep(place: Place) -> None:
    """Let the store keep what the transcoders were. Raises ModelError, StoreError."""
    place.pin(KIND, _known(place))
    for linked in layer_files(place):
        if linked is not None and linked.place != place:
            linked.place.pin("linked", {})


def check(place: Place, model: Place, layers: str, device: str, k: int | None = None) -> list[str]:
    """Raise ModelError for what `load` could not use; what a user should know all the same, in lines."""
    config(place, k)
    chosen_layers = chosen(model, layers)
    wanted = files(place, chosen_layers)
    notes = wanted.check()
    if not wanted.missing():
        _opened(place, model, chosen_layers, device, k)
    return notes


def _opened(place: Place, model: Place, layers: list[int] | None, device: str, k: int | None) -> Transcoders:
    from circuitstore.transcoders.per_layer import Transcoders

    files(place, layers).fetch()
    paths = [None if file is None else file.place.path(file.name) for file in layer_files(place)]
    opened = Transcoders.open(place.path(""), files=paths, k=k, layers=layers, device=choose(device))
    size = model_config.config(model)
    opened.check_fits(size["num_hidden_layers"], size["hidden_size"])
    return opened
