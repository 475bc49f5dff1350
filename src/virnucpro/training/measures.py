"""How well frames and chunks are told apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virnucpro.training.labelled import LabelledFrames


@dataclass(frozen=True)
class Measures:
    """Figures of a data set; of its chunks, only those with an open frame.

    Attributes:
        chunk_auroc: of the mean of a chunk's largest and smallest frame logit.
        frame_auroc: of the frame logits, each frame labelled as its chunk.
        chunk_accuracy: of the consensus of the original: virus when that mean is at least 0.
        sensitivity: share of viral chunks called virus; specificity: of the others, not called.
        open_share: share of all chunks that have an open frame.
        called_virus: for each class, the share of its chunks that is called virus.
    """

    chunk_auroc: float
    frame_auroc: float
    chunk_accuracy: float
    sensitivity: float
    specificity: float
    open_share: float
    called_virus: dict[str, float]


def measure(frames: LabelledFrames, logits: NDArray[np.floating]) -> Measures:
    """Return the figures for frame logits [frames]: log p_virus - log p_other."""
    scores = chunk_scores(frames.chunk, logits)
    called = scores >= 0  # a tie is a virus, as in the original
    viral = frames.labels == 1
    classes = np.array(frames.classes)
    return Measures(
        chunk_auroc=auroc(frames.labels, scores),
        frame_auroc=auroc(frames.labels[frames.chunk], logits),
        chunk_accuracy=float((called == viral).mean()),
        sensitivity=float(called[viral].mean()),
        specificity=float(1 - called[~viral].mean()),
        open_share=frames.open_share,
        called_virus={str(c): float(called[classes == c].mean()) for c in np.unique(classes)},
    )


def chunk_scores(chunk: NDArray[np.int64], logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean of largest and smallest logit of each chunk.

    Its sign is the consensus of the original: the larger of max p_virus and max p_other.

    Args:
        chunk: chunk of each frame, ascending without gaps.
        logits: of each frame.
    """
    starts = np.flatnonzero(np.diff(chunk, prepend=-1))
    return (np.maximum.reduceat(logits, starts) + np.minimum.reduceat(logits, starts)) / 2


def auroc(labels: NDArray[np.int64], scores: NDArray[np.floating]) -> float:
    """Return the chance that a random 1 scores higher than a random 0, ties counting half."""
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]  # from 1; equal scores share their mean
    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    excess = ranks[labels == 1].sum() - positives * (positives + 1) / 2
    return float(excess / (positives * negatives))
