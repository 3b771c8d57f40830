"""NaN and infinity where they must not be: in a file of weights, and in what a phase yields."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from safetensors.torch import load_file, save_file
from workspace import PIPELINE

from circuitstore.models.bits import BFLOAT16
from circuitstore.storage.layout import Store

NAN, INF = float("nan"), float("inf")
BFLOAT16_NAN = 0x7FC0


def planted(folder: Path, copy: Path, name: str, value: float, where: object = ...) -> Path:
    """A copy of a folder of weights in which one tensor, at ``where``, holds ``value``."""
    shutil.copytree(folder, copy)
    for file in copy.glob("*.safetensors"):
        tensors = load_file(file)
        if name in tensors:
            tensors[name][where] = value
            save_file(tensors, file, metadata={"format": "pt"})
    return copy


def stored(store: Path, phase: str) -> list[str]:
    """The records of a phase that a store holds, of any kind."""
    root = Path(Store(store).root)
    return [str(path) for path in root.rglob("*") if phase in path.relative_to(root).parts]


def forget(store: Path, phase: str) -> None:
    """Take all records of a phase out of a store."""
    root = Path(Store(store).root)
    for artifact in (root / "artifacts").glob("*.json"):
        if json.loads(artifact.read_text()).get("phase") == phase:
            artifact.unlink()
    shutil.rmtree(root / "actions" / phase)
    for ref in (root / "refs").rglob(f"{phase}.json"):
        ref.unlink()
    assert stored(store, phase) == []


def plant_in_every_cell(patch: pytest.MonkeyPatch, phase: str) -> None:
    """From now on a phase yields NaN in the last number of its first variable that may not hold any."""
    task = PIPELINE.task(phase)
    where = f"{task.module('tasks')}.{phase}"
    original = pytest.importorskip(task.module("tasks")).__dict__[phase]

    def planting(*arguments: object, **inputs: object):
        for coords, content in original(*arguments, **inputs):
            yield coords, with_nan(content, task.undefined)

    patch.setattr(where, planting)


def with_nan(content: xr.Dataset, undefined: tuple[str, ...]) -> xr.Dataset:
    """A copy with NaN in the last number of the first variable that may hold none; itself if none can."""
    for name, variable in content.variables.items():
        halves = variable.attrs.get("encoding") == BFLOAT16["encoding"]
        free = not any(fnmatchcase(str(name), pattern) for pattern in undefined)
        if variable.size and free and (halves or variable.dtype.kind == "f"):
            values = variable.values.copy()
            values[(-1,) * values.ndim] = BFLOAT16_NAN if halves else np.nan
            return content.assign({name: variable.copy(data=values)})
    return content
