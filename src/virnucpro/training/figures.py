"""Figures of called chunks: how well both labels are told apart, in all and by class and length."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from virnucpro.training.fit_calibration import reliability
from virnucpro.training.genomes import LABELS
from virnucpro.training.measures import auroc

Floats = NDArray[np.float64]
LENGTH_STEP_BP = 100


@dataclass(frozen=True)
class CalledChunk:
    """A chunk of a known label and what it was called.

    Attributes:
        delta: its largest p_virus less its largest p_other; None without a frame.
        p_virus: its probability, calibrated if there is a calibration, at equal frequencies.
        is_virus: its call.
    """

    label: str
    kind: str
    length_bp: int
    is_partial: bool
    delta: float | None = None
    p_virus: float = 0.5
    is_virus: bool = False


@dataclass(frozen=True)
class Figures:
    """Figures of a set of chunks; None where a label that is needed has no called chunk.

    Attributes:
        chunks: of them, with a frame or not; viral, nonviral: of each label.
        called: with a frame; called_share: among all. All that follows is of called chunks.
        auroc: chance that a viral one has the larger delta; auprc: average precision.
        accuracy: share of right calls; sensitivity, specificity: of viral and of other ones.
        ece: expected calibration error of p_virus, both labels weighing the same.
    """

    chunks: int
    viral: int
    nonviral: int
    called: int
    called_share: float | None
    auroc: float | None
    auprc: float | None
    accuracy: float | None
    sensitivity: float | None
    specificity: float | None
    ece: float | None


def figures_by(chunks: list[CalledChunk], chunk_bp: int) -> dict[str, dict[str, Figures]]:
    """Return figures of all chunks, then by class, length and kind of frame.

    A class has one label as a rule: its AUROC and AUPRC are against all chunks of the other label.
    """
    return {
        "all": {"all": figures(chunks)},
        "class": _of_classes(chunks),
        "length": _by(chunks, lambda chunk: length_range(chunk.length_bp, chunk_bp)),
        "frames": _by(
            [chunk for chunk in chunks if chunk.delta is not None],
            lambda chunk: "partial" if chunk.is_partial else "open",
        ),
    }


def length_range(length_bp: int, chunk_bp: int) -> str:
    """Return the range that a chunk's length falls in, such as "300-399"; whole ones are apart."""
    if length_bp >= chunk_bp:
        return str(length_bp)
    start = length_bp // LENGTH_STEP_BP * LENGTH_STEP_BP
    return f"{start}-{min(start + LENGTH_STEP_BP, chunk_bp) - 1}"


def figures(chunks: Iterable[CalledChunk]) -> Figures:
    """Return the figures of chunks."""
    chunks = list(chunks)
    is_viral = [chunk.label == "viral" for chunk in chunks]
    called = [chunk for chunk in chunks if chunk.delta is not None]
    labels, delta, p_virus = labels_and_scores(chunks)
    right = np.array([chunk.is_virus for chunk in called], np.bool_) == (labels == 1)
    both = len(np.unique(labels)) == 2
    return Figures(
        chunks=len(chunks),
        viral=sum(is_viral),
        nonviral=len(chunks) - sum(is_viral),
        called=len(called),
        called_share=len(called) / len(chunks) if chunks else None,
        auroc=auroc(labels, delta) if both else None,
        auprc=average_precision(labels, delta) if both else None,
        accuracy=_mean(right),
        sensitivity=_mean(right[labels == 1]),
        specificity=_mean(right[labels == 0]),
        ece=reliability(p_virus, labels)[1] if both else None,
    )


def labels_and_scores(chunks: list[CalledChunk]) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return label, delta and p_virus of each chunk with a frame."""
    called = [chunk for chunk in chunks if chunk.delta is not None]
    return (
        np.array([LABELS[chunk.label] for chunk in called], np.int64),
        np.array([chunk.delta for chunk in called], np.float64),
        np.array([chunk.p_virus for chunk in called], np.float64),
    )


def average_precision(labels: NDArray[np.int64], scores: Floats) -> float:
    """Return the mean over viral chunks of the precision at their score; equal scores share one."""
    threshold, recall, precision = precision_recall(labels, scores)
    return float(np.diff(recall, prepend=0) @ precision) if len(threshold) else float("nan")


def precision_recall(labels: NDArray[np.int64], scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return thresholds, falling, and recall and precision of scores at or above each."""
    threshold, true, false = _counts_above(labels, scores)
    return threshold, true / true[-1], true / (true + false)


def roc(labels: NDArray[np.int64], scores: Floats) -> tuple[Floats, Floats]:
    """Return false and true positive rates at each threshold, from (0, 0) on."""
    _, true, false = _counts_above(labels, scores)
    start = np.zeros(1)
    return np.concatenate((start, false / false[-1])), np.concatenate((start, true / true[-1]))


def _counts_above(labels: NDArray[np.int64], scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return each score, falling, and the viral and other ones at or above it."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    true = np.cumsum(labels[order] == 1)[last_of_ties].astype(np.float64)
    return falling[last_of_ties], true, last_of_ties + 1 - true


def _by(chunks: list[CalledChunk], key: Callable[[CalledChunk], str]) -> dict[str, Figures]:
    groups: dict[str, list[CalledChunk]] = {}
    for chunk in chunks:
        groups.setdefault(key(chunk), []).append(chunk)
    return {name: figures(groups[name]) for name in sorted(groups, key=_natural)}


def _natural(name: str) -> tuple[int, str]:
    first = name.split("-")[0]
    return (int(first) if first.isdigit() else 0, name)


def _of_classes(chunks: list[CalledChunk]) -> dict[str, Figures]:
    by_class = _by(chunks, lambda chunk: chunk.kind)
    for name, of_class in by_class.items():
        if of_class.viral and of_class.nonviral:
            continue
        other = "nonviral" if of_class.viral else "viral"
        against = figures(c for c in chunks if c.kind == name or c.label == other)
        by_class[name] = replace(of_class, auroc=against.auroc, auprc=against.auprc)
    return by_class


def _mean(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None
