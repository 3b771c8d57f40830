"""What `attribute` refuses, before or instead of computing it."""

from __future__ import annotations

import pytest
from random_model import write_model, write_transcoders

from circuitstore.circuits.graph import attribute
from circuitstore.errors import LimitError, UsageError
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

TOKENS = [208, 17, 3, 99, 3, 150, 42]


@pytest.fixture
def model_folder(tmp_path):
    return write_model(tmp_path / "model", 1)


@pytest.fixture
def transcoder_folder(tmp_path):
    return write_transcoders(tmp_path / "transcoders", 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": [208]},
        {"targets": (3, 3)},
        {"targets": (3, 999)},
        {"targets": ()},
        {"targets": (3,), "difference": (3, 4)},
        {"difference": (3, 3)},
        {"margin": (3, 999)},
        {"stage": 0},
        {"memory": 0},
        {"max_logits": 0},
        {"logit_prob": 1.5},
        {"max_feature_nodes": 0},
    ],
)
def test_wrong_attribution_arguments(model_folder, transcoder_folder, wrong):
    """Refused before anything is computed."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        attribute(
            load_model(model_folder), Transcoders.open(transcoder_folder), **({"tokens": TOKENS} | wrong)
        )


def test_a_matrix_beyond_the_limit_says_how_to_ask_for_less(model_folder, transcoder_folder):
    """The dense matrix is bounded, and a smaller graph of the same prompt is within reach."""
    model, transcoders = load_model(model_folder), Transcoders.open(transcoder_folder)
    with pytest.raises(LimitError, match="max_feature_nodes"):
        attribute(model, transcoders, TOKENS, memory=40_000)
    assert (
        len(attribute(model, transcoders, TOKENS, memory=40_000, max_feature_nodes=10).selected_features)
        == 10
    )
