"""Records for a page: plain values with numeric arrays in them, as compressed bytes.

The bytes are a zlib stream of: the length of the JSON as uint32, the JSON, zeros up to a multiple of 8, and
the arrays one after the other, each at a multiple of 8. All numbers are little-endian. In the JSON an array
stands as {"$": dtype, "at": first byte, "n": number of elements}, and a number that is not finite as null.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import msgspec
import numpy as np

DTYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")
_ALIGNED = 8
LEVEL = 6  # of compression; 9 takes twice as long for a hundredth less


def pack(value: object) -> bytes:
    """A record as bytes.

    `value` is made of dicts, lists, text, numbers, None, msgspec structs, and arrays with one axis and a
    dtype of `DTYPES`. Raises TypeError for anything else.
    """
    arrays: list[bytes] = []

    def reference(each: object) -> dict[str, Any]:
        if isinstance(each, np.generic):
            return each.item()  # type: ignore[no-any-return]
        if not isinstance(each, np.ndarray):
            raise TypeError(f"a {type(each).__name__} in a record")
        kind = each.dtype.newbyteorder("<").str[1:]
        if each.ndim != 1 or kind not in DTYPES:
            raise TypeError(f"an array of {each.ndim} axes and dtype {each.dtype} in a record")
        at = sum(map(len, arrays))
        data = each.astype(each.dtype.newbyteorder("<")).tobytes()
        arrays.append(data + bytes(-len(data) % _ALIGNED))
        return {"$": kind, "at": at, "n": len(each)}

    text = msgspec.json.encode(value, enc_hook=reference)
    text += b" " * (-(len(text) + 4) % _ALIGNED)
    return zlib.compress(b"".join((struct.pack("<I", len(text)), text, *arrays)), LEVEL)


def smallest(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest dtype that holds them."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for kind in ("u1", "i1", "u2", "i2", "u4", "i4"):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind)
    raise TypeError(f"numbers from {low} to {high} in a record")
