"""Fixtures of the models tests. One thread: the machine is shared, and bits are compared."""

from __future__ import annotations

import pytest
import torch

from circuitstore.models.load import load_model

from .random_model import CONFORMANCE


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference_model():
    """The random Qwen3 whose graphs and interventions the reference implementation computed."""
    return load_model(CONFORMANCE / "model")
