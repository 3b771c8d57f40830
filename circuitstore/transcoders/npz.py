"""Arrays in an archive of NumPy's (.npz), mapped into memory where they are stored as they are.

An archive is a zip file of .npy files. A member that is not compressed lies in it byte for byte, so it can be
mapped, and only what is used is read. A compressed one is read whole. Nothing pickled is loaded. Source:
NumPy, `lib/format.py`, for .npy; PKWARE's APPNOTE, 4.3.7, for the local header of a member.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from circuitstore.errors import ModelError, first_line

DTYPES = {"float32": "F32", "float16": "F16", "float64": "F64"}  # as safetensors calls them
LOCAL_HEADER = 30  # bytes before the name of a member


class Member(NamedTuple):
    """What the header of one array says."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    fortran: bool
    start: int | None  # of its numbers in the archive; None where they are compressed

    @property
    def stored_as(self) -> str:
        """The name that safetensors has for the dtype."""
        return DTYPES.get(self.dtype.name, self.dtype.name)


def members(path: Path) -> dict[str, Member]:
    """The arrays of an archive by name. Raises ModelError."""
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            return {
                info.filename.removesuffix(".npy"): _header(archive, file, info)
                for info in archive.infolist()
            }
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(str(path), expected="a readable .npz archive", got=first_line(error)) from error


def array(path: Path, name: str, member: Member) -> NDArray[np.generic]:
    """One array of an archive. Raises ModelError for one that is cut off."""
    try:
        if member.start is None:
            with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
                read: NDArray[np.generic] = npy.read_array(file, allow_pickle=False)
            return read
        # Copied on writing: torch warns of memory that cannot be written to.
        shape = member.shape[::-1] if member.fortran else member.shape
        mapped = np.memmap(path, dtype=member.dtype, mode="c", offset=member.start, shape=shape)
        return mapped.T if member.fortran else mapped
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{name} in {path}", expected="a whole array", got=first_line(error)) from error


def _header(archive: zipfile.ZipFile, file: IO[bytes], info: zipfile.ZipInfo) -> Member:
    with archive.open(info) as member:
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        version = npy.read_magic(member)
        if version not in read:
            raise ValueError(f"{info.filename} has version {version} of .npy")
        shape, fortran, dtype = read[version](member)
        start = member.tell()
    if info.compress_type != zipfile.ZIP_STORED:
        return Member(shape, dtype, fortran, None)
    file.seek(info.header_offset + LOCAL_HEADER - 4)
    lengths = file.read(4)  # of the name, and of what else the local header holds
    start += LOCAL_HEADER + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    return Member(shape, dtype, fortran, info.header_offset + start)
