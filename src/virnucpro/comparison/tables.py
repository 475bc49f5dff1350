"""Reads the result tables of the original, its fork and this pipeline as rows of one kind.

frame    prediction_results.txt; the same in all three except for the text of a score
chunk    prediction_results_highestscore.csv; the fork's has two more columns and another order
contig   contigs.tsv; of this pipeline only
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from virnucpro.errors import InputError, excerpt

LEVELS = ("frame", "chunk", "contig")
# The fork's container writes this for an input without reads, under both names.
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


# Of id, label and scores; among chunk tables only the fork's have scores.
COLUMNS = {
    "frame": ("Sequence_ID", "Prediction", "score1", "score2"),
    "chunk": ("Modified_ID", "Is_Virus", "max_score_0", "max_score_1"),
    "contig": ("sequence_id", "call", "weighted_delta"),
}


@dataclass(frozen=True)
class ResultTable:
    """A table whose kind is known by its first line.

    Attributes:
        level: one of LEVELS; scored: whether rows have scores.
        column_indices: of id, label and scores.
    """

    path: Path
    level: str
    scored: bool
    column_indices: tuple[int, ...]
    num_columns: int

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the order of the file.

        Raises: InputError with the line of a row that is truncated or malformed.
        """
        labels = LABELS[self.level]
        id_index, label_index, *score_indices = self.column_indices
        with _open(self.path) as lines:
            next(lines)
            for number, line in enumerate(lines, start=2):
                fields = line.rstrip("\n").split("\t")
                try:
                    if len(fields) != self.num_columns:
                        raise ValueError(
                            f"{len(fields)} columns, the first line {self.num_columns}"
                        )
                    label = labels[fields[label_index]]
                    if len(score_indices) == 2:
                        scores = float(fields[score_indices[0]]), float(fields[score_indices[1]])
                    elif score_indices:  # a contig without a call has none
                        scores = 0.0, float(fields[score_indices[0]] or NO_SCORE)
                    else:
                        scores = NO_SCORE, NO_SCORE
                except (ValueError, KeyError) as error:
                    raise InputError(
                        f"{self.path}, line {number}: is not a row of such a table "
                        f"({excerpt(error)}). The file is truncated or was changed: write it again."
                    ) from error
                yield Row(fields[id_index], label, *scores)


def open_table(path: Path) -> ResultTable:
    """Return a result table, recognised by its first line.

    Raises: InputError for any other file.
    """
    table = recognise(path)
    if table is None:
        raise InputError(
            f"{path}: is not a result table. Give a prediction_results.txt, a "
            "prediction_results_highestscore.csv, a contigs.tsv, or a folder with such files."
        )
    return table


def recognise(path: Path) -> ResultTable | None:
    """Return a result table, None for any other file."""
    with _open(path) as lines:
        first = next(lines, "").rstrip("\n")
        is_empty = next(lines, None) is None
    if first == COMMA_HEADER and is_empty:
        level = "chunk" if path.name.endswith(CONSENSUS_ENDING) else "frame"
        return ResultTable(path, level, True, (0, 1, 2, 3), 4)
    names = first.split("\t")
    for level, columns in COLUMNS.items():
        scored = all(name in names for name in columns[2:])
        used = columns if scored or level != "chunk" else columns[:2]
        if all(name in names for name in used):
            indices = tuple(names.index(name) for name in used)
            return ResultTable(path, level, scored, indices, len(names))
    return None


@contextmanager
def _open(path: Path) -> Iterator[Iterator[str]]:
    """Open a text file; what its lines raise while they are read becomes an InputError."""
    try:
        with path.open(encoding="utf-8") as lines:
            yield lines
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason}).") from error
