"""The files that SPLIT writes of a sample.

SAMPLE.records.tsv   a row for each sequence
SAMPLE.shards.tsv    a row for each shard
SAMPLE.warnings.txt  what was odd about its files, a line each (sample_warnings.py)
SHARD.chunks.fna     the chunks
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from virnucpro.errors import InputError
from virnucpro.sequences.names import decode_cell, encode_cell

RECORDS_HEADER = "sequence_id\tname\tfile\tlength_bp\tchunks\treason\n"
SHARDS_HEADER = "shard\tchunks\tlength_bp\n"
LINE_LENGTH = 60  # as Biopython wraps the original's chunk file
BLOCK_LETTERS = 2**18
COUNT = re.compile("[0-9]{1,15}")  # what else int() takes, or isdigit(), no task writes


class SplitRecord(NamedTuple):
    """A row of records.tsv.

    Attributes:
        sequence_id: the name, made safe and unique; name: in the file, as it is.
        reason: why it was left out, with no chunks; else "".
    """

    sequence_id: str
    name: str
    file: str
    length_bp: int
    num_chunks: int
    reason: str = ""


def record_row(record: SplitRecord) -> str:
    """Return the row of a sequence in records.tsv."""
    sequence_id, name, file, length_bp, num_chunks, reason = record
    cells = f"{encode_cell(name)}\t{encode_cell(file)}"
    return f"{sequence_id}\t{cells}\t{length_bp}\t{num_chunks}\t{reason}\n"


def read_rows(path: Path, header: str) -> Iterator[list[str]]:
    """Yield the fields of each row of a tab-separated table that a task wrote.

    Raises: InputError for another header and for a row that is cut short.
    """
    num_columns = header.count("\t") + 1
    with _text(path) as table:
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
    for sequence_id, name, file, length_bp, num_chunks, reason in read_rows(path, RECORDS_HEADER):
        yield SplitRecord(
            sequence_id, decode_cell(name), decode_cell(file), _count(path, length_bp),
            _count(path, num_chunks), reason,
        )  # fmt: skip


def read_shard_list(path: Path) -> dict[str, int]:
    """Return shard -> its number of chunks, in the order of shards.tsv."""
    return {row[0]: _count(path, row[1]) for row in read_rows(path, SHARDS_HEADER)}


def _count(path: Path, text: str) -> int:
    if not COUNT.fullmatch(text):
        raise InputError(f"{path.name}: {text[:20]!a} is not a count. Run its task again.")
    return int(text)


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """Open a file that a task wrote; what is not text in it becomes an InputError.

    A line feed alone ends a line.
    """
    try:
        with path.open(newline="\n") as stream:
            yield stream
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}: is damaged ({error}). Run its task again.") from error


def fasta_entry(name: str, sequence: str) -> str:
    """Return a FASTA entry, wrapped; `sequence` is not empty."""
    lines = [sequence[i : i + LINE_LENGTH] for i in range(0, len(sequence), LINE_LENGTH)]
    return f">{name}\n" + "\n".join(lines) + "\n"


def read_chunks(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) of each chunk in file order.

    The file is SPLIT's own, whose entries are complete: three times as fast as a general reader.
    """
    rest = "\n"
    with _text(path) as stream:
        while block := stream.read(BLOCK_LETTERS):
            *entries, rest = (rest + block).split("\n>")
            yield from map(_parse_entry, filter(None, entries))
    if rest != "\n":
        yield _parse_entry(rest)


def _parse_entry(entry: str) -> tuple[str, str]:
    name, _, lines = entry.partition("\n")
    return name, lines.replace("\n", "")
