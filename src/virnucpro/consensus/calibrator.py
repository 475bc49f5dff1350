"""From a margin of scores to a probability, a call and an FDR.

What is calibrated is the delta, -1 to 1, of a sequence: the margin of virus over other, pooled over
its called chunks (consensus.py). A chunk is calibrated as a sequence of one chunk. Sequences are
told apart by their number of called chunks, since the same delta means more when it is the mean of
many. The curve of such a bin gives the log-odds of virus where both labels are equally frequent:

    temperature   ln((1 + delta) / (1 - delta)) / temperature + bias
    isotonic      of the probability that is read off between knots (delta, p_virus)

The prior, the share of viral sequences in the sample, is added as its own log-odds. A model set
brings its calibration as a file (calibration_file.py); training/fit_calibration.py makes it.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Float32 scores near 0 and 1 resolve no more; the log-odds stay below 14.6.
LARGEST_DELTA = 1 - 1e-6


class Verdict(NamedTuple):
    """What a calibrated score says; `fdr` is None for a call that is not viral."""

    is_virus: bool
    p_virus: float
    fdr: float | None


@dataclass(frozen=True)
class Temperature:
    """Log-odds that are divided and shifted; for one chunk, delta's are those of the scores."""

    temperature: float
    bias: float

    def log_odds(self, delta: float) -> float:
        """Return the log-odds of virus at equal frequencies."""
        return delta_log_odds(delta) / self.temperature + self.bias


@dataclass(frozen=True)
class Isotonic:
    """A rising curve through knots: `delta` ascending, `p_virus` between 0 and 1, ascending."""

    delta: tuple[float, ...]
    p_virus: tuple[float, ...]

    def log_odds(self, delta: float) -> float:
        """Return the log-odds of virus at equal frequencies; beyond the knots, those of the end."""
        right = bisect_right(self.delta, delta)
        if right in (0, len(self.delta)):
            return logit(self.p_virus[max(0, right - 1)])
        (x0, x1), (y0, y1) = (v[right - 1 : right + 1] for v in (self.delta, self.p_virus))
        return logit(y0 + (y1 - y0) * (delta - x0) / (x1 - x0))


Curve = Temperature | Isotonic


@dataclass(frozen=True)
class Rates:
    """Shares of validation sequences with at least a delta; the first delta is -1.

    Attributes:
        delta: thresholds, ascending.
        viral, nonviral: share of each label at or above them, falling; `nonviral` is never 0.
    """

    delta: tuple[float, ...]
    viral: tuple[float, ...]
    nonviral: tuple[float, ...]

    def fdr(self, prior: float) -> list[float]:
        """Return for each threshold the expected share of non-viral ones among those above it.

        It does not rise with the threshold: a higher one takes over what a lower one reaches.
        """
        rates, smallest = [], 1.0
        for viral, nonviral in zip(self.viral, self.nonviral, strict=True):
            false, true = (1 - prior) * nonviral, prior * viral
            smallest = min(smallest, false / (false + true))
            rates.append(smallest)
        return rates


@dataclass(frozen=True)
class Bin:
    """Sequences with at least `min_chunks` called chunks, up to the next bin."""

    min_chunks: int
    curve: Curve
    rates: Rates


@dataclass(frozen=True)
class MadeFor:
    """What the scores depend on that a calibration was fitted to; it is valid for no others.

    Attributes:
        min_residues: of a partial frame; None by the rule `open`.
        components: role -> sha256 in lower case, of all components of the model set.
    """

    chunk_bp: int
    frame_rule: str
    min_residues: int | None
    components: dict[str, str]


@dataclass(frozen=True)
class Calibration:
    """The calibration of a model set for one chunk length and frame rule.

    Attributes:
        bins: the first for one chunk, ascending.
        viral_prior: the prior to use when none is given.
        threshold: a sequence is viral from this probability on.
        made_for: None until it is put into a model set.
        measured: how it was made and what it reaches; not used.
    """

    bins: tuple[Bin, ...]
    viral_prior: float = 0.5
    threshold: float = 0.5
    made_for: MadeFor | None = None
    measured: dict[str, Any] = field(default_factory=dict, compare=False)

    def bin_of(self, num_chunks: int) -> Bin:
        """Return the bin of sequences with so many called chunks."""
        return next(b for b in reversed(self.bins) if b.min_chunks <= num_chunks)

    def log_odds(self, delta: float, num_chunks: int) -> float:
        """Return the log-odds of virus at equal frequencies."""
        return self.bin_of(num_chunks).curve.log_odds(delta)


class Calibrator:
    """A calibration with a prior."""

    def __init__(self, calibration: Calibration, viral_prior: float | None = None) -> None:
        """Take the calibration's own prior where none is given."""
        prior = calibration.viral_prior if viral_prior is None else viral_prior
        self._calibration = calibration
        self._shift = logit(prior)
        self._min_log_odds = logit(calibration.threshold)
        self._fdr = {b.min_chunks: b.rates.fdr(prior) for b in calibration.bins}

    def verdict(self, delta: float, num_chunks: int) -> Verdict:
        """Return what a delta pooled over so many chunks says; at the threshold it is virus."""
        of_size = self._calibration.bin_of(num_chunks)
        log_odds = of_size.curve.log_odds(delta) + self._shift
        p_virus = sigmoid(log_odds)
        if log_odds < self._min_log_odds:
            return Verdict(False, p_virus, None)
        reached = bisect_right(of_size.rates.delta, delta) - 1
        return Verdict(True, p_virus, self._fdr[of_size.min_chunks][max(0, reached)])


def delta_log_odds(delta: float) -> float:
    """Return ln((1 + delta) / (1 - delta)); of a single frame, the log-odds of its scores."""
    return 2 * math.atanh(max(-LARGEST_DELTA, min(LARGEST_DELTA, delta)))


def logit(p: float) -> float:
    """Return the log-odds of a probability between 0 and 1, both excluded."""
    return math.log(p) - math.log1p(-p)


def sigmoid(log_odds: float) -> float:
    """Return the probability of log-odds, which may be large."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    power = math.exp(log_odds)
    return power / (1 + power)
