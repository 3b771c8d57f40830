"""Which file holds the transcoder of which layer: config.yaml, or names. Imports no torch.

config.yaml lists one safetensors file a layer under ``transcoders``: a path relative to it, or an address of
the Hugging Face hub, ``hf://owner/repo/path?revision=…`` or ``hf://owner/repo@revision/path``. Without a
list, files are ``layer_0.safetensors``, ``layer_1.safetensors``, … beside it. Source: circuit-tracer,
`utils/hf_utils.py`, whose repositories are in this form.

Where a layer is cut into several files, its index stands for it (`shards`):
``layer_0.safetensors.index.json``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from circuitstore.errors import ModelError
from circuitstore.models.shards import FILE, INDEX

CONFIG = "config.yaml"
_ADDRESS = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<at>[\w.-]+))?/(?P<path>[^?]+?)(\?revision=(?P<revision>[\w./-]+))?"
)


@dataclass(frozen=True)
class Entry:
    """One file of a list: ``path`` in a repository of the hub, or relative to config.yaml when ``repo`` is
    empty.
    """

    path: str
    repo: str = ""
    revision: str = ""  # "" where none is given


def parse_config(source: bytes, where: str) -> dict:
    """A config.yaml's mapping. Raises ModelError, naming ``where``."""
    import yaml  # 15 ms, which a build with nothing to do should not pay

    try:
        config = yaml.safe_load(source.decode()) or {}
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(where, expected="readable YAML", got=str(error).splitlines()[0]) from error
    if not isinstance(config, dict):
        raise ModelError(where, expected="a mapping", got=type(config).__name__)
    return config


def read_config(folder: str | os.PathLike[str]) -> dict:
    """The config.yaml of a folder; empty when there is none. Raises ModelError."""
    path = os.path.join(folder, CONFIG)
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, "rb") as file:
            return parse_config(file.read(), path)
    except OSError as error:
        raise ModelError(path, expected="a readable file", got=error.strerror or error) from error


def listed(config: dict, where: str) -> list[Entry] | None:
    """The files that a config.yaml lists, layer by layer; None when it lists none. Raises ModelError."""
    names = config.get("transcoders")
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ModelError(f"transcoders in {where}", expected="a list of files", got=names)
    return [_entry(name, where) for name in names]


def layers(names: Iterable[str], where: str) -> list[str]:
    """Of these names those of layers, in order, a file before an index. Raises ModelError when one is
    missing.
    """
    ordered = sorted(names, key=len, reverse=True)
    found = {
        int(m[1]): name
        for name in ordered
        if (m := re.fullmatch(r"layer_(\d+)\.safetensors(\.index\.json)?", name))
    }
    n_layers = max(found, default=0) + 1
    if missing := [i for i in range(n_layers) if i not in found]:
        raise ModelError(
            f"transcoders in {where}", expected=f"layer_{missing[0]}.safetensors", got="no such file"
        )
    return [found[i] for i in range(n_layers)]


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
