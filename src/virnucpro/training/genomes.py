"""The genomes of a training sheet, and their sequences as SPLIT and TRANSLATE left them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.sequences.sample_chunks import SplitSequence, read_sequences, read_shard
from virnucpro.sequences.split_files import SplitRecord, read_shard_list, read_split_records

LABELS = {"nonviral": 0, "viral": 1}
PARTS = ("train", "val", "test")
MIN_CALIBRATION_CHUNKS = 50  # of each label, in val


@dataclass(frozen=True)
class Genome:
    """A row of the training sheet.

    Attributes:
        label: "viral" or "nonviral".
        kind: the sheet's class, such as "phage"; each has its own figures.
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


def read_genome_sequences(genome_id: str, folder: Path, chunk_bp: int) -> Iterator[SplitSequence]:
    """Yield the sequences of a genome in order, each with its chunks.

    Args:
        genome_id: its id, which SPLIT had as the sample.
        folder: holds ID.records.tsv, ID.shards.tsv, and for each shard its chunks.fna and
            chunks.tsv.
        chunk_bp: as SPLIT had it.
    Raises: InputError for a missing file, and for tables that do not fit together.
    """
    records = _existing(folder / f"{genome_id}.records.tsv", genome_id)
    shards = read_shard_list(_existing(folder / f"{genome_id}.shards.tsv", genome_id))
    chunks = chain.from_iterable(
        read_shard(
            shard,
            num_chunks,
            _existing(folder / f"{shard}.chunks.fna", genome_id),
            _existing(folder / f"{shard}.chunks.tsv", genome_id),
        )
        for shard, num_chunks in shards.items()
    )
    return read_sequences(genome_id, records, chunks, chunk_bp)


def read_genome_records(genome_id: str, folder: Path) -> Iterator[SplitRecord]:
    """Yield the records of a genome; arguments and errors as read_genome_sequences."""
    return read_split_records(_existing(folder / f"{genome_id}.records.tsv", genome_id))


def _existing(path: Path, genome_id: str) -> Path:
    """Return the path of a file that must exist."""
    if not path.exists():
        raise InputError(
            f"genome {genome_id}: {path.name} is missing. Its FASTA file could not be read, or a "
            "task of it failed: the reason is above. Fix or remove the genome, and resume."
        )
    return path
