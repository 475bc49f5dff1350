"""The frames of a sample that have no vector, and so no score: a warning for each reason."""

from collections import Counter

from virnucpro.scoring.scores_file import ScoreRow
from virnucpro.sequences.no_vector import NO_VECTOR_REASONS, SENTENCES

REMEDIES = {
    "not_finite": "--strict makes this an error",
    "too_long_for_gpu": "A GPU with more memory or --device cpu embeds it; "
    "--strict makes this an error",
}


class UnscoredFrames:
    """Counts frames without a score, and the sequences that have one, by reason."""

    def __init__(self) -> None:
        """Start without a frame."""
        self._frames: Counter[str] = Counter()
        self._sequences: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add_sequence(self, scores: list[list[ScoreRow]]) -> None:
        """Count those among the frames of a sequence, chunk by chunk."""
        rows = [row for chunk in scores for row in chunk if row.reason]
        for row in rows:
            self._frames[row.reason] += 1
            self._first.setdefault(row.reason, row.frame_id)
        self._sequences.update({row.reason for row in rows})

    def warnings(self) -> list[str]:
        """Return a line for each reason that there is."""
        return [
            f"frame {self._first[reason]}: {SENTENCES[reason]} ({self._frames[reason]} such frames "
            f"in {self._sequences[reason]} sequences): left out. A sequence without another frame "
            f"is in sequences.tsv with the reason {reason}. {REMEDIES[reason]}"
            for reason in NO_VECTOR_REASONS
            if self._frames[reason]
        ]
