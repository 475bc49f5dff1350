"""How far vectors and scores are from those of float32."""

import numpy as np
from numpy.typing import NDArray

TIE = 0.01  # scores this close to 0.5 may fall to either side


def vector_measures(
    found: NDArray[np.float32], truth: NDArray[np.float32]
) -> dict[str, float | int]:
    """Return how far vectors [n, D] are from the truth [n, D].

    Cosines are given raw, and centred: after the mean of the truth is taken away from both, since
    vectors of one model share a large part.
    """
    mean = truth.mean(0)
    raw, centred = cosines(found, truth), cosines(found - mean, truth - mean)
    return {
        "cosine_min": float(raw.min()),
        "cosine_mean": float(raw.mean()),
        "centred_cosine_min": float(centred.min()),
        "centred_cosine_mean": float(centred.mean()),
        "max_abs": float(np.abs(found - truth).max()),
        "rms": float(np.sqrt(np.mean((found - truth) ** 2))),
    }


def score_measures(
    found: NDArray[np.float32], truth: NDArray[np.float32]
) -> dict[str, float | int]:
    """Return how far scores P(virus) [n] are from the truth [n]; flips are labels that change."""
    is_flipped = (found > 0.5) != (truth > 0.5)
    is_outside = np.abs(truth - 0.5) > TIE
    return {
        "score_max_abs": float(np.abs(found - truth).max()),
        "flips": int(is_flipped.sum()),
        "flips_outside_tie": int(is_flipped[is_outside].sum()),
        "outside_tie": int(is_outside.sum()),
    }


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows, computed in float64."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    products: NDArray[np.float64] = (wide_a * wide_b).sum(1)
    return products / np.linalg.norm(wide_a, axis=1) / np.linalg.norm(wide_b, axis=1)
