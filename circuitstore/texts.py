"""Arrays of text that keep every character. Phases make them, the store writes them, and results read them.

It is a module of its own so that the code is in the key of every phase that makes text.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def text_array(texts: object) -> np.ndarray[Any, np.dtype[Any]]:
    """Text, or nested lists of text, as an array that keeps every character.

    NumPy's arrays of fixed width drop a NUL at the end of a text. Only a text that ends in one gives an array
    of variable width (`numpy.dtypes.StringDType`).
    """
    array = np.array(texts, dtype=str)
    return array if array.tolist() == texts else np.array(texts, dtype=np.dtypes.StringDType())
