"""Weights are mapped from their file and not copied, so that all processes of a machine share them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from safetensors import safe_open
from workspace import MODEL

from circuitstore.models.load import load_model


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux tells what is mapped")
def test_every_weight_lies_in_the_mapped_file():
    """In the dtype of the file, on a CPU."""
    file = MODEL / "model.safetensors"
    with safe_open(file, "pt") as weights:
        names = set(weights.keys())
        stored = {weights.get_slice(name).get_dtype() for name in names}
    assert stored == {"F32"}
    model = load_model(MODEL)
    mapped = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(os.path.realpath(file)):
            start, end = line.split()[0].split("-")
            mapped.append(range(int(start, 16), int(end, 16)))
    parameters = dict(model.hf.named_parameters())
    assert parameters.keys() & names
    at = {name: parameter.data_ptr() for name, parameter in parameters.items()}
    copied = [name for name, address in at.items() if not any(address in part for part in mapped)]
    assert copied == []
