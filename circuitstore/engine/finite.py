"""What a phase may store: numbers that are finite, and NaN only where its declaration says so.

The phases look for NaN and infinity where numbers arise, and name layer and position. This is the last look
at what they yield, whatever they compute. A phase that is new is looked at too.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import xarray as xr

from circuitstore.engine.task import Task
from circuitstore.errors import NonFiniteError

EXPONENT = 0x7F80  # all bits of the exponent of a bfloat16 are set in NaN and in infinity alone


def check_finite(task: Task, content: xr.Dataset) -> None:
    """Raise NonFiniteError for a variable of a cell that holds infinity, or NaN where it may not."""
    for name, variable in content.variables.items():
        wrong = _non_finite(variable, any(fnmatchcase(str(name), pattern) for pattern in task.undefined))
        if wrong is not None and wrong.any():
            index = np.argwhere(wrong)[0].tolist()
            at = ", ".join(f"{dim} {i}" for dim, i in zip(variable.dims, index, strict=True))
            raise NonFiniteError(
                f"{name} of phase {task.name}" + (f" at {at}" if at else ""),
                expected="a finite number",
                got=f"NaN or infinity, {np.count_nonzero(wrong)} of {wrong.size} values",
                remedy="an input holds numbers that are not finite or too large for its precision",
            )


def _non_finite(variable: xr.Variable, nan_allowed: bool) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """Where a variable holds what it may not, of its shape; None for integers and texts."""
    values = variable.values
    if variable.attrs.get("encoding") == "bfloat16":
        return np.asarray((values & EXPONENT) == EXPONENT)
    if values.dtype.kind != "f":
        return None
    return np.asarray(np.isinf(values) if nan_allowed else ~np.isfinite(values))
