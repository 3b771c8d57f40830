"""The layout of a folder of transcoders: what its files are called, to read it and to write it.

config.yaml is that of circuit-tracer's repositories. It lists the files of layers under ``transcoders``,
layer by layer. An entry is a path relative to config.yaml, or an address of the Hugging Face hub,
``hf://owner/repo/path?revision=…`` or ``hf://owner/repo@revision/path``, or null for a layer that has no
transcoder (an extension: circuit-tracer reads sets of all layers only). Without a list, the files are found
by the names that sets give them (`PATTERNS`). Where a layer is cut into several files, its index stands for
it (`circuitstore.models.shards`): ``layer_0.safetensors.index.json``. What the files hold is told by their
tensors (`layouts`).

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
from circuitstore.models.config import names_below, parse_yaml, read_bytes
from circuitstore.models.hooks import ADDED, NORMALIZED, READS, WRITES, Hooks
from circuitstore.models.shards import FILE, INDEX
from circuitstore.transcoders.layouts import NATIVE

CONFIG = "config.yaml"
ARCHIVE = ".npz"
PER_LAYER, CROSS_LAYER = MODEL_KINDS = ("transcoder_set", "cross_layer_transcoder")
SUPPORTED = {  # key of config.yaml → the values that are understood; each may be left out
    "model_kind": MODEL_KINDS,
    "feature_input_hook": READS,
    "feature_output_hook": WRITES,
}
NAMES = ("model_name", "scan")  # keys of config.yaml that say what something is called, and compute nothing
ACTIVATION = ("activation", "k", "top_k")
KEYS = (*NAMES, *SUPPORTED, *ACTIVATION, "transcoders")
# Name in a dataset of trained transcoders → tensor in a file.
TENSORS = {role: name for role, name in NATIVE.tensors.items() if role != "k"}
KINDS = ("relu", "jumprelu", "topk")
PATTERNS = (  # of names, below the folder, of the files of one layer each; a set has files of one pattern
    r"layer_(\d+)\.safetensors(?:\.index\.json)?",  # circuit-tracer, per layer
    r"W_enc_(\d+)\.safetensors",  # circuit-tracer, cross-layer; beside W_dec_N.safetensors
    r"params_layer_(\d+)\.safetensors",  # Gemma Scope 2, cross-layer
    r"layer_(\d+)(?:_[^/]+)?/params\.safetensors",  # Gemma Scope 2, per layer
    r"layer_(\d+)/(?:[^/]+/)*params\.npz",  # Gemma Scope
    r"layers\.(\d+)\.mlp/sae\.safetensors",  # sparsify
    r"(?:blocks\.|layers\.|layer_)(\d+)[^/]*/sae_weights\.safetensors",  # SAELens
)
MOST_FOLDERS = 3  # that lie in one another, from a set to the file of a layer
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
    def of(cls, config: dict[str, Any], where: str, k: int | None = None) -> Activation:
        """Read the mapping of a config.yaml. ``k`` is that of top-k transcoders whose config.yaml lacks it.

        Raises ModelError for an unknown kind, for topk without k, and for a number that would be ignored.
        """
        kind = config.get("activation") or ""
        if kind not in ("", *KINDS):
            raise ModelError(f"activation in {where}", expected=" or ".join(KINDS), got=kind)
        if k is not None:
            said = kind or "relu" if config.get("top_k") is not None else kind
            if said not in ("", "topk") or config.get("k") not in (None, k):
                got = f"k: {config['k']}" if said == "topk" else f"activation: {said}"
                raise ModelError(
                    f"transcoders.k = {k} with {where}", expected="topk without k there", got=got
                )
            config = {**config, "activation": "topk", "k": k}
            kind = "topk"
        key, other = ("k", "top_k") if kind == "topk" else ("top_k", "k")
        if config.get(other) is not None:
            expected = f"{key} with activation {kind or 'relu or jumprelu'}"
            raise ModelError(f"{other} in {where}", expected=expected, got=f"{other}: {config[other]}")
        top_k = config.get(key)
        if (top_k is not None or kind == "topk") and (type(top_k) is not int or top_k < 1):
            got = "none" if top_k is None else top_k
            remedy = "say it with --set transcoders.k=NUMBER" if kind == "topk" and top_k is None else None
            raise ModelError(f"{key} in {where}", expected="a positive integer", got=got, remedy=remedy)
        return cls(kind, top_k)


def parse_config(source: bytes, where: str) -> dict[str, Any]:
    """The mapping in the bytes of a config.yaml. Raises ModelError, which names ``where``."""
    return parse_yaml(source, where)


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping in a folder's config.yaml; empty when there is no such file. Raises ModelError."""
    path = os.path.join(folder, CONFIG)
    return parse_config(read_bytes(path), path) if os.path.isfile(path) else {}


