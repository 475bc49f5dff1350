"""The score table of one shard: frame id and both probabilities, float32 in shortest text."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virnucpro.errors import InputError
from virnucpro.files import atomic_write

HEADER = "frame_id\tp_other\tp_virus\n"


class ScoreRow(NamedTuple):
    """One frame of a score table; the texts are what the result tables repeat."""

    frame_id: str
    other_text: str
    virus_text: str


def write_scores(path: Path, ids: Sequence[str], scores: NDArray[np.float32]) -> None:
    """Write a table of scores float32 [n, 2], complete or not at all."""
    with atomic_write(path) as temporary, temporary.open("w") as table:
        table.write(HEADER)
        for frame_id, (other, virus) in zip(ids, scores, strict=True):
            table.write(f"{frame_id}\t{other!s}\t{virus!s}\n")  # numpy's shortest float32


def read_scores(path: Path) -> Iterator[ScoreRow]:
    """Yield the rows of a table in its order.

    Raises: InputError for a file that is no score table or is cut short.
    """
    with path.open() as table:
        if table.readline() != HEADER:
            raise InputError(f"{path.name}: is no score table (first line). Run its shard again.")
        for number, line in enumerate(table, start=2):
            fields = line.removesuffix("\n").split("\t")
            if len(fields) != 3 or not line.endswith("\n"):
                raise InputError(f"{path.name}, line {number}: is cut short. Run its shard again.")
            yield ScoreRow(*fields)
