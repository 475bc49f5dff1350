"""Compares two tables of a level, and two samples level by level."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from virnucpro.comparison.differences import BLOCK_PAIRS, TIE_ZONE, Differences
from virnucpro.comparison.folders import Sample
from virnucpro.comparison.matching import OrderDiffersError, Pair, by_id, in_lockstep
from virnucpro.comparison.tables import LEVELS, Row, Table

FRAME_SUFFIX_LENGTH = 2  # F1 to R3
CSV_COLUMNS = (
    "sample", "level", "id", "what", "a_label", "b_label", "a_other", "a_virus", "b_other",
    "b_virus",
)  # fmt: skip


@dataclass
class LevelResult:
    """What came of one level of a sample.

    Attributes:
        a, b: the tables; differences between them.
        same_order: whether the files have the same ids in the same order.
    """

    level: str
    a: Table
    b: Table
    differences: Differences
    same_order: bool


@dataclass
class SampleResult:
    """What came of a sample: its levels, and levels that only one side has."""

    name: str
    levels: list[LevelResult] = field(default_factory=list)
    lonely: dict[str, str] = field(default_factory=dict)  # level -> A or B


class DifferingRows(AbstractContextManager["DifferingRows"]):
    """The CSV of rows that differ; it gets its name when it is complete."""

    def __init__(self, path: Path) -> None:
        """Open it beside its target."""
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._file = self._temporary.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(CSV_COLUMNS)

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Rename it, or drop it after an error."""
        self._file.close()
        if kind:
            self._temporary.unlink()
        else:
            self._temporary.replace(self._path)

    def mark(self) -> int:
        """Return a place to come back to."""
        self._file.flush()
        return self._file.tell()

    def back_to(self, place: int) -> None:
        """Drop what was added since."""
        self._file.flush()
        self._file.seek(place)
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
            scores: list[Any] = []
            for side in (a, b):
                scores += [side.other, side.virus] if side else ["", ""]
            shown = ["" if value != value else value for value in scores]
            self._writer.writerow([sample, level, row.id, what, *labels, *shown])


def compare_samples(
    name: str,
    a: Sample,
    b: Sample,
    levels: Iterable[str],
    tolerance: float,
    limit: int,
    rows: DifferingRows | None = None,
) -> SampleResult:
    """Compare the tables that both sides have, in the order of LEVELS."""
    result = SampleResult(name)
    for level in (level for level in LEVELS if level in levels):
        table_a, table_b = a.tables.get(level), b.tables.get(level)
        if table_a and table_b:
            found = compare_tables(name, table_a, table_b, tolerance, limit, rows)
            if level == "chunk":
                _score_flips(found.differences, a.tables.get("frame"), b.tables.get("frame"))
            result.levels.append(found)
        elif table_a or table_b:
            result.lonely[level] = "A" if table_a else "B"
    return result


def compare_tables(
    sample: str, a: Table, b: Table, tolerance: float, limit: int, rows: DifferingRows | None
) -> LevelResult:
    """Compare two tables in lockstep; where their order differs, begin again with them sorted."""
    place = rows.mark() if rows else 0

    def begin() -> tuple[Differences, Callable[[list[Pair]], None]]:
        found = Differences(tolerance, limit, scored=a.scored and b.scored)

        def count(pairs: list[Pair]) -> None:
            differing = found.add(pairs)
            if rows:
                rows.add(sample, a.level, differing)

        return found, count

    found, count = begin()
    try:
        for block in _blocks(in_lockstep(a, b)):
            count(block)
    except OrderDiffersError:
        if rows:
            rows.back_to(place)
    else:
        return LevelResult(a.level, a, b, found, same_order=True)
    found, count = begin()
    for block in _blocks(_ungrouped(by_id(a, b), found)):
        count(block)
    return LevelResult(a.level, a, b, found, same_order=False)


def _ungrouped(groups: Iterator[list[Pair]], found: Differences) -> Iterator[Pair]:
    for group in groups:
        if len(group) > 1:
            found.add_group(group)
        yield from group


def _blocks(pairs: Iterator[Pair]) -> Iterator[list[Pair]]:
    while block := list(islice(pairs, BLOCK_PAIRS)):
        yield block


def _score_flips(found: Differences, *frames: Table | None) -> None:
    """Look up how clear the flips of chunk tables without scores are, in the tables of frames."""
    wanted = set(found.unscored_flips)
    if not wanted or not all(frames):
        return
    clear: set[str] = set()
    for table in frames:
        assert table
        best: dict[str, tuple[float, float]] = {}
        for row in table.rows():
            chunk = row.id[:-FRAME_SUFFIX_LENGTH]
            if chunk in wanted:
                other, virus = best.get(chunk, (0.0, 0.0))
                best[chunk] = max(other, row.other), max(virus, row.virus)
        clear |= {name for name, (o, v) in best.items() if abs(v - o) / 2 > TIE_ZONE}
    found.num_clear_flips += len(clear)
    found.unscored_flips = []
