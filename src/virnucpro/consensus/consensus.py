"""From frame scores to the call of a chunk, and from chunks to the call of a sequence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from virnucpro.consensus.calibrator import Calibrator, Verdict

# Thresholds of the consensus that users of the fork run downstream (viral-ngs, PR #1078).
CONFIDENT, OPPOSITE = 0.8, 0.3
AMBIGUOUS = 0.7
HIGH_DELTA, CLEAR_DELTA = 0.6, 0.3
MIN_PROPORTION = 0.1
FEW_CHUNKS = 5
DEMOTED = {"high": "low", "moderate": "low", "low": "review", "review": "review"}


class FrameScore(NamedTuple):
    """Probabilities of one frame, float32 values."""

    p_other: float
    p_virus: float


def is_virus_frame(score: FrameScore) -> bool:
    """Return the original's argmax: an exact tie is "others"."""
    return score.p_virus > score.p_other


@dataclass(frozen=True)
class ChunkCall:
    """The largest score on either side among a chunk's frames; they may be of different frames.

    Attributes:
        verdict: what the scores say when calibrated; None without a calibration.
    """

    max_other: float
    max_virus: float
    verdict: Verdict | None = None

    @property
    def is_virus_uncalibrated(self) -> bool:
        """The original's consensus: a tie is virus."""
        return self.max_virus >= self.max_other

    @property
    def is_virus(self) -> bool:
        """The call: the calibrated one where there is a calibration."""
        return self.verdict.is_virus if self.verdict else self.is_virus_uncalibrated

    @property
    def delta(self) -> float:
        """Margin of virus over other, -1 to 1."""
        return self.max_virus - self.max_other


def call_chunk(scores: Sequence[FrameScore], calibrator: Calibrator | None = None) -> ChunkCall:
    """Return the call of a chunk with at least one scored frame."""
    call = ChunkCall(max(s.p_other for s in scores), max(s.p_virus for s in scores))
    if calibrator is None:
        return call
    verdict = calibrator.verdict(call.delta, num_chunks=1)
    return ChunkCall(call.max_other, call.max_virus, verdict)


@dataclass(frozen=True)
class SequenceCall:
    """The call of a sequence out of its called chunks.

    Attributes:
        weighted_delta: mean of the chunks' deltas, each weighted by sqrt(|delta|); -1 to 1.
        viral_proportion, nonviral_proportion: confident chunks among those not ambiguous.
        tier: high, moderate, low or review: how far to trust the call.
        verdict: what the weighted delta says when calibrated; None without a calibration.
    """

    is_virus: bool
    tier: str
    weighted_delta: float
    num_chunks: int
    num_confident_viral: int
    num_confident_nonviral: int
    num_ambiguous: int
    viral_proportion: float
    nonviral_proportion: float
    verdict: Verdict | None = None


def call_sequence(
    chunks: Sequence[ChunkCall], calibrator: Calibrator | None = None
) -> SequenceCall:
    """Return the call of a sequence with at least one called chunk.

    The sign of the weighted delta decides (zero is virus, so that a sequence of one chunk has the
    chunk's call); where the published consensus says "Ambiguous" (up to 0.3), the tier is review.
    With a calibration, the probability decides; a call against the sign has the tier review.
    """
    weights = [math.sqrt(abs(chunk.delta)) for chunk in chunks]
    total = math.fsum(weights)
    delta = math.fsum(c.delta * w for c, w in zip(chunks, weights, strict=True)) / (total or 1.0)
    viral = sum(c.max_virus > CONFIDENT and c.max_other < OPPOSITE for c in chunks)
    nonviral = sum(c.max_other > CONFIDENT and c.max_virus < OPPOSITE for c in chunks)
    ambiguous = sum(c.max_virus > AMBIGUOUS and c.max_other > AMBIGUOUS for c in chunks)
    clear = max(1, len(chunks) - ambiguous)
    verdict = calibrator.verdict(delta, len(chunks)) if calibrator else None
    is_virus = verdict.is_virus if verdict else delta >= 0
    supporting = (viral if is_virus else nonviral) / clear
    return SequenceCall(
        is_virus=is_virus,
        tier=_tier(delta if is_virus else -delta, supporting, len(chunks)),
        weighted_delta=delta,
        num_chunks=len(chunks),
        num_confident_viral=viral,
        num_confident_nonviral=nonviral,
        num_ambiguous=ambiguous,
        viral_proportion=viral / clear,
        nonviral_proportion=nonviral / clear,
        verdict=verdict,
    )


def _tier(margin: float, supporting: float, num_chunks: int) -> str:
    if margin <= CLEAR_DELTA:
        return "review"
    if supporting < MIN_PROPORTION:
        tier = "low"
    else:
        tier = "high" if margin > HIGH_DELTA else "moderate"
    return DEMOTED[tier] if num_chunks < FEW_CHUNKS else tier
