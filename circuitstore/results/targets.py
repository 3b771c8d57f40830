"""What a graph explains beside the logits of answers, as people write it: in Python, and on the command line.

feature=(4, -1, 134)            --feature 4/-1/134          layer, position, feature
direction=array, or a file      --direction FILE            of the final norm's output, (d_model,)
weights={" are": 1, " is": -1}  --weight " are=1" --weight " is=-1"
"""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from circuitstore.errors import InputError, UsageError

Feature = tuple[int, int, int]  # layer, position, feature
WORD = re.compile(r"(\d+)/(-?\d+)/(\d+)")
MOST_BYTES = 100_000_000  # of a file of numbers


def checked(
    feature: Feature | None, direction: Any, weights: Mapping[str, float] | None
) -> dict[str, tuple[Any, ...]]:
    """What is asked for as plain data, empty if nothing is. Raises UsageError, InputError."""
    asked: dict[str, tuple[Any, ...]] = {}
    if feature is not None:
        asked["feature"] = _feature(feature)
    if direction is not None:
        asked["direction"] = _direction(direction)
    if weights is not None:
        asked["weights"] = _weights(weights)
    if len(asked) > 1:
        raise UsageError("target", expected="one of feature, direction and weights", got=" and ".join(asked))
    return asked


def feature_of(word: str) -> Feature:
    """The feature of a word such as 4/-1/134. Raises UsageError."""
    if (found := WORD.fullmatch(word)) is None:
        raise UsageError(f"--feature {word!r}", expected="LAYER/POSITION/FEATURE, such as 4/-1/134")
    return int(found[1]), int(found[2]), int(found[3])


def weights_of(words: Iterable[str]) -> dict[str, float]:
    """Weights by answer from words such as " are=0.5". Raises UsageError, also for two of one answer."""
    weights: dict[str, float] = {}
    for word in words:
        answer, equals, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not (equals and answer):
            raise UsageError(f"--weight {word!r}", expected='ANSWER=NUMBER, such as " are=0.5"')
        if answer in weights:
            raise UsageError(f"--weight {word!r}", expected="one weight for an answer", got="two")
        weights[answer] = value
    return weights


def _feature(feature: Any) -> tuple[int, int, int]:
    try:
        layer, position, index = map(operator.index, feature)
    except (TypeError, ValueError):
        expected = "(layer, position, feature), whole numbers"
        raise UsageError("feature", expected=expected, got=repr(feature)[:80]) from None
    if layer < 0 or index < 0:
        raise UsageError("feature", expected="a layer and a feature of at least 0", got=repr(feature)[:80])
    return layer, position, index


def _weights(weights: Any) -> tuple[tuple[str, float], ...]:
    expected = "a dictionary {answer: weight} of texts and finite numbers, one of them not 0"
    try:
        made = tuple((answer, float(value)) for answer, value in weights.items())
    except (AttributeError, TypeError, ValueError):
        raise UsageError("weights", expected=expected, got=repr(weights)[:80]) from None
    known = all(isinstance(answer, str) and answer and math.isfinite(value) for answer, value in made)
    if not known or not any(value for _, value in made):
        raise UsageError("weights", expected=expected, got=repr(weights)[:80])
    return tuple(sorted(made))  # whatever order they were given in


def _direction(given: Any) -> tuple[float, ...]:
    """Finite numbers, not all 0, of an array of one dimension or of a file that holds one."""
    import numpy as np

    where = "direction"
    if isinstance(given, str | os.PathLike):
        where = f"direction {os.fspath(given)}"
        given = _read(os.fspath(given))
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(where, expected="numbers, (d_model,)", got=repr(given)[:80]) from None
    if values.ndim != 1 or not len(values):
        raise UsageError(where, expected="numbers, (d_model,)", got=f"shape {values.shape}")
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise UsageError(where, expected="finite numbers", got=f"{values[wrong[0]]} at {wrong[0]}")
    if not values.any():
        raise UsageError(where, expected="a number other than 0", got="zeros, which read nothing")
    return tuple(values.tolist())


def _read(path: str) -> Any:
    """The array in a file of NumPy's (.npy), or the numbers in one of text. Raises InputError."""
    import numpy as np

    expected = "an array in a .npy file, or a number on each line of a text file"
    try:
        if os.path.getsize(path) > MOST_BYTES:
            raise InputError(path, expected=f"at most {MOST_BYTES} bytes", got=os.path.getsize(path))
        if path.endswith(".npy"):
            return np.load(path, allow_pickle=False)
        with open(path, encoding="utf-8") as file:
            return [float(word) for word in file.read().split()]
    except (OSError, ValueError, EOFError) as error:
        got = (error.strerror if isinstance(error, OSError) else None) or str(error)[:80]
        raise InputError(path, expected=expected, got=got) from error
