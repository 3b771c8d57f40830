"""Transcoders: which files make them, and the transcoders that load from them.

config.yaml lists a file for each layer, or else files are numbered (`circuitstore.transcoders.formats`). A
listed file may be in another repository of the hub, and then belongs to that place. The index of a layer
that is cut into several files brings these along.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from circuitstore.engine.task import Sources
from circuitstore.hub.place import Place
from circuitstore.models import shards
from circuitstore.models.config import CONFIG as MODEL_CONFIG
from circuitstore.models.device import choose, limit_threads
from circuitstore.transcoders import formats
from tasks.inputs import model_config
from tasks.inputs.files import File, Files, of, parsed, required
from tasks.parts.layers import layer_range

if TYPE_CHECKING:
    from circuitstore.transcoders.per_layer import Transcoders

KIND = "transcoders"
CONFIG = formats.CONFIG
REMEDY = "correct the profile's path, or download the whole repository into the folder"


def config(place: Place) -> dict[str, Any]:
    """What config.yaml says; empty when there is none. Raises ModelError for what is not understood."""
    if not place.has(CONFIG):
        return {}
    content = parsed(place, CONFIG)
    formats.check_supported(content, f"{CONFIG} in {place}")
    return content


def layer_files(place: Place) -> list[File]:
    """The file of each layer, in order; an index where a layer is cut into several. Raises ModelError."""
    entries = formats.listed(config(place), f"{CONFIG} in {place}")
    if entries is None:
        return [File(place, name) for name in formats.layers(place.names(), str(place))]
    files = []
    for entry in entries:
        own = (place, entry.path)
        home, name = place.linked(entry.repo, entry.revision, entry.path) if entry.repo else own
        files += required(home, [name], "transcoder", REMEDY)
    return files


def files(place: Place, layers: Container[int] | None = None) -> Files:
    """The files that loading these layers (None: all) opens, config.yaml first. Raises ModelError."""
    wanted = [File(place, CONFIG)] if place.has(CONFIG) else []
    for layer, file in enumerate(layer_files(place)):
        if layers is None or layer in layers:
            wanted += [file, *_shards(file)]
    return of(place, wanted)


def _shards(index: File) -> list[File]:
    """The files beside an index that it names; none for a file that is no index."""
    place, name = index
    if not name.endswith(shards.INDEX):
        return []
    folder = name[: name.rfind("/") + 1]
    names = shards.files(place.read(name), f"{name} in {place}")
    return required(place, [folder + shard for shard in names], "transcoder", REMEDY)


def identity(place: Place) -> dict[str, Any]:
    """What the transcoders are: the digest of each file, of all layers. Raises ModelError."""
    return place.pinned(KIND) or files(place).identity()


def chosen(model: Place, layers: str) -> list[int] | None:
    """The layers in use, by a setting such as "10-24"; None for all of them if it is empty."""
    return layer_range(layers, model_config.layer_count(model)) if layers else None


def sources(place: Place, model: Place) -> Sources:
    """What loading reads on this machine; of the model, what says how large it is. Raises ModelError."""
    return files(place).sources()._replace(consulted=[model.path(MODEL_CONFIG)])


def load(place: Place, model: Place, layers: str, device: str, threads: int) -> Transcoders:
    """The transcoders of these layers ("": all), which must fit the model. Raises ModelError, UsageError."""
    limit_threads(threads)
    transcoders = _opened(place, model, chosen(model, layers), device)
    place.pin(KIND, identity(place))
    for linked in layer_files(place):
        if linked.place != place:
            linked.place.pin("linked", {})
    return transcoders


def check(place: Place, model: Place, layers: str, device: str) -> list[str]:
    """Raise ModelError for what `load` could not use; what a user should know all the same, in lines."""
    chosen_layers = chosen(model, layers)
    wanted = files(place, chosen_layers)
    notes = wanted.check()
    if not wanted.missing():
        _opened(place, model, chosen_layers, device)
    return notes


def _opened(place: Place, model: Place, layers: list[int] | None, device: str) -> Transcoders:
    from circuitstore.transcoders.per_layer import Transcoders

    files(place, layers).fetch()
    paths = [file.place.path(file.name) for file in layer_files(place)]
    opened = Transcoders.open(place.path(""), files=paths, layers=layers, device=choose(device))
    size = model_config.config(model)
    opened.check_fits(size["num_hidden_layers"], size["hidden_size"])
    return opened
