"""Fit the calibration of a model set to validation sequences.

What a calibration is and how it is used: consensus/calibrator.py. Both labels weigh the same,
whatever their numbers of sequences; the prior comes in when the calibration is used.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
from virnucpro.training.genomes import MIN_CALIBRATION_CHUNKS

Method = Literal["temperature", "isotonic"]
Floats = NDArray[np.float64]

FIRST_CHUNKS = (1, 2, 5)  # bins of sequences of 1, of 2 to 4, and of 5 or more called chunks
NUM_RELIABILITY_BINS = 15
NUM_FOLDS = 5
NUM_THRESHOLDS = 32  # of the rates, from each label
FDR_PRIORS = (0.5, 0.1, 0.01)
FDR_PROBABILITIES = (0.5, 0.7, 0.9, 0.95, 0.99)
NEWTON_STEPS, NEWTON_TOLERANCE = 100, 1e-10


@dataclass(frozen=True)
class ScoredSequences:
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

    def only(self, mask: NDArray[np.bool_]) -> "ScoredSequences":
        """Return those of a mask."""
        return ScoredSequences(
            self.delta[mask], self.labels[mask], self.num_chunks[mask], self.groups[mask]
        )

    def num_of_rarer_label(self) -> int:
        """Return the number of sequences of the label that has fewer."""
        return int(min((self.labels == 0).sum(), (self.labels == 1).sum()))


def weights_of(labels: NDArray[np.int64]) -> Floats:
    """Return the weight of each sequence: the same total for both labels, 1 on average."""
    return (len(labels) / (2 * np.bincount(labels, minlength=2)))[labels]


def fit(sequences: ScoredSequences, method: Method = "temperature") -> Calibration:
    """Return the calibration that fits sequences; it says in `measured` what it reaches.

    Args:
        sequences: that no training saw; chunks alone are enough.
        method: temperature has two numbers a bin, isotonic follows any rising curve.
    Raises: InputError for too few sequences of a label with one chunk, and for scores that do not
        rise with the label.
    """
    bins = []
    for part in _by_bin(sequences):
        first = int(part.num_chunks.min())
        start = max(chunks for chunks in FIRST_CHUNKS if chunks <= first)
        bins.append(Bin(start, fit_curve(part, method), rates(part)))
    calibration = Calibration(tuple(bins))
    return replace(calibration, measured=_measured(calibration, sequences, method))


def _by_bin(sequences: ScoredSequences) -> list[ScoredSequences]:
    """Return the sequences of each bin; one with too few of a label joins the bin below."""
    bin_of = np.searchsorted(FIRST_CHUNKS, sequences.num_chunks, side="right") - 1
    parts: list[NDArray[np.bool_]] = []
    for b in range(len(FIRST_CHUNKS)):
        in_bin = bin_of == b
        if sequences.only(in_bin).num_of_rarer_label() >= MIN_CALIBRATION_CHUNKS:
            parts.append(in_bin)
        elif not parts:
            raise InputError(
                f"calibration: of sequences with one called chunk there are "
                f"{(sequences.labels[in_bin] == 1).sum()} viral and "
                f"{(sequences.labels[in_bin] == 0).sum()} non-viral ones, "
                f"{MIN_CALIBRATION_CHUNKS} of each are needed. Give a larger validation set."
            )
        else:
            parts[-1] |= in_bin
    return [sequences.only(part) for part in parts]


def fit_curve(sequences: ScoredSequences, method: Method) -> Curve:
    """Return the curve of one bin."""
    return _fit_isotonic(sequences) if method == "isotonic" else _fit_temperature(sequences)


def _fit_temperature(sequences: ScoredSequences) -> Temperature:
    """Return the logistic regression on delta's log-odds, by Newton's method.

    The targets are Platt's, a little inside 0 and 1, so that labels whose scores do not overlap
    have a finite temperature too.
    """
    x = 2 * np.arctanh(np.clip(sequences.delta, -LARGEST_DELTA, LARGEST_DELTA))
    viral = sequences.labels == 1
    targets = np.where(viral, 1 - 1 / (viral.sum() + 2), 1 / ((~viral).sum() + 2))
    weights = weights_of(sequences.labels)
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


def _fit_isotonic(sequences: ScoredSequences) -> Isotonic:
    """Return the best rising steps (pool adjacent violators), as knots at their centres."""
    delta, position = np.unique(sequences.delta, return_inverse=True)
    weights = weights_of(sequences.labels)
    weight = np.bincount(position, weights)
    viral = np.bincount(position, weights * sequences.labels)
    blocks: list[tuple[float, float, float]] = []  # weight, viral weight, weight x delta
    for block in zip(weight.tolist(), viral.tolist(), (weight * delta).tolist(), strict=True):
        while blocks and blocks[-1][1] * block[0] >= block[1] * blocks[-1][0]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    smallest = 1 / (sequences.num_of_rarer_label() + 2)
    shares = [min(max(v / w, smallest), 1 - smallest) for w, v, _ in blocks]
    return Isotonic(tuple(d / w for w, _, d in blocks), tuple(shares))


def rates(sequences: ScoredSequences) -> Rates:
    """Return how many of each label reach a delta, at observed ones that resolve rare errors."""
    nonviral, viral = (np.sort(sequences.delta[sequences.labels == label]) for label in (0, 1))
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


def p_virus(calibration: Calibration, sequences: ScoredSequences, prior: float = 0.5) -> Floats:
    """Return the calibrated probability of each sequence."""
    shift = logit(prior)
    pairs = zip(sequences.delta.tolist(), sequences.num_chunks.tolist(), strict=True)
    return np.array([sigmoid(calibration.log_odds(d, n) + shift) for d, n in pairs])


def held_out_p_virus(sequences: ScoredSequences, method: Method) -> Floats:
    """Return probabilities at equal frequencies, of curves fitted to the other groups (5 folds).

    Raises: InputError when too few groups are left for a curve.
    """
    _, group = np.unique(sequences.groups, return_inverse=True)
    order = np.random.default_rng(0).permutation(group.max() + 1)
    fold = order[group] % NUM_FOLDS
    probabilities = np.empty(len(fold))
    for k in np.unique(fold):
        others = sequences.only(fold != k)
        if not others.num_of_rarer_label():
            raise InputError(
                f"calibration: {group.max() + 1} groups are too few to leave some out and still "
                "have both labels. Give a validation set of more genomes."
            )
        curve = fit_curve(others, method)
        deltas = sequences.delta[fold == k].tolist()
        probabilities[fold == k] = [sigmoid(curve.log_odds(delta)) for delta in deltas]
    return probabilities


def reliability(
    probabilities: Floats, labels: NDArray[np.int64]
) -> tuple[list[dict[str, float]], float]:
    """Return the reliability table and the expected calibration error; both labels weigh the same.

    Each row: count, mean p_virus and share of viral ones, in 15 equal ranges of p_virus; ranges
    without a sequence are omitted. The error is the mean |p_virus - share|, weighted.
    """
    row_of = np.minimum(
        (probabilities * NUM_RELIABILITY_BINS).astype(int), NUM_RELIABILITY_BINS - 1
    )
    weights = weights_of(labels)
    table, error = [], 0.0
    for row in np.unique(row_of):
        in_row = row_of == row
        weight = weights[in_row].sum()
        mean = float(weights[in_row] @ probabilities[in_row] / weight)
        share = float(weights[in_row] @ labels[in_row] / weight)
        error += abs(mean - share) * weight / weights.sum()
        table.append({"count": int(in_row.sum()), "p_virus": mean, "viral": share})
    return table, float(error)


def fdr_table(calibration: Calibration, sequences: ScoredSequences) -> list[dict[str, float]]:
    """Return FDR and sensitivity for priors and probabilities from which on to call virus."""
    rows = []
    viral = sequences.labels == 1
    for prior in FDR_PRIORS:
        probabilities = p_virus(calibration, sequences, prior)
        for threshold in FDR_PROBABILITIES:
            true = float((probabilities[viral] >= threshold).mean())
            false = float((probabilities[~viral] >= threshold).sum() + 1) / ((~viral).sum() + 1)
            fdr = (1 - prior) * false / ((1 - prior) * false + prior * true)
            rows.append({"prior": prior, "p_virus": threshold, "fdr": fdr, "sensitivity": true})
    return rows


def _measured(
    calibration: Calibration, sequences: ScoredSequences, method: Method
) -> dict[str, Any]:
    """Return the figures of a calibration, by bin."""
    figures = []
    for part, part_bin in zip(_by_bin(sequences), calibration.bins, strict=True):
        table, error = reliability(held_out_p_virus(part, method), part.labels)
        raw = np.clip((part.delta + 1) / 2, 0, 1)
        figures.append(
            {
                "min_chunks": part_bin.min_chunks,
                "viral": int((part.labels == 1).sum()),
                "nonviral": int((part.labels == 0).sum()),
                "ece_raw": reliability(raw, part.labels)[1],
                "ece_held_out": error,
                "reliability_held_out": table,
                "fdr": fdr_table(calibration, part),
            }
        )
    return {"method": method, "bins": figures}
