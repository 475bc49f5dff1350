"""Differences of vectors and scores from those of float32."""

import numpy as np
from numpy.typing import NDArray

TIE = 0.01  # the label of scores this close to 0.5 may change


def vector_measures(
    actual: NDArray[np.float32], exact: NDArray[np.float32]
) -> dict[str, float | int]:
    """Return how far vectors [n, D] are from the exact ones [n, D].

    Cosines are given raw, and centred: after the mean of the exact vectors is subtracted from both,
    since vectors of one model share a large part.
    """
    mean = exact.mean(0)
    raw, centred = cosines(actual, exact), cosines(actual - mean, exact - mean)
    return {
        "cosine_min": float(raw.min()),
        "cosine_mean": float(raw.mean()),
        "centred_cosine_min": float(centred.min()),
        "centred_cosine_mean": float(centred.mean()),
        "max_abs": float(np.abs(actual - exact).max()),
        "rms": float(np.sqrt(np.mean((actual - exact) ** 2))),
    }


def score_measures(
    actual: NDArray[np.float32], exact: NDArray[np.float32]
) -> dict[str, float | int]:
    """Return how far scores P(virus) [n] are from exact ones [n]; flips are labels that change."""
    is_flipped = (actual > 0.5) != (exact > 0.5)
    is_outside = np.abs(exact - 0.5) > TIE
    return {
        "score_max_abs": float(np.abs(actual - exact).max()),
        "flips": int(is_flipped.sum()),
        "flips_outside_tie": int(is_flipped[is_outside].sum()),
        "outside_tie": int(is_outside.sum()),
    }


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows, computed in float64."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    products: NDArray[np.float64] = (wide_a * wide_b).sum(1)
    return products / np.linalg.norm(wide_a, axis=1) / np.linalg.norm(wide_b, axis=1)
