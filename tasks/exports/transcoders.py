"""Trained transcoders as a folder that a profile may name: config.yaml and one safetensors file a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.refs import Name
from circuitstore.transcoders.formats import TENSORS, config_yaml, layer_file


def files(
    store: Store, name: Name, artifact: Artifact, formats: tuple[str, ...], prompts: tuple[str, ...]
) -> Mapping[str, bytes]:
    """File name → bytes: config.yaml and layer_0.safetensors, layer_1.safetensors, ….

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
        self.config = config_yaml(f"circuitstore/{profile}", len(self.cells), top_k).encode()

    def __getitem__(self, name: str) -> bytes:
        from safetensors.numpy import save

        if name == "config.yaml":
            return self.config
        layer = reader(self.store, self.cells[name].object).cell(self.cells[name].row)
        tensors = {file: layer[variable].values for variable, file in TENSORS.items() if variable in layer}
        return save(tensors, {"format": "pt"})

    def __len__(self) -> int:
        return 1 + len(self.cells)

    def __iter__(self) -> Iterator[str]:
        return iter(("config.yaml", *self.cells))
