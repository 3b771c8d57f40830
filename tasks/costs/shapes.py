"""How large a profile's model, transcoders and prompts are, told from file headers or from tables.

Each size comes from the first of these that knows it: the model's `config.json` and the headers of the
safetensors files, if they are on this machine; the profile's `[shape]`; `shapes.toml`, by the profile's name.
No weight is read, and torch is not imported.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from circuitstore.errors import InputError, UsageError
from circuitstore.hub import cache
from circuitstore.models.config import CONFIG, names_below, read_config
from circuitstore.models.shards import FILE
from circuitstore.storage.layout import Store
from circuitstore.transcoders import formats, layouts
from tasks.inputs import model as models
from tasks.inputs import own_prompts
from tasks.inputs.places import Folder
from tasks.parts.layers import layer_range
from tasks.settings.model import Model, Shape, Transcoders
from tasks.settings.phases import Activations, Prompts
from tasks.settings.profile import Profile
from tasks.settings.selection import Selection

HERE = os.path.dirname(os.path.abspath(__file__))

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
STORED = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
IN_CONFIG = {
    "layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "d_mlp": "intermediate_size",
    "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
}
PIECE = re.compile(r" ?[^\W\d]+|\d| ?[^\s\w]+|\s+")  # nearly what Qwen's tokenizer makes of common words


class Files(msgspec.Struct, frozen=True):
    """Bytes of the files of a model or of the transcoders in use, and how many of them are here.

    size is None if it is unknown.
    """

    size: int | None
    present: int

    @property
    def here(self) -> bool:
        return self.size is not None and self.present >= self.size

    @property
    def missing(self) -> int | None:
        return None if self.size is None else max(self.size - self.present, 0)


class Sizes(msgspec.Struct, frozen=True):
    """The sizes of what a profile names."""

    shape: Shape
    model: Files
    transcoders: Files

    @property
    def missing(self) -> list[str]:
        """Sizes without which nothing can be reckoned, by name."""
        return [name for name in (*IN_CONFIG, "dtype", "features") if getattr(self.shape, name) is None]


def sizes(name: str, profile: Profile) -> Sizes:
    """The sizes of a profile. Raises InputError for a file that is there and cannot be read."""
    folder = local_folder(profile.model)
    weights = _weights(folder)
    model = [path for path in weights if os.path.isfile(path)]
    coders_folder = local_folder(profile.transcoders)
    transcoders = _transcoder_files(coders_folder)
    stated = {**_of_model(folder, model), **_of_transcoder(transcoders)}
    shape = msgspec.convert({**tables().get(name, {}), **_known(profile.shape), **stated}, Shape)
    layers = layer_range(profile.of(Activations).layers, shape.layers or 0) if shape.layers else []
    used = [path for path in transcoders if _layer(os.path.relpath(path, coders_folder)) in (None, *layers)]
    present = [sum(map(os.path.getsize, files)) for files in (model, used)]
    whole = present[0] if model and model == weights else _model_bytes(shape)
    coders = present[1] if used and len(used) >= len(layers) else _transcoder_bytes(shape, layers)
    return Sizes(shape, Files(whole, present[0]), Files(coders, present[1]))


def parameters(shape: Shape) -> int | None:
    """Parameters of a Qwen3 model (norms included), None if a size is unknown."""
    sides = [getattr(shape, name) for name in IN_CONFIG]
    if None in sides:
        return None
    layers, d_model, heads, kv_heads, head_dim, d_mlp, vocabulary, tied = map(int, sides)
    attention = d_model * head_dim * (2 * heads + 2 * kv_heads) + 2 * head_dim
    return (
        layers * (attention + 3 * d_model * d_mlp + 2 * d_model)
        + (1 if tied else 2) * vocabulary * d_model
        + d_model
    )


def lengths(selection: Selection) -> list[int]:
    """Tokens of each prompt, the prepended one included.

    They are counted by the model's tokenizer if it is here, else by words and marks.
    """
    profile = selection.profile
    if selection.prompts_file:
        texts = [row.text for row in own_prompts.read(selection.prompts_file)]
    else:
        from tasks.inputs.behaviour import declaration
        from tasks.inputs.draw import generate

        drawn = generate(
            declaration(selection.behaviour),
            train=profile.of(Prompts).train,
            test=profile.of(Prompts).test,
            seed=profile.of(Prompts).seed,
        )
        texts = [row.text for row in drawn]
    file = os.path.join(local_folder(profile.model), "tokenizer.json")
    extra = profile.of(Prompts).prepend != "none"
    if not os.path.isfile(file):
        return [len(PIECE.findall(text)) + extra for text in texts]
    from tokenizers import Tokenizer

    return [
        len(encoded.ids) + extra
        for encoded in Tokenizer.from_file(file).encode_batch(texts, add_special_tokens=False)
    ]


def tables() -> dict[str, dict[str, Any]]:
    """What is known of the models that come as profiles, by profile."""
    return _read_table("shapes.toml")


def _read_table(name: str) -> dict[str, dict[str, Any]]:
    with open(os.path.join(HERE, name), "rb") as file:
        return msgspec.toml.decode(file.read(), type=dict[str, dict[str, Any]])


def _known(struct: msgspec.Struct) -> dict[str, object]:
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if value is not None}


def local_folder(table: Model | Transcoders) -> str:
    """Where the files of a model or of transcoders lie, or would lie once they are downloaded."""
    subfolder = getattr(table, "subfolder", "")
    if not table.repo:
        return os.path.join(table.path, subfolder)
    commit = cache.commit_of(table.repo, table.revision) or table.revision  # which may be a commit itself
    return os.path.join(cache.storage(table.repo), "snapshots", commit, subfolder)


def _weights(folder: str) -> list[str]:
    """The files that hold a model's weights, whether or not they are here yet."""
    if not os.path.isdir(folder):
        return []
    names = models.weight_names(Folder(folder, Store(folder)))
    return [os.path.join(folder, name) for name in names if name != models.INDEX]


