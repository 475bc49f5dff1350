"""The score table of one shard: frame id and both probabilities, float32 in shortest text."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virnucpro.errors import InputError
from virnucpro.files import atomic_write
from virnucpro.sequences.split_files import read_rows

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

    Raises: InputError for a file that is not a score table or is cut short.
    """
    for row in map(ScoreRow._make, read_rows(path, HEADER)):
        if not (_is_probability(row.other_text) and _is_probability(row.virus_text)):
            raise InputError(
                f"{path.name}, frame {row.frame_id}: {row.other_text!r} and {row.virus_text!r} are "
                "not two probabilities. Run its task again."
            )
        yield row


def _is_probability(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
