"""A phase's output as one ordinary Zarr v3 hierarchy, which xarray opens where there is no circuitstore.

The arrays are those of `circuitstore.open`, written by xarray and zarr-python. Whatever has a specification
is what other readers of Zarr know, so text is of the data type `string`. A sparse variable is written as the
table of its entries, for dense it can be larger than any disk.

The hierarchy is made in a hidden folder beside its destination and renamed at the end. Nothing half-written
is ever found under the name that was asked for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
import zipfile

import msgspec
import numpy as np
import xarray as xr

from circuitstore.errors import InputError
from circuitstore.results.entries import open_entries, sparse_names
from circuitstore.results.folder import above
from circuitstore.results.open import opened_from
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.names import FILE_NAME, is_file_name, shown
from circuitstore.storage.refs import Name

ENDINGS = {"zarr": ".zarr", "zip": ".zarr.zip"}  # format → how a destination that nobody named ends
DENSE = "dense"  # the group of what a phase with a sparse variable has beside it
LEDGER = "artifacts"  # the attribute with all that the arrays were made from
METADATA = "zarr.json"
MARKS = {"phase", "behaviour", "key", "content", LEDGER}


def write_arrays(
    store: Store,
    name: Name,
    artifact: Artifact,
    destination: str,
    *,
    zipped: bool = False,
    force: bool = False,
) -> None:
    """Write an artifact to a folder, or to one zip file.

    One variable at a time is in memory. Raises InputError where something lies already, unless it is such an
    export and `force` is given, and where nothing can be written; DamageError.
    """
    destination = os.path.normpath(destination)
    _refuse_present(destination, force)
    tree = arrays(store, name, artifact)
    folder, last = os.path.split(os.path.abspath(destination))
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=folder, prefix=f".{last}.", ignore_cleanup_errors=True
        ) as scratch:
            draft = os.path.join(scratch, "new")
            _write(tree, draft)
            if zipped:
                draft = _zip(draft, os.path.join(scratch, "new.zip"))
            _publish(draft, destination, f"{scratch}.old")
    except OSError as error:
        expected = "a place that can be written"
        raise InputError(destination, expected=expected, got=error.strerror or error) from error


def arrays(store: Store, name: Name, artifact: Artifact) -> xr.DataTree:
    """What is written: the output as `open` gives it, or the entries of its sparse variable.

    Its other variables then have the group `dense`. They are not the root, for a group inherits the
    coordinates above it, and `prompt` would be those and not a column of the table.

    Attributes of the root also have, as JSON, every artifact above this one with the code, settings and
    weights of its key. Raises UsageError for several sparse variables, InputError for a cell
    whose name cannot be a folder's, as in a store of strangers, DamageError.
    """
    artifacts = {name.behaviour: artifact}
    opened = opened_from(store, name.profile, artifacts)
    if isinstance(opened, xr.Dataset) and (sparse := sparse_names(store, artifact)):
        groups = {"/": open_entries(store, artifacts, name.profile), DENSE: opened.drop_vars(sparse)}
        opened = xr.DataTree.from_dict(groups)
    elif isinstance(opened, xr.Dataset):
        opened = xr.DataTree(opened)
    for node in opened.subtree:
        if node.name is not None and not is_file_name(node.name, ending=True):
            raise InputError(f"a name in {artifact.phase}", expected=FILE_NAME, got=shown(node.name))
        node.dataset = _portable(node.to_dataset(inherit=False))
    opened.attrs[LEDGER] = msgspec.json.encode(above(store, artifact, {})).decode()
    return opened


def _write(tree: xr.DataTree, folder: str) -> None:
    """The tree as Zarr v3. No chunk is left out: one that is lost later must not read as zeros.

    Metadata are also written together. That is no part of the format yet, as zarr-python warns, and readers
    may ignore it. Without it xarray warns whoever opens the arrays.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", category=UserWarning)
        tree.to_zarr(folder, mode="w-", zarr_format=3, consolidated=True, write_empty_chunks=True)


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


def _refuse_present(destination: str, force: bool) -> None:
    if not os.path.lexists(destination):
        return
    if not _is_export(destination):
        remedy = "name another; only an earlier export of arrays can be replaced"
        raise InputError(destination, expected="nothing there yet", got="something else", remedy=remedy)
    if not force:
        remedy = "name another, or pass --force to replace it"
        raise InputError(destination, expected="nothing there yet", got="an earlier export", remedy=remedy)


def _is_export(path: str) -> bool:
    """Whether a path is an export of arrays and nothing else: no link, and without files of one's own."""
    if os.path.islink(path):
        return False
    try:
        if os.path.isdir(path):
            with open(os.path.join(path, METADATA), "rb") as file:
                text = file.read()
            names = [
                os.path.relpath(os.path.join(at, file), path)
                for at, _, files in os.walk(path)
                for file in files
            ]
        else:
            with zipfile.ZipFile(path) as archive:
                text, names = archive.read(METADATA), archive.namelist()
        attributes = msgspec.json.decode(text)["attributes"]
        return attributes.keys() >= MARKS and all(map(_is_of_zarr, names))
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_of_zarr(name: str) -> bool:
    """Whether a file is metadata, or a chunk: those lie in the folder `c` of an array, or are called so."""
    *folders, last = name.replace(os.sep, "/").split("/")
    return last in (METADATA, "c") or "c" in folders


def _zip(folder: str, path: str) -> str:
    """The files of a folder in one file, as they are; with the same bytes for the same files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for at, inner, files in os.walk(folder):
            inner.sort()
            for file in sorted(files):
                source = os.path.join(at, file)
                info = zipfile.ZipInfo(os.path.relpath(source, folder).replace(os.sep, "/"))
                with open(source, "rb") as data:
                    archive.writestr(info, data.read())
    return path


def _publish(draft: str, destination: str, old: str) -> None:
    """Rename what is finished to its destination, in place of an earlier export.

    A file is replaced in one step. A folder is moved to `old` first, and back if anything goes wrong.
    """
    if not os.path.isdir(destination):
        os.replace(draft, destination)
        return
    os.rename(destination, old)
    try:
        os.rename(draft, destination)
    except BaseException as error:
        _move_back(old, destination, error)
        raise
    shutil.rmtree(old)


def _move_back(old: str, destination: str, error: BaseException) -> None:
    try:
        os.rename(old, destination)
    except OSError:
        got, remedy = getattr(error, "strerror", None) or error, f"the earlier export is now {old}"
        raise InputError(destination, expected="a place to rename to", got=got, remedy=remedy) from error
