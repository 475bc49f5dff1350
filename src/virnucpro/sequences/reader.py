"""Sequences out of FASTA, FASTQ and BAM files, told apart by their content."""

import io
import lzma
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import dnaio
import pysam
import xopen

from virnucpro.errors import InputError, excerpt

if sys.version_info >= (3, 14):  # the same as xopen, whose errors they are
    from compression import zstd
else:
    from backports import zstd

COMPRESSIONS = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
# IUPAC nucleotide codes in both cases, U for RNA, gaps of an alignment. Anything else is not DNA.
NUCLEOTIDE_LETTERS = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv-."
# ASCII blanks end a name. Biopython cuts at other controls too: here they are refused.
FIRST_WORD = re.compile(r"\s*(\S*)", re.ASCII)
U_TO_T = str.maketrans("Uu", "Tt")
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError, OSError)


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
    """

    path: Path
    mate: str = ""
    is_rna: bool = False


def read_records(source: InputFile) -> Iterator[Record]:
    """Yield the records of one file in file order.

    Raises: InputError naming file, record, cause and remedy for a file that is damaged, of another
        kind, or contains letters that no nucleotide sequence has.
    """
    path = source.path
    position, name = 0, ""
    try:
        with open_decompressed(path) as stream:
            kind = detect_kind(path, stream.peek(4096))
        records = _bam_records(path) if kind == "BAM" else _text_records(path, kind)
        for position, (name, sequence) in enumerate(records, start=1):
            bad = sequence.encode().translate(None, NUCLEOTIDE_LETTERS)
            if bad:
                raise InputError(_bad_letter(path, position, name, sequence, bad))
            if source.is_rna:
                sequence = sequence.translate(U_TO_T)
            if name and not name.endswith(source.mate):
                name += source.mate
            yield Record(name, sequence)
    except (dnaio.FileFormatError, UnicodeDecodeError) as error:
        if isinstance(error, UnicodeDecodeError) or "ASCII" in str(error):
            remedy = "Names and sequences must be plain ASCII: replace the other letters."
        else:
            remedy = "The file is cut short or damaged: copy or make it again."
        cause = _first_line(error).rstrip(".")
        raise InputError(f"{path.name}, {_place(position, name)}: {cause}. {remedy}") from error
    except DAMAGED as error:
        raise InputError(
            f"{path.name}, {_place(position, name)}: cannot be read to its end "
            f"({_first_line(error)}). The file is cut short or damaged: copy it again."
        ) from error


def open_decompressed(path: Path) -> io.BufferedReader:
    """Open a plain, gz, bz2, xz or zst file for reading bytes; the name does not matter."""
    with path.open("rb") as raw:
        magic = raw.read(6)
    compression = next((c for m, c in COMPRESSIONS.items() if magic.startswith(m)), None)
    if compression is None:
        return path.open("rb")
    return io.BufferedReader(xopen.xopen(path, "rb", format=compression, threads=0))  # type: ignore


def detect_kind(path: Path, head: bytes) -> str:
    """Return "FASTA", "FASTQ", "BAM" or "empty" from the first decompressed bytes.

    Raises: InputError for anything else.
    """
    if head.startswith(b"BAM\1"):
        return "BAM"
    text = head.lstrip()
    if not text:
        return "empty"
    if text.startswith(b">") or text.startswith(b"#"):
        return "FASTA"
    if text.startswith((b"@HD\t", b"@SQ\t", b"@RG\t", b"@PG\t")):
        raise InputError(f"{path.name}: is SAM text. Convert it: samtools view -b -o reads.bam.")
    if text.startswith(b"@"):
        return "FASTQ"
    if text.startswith(b"CRAM"):
        raise InputError(f"{path.name}: is CRAM. Convert it: samtools view -b -o reads.bam.")
    start = text[:20].decode("ascii", "replace")
    raise InputError(
        f"{path.name}: is neither FASTA, FASTQ nor BAM (it starts with {start!r}). "
        "Give a sequence file, plain or compressed with gzip, bzip2, xz or zstd."
    )


def _text_records(path: Path, kind: str) -> Iterator[tuple[str, str]]:
    # An "empty" file goes through the FASTA reader: there may be text behind the blanks.
    reader = dnaio.FastqReader if kind == "FASTQ" else dnaio.FastaReader
    with open_decompressed(path) as stream:
        for record in reader(stream):
            sequence = record.sequence
            # Biopython drops blanks inside sequence lines; so did the original.
            yield _first_word(record.name), "".join(sequence.split())


def _first_word(header: str) -> str:
    if header.isprintable():  # a quarter of the time
        return (header.split(None, 1) or [""])[0]
    match = FIRST_WORD.match(header)
    assert match, "it matches any text"
    return match[1]


def _bam_records(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each read of a BAM once and in its own orientation.

    Secondary and supplementary alignments repeat a read and are skipped; reads of a pair get /1 and
    /2.
    """
    pysam.set_verbosity(0)  # otherwise htslib prints lines of its own
    try:
        with pysam.AlignmentFile(str(path), "rb", check_sq=False) as bam:
            for read in bam.fetch(until_eof=True):
                if read.is_secondary or read.is_supplementary:
                    continue
                mate = "/1" if read.is_read1 else "/2" if read.is_read2 else ""
                name = read.query_name or ""
                yield (
                    name if name.endswith(mate) else name + mate,
                    read.get_forward_sequence() or "",
                )
    except (ValueError, NotImplementedError) as error:  # the latter: gzip instead of BGZF
        raise OSError(str(error)) from error


def _bad_letter(path: Path, position: int, name: str, sequence: str, bad: bytes) -> str:
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
