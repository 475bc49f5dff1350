"""How well frames and chunks are told apart."""

import numpy as np
from numpy.typing import NDArray


def chunk_scores(chunk: NDArray[np.int64], logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean of largest and smallest logit of each chunk.

    Its sign is the consensus of the original: the larger of max p_virus and max p_other.

    Args:
        chunk: chunk of each frame, ascending without gaps.
        logits: of each frame.
    """
    starts = np.flatnonzero(np.diff(chunk, prepend=-1))
    return (np.maximum.reduceat(logits, starts) + np.minimum.reduceat(logits, starts)) / 2


def auroc(
    labels: NDArray[np.int64],
    scores: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Return the chance that a random 1 scores higher than a random 0, ties counting half.

    Args:
        labels: 0 or 1; scores: of each.
        weights: how likely each is drawn; default: all the same.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    _, group = np.unique(scores, return_inverse=True)
    size = int(group.max()) + 1
    ones = np.bincount(group, weights * (labels == 1), size)
    zeros = np.bincount(group, weights * (labels == 0), size)
    below = np.cumsum(zeros) - zeros / 2
    return float((ones * below).sum() / (ones.sum() * zeros.sum()))
