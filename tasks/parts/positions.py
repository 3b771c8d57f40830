"""Which positions of a prompt were kept, and which of these have features.

Phase `activations` keeps the last tokens of each prompt. The prepended token never has features:
it is an attention sink, and its activations say nothing about the prompt.
"""

from __future__ import annotations

import numpy as np


def first_with_features(n_tokens: int, n_kept: int) -> int:
    """The first position that can have features, when the last `n_kept` of `n_tokens` tokens are kept."""
    return max(n_tokens - n_kept, 1)


def blank(n_tokens: int, n_kept: int) -> int:
    """How many of the kept positions have no features: 1 if the prepended token is kept, else 0."""
    return first_with_features(n_tokens, n_kept) - (n_tokens - n_kept)


def covered(n_tokens: int, n_kept: int) -> np.ndarray:
    """Where features were looked for: (position,) bool."""
    return np.arange(n_tokens) >= first_with_features(n_tokens, n_kept)
