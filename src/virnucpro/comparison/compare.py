"""Compares two tables of a level, and two samples level by level."""

import csv
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

from virnucpro.comparison.differences import BLOCK_PAIRS, TIE_ZONE, Differences
from virnucpro.comparison.folders import Sample
from virnucpro.comparison.matching import OrderDiffersError, Pair, by_id, in_lockstep
from virnucpro.comparison.tables import LEVELS, NO_SCORE, ResultTable, Row
from virnucpro.files import atomic_write

FRAME_SUFFIX_LENGTH = 2  # F1 to R3
CSV_COLUMNS = (
    "sample", "level", "id", "what", "a_label", "b_label", "a_other", "a_virus", "b_other",
    "b_virus",
)  # fmt: skip


@dataclass
class LevelResult:
    """The comparison of one level of a sample.

    Attributes:
        a, b: the tables; differences between them.
        same_order: whether the files have the same ids in the same order.
    """

    level: str
    a: ResultTable
    b: ResultTable
    differences: Differences
    same_order: bool


@dataclass
class SampleResult:
    """The comparison of a sample: its levels, and those that only one side has."""

    name: str
    levels: list[LevelResult] = field(default_factory=list)
    one_sided: dict[str, str] = field(default_factory=dict)  # level -> A or B


class DifferingRows:
    """Writes the CSV of rows that differ."""

    def __init__(self, file: TextIO) -> None:
        """Write the header."""
        self._file = file
        self._writer = csv.writer(file)
        self._writer.writerow(CSV_COLUMNS)

    def mark(self) -> int:
        """Return a position to go back to."""
        self._file.flush()
        return self._file.tell()

    def back_to(self, position: int) -> None:
        """Drop what was added since."""
        self._file.flush()
        self._file.seek(position)
        self._file.truncate()

    def add(self, sample: str, level: str, pairs: Iterable[Pair]) -> None:
        """Add rows; `what` is only_a, only_b, label or score."""
        for a, b in pairs:
            row: Row | None = a or b
            assert row
            if a is None or b is None:
                what = "only_b" if a is None else "only_a"
            else:
                what = "score" if a.label == b.label else "label"
            labels = [side.label if side else "" for side in (a, b)]
            scores = [x for side in (a, b) for x in (side[2:] if side else (NO_SCORE, NO_SCORE))]
            shown = ["" if math.isnan(score) else score for score in scores]
            self._writer.writerow([sample, level, row.id, what, *labels, *shown])


@contextmanager
def open_differing_rows(path: Path) -> Iterator[DifferingRows]:
    """Open a CSV file, which is written atomically."""
    with (
        atomic_write(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        yield DifferingRows(file)


def compare_samples(
    name: str,
    a: Sample,
    b: Sample,
    levels: Iterable[str],
    tolerance: float,
    limit: int,
    rows: DifferingRows | None,
) -> SampleResult:
    """Compare the tables that both sides have, in the order of LEVELS."""
    result = SampleResult(name)
    for level in (level for level in LEVELS if level in levels):
        table_a, table_b = a.tables.get(level), b.tables.get(level)
        if table_a and table_b:
            compared = compare_tables(name, table_a, table_b, tolerance, limit, rows)
            if level == "chunk":
                _score_flips(compared.differences, a.tables.get("frame"), b.tables.get("frame"))
            result.levels.append(compared)
        elif table_a or table_b:
            result.one_sided[level] = "A" if table_a else "B"
    return result


def compare_tables(
    sample: str,
    a: ResultTable,
    b: ResultTable,
    tolerance: float,
    limit: int,
    rows: DifferingRows | None,
) -> LevelResult:
    """Compare two tables in lockstep; where their order differs, start again with them sorted."""
    start = rows.mark() if rows else 0
    try:
        differences = Differences(tolerance, limit, scored=a.scored and b.scored)
        _count(in_lockstep(a, b), differences, rows, sample, a.level)
        return LevelResult(a.level, a, b, differences, same_order=True)
    except OrderDiffersError:
        if rows:
            rows.back_to(start)
    differences = Differences(tolerance, limit, scored=a.scored and b.scored)
    _count(_ungrouped(by_id(a, b), differences), differences, rows, sample, a.level)
    return LevelResult(a.level, a, b, differences, same_order=False)


def _count(
    pairs: Iterator[Pair],
    differences: Differences,
    rows: DifferingRows | None,
    sample: str,
    level: str,
) -> None:
    while block := list(islice(pairs, BLOCK_PAIRS)):
        differing = differences.add(block)
        if rows:
            rows.add(sample, level, differing)


def _ungrouped(groups: Iterator[list[Pair]], differences: Differences) -> Iterator[Pair]:
    for group in groups:
        if len(group) > 1:
            differences.add_group(group)
        yield from group


def _score_flips(differences: Differences, *frames: ResultTable | None) -> None:
    """Look up how clear the flips of chunk tables without scores are, in the frame tables."""
    chunks = set(differences.unscored_flips)
    if not chunks or not all(frames):
        return
    clear: set[str] = set()
    for table in frames:
        assert table
        best: dict[str, tuple[float, float]] = {}
        for row in table.rows():
            chunk = row.id[:-FRAME_SUFFIX_LENGTH]
            if chunk in chunks:
                other, virus = best.get(chunk, (0.0, 0.0))
                best[chunk] = max(other, row.other), max(virus, row.virus)
        clear |= {name for name, (o, v) in best.items() if abs(v - o) / 2 > TIE_ZONE}
    differences.num_clear_flips += len(clear)
    differences.unscored_flips = []