def _transcoder_files(folder: str) -> list[str]:
    """The files of weights in a folder of transcoders, in whatever layout."""
    try:
        names = names_below(folder, formats.MOST_FOLDERS)
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith((FILE, formats.ARCHIVE))]


def _of_model(folder: str, files: list[str]) -> dict[str, object]:
    """Sizes that the model's own files state."""
    if not files or not os.path.isfile(os.path.join(folder, CONFIG)):
        return {}
    config = read_config(folder)
    shape = {ours: config[theirs] for ours, theirs in IN_CONFIG.items() if config.get(theirs) is not None}
    if "head_dim" not in shape and "heads" in shape:
        shape["head_dim"] = shape["d_model"] // shape["heads"]
    shape.setdefault("tied", False)
    shape["dtype"] = _dtype(next(iter(header(files[0]).values())), files[0])
    return shape


def _layer(name: str) -> int | None:
    """The layer whose transcoder a file holds, whole or in part; None for one with a name of its own."""
    own = re.sub(r"-\d+-of-\d+(?=\.safetensors$)", "", name).replace("W_dec_", "W_enc_")
    found = (re.fullmatch(pattern, own.replace(os.sep, "/")) for pattern in formats.PATTERNS)
    return next((int(match[1]) for match in found if match), None)


def _of_transcoder(files: list[str]) -> dict[str, object]:
    """Sizes that the header of the first file with an encoder states, and whether it is cross-layer."""
    for path in files:
        tensors = _arrays(path) if path.endswith(formats.ARCHIVE) else header(path)
        for layout in layouts.LAYOUTS:
            by_role = {re.sub(r"_\d+$", "_{layer}", name): tensor for name, tensor in tensors.items()}
            if encoder := by_role.get(layout.tensors["W_enc"]):
                bias = by_role.get(layout.tensors["b_enc"], {"shape": encoder["shape"]})
                decoder = by_role.get(layout.tensors["W_dec"], {"shape": ()})
                cross = layout is layouts.CROSS_LAYER or len(decoder["shape"]) == 3
                sizes = {"features": bias["shape"][0], "transcoder_dtype": _dtype(encoder, path)}
                return {**sizes, "cross_layer": cross}
    if files:
        tensors = _arrays(files[0]) if files[0].endswith(formats.ARCHIVE) else header(files[0])
        got = ", ".join(sorted(tensors)) or "no tensors"
        raise InputError(files[0], expected="a transcoder with a tensor W_enc", got=got)
    return {}


def _arrays(path: str) -> dict[str, dict[str, Any]]:
    """Names, dtypes and shapes of an archive's arrays. Raises ModelError."""
    from circuitstore.transcoders import npz

    found = npz.members(Path(path)).items()
    return {name: {"dtype": one.stored_as, "shape": list(one.shape)} for name, one in found}


def header(path: str) -> dict[str, dict[str, Any]]:
    """Names, dtypes and shapes of a safetensors file's tensors. Raises InputError.

    They stand at the beginning: a length of eight bytes, then JSON. Source: safetensors, "Format".
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            source = file.read(min(length, os.path.getsize(path)))
            tensors = msgspec.json.decode(source, type=dict[str, dict[str, Any]])
    except (OSError, ValueError) as error:
        raise InputError(path, expected="a readable safetensors file", got=error) from error
    return {name: tensor for name, tensor in tensors.items() if name != "__metadata__"}


def _dtype(tensor: dict[str, Any], path: str) -> str:
    if tensor["dtype"] not in STORED:
        raise InputError(path, expected="tensors of dtype " + ", ".join(STORED), got=tensor["dtype"])
    return STORED[tensor["dtype"]]


def _model_bytes(shape: Shape) -> int | None:
    count = parameters(shape)
    return None if count is None or shape.dtype is None else count * BYTES[shape.dtype]


def _transcoder_bytes(shape: Shape, layers: list[int]) -> int | None:
    """Bytes of the transcoders of these layers, whose decoders may write to all layers above too."""
    if (
        shape.layers is None
        or shape.d_model is None
        or shape.features is None
        or shape.transcoder_dtype is None
    ):
        return None
    decoders = sum(shape.layers - layer if shape.cross_layer else 1 for layer in layers)
    matrices = (len(layers) + decoders) * shape.features * shape.d_model
    return (matrices + len(layers) * (shape.features + shape.d_model)) * BYTES[shape.transcoder_dtype]


def devices() -> dict[str, dict[str, float]]:
    """The devices that time can be estimated for, by name."""
    return _read_table("devices.toml")


def device(name: str) -> dict[str, float]:
    """One of them. Raises UsageError."""
    known = devices()
    if name not in known:
        raise UsageError(f"unknown device {name!r}", expected="one of " + ", ".join(known))
    return known[name]