def check_supported(config: dict[str, Any], where: str, k: int | None = None) -> None:
    """Raise ModelError for a config.yaml that says anything which is not understood.

    That is an unknown key, another kind of transcoder, another place in the model, or an activation function
    that is not known. Ignoring any of these would compute another function than the one that was trained.
    ``k`` is that of top-k transcoders whose config.yaml lacks it.
    """
    if unknown := [str(key) for key in config if key not in KEYS]:
        got = f"unknown {some_of(unknown, 3, ', ')}"
        raise ModelError(where, expected="keys " + ", ".join(KEYS), got=got)
    for key in NAMES:
        if not isinstance(config.get(key, ""), str):
            raise ModelError(f"{key} in {where}", expected="text", got=config[key])
    Activation.of(config, where, k)
    for key, supported in SUPPORTED.items():
        if config.get(key, supported[0]) not in supported:
            raise ModelError(f"{key} in {where}", expected=" or ".join(supported), got=config[key])


def hooks(config: dict[str, Any], file: str, beside: Hooks | None, where: str) -> Hooks:
    """Where transcoders with this config.yaml, which is understood, read and write.

    ``beside`` are the hooks that the configuration beside the ``file`` of a layer states. What neither says
    is, for an archive of Gemma Scope, what its authors hard-code, and else the input and output of the MLP.
    Raises ModelError where the two differ.
    """
    default = Hooks(NORMALIZED, ADDED) if file.endswith(ARCHIVE) else Hooks()
    stated = default if beside is None else beside
    found = Hooks(
        config.get("feature_input_hook", stated.reads), config.get("feature_output_hook", stated.writes)
    )
    if beside is not None and found != beside:
        got = f"{beside.reads} and {beside.writes} in the configuration beside {file}"
        raise ModelError(f"hooks in {where}", expected=f"{found.reads} and {found.writes}", got=got)
    return found


def listed(config: dict[str, Any], where: str) -> list[Entry | None] | None:
    """The files that a config.yaml lists, layer by layer, None for a layer without a transcoder.

    None when there is no list. Raises ModelError.
    """
    names = config.get("transcoders")
    if names is None:
        return None
    if not isinstance(names, list) or not all(name is None or isinstance(name, str) for name in names):
        raise ModelError(f"transcoders in {where}", expected="a list of files", got=names)
    entries = [None if name is None else _entry(name, where) for name in names]
    if not any(entries):
        raise ModelError(f"transcoders in {where}", expected="a file of at least one layer", got=names)
    # Lists of Gemma Scope 2's cross-layer sets name the last file twice, for a loader that drops it.
    twice = entries[-1] is not None and entries[-2:-1] == entries[-1:]
    return entries[:-1] if twice else entries


