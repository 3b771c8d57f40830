"""A language model: which files make it, and the model that loads from them.

Its tokenizer belongs to it: phases that read the model decode tokens with it. Weights are one file, or all
files that an index names; the one file goes first, as in transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from circuitstore.engine.task import Sources
from circuitstore.hub.place import Place
from circuitstore.models import shards
from circuitstore.models.config import CONFIG
from circuitstore.models.device import choose, limit_threads
from tasks.inputs import tokenizer
from tasks.inputs.files import File, Files, of, required
from tasks.inputs.model_config import config, layer_count

if TYPE_CHECKING:
    from circuitstore.models.load import LanguageModel

KIND = "model"
WEIGHTS, INDEX = "model.safetensors", f"model{shards.INDEX}"
REMEDY = "download the safetensors files (pickled weights are never loaded)"


def files(place: Place) -> Files:
    """The files that loading the model opens: configuration, weights, tokenizer. Raises ModelError."""
    weights = required(place, weight_names(place), "model weights", REMEDY)
    return of(place, [File(place, CONFIG), *weights, *tokenizer.files(place).files])


def weight_names(place: Place) -> list[str]:
    """The files of the weights, an index first if there is one, whether or not all are there.

    Raises ModelError.
    """
    if place.has(WEIGHTS) or not place.has(INDEX):
        return [WEIGHTS]
    return [INDEX, *shards.files(place.read(INDEX), f"{INDEX} in {place}")]


def identity(place: Place, dtype: str) -> dict[str, Any]:
    """What the model is: the digest of each file, its layers, and the dtype. Raises ModelError."""
    return {**_known(place), "dtype": dtype}


def _known(place: Place) -> dict[str, Any]:
    if (pinned := place.pinned(KIND)) is not None:
        return pinned
    layers = layer_count(place)  # first, for its error is the clearest where there is no model at all
    return {**files(place).identity(), "layers": layers}


def sources(place: Place) -> Sources:
    """What loading reads on this machine. Raises ModelError."""
    return files(place).sources()


def load(place: Place, dtype: str, device: str, threads: int) -> LanguageModel:
    """The model in a dtype on a device, with so many threads (0: torch's choice). Raises ModelError."""
    from circuitstore.models.load import load_model

    limit_threads(threads)
    wanted = files(place)
    wanted.fetch()
    with wanted.view() as folder:
        model = load_model(folder, dtype=dtype, device=choose(device))
    return model


def keep(place: Place) -> None:
    """Let the store keep what the model was. Raises ModelError, StoreError."""
    place.pin(KIND, _known(place))


def check(place: Place, device: str) -> list[str]:
    """Raise ModelError for what `load` could not use; what a user should know all the same, in lines."""
    from circuitstore.models.families import family_of
    from circuitstore.models.load import check_model

    family_of(str(config(place).get("model_type", "nothing named model_type")))
    wanted = files(place)
    notes = wanted.check()
    if not wanted.missing():
        with wanted.view() as folder:
            check_model(folder, device=choose(device))
    return notes
