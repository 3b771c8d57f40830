"""The logit lens: which tokens a direction promotes, over a vocabulary and over directions in pieces."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from circuitstore.models.lens import extreme_tokens


def test_extreme_tokens_are_those_of_the_whole_vocabulary():
    """More tokens and directions than are multiplied at a time; ids that the tokenizer lacks are left out."""
    n_tokens, n_known, n_directions = 17_000, 16_990, 1_030
    generator = torch.Generator().manual_seed(0)
    shapes = ((n_tokens, 8), (8,), (n_directions, 8))
    unembedding, gain, directions = (torch.randn(*shape, generator=generator) for shape in shapes)
    tokenizer = type("Tokenizer", (), {"__len__": lambda self: n_known})()
    parts = SimpleNamespace(
        unembedding=unembedding,
        mean_unembedding=unembedding.mean(0),
        final_norm=None,
        gain=lambda norm: gain,
    )
    model = SimpleNamespace(parts=parts, device="cpu", tokenizer=tokenizer)
    tokens = extreme_tokens(model, directions, 4)
    rows = [0, 500, 1_023, 1_024, n_directions - 1]
    values = ((directions[rows] * gain) @ (unembedding - unembedding.mean(0)).T)[:, :n_known].numpy()
    order = np.argsort(-values, axis=1)
    np.testing.assert_array_equal(tokens.promoted[rows], order[:, :4])
    np.testing.assert_array_equal(tokens.suppressed[rows], order[:, :-5:-1])
    largest, smallest = (np.take_along_axis(values, part, 1) for part in (order[:, :4], order[:, :-5:-1]))
    np.testing.assert_allclose(tokens.promoted_value[rows], largest, atol=1e-5)
    np.testing.assert_allclose(tokens.suppressed_value[rows], smallest, atol=1e-5)
    few = SimpleNamespace(parts=parts, device="cpu", tokenizer=range(45))
    assert extreme_tokens(few, directions[:3], 100).promoted.shape == (3, 45)
