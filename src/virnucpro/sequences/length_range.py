"""The lengths of sequences that are called: --min_length and --max_length."""

from typing import NamedTuple

LENGTH_REASONS = SHORTER, LONGER = "shorter_than_min_length", "longer_than_max_length"


class LengthRange(NamedTuple):
    """Both ends belong to it; max_bp None: any length above min_bp."""

    min_bp: int = 0
    max_bp: int | None = None

    def reason(self, length_bp: int) -> str:
        """Return why a sequence of such a length is not called; "" when it is."""
        if length_bp < self.min_bp:
            return SHORTER
        return LONGER if self.max_bp is not None and length_bp > self.max_bp else ""


ALL_LENGTHS = LengthRange()
