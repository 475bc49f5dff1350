"""The score table of one shard: frame id and both probabilities, float32 in shortest text.

Of a frame without a vector it has the word `none` and the reason instead.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virnucpro.errors import InputError
from virnucpro.files import atomic_write
from virnucpro.sequences.no_vector import NO_VECTOR_REASONS
from virnucpro.sequences.split_files import read_rows

HEADER = "frame_id\tp_other\tp_virus\n"
NO_SCORE = "none"


class ScoreRow(NamedTuple):
    """One frame of a score table; the texts are what the result tables repeat.

    Attributes:
        reason: why it has no score, and so no texts; else "".
    """

    frame_id: str
    other_text: str
    virus_text: str
    reason: str = ""


def write_scores(
    path: Path,
    ids: Sequence[str],
    scores: NDArray[np.float32],
    reasons: Sequence[str] | None = None,
) -> None:
    """Write a table of scores float32 [n, 2], complete or not at all.

    Args:
        reasons: why a frame has no score, "" of one that has; default: all have one.
    """
    reasons = [""] * len(ids) if reasons is None else reasons
    with atomic_write(path) as temporary, temporary.open("w") as table:
        table.write(HEADER)
        for frame_id, (other, virus), reason in zip(ids, scores, reasons, strict=True):
            # numpy's shortest float32
            cells = f"{NO_SCORE}\t{reason}" if reason else f"{other!s}\t{virus!s}"
            table.write(f"{frame_id}\t{cells}\n")


def read_scores(path: Path) -> Iterator[ScoreRow]:
    """Yield the rows of a table in its order.

    Raises: InputError for a file that is not a score table or is cut short.
    """
    for frame_id, other, virus in read_rows(path, HEADER):
        if other == NO_SCORE and virus in NO_VECTOR_REASONS[1:]:
            yield ScoreRow(frame_id, "", "", virus)
            continue
        row = ScoreRow(frame_id, other, virus)
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
