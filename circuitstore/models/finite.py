"""Numbers that are not finite are an error and no result: where the first one is, and what to do about it.

A NaN or an infinity in an activation spreads to everything computed from it, and what comes out looks like a
result: a graph without edges, a rank, a table of nulls. So numbers are checked where they come out of a
model or of a transcoder. Values that are NaN by definition, such as a correlation of constants, are made
later and are not checked here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitstore.errors import NonFiniteError

REMEDY = (
    "if the model runs in float16, compute in bfloat16 or float32: --set model.dtype=float32; "
    "else a weight of the model or of its transcoders is not finite"
)


def all_finite(*tensors: Tensor) -> bool:
    """Whether no tensor holds a NaN or an infinity. All must be on one device, which is waited for once."""
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def require_finite(
    what: str,
    values: Tensor,
    axes: Sequence[str],
    *,
    first: Sequence[int] = (),
    layer: int | None = None,
    remedy: str = REMEDY,
) -> None:
    """Raise NonFiniteError for a NaN or an infinity in ``values``, and name the first one by its indices.

    ``axes`` name the axes of ``values``. ``first`` are the numbers of the first index along each, 0 by
    default. ``layer`` is the layer that all of them are of.
    """
    finite = values.isfinite()
    if finite.all():
        return
    index = (~finite).nonzero()[0].tolist()
    numbers = zip(axes, index, first or [0] * len(index), strict=True)
    where = [] if layer is None else [f"layer {layer}"]
    where += [f"{axis} {start + i}" for axis, i, start in numbers]
    got = f"{values[tuple(index)].item()} at {', '.join(where)}"
    raise NonFiniteError(what, expected="finite numbers", got=got, remedy=remedy)
