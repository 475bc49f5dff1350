"""The tables that SPLIT and TRANSLATE write of a sample, and the sample read back from them.

SAMPLE.records.tsv   of SPLIT: a row for each sequence
SAMPLE.shards.tsv    of SPLIT: a row for each shard
SHARD.chunks.tsv     of TRANSLATE: a row for each chunk of SHARD.chunks.fna
"""

from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from virnucpro.errors import InputError
from virnucpro.sequences.chunking import chunk_coordinates, chunk_id
from virnucpro.sequences.chunks_file import read_chunks
from virnucpro.sequences.frames import (
    FRAME_NAMES,
    PARTIAL_STATES,
    Span,
    embedded_frames,
    has_partial_frame,
)

RECORDS_HEADER = "sequence_id\tname\tfile\tlength_bp\tchunks\n"
SHARDS_HEADER = "shard\tchunks\tlength_bp\n"
CHUNKS_HEADER = "chunk_id\tlength_bp\tframes\tpartial_start\tpartial_end\n"


class SplitRecord(NamedTuple):
    """A row of records.tsv.

    Attributes:
        sequence_id: the name, made unique; name: in the file.
    """

    sequence_id: str
    name: str
    file: str
    length_bp: int
    num_chunks: int


class Chunk(NamedTuple):
    """A chunk and what TRANSLATE found in it (virnucpro.sequences.translation.ChunkFrames).

    Attributes:
        partial: where its partial frame lies in the chunk; None without one.
    """

    shard: str
    id: str
    sequence: str
    states: str
    partial: Span | None

    @property
    def frame_ids(self) -> list[str]:
        """Ids of the frames that have an embedding."""
        return embedded_frames(self.id, self.states)

    @property
    def partial_frame(self) -> str:
        """Name of its partial frame, "" without one."""
        return next(
            (f for f, s in zip(FRAME_NAMES, self.states, strict=True) if s in PARTIAL_STATES), ""
        )


class SplitSequence(NamedTuple):
    """A sequence of a sample with its chunks and their coordinates, 0-based half-open."""

    record: SplitRecord
    coordinates: list[tuple[int, int]]
    chunks: list[Chunk]


def read_rows(path: Path, header: str) -> Iterator[list[str]]:
    """Yield the fields of each row of a tab-separated table that a task wrote.

    Raises: InputError for another header and for a row that is cut short.
    """
    num_columns = header.count("\t") + 1
    with path.open() as table:
        if table.readline() != header:
            raise InputError(
                f"{path.name}: its first line is not {header.rstrip()!r}. Run its task again."
            )
        for number, line in enumerate(table, start=2):
            fields = line.removesuffix("\n").split("\t")
            if len(fields) != num_columns or not line.endswith("\n"):
                raise InputError(f"{path.name}, line {number}: is cut short. Run its task again.")
            yield fields


def read_split_records(path: Path) -> Iterator[SplitRecord]:
    """Yield the rows of records.tsv."""
    for sequence_id, name, file, length_bp, num_chunks in read_rows(path, RECORDS_HEADER):
        yield SplitRecord(sequence_id, name, file, int(length_bp), int(num_chunks))


def read_shard_list(path: Path) -> dict[str, int]:
    """Return shard -> its number of chunks, in the order of shards.tsv."""
    return {row[0]: int(row[1]) for row in read_rows(path, SHARDS_HEADER)}


def read_shard(shard: str, num_chunks: int, fasta: Path, table: Path) -> Iterator[Chunk]:
    """Yield the chunks of a shard in order.

    Args:
        shard, num_chunks: as shards.tsv lists it.
        fasta: SHARD.chunks.fna; table: SHARD.chunks.tsv.
    Raises: InputError when the files do not fit together.
    """
    count = 0
    for entry, row in zip_longest(read_chunks(fasta), read_rows(table, CHUNKS_HEADER)):
        name, sequence = entry or ("none", "")
        table_name, length_text, states, *span = row or ("none", "", "", "", "")
        if name != table_name:
            raise InputError(
                f"shard {shard}: its FASTA file has chunk {name} where its table has {table_name}. "
                "Run the shard again."
            )
        is_partial = has_partial_frame(states)
        if (
            length_text != str(len(sequence))
            or len(states) != len(FRAME_NAMES)
            or [text.isdigit() for text in span] != [is_partial, is_partial]
        ):
            raise InputError(
                f"shard {shard}, chunk {name}: {len(sequence)} bp, but its table has "
                f"{length_text} bp, frames {states!r} and a partial one at "
                f"{'-'.join(span)!r}. Run the shard again."
            )
        count += 1
        yield Chunk(shard, name, sequence, states, Span(*map(int, span)) if is_partial else None)
    if count != num_chunks:
        raise InputError(
            f"shard {shard}: {count} chunks, SPLIT wrote {num_chunks}. Run the shard again."
        )


def read_sequences(
    sample: str, records: Path, chunks: Iterator[Chunk], chunk_bp: int
) -> Iterator[SplitSequence]:
    """Yield the sequences of a sample in order.

    Args:
        sample: its id.
        records: its records.tsv.
        chunks: of all its shards, in order.
        chunk_bp: as SPLIT had it.
    Raises: InputError when records and chunks do not fit together.
    """
    for record in read_split_records(records):
        record_chunks = list(islice(chunks, record.num_chunks))
        expected = [chunk_id(record.sequence_id, k) for k in range(record.num_chunks)]
        if [chunk.id for chunk in record_chunks] != expected:
            raise InputError(
                f"sample {sample}: {records.name} has {record.sequence_id} with "
                f"{record.num_chunks} chunks, the shards have "
                f"{', '.join(chunk.id for chunk in record_chunks[:3]) or 'none left'}. Run it "
                "again."
            )
        coordinates = chunk_coordinates(record.length_bp, chunk_bp)
        lengths_bp = [end - start for start, end in coordinates]
        if [len(chunk.sequence) for chunk in record_chunks] != lengths_bp:
            raise InputError(
                f"sample {sample}: {record.sequence_id}, {record.length_bp} bp, was not "
                f"cut into chunks of {chunk_bp} bp. Give --chunk-length as SPLIT had it."
            )
        yield SplitSequence(record, coordinates, record_chunks)
    if (left := next(chunks, None)) is not None:
        raise InputError(f"sample {sample}: chunk {left.id} is of no sequence in {records.name}.")
