"""A phase's output as ordinary files, which other programs open where there is no circuitstore.

The arrays are those of `circuitstore.open`, as Zarr v3, NetCDF-4 or Parquet tables (`FORMATS`). Whatever has
a specification is what other readers know. A sparse variable is written as the table of its entries, for
dense it can be larger than any disk.

An export is made in a hidden folder beside its destination and renamed at the end. Nothing half-written
is ever found under the name that was asked for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import msgspec
import xarray as xr

from circuitstore.errors import InputError, UsageError
from circuitstore.results.arrays_netcdf import names_in_netcdf, write_netcdf
from circuitstore.results.arrays_parquet import names_in_tables, write_tables
from circuitstore.results.arrays_zarr import names_in_folder, names_in_zip, write_folder, write_zip
from circuitstore.results.entries import open_entries, sparse_names
from circuitstore.results.folder import above
from circuitstore.results.open import opened_from
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.names import FILE_NAME, is_file_name, shown
from circuitstore.storage.refs import Name

DENSE = "dense"  # the group of what a phase with a sparse variable has beside it
LEDGER = "artifacts"  # the attribute with all that the arrays were made from
MARKS = {"phase", "behaviour", "key", "content", LEDGER}

TREE = "xarray.open_datatree"


class Format(msgspec.Struct, frozen=True):
    """One way to write arrays.

    `write` takes the tree, the axes of its cells and a path that is not there. `names` gives the names of the
    attributes of what lies at a path, or fails if that is of no such format. `reading` is the Python that
    opens it, with {path}. `needs` are packages beside those that circuitstore needs, which the extra of the
    format's name installs.
    """

    ending: str  # of a destination that nobody named
    reading: str
    write: Callable[[xr.DataTree, Sequence[str], str], None]
    names: Callable[[str], set[str]]
    needs: tuple[str, ...] = ()


FORMATS = {
    "zarr": Format(".zarr", f"{TREE}({{path}}, engine='zarr')", write_folder, names_in_folder),
    "zip": Format(
        ".zarr.zip",
        f"{TREE}(zarr.storage.ZipStore({{path}}, mode='r'), engine='zarr')",
        write_zip,
        names_in_zip,
    ),
    "netcdf": Format(
        ".nc", f"{TREE}({{path}}, engine='netcdf4')", write_netcdf, names_in_netcdf, ("netCDF4",)
    ),
    "parquet": Format(
        "",
        "{{path.stem: pandas.read_parquet(path) for path in pathlib.Path({path}).glob('*.parquet')}}",
        write_tables,
        names_in_tables,
        ("pyarrow",),
    ),
}


def write_arrays(
    store: Store,
    name: Name,
    artifact: Artifact,
    destination: str,
    *,
    kind: str = "zarr",
    force: bool = False,
) -> None:
    """Write an artifact to a folder or to one file, as one of `FORMATS`.

    One variable at a time is in memory, of tables some rows. Raises InputError where something lies already,
    unless it is such an export and `force` is given, and where nothing can be written; UsageError where the
    packages of the format are not installed; DamageError.
    """
    form = FORMATS[kind]
    if missing := [package for package in form.needs if find_spec(package) is None]:
        remedy = f'pip install "circuitstore[{kind}]"'
        raise UsageError(f"--format {kind}", expected=f"package {missing[0]}", got="none", remedy=remedy)
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
            form.write(tree, artifact.axes, draft)
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
    opened.attrs[LEDGER] = msgspec.json.encode(above(store, artifact, {})).decode()
    return opened


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
    return not os.path.islink(path) and any(_is_marked(form, path) for form in FORMATS.values())


def _is_marked(form: Format, path: str) -> bool:
    """Whether a path is of this format, and its attributes are those of an export."""
    try:
        return form.names(path) >= MARKS
    except (ImportError, OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError):
        return False


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
