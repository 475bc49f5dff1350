"""The chunks of a sample as SPLIT and TRANSLATE wrote them, read back in order and checked."""

from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from virnucpro.errors import InputError, excerpt
from virnucpro.sequences.chunking import chunk_coordinates, chunk_id
from virnucpro.sequences.split_files import (
    COUNT,
    SplitRecord,
    read_chunks,
    read_rows,
    read_split_records,
)
from virnucpro.sequences.translation import (
    EMBEDDED_STATES,
    FRAME_NAMES,
    HAS_STOP,
    NO_CODON,
    PARTIAL_STATES,
    Span,
)

CHUNKS_HEADER = "chunk_id\tlength_bp\tframes\tpartial_start\tpartial_end\n"  # SHARD.chunks.tsv
STATES = frozenset(EMBEDDED_STATES + HAS_STOP + NO_CODON)


class Chunk(NamedTuple):
    """A chunk and what TRANSLATE found in it (ChunkFrames).

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


def embedded_frames(chunk_id: str, states: str) -> list[str]:
    """Return the ids of the frames of a chunk that have an embedding."""
    return [
        chunk_id + frame
        for frame, state in zip(FRAME_NAMES, states, strict=True)
        if state in EMBEDDED_STATES
    ]


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
                f"shard {shard}: its FASTA file has chunk {excerpt(name)} where its table has "
                f"{excerpt(table_name)}. "
                "Run the shard again."
            )
        is_partial = any(state in PARTIAL_STATES for state in states)
        if (
            length_text != str(len(sequence))
            or len(states) != len(FRAME_NAMES)
            or not STATES.issuperset(states)
            or [COUNT.fullmatch(text) is not None for text in span] != [is_partial, is_partial]
        ):
            raise InputError(
                f"shard {shard}, chunk {excerpt(name)}: {len(sequence)} bp, but its table has "
                f"{length_text} bp, frames {states!r} and a partial one at "
                f"{'-'.join(span)!r}. Run the shard again."
            )
        partial = Span(*map(int, span)) if is_partial else None
        if partial and not partial.start < partial.end <= len(sequence):
            raise InputError(
                f"shard {shard}, chunk {excerpt(name)}: {len(sequence)} bp, but its partial frame "
                f"is at {'-'.join(span)}. Run the shard again."
            )
        count += 1
        yield Chunk(shard, name, sequence, states, partial)
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
                f"sample {sample}: {records.name} has {excerpt(record.sequence_id)} with "
                f"{record.num_chunks} chunks, the shards have "
                f"{', '.join(excerpt(c.id) for c in record_chunks[:3]) or 'none left'}. Run it "
                "again."
            )
        coordinates = [] if record.reason else chunk_coordinates(record.length_bp, chunk_bp)
        lengths_bp = [end - start for start, end in coordinates]
        if [len(chunk.sequence) for chunk in record_chunks] != lengths_bp:
            raise InputError(
                f"sample {sample}: {excerpt(record.sequence_id)}, {record.length_bp} bp, was not "
                f"cut into chunks of {chunk_bp} bp. Give --chunk-length as SPLIT had it."
            )
        yield SplitSequence(record, coordinates, record_chunks)
    if (left := next(chunks, None)) is not None:
        raise InputError(
            f"sample {sample}: chunk {excerpt(left.id)} is of no sequence in {records.name}."
        )
