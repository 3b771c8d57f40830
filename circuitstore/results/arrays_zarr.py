"""Arrays as Zarr v3: a folder, or the same files in one zip file."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Sequence

import msgspec
import numpy as np
import xarray as xr

METADATA = "zarr.json"


def write_folder(tree: xr.DataTree, axes: Sequence[str], path: str) -> None:
    """The tree as Zarr v3. No chunk is left out: one that is lost later must not read as zeros.

    Metadata are also written together. That is no part of the format yet, as zarr-python warns, and readers
    may ignore it. Without it xarray warns whoever opens the arrays.
    """
    portable = xr.DataTree.from_dict(
        {node.path: _portable(node.to_dataset(inherit=False)) for node in tree.subtree}
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        portable.to_zarr(path, mode="w-", zarr_format=3, consolidated=True, write_empty_chunks=True)


def _portable(dataset: xr.Dataset) -> xr.Dataset:
    """The same with text as `string`, and a checksum in each chunk."""
    from zarr.codecs import ZstdCodec

    text = {
        name: (variable.dims, variable.values.astype(np.dtypes.StringDType()), variable.attrs)
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "UT"
    }
    dataset = dataset.assign_coords({name: text[name] for name in text if name in dataset.coords})
    dataset = dataset.assign({name: text[name] for name in text if name not in dataset.coords})
    for variable in dataset.variables.values():
        variable.encoding = {"compressors": (ZstdCodec(checksum=True),)}
    return dataset


def write_zip(tree: xr.DataTree, axes: Sequence[str], path: str) -> None:
    """The same files in one file, as they are; with the same bytes for the same files."""
    folder = f"{path}.folder"
    write_folder(tree, axes, folder)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for at, inner, files in os.walk(folder):
            inner.sort()
            for file in sorted(files):
                source = os.path.join(at, file)
                info = zipfile.ZipInfo(os.path.relpath(source, folder).replace(os.sep, "/"))
                with open(source, "rb") as data:
                    archive.writestr(info, data.read())


def names_in_folder(path: str) -> set[str]:
    """The names of the root's attributes; none where anything else lies in the folder."""
    with open(os.path.join(path, METADATA), "rb") as file:
        text = file.read()
    files = [
        os.path.relpath(os.path.join(at, file), path) for at, _, files in os.walk(path) for file in files
    ]
    return _names(text, files)


def names_in_zip(path: str) -> set[str]:
    """The same of a zip file."""
    with zipfile.ZipFile(path) as archive:
        return _names(archive.read(METADATA), archive.namelist())


def _names(metadata: bytes, files: Sequence[str]) -> set[str]:
    attributes = msgspec.json.decode(metadata)["attributes"]
    return set(attributes) if all(map(_is_of_zarr, files)) else set()


def _is_of_zarr(name: str) -> bool:
    """Whether a file is metadata, or a chunk: those lie in the folder `c` of an array, or are called so."""
    *folders, last = name.replace(os.sep, "/").split("/")
    return last in (METADATA, "c") or "c" in folders
