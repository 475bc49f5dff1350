"""The genomes of a training sheet, and their chunks as SPLIT and TRANSLATE left them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import zip_longest
from pathlib import Path

from virnucpro.calls.sample_files import SplitRecord, read_records, read_rows
from virnucpro.errors import InputError
from virnucpro.sequences.chunking import chunk_coordinates, chunk_id
from virnucpro.sequences.split_task import SHARDS_HEADER
from virnucpro.sequences.translate_task import CHUNKS_HEADER, read_chunks
from virnucpro.sequences.translation import Span

LABELS = {"nonviral": 0, "viral": 1}
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Genome:
    """A row of the training sheet.

    Attributes:
        label: "viral" or "nonviral".
        kind: the sheet's class, such as "phage"; figures are told for each.
        group: genomes of one group, such as a genus, are on one side of the split.
        part: "train", "val" or "test" where the sheet says it, else "".
        annotation: name of the file of coding regions, or "".
    """

    id: str
    label: str
    kind: str
    group: str
    part: str = ""
    annotation: str = ""


GENOMES_HEADER = "\t".join(field.name for field in fields(Genome)) + "\n"


@dataclass(frozen=True)
class GenomeChunk:
    """A chunk of a genome.

    Attributes:
        record: name of its sequence in the FASTA file; sequence_id: the same, made unique.
        span: where it lies in that sequence.
        states: of its six frames (ChunkFrames.states); partial: where a partial frame lies in it.
    """

    record: str
    sequence_id: str
    id: str
    shard: str
    span: Span
    sequence: str
    states: str
    partial: Span | None


def read_genomes(lines: Iterable[str]) -> list[Genome]:
    """Return the genomes of a table with GENOMES_HEADER; the pipeline has checked its cells.

    Raises: InputError for another table, and for one without rows.
    """
    first, *rows = list(lines) or [""]
    if first != GENOMES_HEADER or not rows:
        raise InputError(
            f"genomes: the table must begin with {GENOMES_HEADER.rstrip()!r} and have rows."
        )
    return [Genome(*row.removesuffix("\n").split("\t")) for row in rows]


def read_genome_chunks(genome_id: str, folder: Path, chunk_bp: int) -> Iterator[GenomeChunk]:
    """Yield the chunks of a genome in order.

    Args:
        genome_id: its id.
        folder: holds ID.records.tsv, ID.shards.tsv, and for each shard its chunks.fna and
            chunks.tsv.
        chunk_bp: as SPLIT had it.
    Raises: InputError for a missing file, and for tables that do not fit together.
    """
    shards = _shard_chunks(genome_id, folder)
    for record in read_genome_records(genome_id, folder):
        coordinates = chunk_coordinates(record.length_bp, chunk_bp)
        for k, (start, end) in enumerate(coordinates):
            shard, name, sequence, states, partial = next(shards, ("", "none left", "", "", None))
            if name != chunk_id(record.sequence_id, k) or len(sequence) != end - start:
                raise InputError(
                    f"genome {genome_id}: chunk {k + 1} of {record.sequence_id}, {end - start} bp, "
                    f"is expected, {name} of {len(sequence)} bp was found. Run it again."
                )
            yield GenomeChunk(
                record.name, record.sequence_id, name, shard, Span(start, end), sequence, states,
                partial,
            )  # fmt: skip
    if left := next(shards, None):
        raise InputError(f"genome {genome_id}: chunk {left[1]} is of none of its sequences.")


def read_genome_records(genome_id: str, folder: Path) -> Iterator[SplitRecord]:
    """Yield the sequences of a genome; arguments and errors as read_genome_chunks."""
    yield from read_records(_present(folder / f"{genome_id}.records.tsv", genome_id))


def _shard_chunks(genome_id: str, folder: Path) -> Iterator[tuple[str, str, str, str, Span | None]]:
    """Yield shard, id, sequence, states and partial span of each chunk."""
    listed = _present(folder / f"{genome_id}.shards.tsv", genome_id)
    for shard, *_ in read_rows(listed, SHARDS_HEADER):
        chunks = read_chunks(_present(folder / f"{shard}.chunks.fna", genome_id))
        rows = read_rows(_present(folder / f"{shard}.chunks.tsv", genome_id), CHUNKS_HEADER)
        for chunk, row in zip_longest(chunks, rows):
            if not chunk or not row or chunk[0] != row[0]:
                raise InputError(
                    f"shard {shard}: chunk {chunk[0] if chunk else 'none'} stands beside "
                    f"{row[0] if row else 'none'} in its table. Run the shard again."
                )
            _, _, states, start, end = row
            yield shard, *chunk, states, Span(int(start), int(end)) if start else None


def _present(path: Path, genome_id: str) -> Path:
    """Return the path of a file that is there."""
    if not path.exists():
        raise InputError(
            f"genome {genome_id}: {path.name} is missing. Its FASTA file could not be read, or a "
            "task of it failed: the reason stands above. Mend or leave out the genome, and resume."
        )
    return path
