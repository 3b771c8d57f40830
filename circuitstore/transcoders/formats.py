"""The layout of a folder of transcoders: what its files are called and hold, to read it and to write it.

The layout is that of circuit-tracer's repositories. One safetensors file a layer holds the tensors of
`TENSORS`. config.yaml lists these files under ``transcoders``, layer by layer. An entry is a path relative to
config.yaml, or an address of the Hugging Face hub, ``hf://owner/repo/path?revision=…`` or
``hf://owner/repo@revision/path``. Without a list, the files are ``layer_0.safetensors``,
``layer_1.safetensors``, … beside config.yaml. Where a layer is cut into several files, its index stands for
it (`circuitstore.models.shards`): ``layer_0.safetensors.index.json``.

This module imports no torch. Source: circuit-tracer, `utils/hf_utils.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from circuitstore.errors import ModelError, some_of
from circuitstore.models.config import parse_yaml, read_bytes
from circuitstore.models.shards import FILE, INDEX

CONFIG = "config.yaml"
SUPPORTED = {  # key of config.yaml → the only value that is understood; each may be left out
    "model_kind": "transcoder_set",
    "feature_input_hook": "mlp.hook_in",
    "feature_output_hook": "mlp.hook_out",
}
NAMES = ("model_name", "scan")  # keys of config.yaml that say what something is called, and compute nothing
ACTIVATION = ("activation", "k", "top_k")
KEYS = (*NAMES, *SUPPORTED, *ACTIVATION, "transcoders")
THRESHOLD = "activation_function.threshold"
TENSORS = {  # name in a dataset of trained transcoders → tensor in a file
    "W_enc": "W_enc",
    "b_enc": "b_enc",
    "W_dec": "W_dec",
    "b_dec": "b_dec",
    "threshold": THRESHOLD,
    "W_skip": "W_skip",
}
K = "k"  # a tensor of no axes that files of top-k transcoders may hold: config.yaml must say the same number
KINDS = ("relu", "jumprelu", "topk")
_ADDRESS = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<at>[\w.-]+))?/(?P<path>[^?]+?)(\?revision=(?P<revision>[\w./-]+))?"
)


@dataclass(frozen=True)
class Entry:
    """One file of a list: a path in a repository of the hub, or relative to config.yaml without ``repo``."""

    path: str
    repo: str = ""
    revision: str = ""  # "" where none is given


@dataclass(frozen=True)
class Activation:
    """What config.yaml says of the activation function.

    ``kind`` is one of `KINDS`, or empty where config.yaml does not say; a layer then is JumpReLU if its file
    has thresholds, else ReLU. ``top_k`` is how many activations of each position are kept, None for all.
    """

    kind: str = ""
    top_k: int | None = None

    @classmethod
    def of(cls, config: dict[str, Any], where: str) -> Activation:
        """Read the mapping of a config.yaml.

        Raises ModelError for an unknown kind, for topk without k, and for a number that would be ignored.
        """
        kind = config.get("activation") or ""
        if kind not in ("", *KINDS):
            raise ModelError(f"activation in {where}", expected=" or ".join(KINDS), got=kind)
        key, other = ("k", "top_k") if kind == "topk" else ("top_k", "k")
        if config.get(other) is not None:
            expected = f"{key} with activation {kind or 'relu or jumprelu'}"
            raise ModelError(f"{other} in {where}", expected=expected, got=f"{other}: {config[other]}")
        top_k = config.get(key)
        if (top_k is not None or kind == "topk") and (type(top_k) is not int or top_k < 1):
            got = "none" if top_k is None else top_k
            raise ModelError(f"{key} in {where}", expected="a positive integer", got=got)
        return cls(kind, top_k)


def parse_config(source: bytes, where: str) -> dict[str, Any]:
    """The mapping in the bytes of a config.yaml. Raises ModelError, which names ``where``."""
    return parse_yaml(source, where)


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping in a folder's config.yaml; empty when there is no such file. Raises ModelError."""
    path = os.path.join(folder, CONFIG)
    return parse_config(read_bytes(path), path) if os.path.isfile(path) else {}


