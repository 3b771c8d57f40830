"""How much of MLP outputs a transcoder explains, from sums over positions. Imports no torch.

    explained variance   1 − Σ‖output − prediction‖² / Σ‖output − mean output‖²
    normalised MSE       Σ‖output − prediction‖² / Σ‖output‖²

Sums of several prompts or layers may be added up first, so none of the outputs themselves need be kept.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), "Evaluating", for normalised MSE; explained
variance is the coefficient of determination R² of all outputs together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Sums = NDArray[np.float64]


def explained_variance(error_square: ArrayLike, variance: ArrayLike) -> Sums:
    """Explained variance float64 from Σ‖error‖² and Σ‖output − mean output‖², of one shape; 0 where all is 0.

    At most 1; negative where the mean output would be a better prediction.
    """
    return np.where(np.asarray(variance) <= 0, 0.0, 1 - _quotient(error_square, variance))


def normalised_mse(error_square: ArrayLike, output_square: ArrayLike) -> Sums:
    """Normalised mean squared error float64 from Σ‖error‖² and Σ‖output‖², of one shape; 0 where all is 0."""
    return _quotient(error_square, output_square)


def variance_about_mean(output_square: float, output_sum: Sums, count: int) -> float:
    """Σ‖output − mean output‖² of ``count`` outputs from Σ‖output‖² and Σ output (d_model,) float64."""
    mean = output_sum / max(count, 1)
    return float(output_square - count * float(mean @ mean))


def _quotient(numerator: ArrayLike, denominator: ArrayLike) -> Sums:
    """numerator / denominator, and 0 where the denominator is not positive; NaN stays NaN."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return np.divide(
        above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=~(below <= 0)
    )
