"""The result tables of the original, of its fork and of this pipeline, as rows of one kind.

frame    prediction_results.txt; the same in all three, but for the text of a score
chunk    prediction_results_highestscore.csv; the fork's has two columns more, and another order
contig   contigs.tsv; ours alone
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from virnucpro.errors import InputError

LEVELS = ("frame", "chunk", "contig")
# What the fork's container writes for an input without reads, under both names.
COMMA_HEADER = "Sequence_ID,Prediction,score1,score2"
CONSENSUS_ENDING = "_highestscore.csv"
LABELS = {
    "frame": {"virus": "virus", "others": "other"},
    "chunk": {"True": "virus", "False": "other"},
    "contig": {"viral": "virus", "non-viral": "other", "none": "none"},
}
NO_SCORE = float("nan")


class Row(NamedTuple):
    """One frame, chunk or contig.

    Attributes:
        label: virus, other or none.
        other, virus: scores; NaN without. A contig has one, its weighted delta: virus; other is 0.
    """

    id: str
    label: str
    other: float
    virus: float


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a level; scores may be missing where they are not needed."""

    id: str
    label: str
    scores: tuple[str, ...]
    needs_scores: bool


COLUMNS = {
    "frame": Columns("Sequence_ID", "Prediction", ("score1", "score2"), True),
    "chunk": Columns("Modified_ID", "Is_Virus", ("max_score_0", "max_score_1"), False),
    "contig": Columns("sequence_id", "call", ("weighted_delta",), True),
}


@dataclass(frozen=True)
class Table:
    """A file whose first line says what it is.

    Attributes:
        level: one of LEVELS; scored: whether rows have scores.
        places: of id, label and scores among the columns.
    """

    path: Path
    level: str
    scored: bool
    places: tuple[int, ...]
    num_columns: int

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the order of the file.

        Raises: InputError with the line of a row that is cut short or not understood.
        """
        labels = LABELS[self.level]
        id_place, label_place, *score_places = self.places
        with _open(self.path) as lines:
            next(lines)
            for number, line in enumerate(lines, start=2):
                fields = line.rstrip("\n").split("\t")
                try:
                    if len(fields) != self.num_columns:
                        raise ValueError(
                            f"{len(fields)} columns, the first line {self.num_columns}"
                        )
                    label = labels[fields[label_place]]
                    if len(score_places) == 2:
                        scores = float(fields[score_places[0]]), float(fields[score_places[1]])
                    elif score_places:  # a contig without a call has none
                        scores = 0.0, float(fields[score_places[0]] or NO_SCORE)
                    else:
                        scores = NO_SCORE, NO_SCORE
                except (ValueError, KeyError) as error:
                    raise InputError(
                        f"{self.path}, line {number}: is no row of such a table ({error}). The "
                        "file is cut short or was changed: make it again."
                    ) from error
                yield Row(fields[id_place], label, *scores)


def open_table(path: Path) -> Table:
    """Return what a file is, by its first line.

    Raises: InputError when it is none of the tables.
    """
    table = recognise(path)
    if table is None:
        raise InputError(
            f"{path}: is no table of results. Give a prediction_results.txt, a "
            "prediction_results_highestscore.csv, a contigs.tsv, or a folder with such files."
        )
    return table


def recognise(path: Path) -> Table | None:
    """Return what a file is, or None for another file."""
    with _open(path) as lines:
        first = next(lines, "").rstrip("\n")
        is_empty = next(lines, None) is None
    if first == COMMA_HEADER and is_empty:
        level = "chunk" if path.name.endswith(CONSENSUS_ENDING) else "frame"
        return Table(path, level, True, (0, 1, 2, 3), 4)
    names = first.split("\t")
    for level, columns in COLUMNS.items():
        scored = all(name in names for name in columns.scores)
        if columns.id in names and columns.label in names and (scored or not columns.needs_scores):
            wanted = (columns.id, columns.label, *(columns.scores if scored else ()))
            places = tuple(names.index(name) for name in wanted)
            return Table(path, level, scored, places, len(names))
    return None


class _Lines:
    """The lines of a text file; a file that is no text has none that is understood."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Iterator[str]:
        try:
            self._file = self._path.open(encoding="utf-8", newline=None)
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read ({error.strerror}).") from error
        return self._decoded()

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _decoded(self) -> Iterator[str]:
        try:
            yield from self._file
        except UnicodeDecodeError as error:
            raise InputError(f"{self._path}: is no UTF-8 text ({error.reason}).") from error


def _open(path: Path) -> _Lines:
    return _Lines(path)