def check_supported(config: dict[str, Any], where: str) -> None:
    """Raise ModelError for a config.yaml that says anything which is not understood.

    That is an unknown key, another kind of transcoder, another place in the model, or an activation function
    that is not known. Ignoring any of these would compute another function than the one that was trained.
    """
    if unknown := [str(key) for key in config if key not in KEYS]:
        got = f"unknown {some_of(unknown, 3, ', ')}"
        raise ModelError(where, expected="keys " + ", ".join(KEYS), got=got)
    for key in NAMES:
        if not isinstance(config.get(key, ""), str):
            raise ModelError(f"{key} in {where}", expected="text", got=config[key])
    Activation.of(config, where)
    for key, supported in SUPPORTED.items():
        if config.get(key, supported) != supported:
            raise ModelError(f"{key} in {where}", expected=supported, got=config[key])


def listed(config: dict[str, Any], where: str) -> list[Entry] | None:
    """The files that a config.yaml lists, layer by layer; None when it has no list. Raises ModelError."""
    names = config.get("transcoders")
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ModelError(f"transcoders in {where}", expected="a list of files", got=names)
    return [_entry(name, where) for name in names]


def layers(names: Iterable[str], where: str) -> list[str]:
    """Those names that are files of a layer, by layer; a file goes before an index.

    Raises ModelError when a layer has no file.
    """
    name_of: dict[int, str] = {}
    for name in sorted(names, key=len, reverse=True):
        if match := re.fullmatch(r"layer_(\d+)\.safetensors(\.index\.json)?", name):
            name_of[int(match[1])] = name
    n_layers = max(name_of, default=0) + 1
    for layer in range(n_layers):
        if layer not in name_of:
            raise ModelError(f"transcoders in {where}", expected=layer_file(layer), got="no such file")
    return [name_of[layer] for layer in range(n_layers)]


def layer_paths(folder: Path, config: dict[str, Any]) -> list[Path]:
    """The file of every layer of a folder with this config.yaml. Raises ModelError when one is missing."""
    entries = listed(config, str(folder / CONFIG))
    if entries is None:
        return [folder / name for name in layers((path.name for path in folder.iterdir()), str(folder))]
    for entry in entries:
        if not (folder / entry.path).is_file():
            raise ModelError(
                str(folder / entry.path),
                expected="a safetensors file that config.yaml lists",
                got="no such file",
                remedy="download the whole repository into the folder" if entry.repo else None,
            )
    return [folder / entry.path for entry in entries]


def layer_file(layer: int) -> str:
    """The name of one layer's file."""
    return f"layer_{layer}{FILE}"


def config_yaml(name: str, n_layers: int, top_k: int | None = None) -> str:
    """The text of a config.yaml for transcoders of this name.

    ``top_k`` is how many activations of each position they keep, None for all.
    """
    lines = [f"model_name: {name}", *(f"{key}: {value}" for key, value in SUPPORTED.items()), f"scan: {name}"]
    lines += [f"top_k: {top_k}"] if top_k else []
    lines += ["transcoders:", *(f"- {layer_file(layer)}" for layer in range(n_layers))]
    return "".join(f"{line}\n" for line in lines)


def _entry(name: str, where: str) -> Entry:
    address = _ADDRESS.fullmatch(name)
    if name.startswith("hf://") and address is None:
        raise ModelError(f"transcoders in {where}", expected="hf://owner/repo/path?revision=…", got=name)
    path = PurePosixPath(address["path"] if address else name)
    if path.is_absolute() or ".." in path.parts or (address is None and "://" in name):
        raise ModelError(f"transcoders in {where}", expected="paths inside the folder", got=name)
    if not path.name.endswith((FILE, INDEX)):
        raise ModelError(
            f"transcoders in {where}",
            expected="safetensors files (pickled weights are never loaded)",
            got=name,
        )
    if address is None:
        return Entry(str(path))
    return Entry(str(path), address["repo"], address["at"] or address["revision"] or "")
