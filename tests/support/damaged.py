"""Files that are changed after they were written, and how what reads them must refuse them."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file, save_file

from circuitstore.errors import ModelError


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def refused(action, *said):
    with pytest.raises(ModelError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and "expected" in message and "got" in message
    for words in said:
        assert words in message
