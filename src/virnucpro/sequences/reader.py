"""Sequences out of FASTA, FASTQ and BAM files, told apart by their content."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from virnucpro.errors import InputError, excerpt, printable
from virnucpro.sequences.bam import bam_records
from virnucpro.sequences.decompression import DamagedFile, open_decompressed
from virnucpro.sequences.fasta import fasta_records
from virnucpro.sequences.fastq import fastq_records
from virnucpro.sequences.file_kinds import detect_kind
from virnucpro.sequences.text_lines import (
    BEYOND_ASCII,
    NUL_BYTES,
    RecordError,
    skip_byte_order_mark,
)

# IUPAC nucleotide codes in both cases, U for RNA, gaps of an alignment. Anything else is not DNA.
NUCLEOTIDE_LETTERS = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv-."
U_TO_T = str.maketrans("Uu", "Tt")


class Record(NamedTuple):
    """One sequence as it is in a file.

    Attributes:
        name: header up to the first blank, as Biopython's `record.id`; may be empty.
        sequence: letters in their case, blanks removed; may be empty.
    """

    name: str
    sequence: str


@dataclass(frozen=True)
class InputFile:
    """A sequence file.

    Attributes:
        mate: suffix ("", "/1", "/2") that its names get.
        is_rna: U is read as T. Otherwise codons with U are dropped, as the original does.
        interleaved: it has both reads of each pair, which mates.py tells apart.
    """

    path: Path
    mate: str = ""
    is_rna: bool = False
    interleaved: bool = False


def read_records(source: InputFile, warnings: list[str] | None = None) -> Iterator[Record]:
    """Yield the records of one file in file order.

    Args:
        warnings: gets a line for what is odd about the file but can be read.
    Raises: InputError naming file, record, cause and remedy for a file that is damaged, of another
        kind, or contains letters that no nucleotide sequence has.
    """
    path = source.path
    position, name = 0, ""
    try:
        records = _records(path, [] if warnings is None else warnings)
        for position, (name, sequence) in enumerate(records, start=1):
            bad = sequence.encode().translate(None, NUCLEOTIDE_LETTERS)
            if bad:
                raise InputError(_bad_letter(path, position, name, sequence, bad))
            if source.is_rna:
                sequence = sequence.translate(U_TO_T)
            if name and not name.endswith(source.mate):
                name += source.mate
            yield Record(name, sequence)
    except RecordError as error:
        raise InputError(f"{path.name}, record {position + 1}: {printable(str(error))}") from error
    except UnicodeEncodeError as error:
        raise InputError(
            f"{path.name}, record {position} ({name}): its sequence {BEYOND_ASCII}"
        ) from error
    except DamagedFile as error:
        raise InputError(
            f"{path.name}, {_place(position, name)}: cannot be read to its end "
            f"({_first_line(error)}). The file is cut short or damaged: copy it again."
        ) from error
    except OSError as error:
        raise InputError(
            f"{path.name}, {_place(position, name)}: {_first_line(error)}. The disk or its network "
            "has a fault: try again, or copy the file to another disk."
        ) from error


def _records(path: Path, warnings: list[str]) -> Iterator[tuple[str, str]]:
    """Return (name, sequence) of each; a sequence may have bytes beyond ASCII, as surrogates."""
    with open_decompressed(path) as stream:
        skip_byte_order_mark(stream)
        while (head := stream.peek()) and not head.strip():
            stream.read(len(head))
        kind = detect_kind(path, head)
    if kind == "BAM":
        return bam_records(path)
    if kind == "FASTQ":
        return fastq_records(path, warnings)
    return fasta_records(path, warnings)  # an empty file may have something behind compressed data


def _bad_letter(path: Path, position: int, name: str, sequence: str, bad: bytes) -> str:
    if b"\0" in bad:
        return f"{path.name}, record {position} ({name}): {NUL_BYTES}"
    letter = chr(bad[0])
    where = sequence.index(letter) + 1
    share = len(bad) / len(sequence)
    kind = "looks like protein" if share > 0.2 and bad.isalpha() else "is not a nucleotide sequence"
    return (
        f"{path.name}, record {position} ({excerpt(name)}): letter {letter!r} at position {where}; "
        f"the record {kind}. Give DNA with IUPAC letters only."
    )


def _place(position: int, name: str) -> str:
    return f"after record {position} ({excerpt(name)})" if position else "before its first record"


def _first_line(error: BaseException) -> str:
    return excerpt((str(error).splitlines() or [type(error).__name__])[0], 200)
