"""NaN and infinity where they must not be: in a file of weights, and in what a phase yields."""

from __future__ import annotations

import importlib
import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import xarray as xr
from safetensors.torch import load_file, save_file
from workspace import PIPELINE

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
        if json.loads(artifact.read_text())["record"]["phase"] == phase:
            artifact.unlink()
    shutil.rmtree(root / "actions" / phase)
    for ref in (root / "refs").rglob(f"{phase}.json"):
        ref.unlink()
    assert stored(store, phase) == []


def plant_in_every_cell(patch: pytest.MonkeyPatch, phase: str) -> None:
    """From now on whatever a phase yields holds a number that it may not hold, see `with_wrong_number`."""
    task = PIPELINE.task(phase)
    where = f"{task.module('tasks')}.{phase}"
    original = getattr(importlib.import_module(task.module("tasks")), phase)

    def planting(*arguments: object, **inputs: object):
        for coords, content in original(*arguments, **inputs):
            yield coords, with_wrong_number(content, task.undefined)

    patch.setattr(where, planting)


def with_wrong_number(content: xr.Dataset, undefined: tuple[str, ...]) -> xr.Dataset:
    """A copy with NaN in the last number of a variable that may not hold any.

    Where all variables may, it is infinity, which none may hold.
    """
    numbers = {
        name: variable
        for name, variable in content.variables.items()
        if variable.size and (variable.dtype.kind == "f" or variable.attrs.get("encoding") == "bfloat16")
    }
    free = [name for name in numbers if not any(fnmatchcase(str(name), each) for each in undefined)]
    name = free[0] if free else next(iter(numbers))
    values = numbers[name].values.copy()
    wrong = (NAN if free else INF) if values.dtype.kind == "f" else BFLOAT16_NAN
    values[(-1,) * values.ndim] = wrong
    return content.assign({name: numbers[name].copy(data=values)})
