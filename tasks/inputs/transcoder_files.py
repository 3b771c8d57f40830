"""Which files make transcoders, told from names and small files alone.

config.yaml lists a file for each layer, or else files are found by their names
(`circuitstore.transcoders.formats`). A listed file may be in another repository of the hub, and then belongs
to that place. With it come the other files of its layer, and the configuration beside it, if there are any.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from circuitstore.hub.place import Place
from circuitstore.models import shards
from circuitstore.transcoders import formats
from tasks.inputs.files import File, Files, of, parsed, required

CONFIG = formats.CONFIG
REMEDY = "correct the profile's path, or download the whole repository into the folder"


def config(place: Place, k: int | None = None) -> dict[str, Any]:
    """What config.yaml says; empty when there is none. Raises ModelError for what is not understood.

    ``k`` is that of top-k transcoders whose config.yaml does not say it.
    """
    if not place.has(CONFIG):
        return {}
    content = parsed(place, CONFIG)
    formats.check_supported(content, f"{CONFIG} in {place}", k)
    return content


def layer_files(place: Place) -> list[File | None]:
    """The file of each layer, in order; an index where a layer is cut into several.

    None stands for a layer that has no transcoder. Raises ModelError.
    """
    listed = parsed(place, CONFIG) if place.has(CONFIG) else {}
    entries = formats.listed(listed, f"{CONFIG} in {place}")
    if entries is None:
        names = formats.layers(place.names(formats.MOST_FOLDERS), str(place))
        return [File(place, name) for name in names]
    files: list[File | None] = []
    for entry in entries:
        if entry is None:
            files.append(None)
            continue
        own = (place, entry.path)
        home, name = place.linked(entry.repo, entry.revision, entry.path) if entry.repo else own
        files += required(home, [name], "transcoder", REMEDY)
    return files


def files(place: Place, layers: Container[int] | None = None) -> Files:
    """The files that loading these layers (None: all) opens, config.yaml first. Raises ModelError."""
    wanted = [File(place, CONFIG)] if place.has(CONFIG) else []
    for layer, file in enumerate(layer_files(place)):
        if file is not None and (layers is None or layer in layers):
            wanted += [file, *beside(file)]
    return of(place, wanted)


def beside(file: File) -> list[File]:
    """The files of the same layer that lie beside one of its files."""
    place, name = file
    start, own = name[: name.rfind("/") + 1], name.rpartition("/")[2]
    names = formats.partners(own)
    if own.endswith(shards.INDEX):
        names = shards.files(place.read(name), f"{name} in {place}")
    companion = [each for each in formats.companions(own) if place.has(start + each)][:1]
    needed = [start + each for each in names]
    return required(place, needed, "transcoder", REMEDY) + [File(place, start + each) for each in companion]