def layers(names: Iterable[str], where: str) -> list[str]:
    """Those names that are files of a layer, by layer; a file goes before an index.

    Raises ModelError when a layer has no file or several, and for files of several patterns.
    """
    by_pattern: list[tuple[re.Pattern[str], dict[int, list[str]]]]
    by_pattern = [(re.compile(pattern), {}) for pattern in PATTERNS]
    for name in sorted(names, key=len, reverse=True):
        for pattern, found in by_pattern:
            if match := pattern.fullmatch(name):
                found.setdefault(int(match[1]), []).append(name)
    used = [found for _, found in by_pattern if found]
    remedy = "list one file a layer under transcoders in config.yaml"
    if len(used) > 1:
        got = " and ".join(next(iter(found.values()))[0] for found in used[:2])
        raise ModelError(f"transcoders in {where}", expected="files of one kind", got=got, remedy=remedy)
    name_of = used[0] if used else {}
    for layer in range(max(name_of, default=0) + 1):
        files = name_of.get(layer, [])
        if not files:
            expected = f"a file of layer {layer}, such as {layer_file(layer)}"
            raise ModelError(f"transcoders in {where}", expected=expected, got="no such file")
        if len({name.removesuffix(INDEX).removesuffix(FILE) for name in files}) > 1:
            got = some_of(sorted(files), 3, ", ")
            expected = f"one file of layer {layer}"
            raise ModelError(f"transcoders in {where}", expected=expected, got=got, remedy=remedy)
    return [min(name_of[layer], key=len) for layer in sorted(name_of)]


def partners(name: str) -> list[str]:
    """The names of the files that hold the rest of a layer, beside the file of this name."""
    encoder = re.fullmatch(r"W_enc_(\d+)\.safetensors", name)
    return [f"W_dec_{encoder[1]}{FILE}"] if encoder else []


def companions(name: str) -> tuple[str, ...]:
    """The names that a configuration beside the file of this name may have."""
    return ("cfg.json", "config.json") if name.startswith("params") else ("cfg.json",)


def companion_of(path: Path) -> Path | None:
    """The configuration beside a file, if there is one."""
    return next((each for each in map(path.with_name, companions(path.name)) if each.is_file()), None)


def layer_paths(folder: Path, config: dict[str, Any]) -> list[Path | None]:
    """The file of every layer of a folder with this config.yaml, None for a layer without a transcoder.

    Raises ModelError when one is missing.
    """
    entries = listed(config, str(folder / CONFIG))
    if entries is None:
        return [folder / name for name in layers(names_below(folder, MOST_FOLDERS), str(folder))]
    for entry in entries:
        if entry and not (folder / entry.path).is_file():
            raise ModelError(
                str(folder / entry.path),
                expected="a safetensors file that config.yaml lists",
                got="no such file",
                remedy="download the whole repository into the folder" if entry.repo else None,
            )
    return [None if entry is None else folder / entry.path for entry in entries]


def layer_file(layer: int) -> str:
    """The name of one layer's file."""
    return f"layer_{layer}{FILE}"


def config_yaml(name: str, files: Iterable[str | None], top_k: int | None = None) -> str:
    """The text of a config.yaml for transcoders of this name.

    ``files`` has the file of every layer of the model, None for one without a transcoder. ``top_k`` is how
    many activations of each position are kept, None for all.
    """
    lines = [f"model_name: {name}", *(f"{key}: {values[0]}" for key, values in SUPPORTED.items())]
    lines += [f"scan: {name}"]
    lines += [f"top_k: {top_k}"] if top_k else []
    lines += ["transcoders:", *(f"- {file or 'null'}" for file in files)]
    return "".join(f"{line}\n" for line in lines)


def _entry(name: str, where: str) -> Entry:
    address = _ADDRESS.fullmatch(name)
    if name.startswith("hf://") and address is None:
        raise ModelError(f"transcoders in {where}", expected="hf://owner/repo/path?revision=…", got=name)
    path = PurePosixPath(address["path"] if address else name)
    if path.is_absolute() or ".." in path.parts or (address is None and "://" in name):
        raise ModelError(f"transcoders in {where}", expected="paths inside the folder", got=name)
    if not path.name.endswith((FILE, INDEX, ARCHIVE)):
        raise ModelError(
            f"transcoders in {where}",
            expected="safetensors files or .npz archives (pickled weights are never loaded)",
            got=name,
        )
    if address is None:
        return Entry(str(path))
    return Entry(str(path), address["repo"], address["at"] or address["revision"] or "")
