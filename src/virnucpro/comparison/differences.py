"""The differences between two tables of a level, counted in one pass over their pairs."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from virnucpro.comparison.matching import Pair
from virnucpro.comparison.tables import Row

TIE_ZONE = 0.01  # so close to the tie, another device may decide otherwise
BLOCK_PAIRS = 1 << 15
QUANTILES = (0.5, 0.9, 0.99, 0.999)
NUM_BINS = 1 << 16


@dataclass
class Ids:
    """A number of ids, and the first few of them."""

    limit: int
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.first) < self.limit:
            self.first.append(name)


class Spread:
    """Distribution of score differences, in constant memory.

    A bin is the upper half of a float32: a quantile is at most 1 % above the true one.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.count = self.within = 0
        self.max = self.total = 0.0
        self.max_id = ""
        self._bins = np.zeros(NUM_BINS, np.int64)

    def add(self, differences: NDArray[np.float32], ids: list[str], tolerance: float) -> None:
        """Add finite differences >= 0, float32 [n], and the ids that they are of."""
        if not len(differences):
            return
        top = int(differences.argmax())
        if differences[top] > self.max:
            self.max, self.max_id = float(differences[top]), ids[top]
        self.count += len(differences)
        self.within += int((differences <= tolerance).sum())
        self.total += float(differences.sum(dtype=np.float64))
        self._bins += np.bincount(differences.view(np.uint32) >> 16, minlength=NUM_BINS)

    @property
    def mean(self) -> float:
        """Return the mean, 0 without any."""
        return self.total / max(self.count, 1)

    def quantile(self, share: float) -> float:
        """Return the value that a share of the differences does not exceed."""
        if self._bins[0] >= share * self.count:
            return 0.0
        index = int(np.searchsorted(self._bins.cumsum(), share * self.count))
        edge = np.array([(index + 1) << 16], np.uint32).view(np.float32)[0]
        return min(float(edge), self.max)


class Differences:
    """Counts pairs of rows of one level.

    Attributes:
        only_a, only_b: ids without a partner; repeated_a, repeated_b: ids with more than one row.
        num_common: pairs; num_agreeing: those with the same label.
        flips: pairs with different labels. num_clear_flips: those where a score of A or B is
            further than TIE_ZONE from the tie; unscored_flips: those without any score.
        spread: of the larger difference of each pair; num_half_nan: pairs where only one side
            has NaN.
        scored: whether both tables have scores.
    """

    def __init__(self, tolerance: float, limit: int, *, scored: bool) -> None:
        """Start empty; `limit` ids and flips are named."""
        self.tolerance, self.limit, self.scored = tolerance, limit, scored
        self.only_a, self.only_b = Ids(limit), Ids(limit)
        self.repeated_a, self.repeated_b = Ids(limit), Ids(limit)
        self.num_common = self.num_agreeing = self.num_clear_flips = self.num_half_nan = 0
        self.flips: list[tuple[Row, Row]] = []
        self.unscored_flips: list[str] = []
        self.spread = Spread()

    @property
    def num_flips(self) -> int:
        """Return the number of pairs whose labels differ."""
        return self.num_common - self.num_agreeing

    @property
    def is_equal(self) -> bool:
        """Return whether ids and labels are the same, and scores within the tolerance."""
        unmatched = self.only_a.count + self.only_b.count
        off = self.spread.count - self.spread.within + self.num_half_nan
        return not (unmatched or self.num_flips or off)

    def add(self, pairs: list[Pair]) -> list[Pair]:
        """Count some pairs; return those that differ."""
        common = [(a, b) for a, b in pairs if a and b]
        alone = [(a, b) for a, b in pairs if not (a and b)]
        for a, b in alone:
            if a:
                self.only_a.add(a.id)
            elif b:
                self.only_b.add(b.id)
        return alone + self._add_common(common)

    def _add_common(self, pairs: list[tuple[Row, Row]]) -> list[Pair]:
        if not pairs:
            return []
        flipped = np.array([a.label != b.label for a, b in pairs])
        self.num_common += len(pairs)
        self.num_agreeing += int((~flipped).sum())
        for i in np.flatnonzero(flipped):
            self._add_flip(*pairs[i])
        off = self._add_scores(pairs) if self.scored else np.zeros_like(flipped)
        return [pairs[i] for i in np.flatnonzero(flipped | off)]

    def _add_scores(self, pairs: list[tuple[Row, Row]]) -> NDArray[np.bool_]:
        """Return which pairs differ by more than the tolerance, or are NaN in one table only."""
        scores_a = np.array([(a.other, a.virus) for a, _ in pairs], np.float32)
        scores_b = np.array([(b.other, b.virus) for _, b in pairs], np.float32)
        missing_a, missing_b = np.isnan(scores_a).any(axis=1), np.isnan(scores_b).any(axis=1)
        half_nan = missing_a ^ missing_b
        self.num_half_nan += int(half_nan.sum())
        gaps = np.abs(scores_a - scores_b).max(axis=1)
        rows = np.flatnonzero(~(missing_a | missing_b))
        self.spread.add(gaps[rows], [pairs[i][0].id for i in rows], self.tolerance)
        return half_nan | (gaps > self.tolerance)

    def _add_flip(self, a: Row, b: Row) -> None:
        if len(self.flips) < self.limit:
            self.flips.append((a, b))
        distances = [abs(row.virus - row.other) / 2 for row in (a, b)]
        known = [distance for distance in distances if distance == distance]
        if known:
            self.num_clear_flips += max(known) > TIE_ZONE
        else:
            self.unscored_flips.append(a.id)

    def add_group(self, group: list[Pair]) -> None:
        """Count an id that has more than one row in a table."""
        for side, repeated in enumerate((self.repeated_a, self.repeated_b)):
            rows = [row for pair in group if (row := pair[side]) is not None]
            if len(rows) > 1:
                repeated.add(rows[0].id)
