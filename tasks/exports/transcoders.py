"""Trained transcoders as a folder that a profile may name: config.yaml and one safetensors file a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.refs import Name
from circuitstore.transcoders.formats import TENSORS, config_yaml, layer_file

if TYPE_CHECKING:
    import xarray as xr


def files(
    store: Store, name: Name, artifact: Artifact, formats: tuple[str, ...], prompts: tuple[str, ...]
) -> Mapping[str, bytes]:
    """File name → bytes: config.yaml and layer_0.safetensors, layer_1.safetensors, … of the trained layers.

    The same weights give the same bytes.

    Raises DamageError when a file is asked for.
    """
    return _LayerFiles(store, artifact, name.profile)


class _LayerFiles(Mapping[str, bytes]):
    """The files, each made when it is asked for: all layers together may be larger than memory."""

    def __init__(self, store: Store, artifact: Artifact, profile: str):
        self.store = store
        self.cells = {layer_file(int(cell.coords["layer"])): cell for cell in artifact.cells}
        config = artifact.components.config
        top_k = config["k"] if config["kind"] == "topk" else None
        every = map(layer_file, range(int(self._layer(next(iter(self.cells))).n_layers)))
        listed = [name if name in self.cells else None for name in every]
        self.config = config_yaml(f"circuitstore/{profile}", listed, top_k).encode()

    def __getitem__(self, name: str) -> bytes:
        from safetensors.numpy import save

        if name == "config.yaml":
            return self.config
        layer = self._layer(name)
        tensors = {file: layer[variable].values for variable, file in TENSORS.items() if variable in layer}
        return save(tensors, {"format": "pt"})

    def _layer(self, name: str) -> xr.Dataset:
        return reader(self.store, self.cells[name].object).cell(self.cells[name].row)

    def __len__(self) -> int:
        return 1 + len(self.cells)

    def __iter__(self) -> Iterator[str]:
        return iter(("config.yaml", *self.cells))
