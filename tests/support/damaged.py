"""Files that are changed after they were written, and how what reads them must refuse them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from circuitstore.errors import ModelError


def flip(path: Path, *_: Path) -> None:
    """Change one bit of a file, a third on its way."""
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def exchange(one: Path, two: Path) -> None:
    """Give each of two files the content of the other."""
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def edit_json(path: Path, **changes: object) -> None:
    """Change some values of a JSON object in a file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the tensors of a safetensors file in place."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def refused(action: Callable[[], object], *words: str) -> None:
    """The action raises a ModelError of one line that says what was expected and got, and these words."""
    with pytest.raises(ModelError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and "expected" in message and "got" in message
    for each in words:
        assert each in message
