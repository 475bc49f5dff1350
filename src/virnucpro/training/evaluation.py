"""How good a trained classifier is: scores of val and test, calibration, figures, curves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virnucpro.consensus.calibrator import Calibration, Calibrator
from virnucpro.consensus.consensus import ChunkCall, FrameScore, call_chunk, call_sequence
from virnucpro.scoring.classifier import Classifier
from virnucpro.training.chunk_table import ChunkRow
from virnucpro.training.curves import Panel, Points
from virnucpro.training.examples import Vectors, read_labelled_shards
from virnucpro.training.figures import CalledChunk, labels_and_scores, precision_recall, roc
from virnucpro.training.fit_calibration import (
    FIRST_CHUNKS,
    Method,
    ScoredSequences,
    fit,
    reliability,
)
from virnucpro.training.genomes import LABELS, MIN_CALIBRATION_CHUNKS

# Stretches of so many consecutive chunks serve as contigs for the calibration: one for each bin.
CONTIG_CHUNKS = (3, 8)


@dataclass(frozen=True)
class ScoredChunk:
    """A chunk of a side; `scores` of its frames, empty without one."""

    row: ChunkRow
    scores: list[FrameScore]


def score_part(
    table: Path, vectors: Vectors, part: str, classifier: Classifier
) -> list[ScoredChunk]:
    """Return the chunks of a side with the scores that prediction would give them.

    Raises: InputError as read_labelled_shards, which checks the encoders, and so the width, by
        their digests.
    """
    chunks = []
    for rows, dna, protein in read_labelled_shards(table, vectors, [part]):
        scores = iter(classifier.scores(dna, protein).tolist() if len(dna) else ())
        for row in rows:
            chunks.append(ScoredChunk(row, [FrameScore(*next(scores)) for _ in row.frames]))
        assert next(scores, None) is None
    return chunks


def call_chunks(chunks: Sequence[ScoredChunk], calibrator: Calibrator | None) -> list[CalledChunk]:
    """Return the chunks with their calls, as figures.py takes them."""
    return [_call(chunk, calibrator) for chunk in chunks]


def _call(chunk: ScoredChunk, calibrator: Calibrator | None) -> CalledChunk:
    row = chunk.row
    known = (row.label, row.kind, row.length_bp, row.is_partial)
    if not chunk.scores:
        return CalledChunk(*known)
    call = call_chunk(chunk.scores, calibrator)
    p_virus = call.verdict.p_virus if call.verdict else (call.delta + 1) / 2
    return CalledChunk(*known, call.delta, p_virus, call.is_virus)


def calibrate(val: Sequence[ScoredChunk], method: Method) -> Calibration:
    """Return the calibration that fits the called chunks of val and stretches of several.

    Raises: InputError when they are too few, or their scores do not rise with the label.
    """
    delta, labels, num_chunks, groups = [], [], [], []
    for label, group, calls in _stretches(val):
        pooled = call_sequence(calls)
        delta.append(pooled.weighted_delta)
        labels.append(LABELS[label])
        num_chunks.append(len(calls))
        groups.append(group)
    _, numbers = np.unique(groups, return_inverse=True)
    sequences = ScoredSequences(
        np.array(delta, np.float64),
        np.array(labels, np.int64),
        np.array(num_chunks, np.int64),
        numbers,
    )
    bins = np.searchsorted(FIRST_CHUNKS, sequences.num_chunks, side="right")
    full = [
        b
        for b in np.unique(bins)
        if sequences.only(bins == b).num_of_rarer_label() >= MIN_CALIBRATION_CHUNKS
    ]
    # stretches of a bin that is too small would count their chunks a second time in the one below
    return fit(sequences.only((bins == 1) | np.isin(bins, full)), method)


def _stretches(chunks: Sequence[ScoredChunk]) -> Iterator[tuple[str, str, list[ChunkCall]]]:
    """Yield label, group and calls of stretches with a called chunk, which do not overlap."""
    for _, group in groupby(chunks, lambda chunk: (chunk.row.genome, chunk.row.sequence_id)):
        record = list(group)
        row = record[0].row
        for size in (1, *CONTIG_CHUNKS):
            for start in range(0, len(record), size):
                stretch = record[start : start + size]
                calls = [call_chunk(chunk.scores) for chunk in stretch if chunk.scores]
                if len(calls) > (size > 1):  # one chunk alone is among those of size 1
                    yield row.label, row.group, calls


def curve_panels(parts: dict[str, list[CalledChunk]], history: dict[str, Points]) -> list[Panel]:
    """Return ROC, precision over recall, reliability and the losses over epochs.

    Args:
        parts: name of a line -> scored chunks of both labels; history: loss -> (epoch, value).
    """
    called = {name: labels_and_scores(chunks) for name, chunks in parts.items()}
    losses = [y for points in history.values() for _, y in points]
    epochs = max(x for points in history.values() for x, _ in points)
    return [
        Panel(
            "ROC", "false positive rate", "true positive rate",
            {name: _points(*roc(labels, delta)) for name, (labels, delta, _) in called.items()},
            diagonal=True,
        ),
        Panel(
            "Precision and recall", "recall", "precision",
            {name: _points(*precision_recall(labels, delta)[1:])
             for name, (labels, delta, _) in called.items()},
        ),
        Panel(
            "Reliability", "p_virus", "share that is viral",
            {name: [(row["p_virus"], row["viral"])
                    for row in reliability(p_virus, labels)[0]]
             for name, (labels, _, p_virus) in called.items()},
            diagonal=True,
        ),
        Panel("Training", "epoch", "loss", history, (1, epochs), (0, max(losses))),
    ]  # fmt: skip


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
    return list(zip(x.tolist(), y.tolist(), strict=True))
