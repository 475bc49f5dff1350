"""FASTA, FASTQ or BAM, and the other kinds of files that users give: by content, not by name."""

import re
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.sequences.decompression import compression_of

TO_BAM = "Convert it: samtools view -b -o reads.bam."
TO_FASTA = "Convert it to FASTA, for example with seqret (EMBOSS) or Biopython."
UNPACK = "Unpack it, and give the sequence files in it."
BASECALL = "Basecall it first, for example with dorado, and give the FASTQ or BAM that this writes."
DECOMPRESS = "Decompress it, or compress it with gzip, bzip2, xz or zstd."
DOWNLOAD = "Open it in a browser to see what the server said, and download the sequence file again."
GIVE_SEQUENCES = "Give the FASTA file with the sequences."
DECRYPT = "Decrypt it first."
TAR_OFFSET = 257  # where POSIX tar has its magic

# What the first bytes match, what such a file is, and the remedy. The first match counts.
OTHER_KINDS = [
    (re.compile(pattern, re.DOTALL), what, remedy)
    for pattern, what, remedy in (
        (rb"\xff\xfe|\xfe\xff|[>@;]\0|\0[>@;]", "is UTF-16 text",
         "Save it as plain text (ASCII or UTF-8): iconv -f UTF-16 -t UTF-8."),
        (rb"\0", "starts with NUL bytes, as a file has whose copy failed", "Copy it again."),
        (rb"@(HD|SQ|RG|PG|CO)\t", "is SAM text", TO_BAM),
        (rb"[^\t\n]+\t\d+\t[^\t\n]+\t\d+\t\d+\t[^\t\n]+\t[^\t\n]+\t\d+\t-?\d+\t[^\t\n]+\t",
         "is SAM text without its header",
         "Write it with its header, or as BAM: samtools view -b -o reads.bam."),
        (rb"CRAM", "is CRAM", TO_BAM),
        (rb"BCF|##fileformat=VCF", "is a file of variants (VCF or BCF)", GIVE_SEQUENCES),
        (rb"(BAI|CSI|TBI)\x01", "is an index", "Give the file that it is the index of."),
        (rb"(?i:<!doctype html|<html|<head|<body)", "is an HTML page", DOWNLOAD),
        (rb"(?i:<\?xml|<!doctype|<[a-z])", "is XML",
         "Download or export the sequences as FASTA."),
        (rb"\{\\rtf", "is a document (RTF)", "Save it as plain text, or export FASTA."),
        (rb"\{\s*[\"}]|\[\s*[\"{\[\]]", "is JSON", "Download or export the sequences as FASTA."),
        (rb"%PDF", "is a PDF document", "Download or export the sequences as FASTA."),
        (rb"PK\x03\x04.*(\[Content_Types\]\.xml|xl/|word/|vnd\.oasis)|\xd0\xcf\x11\xe0",
         "is an office document, such as of Excel", "Save the sequences as plain text in FASTA."),
        (rb"PK\x03\x04|PK\x05\x06", "is a zip archive", UNPACK),
        (rb"7z\xbc\xaf\x27\x1c", "is a 7z archive", UNPACK),
        (rb"Rar!\x1a\x07", "is a rar archive", UNPACK),
        (rb".{%d}ustar" % TAR_OFFSET, "is a tar archive", UNPACK),
        (rb"LOCUS\s", "is a GenBank file", TO_FASTA),
        (rb"ID   \S", "is an EMBL or UniProt file", TO_FASTA),
        (rb"##gff-version", "is a GFF file", GIVE_SEQUENCES),
        (rb"H\tVN:Z:|S\t\S+\t[A-Za-z*]", "is an assembly graph (GFA)",
         "Convert it: awk '/^S/{print \">\"$2\"\\n\"$3}' graph.gfa > contigs.fasta."),
        (rb"CLUSTAL|MUSCLE|# STOCKHOLM|(?i:#NEXUS)|##maf|\s*\d+\s+\d+\s*\n",
         "is an alignment, but not in FASTA", TO_FASTA),
        (rb"NCBI\.sra", "is an archive of the SRA", "Convert it: fasterq-dump --split-files."),
        (rb"\x89HDF\r\n", "is HDF5, such as FAST5 (raw signal)", BASECALL),
        (rb"\x8bPOD\r\n", "is POD5 (raw signal)", BASECALL),
        (rb"#slow5_version|BLOW5\x01", "is SLOW5 or BLOW5 (raw signal)", BASECALL),
        (rb"\x1aA'C|C'A\x1a", "is a 2bit file", "Convert it: twoBitToFa."),
        (rb"\.sff", "is an SFF file", "Convert it to FASTQ: sff2fastq."),
        (rb"ABIF", "is a chromatogram (ABI)", TO_FASTA),
        (rb"\x1f\x9d", "is compressed with compress (.Z)", DECOMPRESS),
        (rb"\x04\"M\x18|\x02!L\x18", "is compressed with LZ4", DECOMPRESS),
        (rb"LZIP|LRZI|\x89LZO|\]\0\0|\xff\x06\0\0sNaPpY",
         "is compressed with lzip, lrzip, lzop, lzma or Snappy", DECOMPRESS),
        (rb"crypt4gh|age-encryption|Salted__|-----BEGIN", "is encrypted", DECRYPT),
        (rb"version https://git-lfs", "is a pointer of Git LFS, not the file itself",
         "Fetch the file: git lfs pull."),
        (rb"(?i:[ACGTUNRYSWKMBDHV.-]{9,}\s)", "has letters of a sequence, but no header line",
         "Put a line with '>' and a name before each sequence."),
    )
]  # fmt: skip


def detect_kind(path: Path, head: bytes) -> str:
    """Return "FASTA", "FASTQ", "BAM" or "empty" from the first decompressed bytes.

    Raises: InputError for anything else, with what it is.
    """
    if head.startswith(b"BAM\1"):
        return "BAM"
    text = head.lstrip()
    while re.match(rb"--\s", text):  # of grep; the readers know it too
        text = text[2:].lstrip()
    if not text:
        return "empty"
    for pattern, what, remedy in OTHER_KINDS:
        if pattern.match(text):
            raise InputError(f"{path.name}: {what}. {remedy}")
    if compression := compression_of(text):
        raise InputError(
            f"{path.name}: is compressed twice, the second time with {compression.name}. "
            "Decompress it once."
        )
    if text.startswith((b">", b"#", b";")):
        return "FASTA"
    if text.startswith(b"@"):
        return "FASTQ"
    start = text[:20].decode("ascii", "replace")
    raise InputError(
        f"{path.name}: is neither FASTA, FASTQ nor BAM (it starts with {start!r}). "
        "Give a sequence file, plain or compressed with gzip, bzip2, xz or zstd."
    )
