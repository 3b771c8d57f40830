"""Arrays as one NetCDF-4 file, which xarray, R, Julia, MATLAB and whatever reads HDF5 open.

Groups are those of the tree. Numbers are compressed by zlib, and each chunk carries a checksum (fletcher32).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import xarray as xr

from circuitstore.errors import InputError, first_line
from circuitstore.storage.names import shown

CHECKED = {"zlib": True, "complevel": 4, "shuffle": True, "fletcher32": True}
NUL = "\0"
PLAIN = {"_FillValue": None}  # xarray would declare NaN as missing, which it is not


def write_netcdf(tree: xr.DataTree, axes: Sequence[str], path: str) -> None:
    """The tree as NetCDF-4.

    A float16 is widened to 32 bits, which loses nothing, for NetCDF has no such type. Raises InputError for
    what NetCDF cannot hold, such as a text with a NUL in it, which the library would cut off there.
    """
    groups = {node.path: _portable(node.to_dataset(inherit=False)) for node in tree.subtree}
    encoding = {
        at: {name: _encoding(v) for name, v in group.variables.items()} for at, group in groups.items()
    }
    try:
        xr.DataTree.from_dict(groups).to_netcdf(path, engine="netcdf4", encoding=encoding)
    except RuntimeError as error:  # all that the library says of a disk that is full
        raise OSError(f"{first_line(error)}, as on a full disk") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise _unfit(tree.attrs["phase"], first_line(error)) from error


def _unfit(what: object, got: object) -> InputError:
    remedy = "choose --format zarr, which holds it"
    return InputError(
        f"arrays of {what}", expected="names and values that NetCDF has", got=got, remedy=remedy
    )


def _portable(dataset: xr.Dataset) -> xr.Dataset:
    """The same with types that NetCDF has. Attributes that are no text and no number become JSON."""
    changed: dict[Any, xr.Variable] = {}
    for name, variable in dataset.variables.items():
        made = variable.copy(deep=False)
        if variable.dtype.kind in "UT":
            texts = variable.values.astype(object)
            if any(NUL in text for text in texts.flat):
                raise _unfit(shown(str(name)), "a text with a NUL in it")
            made = xr.Variable(variable.dims, texts)
        elif variable.dtype == np.float16:
            made = variable.astype(np.float32)
        made.attrs = {key: _attribute(value) for key, value in variable.attrs.items()}
        changed[name] = made
    coordinates = {name: changed[name] for name in dataset.coords}
    rest = {name: changed[name] for name in dataset.data_vars}
    attributes = {key: _attribute(value) for key, value in dataset.attrs.items()}
    return xr.Dataset(rest, coordinates, attributes)


def _attribute(value: Any) -> Any:
    """Text without a NUL, or a number; JSON of anything else."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = fits or (isinstance(value, str) and NUL not in value)
    return value if fits else msgspec.json.encode(value).decode()


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    """Text is stored apart from its array, and neither it nor a single number goes through a filter."""
    checked = variable.ndim and variable.size and variable.dtype.kind != "O"
    return {**PLAIN, **(CHECKED if checked else {})}


def names_in_netcdf(path: str) -> set[str]:
    """The names of the root's attributes."""
    import netCDF4

    with netCDF4.Dataset(path) as file:
        return set(file.ncattrs())
