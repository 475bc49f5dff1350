"""Make the calibration of a model set out of validation sequences, and put it into the set.

    deltas, labels, numbers of chunks --fit--> Calibration --write_calibration--> the set's folder

What a calibration is and how it is used: virnucpro/calls/calibration.py. Both kinds of sequences
weigh the same, whatever their numbers; the prior comes in when it is used.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from virnucpro.consensus.calibration_file import to_json
from virnucpro.consensus.calibrator import (
    LARGEST_DELTA,
    Bin,
    Calibration,
    Curve,
    Isotonic,
    Rates,
    Temperature,
    logit,
    sigmoid,
)
from virnucpro.errors import InputError
from virnucpro.files import write_text
from virnucpro.model_sets.calibration_entries import made_for
from virnucpro.model_sets.description import read_model_set, write_description

Method = Literal["temperature", "isotonic"]
Floats = NDArray[np.float64]

FIRST_CHUNKS = (1, 2, 5)  # bins of sequences of 1, of 2 to 4, and of 5 or more called chunks
MIN_OF_EACH_KIND = 50  # in a bin; one with fewer is left to the bin below
NUM_RELIABILITY_BINS = 15
NUM_FOLDS = 5
NUM_THRESHOLDS = 32  # of the rates, from each kind
FDR_PRIORS = (0.5, 0.1, 0.01)
FDR_PROBABILITIES = (0.5, 0.7, 0.9, 0.95, 0.99)
NEWTON_STEPS, NEWTON_TOLERANCE = 100, 1e-10


@dataclass(frozen=True)
class Scored:
    """Validation sequences (or chunks: sequences of one chunk).

    Attributes:
        delta: float64 [n], -1 to 1, as consensus.py pools it.
        labels: int64 [n], 1 viral, 0 not.
        num_chunks: int64 [n], called chunks.
        groups: int64 [n]; sequences of one genome or cluster share a number, and are on one side
            when figures are taken on sequences that a curve was not fitted to.
    """

    delta: Floats
    labels: NDArray[np.int64]
    num_chunks: NDArray[np.int64]
    groups: NDArray[np.int64]

    def only(self, mask: NDArray[np.bool_]) -> "Scored":
        """Return those of a mask."""
        return Scored(self.delta[mask], self.labels[mask], self.num_chunks[mask], self.groups[mask])

    def fewest(self) -> int:
        """Return the number of the rarer kind."""
        return int(min((self.labels == 0).sum(), (self.labels == 1).sum()))

    def weights(self) -> Floats:
        """Return the weight of each: both kinds the same in all, 1 on average."""
        of_kind = len(self.labels) / (2 * np.bincount(self.labels, minlength=2))
        return of_kind[self.labels]


def scored(
    delta: NDArray[np.floating],
    labels: NDArray[np.integer],
    num_chunks: NDArray[np.integer] | None = None,
    groups: NDArray[np.integer] | None = None,
) -> Scored:
    """Return validation sequences; by default of one chunk each, and each a group of its own."""
    count = len(delta)
    return Scored(
        np.asarray(delta, np.float64),
        np.asarray(labels, np.int64),
        np.ones(count, np.int64) if num_chunks is None else np.asarray(num_chunks, np.int64),
        np.arange(count) if groups is None else np.asarray(groups, np.int64),
    )


def chunk_deltas(chunk: NDArray[np.int64], scores: NDArray[np.floating]) -> Floats:
    """Return the delta of each chunk: its largest p_virus less its largest p_other.

    Args:
        chunk: int64 [frames], chunk of each frame, ascending without gaps.
        scores: [frames, 2], p_other and p_virus.
    """
    starts = np.flatnonzero(np.diff(chunk, prepend=-1))
    p_other, p_virus = np.maximum.reduceat(scores.astype(np.float64), starts).T
    return p_virus - p_other


def fit(
    sequences: Scored,
    method: Method = "temperature",
    *,
    viral_prior: float = 0.5,
    threshold: float = 0.5,
) -> Calibration:
    """Return the calibration that fits sequences; it says in `measured` what it reaches.

    Args:
        sequences: that no training saw; chunks alone are enough.
        method: temperature has two numbers a bin, isotonic follows any rising curve.
        viral_prior: prior of calls for which none is given.
        threshold: probability from which on a sequence is viral.
    Raises: InputError for less than 50 sequences of a kind with one chunk, and for scores that do
        not rise with the label.
    """
    bins = []
    for part in _by_bin(sequences):
        first = int(part.num_chunks.min())
        start = max(chunks for chunks in FIRST_CHUNKS if chunks <= first)
        bins.append(Bin(start, fit_curve(part, method), rates(part)))
    calibration = Calibration(tuple(bins), viral_prior, threshold)
    return replace(calibration, measured=_measured(calibration, sequences, method))


def _by_bin(sequences: Scored) -> list[Scored]:
    """Return the sequences of each bin; one with too few of a kind joins the bin below."""
    bin_of = np.searchsorted(FIRST_CHUNKS, sequences.num_chunks, side="right") - 1
    parts: list[NDArray[np.bool_]] = []
    for b in range(len(FIRST_CHUNKS)):
        own = bin_of == b
        if sequences.only(own).fewest() >= MIN_OF_EACH_KIND:
            parts.append(own)
        elif not parts:
            raise InputError(
                f"calibration: of sequences with one called chunk there are "
                f"{(sequences.labels[own] == 1).sum()} viral and "
                f"{(sequences.labels[own] == 0).sum()} non-viral ones, {MIN_OF_EACH_KIND} of each "
                "are needed. Give a larger validation set."
            )
        else:
            parts[-1] |= own
    return [sequences.only(part) for part in parts]


def fit_curve(sequences: Scored, method: Method) -> Curve:
    """Return the curve of one bin."""
    return _fit_isotonic(sequences) if method == "isotonic" else _fit_temperature(sequences)


def _fit_temperature(sequences: Scored) -> Temperature:
    """Return the logistic regression on delta's log-odds, by Newton's method.

    The targets are Platt's, a little inside 0 and 1, so that kinds without overlap have a finite
    temperature too.
    """
    x = 2 * np.arctanh(np.clip(sequences.delta, -LARGEST_DELTA, LARGEST_DELTA))
    viral = sequences.labels == 1
    targets = np.where(viral, 1 - 1 / (viral.sum() + 2), 1 / ((~viral).sum() + 2))
    weights = sequences.weights()
    design = np.stack((x, np.ones_like(x)), axis=1)  # [n, 2]

    def loss(numbers: Floats) -> float:
        z = design @ numbers
        return float(weights @ (np.logaddexp(0, z) - targets * z))

    numbers = np.array([1.0, 0.0])  # slope, bias
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-design @ numbers))
        gradient = design.T @ (weights * (p - targets))
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        while loss(numbers - step) > loss(numbers) and np.abs(step).max() > NEWTON_TOLERANCE:
            step /= 2
        numbers = numbers - step
        if np.abs(step).max() <= NEWTON_TOLERANCE:
            break
    slope, bias = numbers.tolist()
    if slope <= 0:
        raise InputError(
            "calibration: the scores of viral validation sequences are not above the others'. "
            "Check the labels, or train the model anew."
        )
    return Temperature(1 / slope, bias)


def _fit_isotonic(sequences: Scored) -> Isotonic:
    """Return the best rising steps (pool adjacent violators), as knots at their centres."""
    delta, position = np.unique(sequences.delta, return_inverse=True)
    weights = sequences.weights()
    weight = np.bincount(position, weights)
    viral = np.bincount(position, weights * sequences.labels)
    blocks: list[tuple[float, float, float]] = []  # weight, viral weight, weight x delta
    for block in zip(weight.tolist(), viral.tolist(), (weight * delta).tolist(), strict=True):
        while blocks and blocks[-1][1] * block[0] >= block[1] * blocks[-1][0]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    smallest = 1 / (sequences.fewest() + 2)
    shares = [min(max(v / w, smallest), 1 - smallest) for w, v, _ in blocks]
    return Isotonic(tuple(d / w for w, _, d in blocks), tuple(shares))


def rates(sequences: Scored) -> Rates:
    """Return how many of each kind reach a delta, at observed ones that resolve the rare errors."""
    nonviral, viral = (np.sort(sequences.delta[sequences.labels == kind]) for kind in (0, 1))
    tails = np.geomspace(1 / len(nonviral), 1, NUM_THRESHOLDS)
    thresholds = np.unique(
        np.concatenate((
            [-1.0],
            np.quantile(nonviral, 1 - tails, method="higher"),
            np.quantile(viral, np.linspace(0, 1, NUM_THRESHOLDS), method="higher"),
        ))
    )  # fmt: skip
    above_nonviral = len(nonviral) - np.searchsorted(nonviral, thresholds)
    above_viral = len(viral) - np.searchsorted(viral, thresholds)
    return Rates(
        tuple(thresholds.tolist()),
        tuple((above_viral / len(viral)).tolist()),
        # + 1: none of n above a threshold does not mean that there never is one
        tuple(((above_nonviral + 1) / (len(nonviral) + 1)).tolist()),
    )


def p_virus(calibration: Calibration, sequences: Scored, prior: float = 0.5) -> Floats:
    """Return the calibrated probability of each sequence."""
    shift = logit(prior)
    pairs = zip(sequences.delta.tolist(), sequences.num_chunks.tolist(), strict=True)
    return np.array([sigmoid(calibration.log_odds(d, n) + shift) for d, n in pairs])


def held_out_p_virus(sequences: Scored, method: Method) -> Floats:
    """Return probabilities at equal frequencies, of curves fitted to the other groups (5 folds).

    Raises: InputError when too few groups are left for a curve.
    """
    _, group = np.unique(sequences.groups, return_inverse=True)
    order = np.random.default_rng(0).permutation(group.max() + 1)
    fold = order[group] % NUM_FOLDS
    found = np.empty(len(fold))
    for k in np.unique(fold):
        others = sequences.only(fold != k)
        if not others.fewest():
            raise InputError(
                f"calibration: {group.max() + 1} groups are too few to leave some out and still "
                "have both kinds. Give a validation set of more genomes."
            )
        curve = fit_curve(others, method)
        own = sequences.delta[fold == k].tolist()
        found[fold == k] = [sigmoid(curve.log_odds(delta)) for delta in own]
    return found


def reliability(probabilities: Floats, sequences: Scored) -> tuple[list[dict[str, float]], float]:
    """Return the reliability table and the expected calibration error, both kinds weighing alike.

    Each row: count, mean p_virus and share of viral ones, in 15 equal ranges of p_virus; ranges
    without a sequence are left out. The error is the mean |p_virus - share|, weighted.
    """
    row_of = np.minimum(
        (probabilities * NUM_RELIABILITY_BINS).astype(int), NUM_RELIABILITY_BINS - 1
    )
    weights = sequences.weights()
    table, error = [], 0.0
    for row in np.unique(row_of):
        own = row_of == row
        weight = weights[own].sum()
        mean = float(weights[own] @ probabilities[own] / weight)
        share = float(weights[own] @ sequences.labels[own] / weight)
        error += abs(mean - share) * weight / weights.sum()
        table.append({"count": int(own.sum()), "p_virus": mean, "viral": share})
    return table, float(error)


def fdr_table(calibration: Calibration, sequences: Scored) -> list[dict[str, float]]:
    """Return FDR and sensitivity for priors and probabilities from which on to call virus."""
    rows = []
    viral = sequences.labels == 1
    for prior in FDR_PRIORS:
        probabilities = p_virus(calibration, sequences, prior)
        for least in FDR_PROBABILITIES:
            true = float((probabilities[viral] >= least).mean())
            false = float((probabilities[~viral] >= least).sum() + 1) / ((~viral).sum() + 1)
            fdr = (1 - prior) * false / ((1 - prior) * false + prior * true)
            rows.append({"prior": prior, "p_virus": least, "fdr": fdr, "sensitivity": true})
    return rows


def _measured(calibration: Calibration, sequences: Scored, method: Method) -> dict[str, Any]:
    """Return what calibration files say of themselves, by bin."""
    found = []
    for part, own in zip(_by_bin(sequences), calibration.bins, strict=True):
        table, error = reliability(held_out_p_virus(part, method), part)
        raw = np.clip((part.delta + 1) / 2, 0, 1)
        found.append(
            {
                "min_chunks": own.min_chunks,
                "viral": int((part.labels == 1).sum()),
                "nonviral": int((part.labels == 0).sum()),
                "ece_raw": reliability(raw, part)[1],
                "ece_held_out": error,
                "reliability_held_out": table,
                "fdr": fdr_table(calibration, part),
            }
        )
    return {"method": method, "bins": found}


def write_calibration(
    folder: Path, calibration: Calibration, chunk_bp: int, frame_rule: str
) -> Path:
    """Put a calibration into a model set, in the place of one for the same chunks; return its file.

    The file says which components and chunks it was made for, and is refused for others.

    Args:
        folder: of the set whose scores the calibration was fitted to.
        chunk_bp, frame_rule: of the chunks that were scored; with the set's own min_residues.
    Raises: InputError for a folder without a model set, or a malformed one.
    """
    model_set = read_model_set(folder)
    path = folder / f"calibration-{chunk_bp}-{frame_rule}.json"
    text = to_json(replace(calibration, made_for=made_for(model_set, chunk_bp, frame_rule)))
    write_text(path, text)
    entry = {
        "chunk_bp": chunk_bp,
        "frame_rule": frame_rule,
        "file": path.name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    others: Sequence[dict[str, Any]] = model_set.description.get("calibration") or []
    kept = [c for c in others if (c["chunk_bp"], c["frame_rule"]) != (chunk_bp, frame_rule)]
    description = model_set.description | {"calibration": [*kept, entry]}
    write_description(folder, description)
    return path
