"""The table of all chunks of a training run: what each is, and on which side of the split."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from virnucpro.files import atomic_write
from virnucpro.sequences.sample_chunks import embedded_frames
from virnucpro.sequences.split_files import read_rows
from virnucpro.sequences.translation import PARTIAL_STATES

DROPPED = "dropped"  # instead of a part: the same sequence is on a side that is kept cleaner


@dataclass(frozen=True)
class ChunkRow:
    """A chunk.

    Attributes:
        sequence_id: of the sequence it was cut from; unique within a genome.
        chunk_id: unique within a genome; shard: the one that it is in.
        states: of its six frames (ChunkFrames.states).
        coding: names of the embedded frames that are coding, separated by commas.
        label: "viral" or "nonviral"; kind: the sheet's class.
        part: "train", "val", "test" or "dropped".
    """

    genome: str
    sequence_id: str
    chunk_id: str
    shard: str
    length_bp: int
    states: str
    coding: str
    label: str
    kind: str
    group: str
    part: str

    @property
    def frames(self) -> list[str]:
        """Return the ids of its embedded frames."""
        return embedded_frames(self.chunk_id, self.states)

    @property
    def is_partial(self) -> bool:
        """Return whether it has a partial frame in the place of open ones."""
        return any(state in PARTIAL_STATES for state in self.states)


CHUNK_TABLE_HEADER = "\t".join(field.name for field in fields(ChunkRow)) + "\n"


def write_chunk_table(path: Path, rows: Iterable[ChunkRow]) -> None:
    """Write a table, complete or not at all."""
    with atomic_write(path) as temporary, temporary.open("w") as table:
        table.write(CHUNK_TABLE_HEADER)
        table.writelines("\t".join(map(str, astuple(row))) + "\n" for row in rows)


def read_chunk_table(path: Path) -> Iterator[ChunkRow]:
    """Yield the rows of a table in its order.

    Raises: InputError for another file and one that is cut short.
    """
    for genome, sequence_id, chunk_id, shard, length_bp, *others in read_rows(
        path, CHUNK_TABLE_HEADER
    ):
        yield ChunkRow(genome, sequence_id, chunk_id, shard, int(length_bp), *others)


def write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write tab-separated text, complete or not at all; None is an empty cell."""
    with atomic_write(path) as temporary, temporary.open("w", newline="") as table:
        writer = csv.writer(table, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE,
                            escapechar="\\")  # fmt: skip
        writer.writerow(header)
        writer.writerows([cell if cell is not None else "" for cell in row] for row in rows)
