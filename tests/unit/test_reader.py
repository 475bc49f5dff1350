"""Files of every kind, written here; Biopython and pysam tell what stands in them."""

import gzip
import random
from pathlib import Path

import pysam
import pytest
import xopen
from Bio import SeqIO

from virnucpro.errors import InputError
from virnucpro.sequences.reader import InputFile, read_records

FASTA = b">r1 first\nACGTN\nacgtn\n\n>r2\nGG\n>r3\n"
FASTQ = b"@q1 first\nACGT\n+\nIIII\n@q2\nGG\n+q2\nII\n"
COMPRESSIONS = ["plain", "gz", "bz2", "xz", "zst"]


def compress(data: bytes, kind: str, folder: Path) -> bytes:
    path = folder / "compressed"
    if kind == "plain":
        return data
    with xopen.xopen(path, "wb", format=kind, threads=0) as file:
        file.write(data)
    return path.read_bytes()


@pytest.fixture
def read(tmp_path):
    """Read bytes as a file; return (name, sequence) of the records."""

    def read_bytes(data: bytes, name: str = "reads.dat", mate: str = ""):
        path = tmp_path / name
        path.write_bytes(data)
        return [tuple(record) for record in read_records(InputFile(path, mate))]

    return read_bytes


@pytest.fixture
def message(read):
    def error(*args, **kwargs) -> str:
        with pytest.raises(InputError) as caught:
            read(*args, **kwargs)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return error


def random_fasta(num_records: int) -> bytes:
    rng = random.Random(num_records)
    return b"".join(
        b">r%d\n%s\n" % (i, bytes(rng.choices(b"ACGT", k=300))) for i in range(num_records)
    )


@pytest.mark.parametrize(
    "name", ["x", "x.fa", "x.gz", "x.bam", "x.fastq.bz2", "a 'b' \"c\" $d.txt"]
)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_content_tells_the_kind_whatever_the_name(read, tmp_path, compression, name):
    fasta = [("r1", "ACGTNacgtn"), ("r2", "GG"), ("r3", "")]
    assert read(compress(FASTA, compression, tmp_path), name) == fasta
    assert read(compress(FASTQ, compression, tmp_path), name) == [("q1", "ACGT"), ("q2", "GG")]


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_compressed_parts_in_a_row_are_all_read(read, tmp_path, compression):
    parts = [compress(part, compression, tmp_path) for part in (b"", b">a\nAC\n", b">b\nGG\n")]
    assert read(b"".join(parts)) == [("a", "AC"), ("b", "GG")]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\n"])
def test_an_empty_file_has_no_records(read, tmp_path, compression, content):
    assert read(compress(content, compression, tmp_path)) == []


def test_records_behind_many_blank_lines_are_found(read):
    assert read(b"\n" * 20_000 + b">a\nACGT\n") == [("a", "ACGT")]


@pytest.mark.parametrize(
    "data, words",
    [
        (b"@HD\tVN:1.6\nr\t4\t*\t0\t0\t*\t*\t0\t0\tAC\tII\n", ["is SAM text", "samtools view -b"]),
        (b"@SQ\tSN:c\tLN:9\n", ["is SAM text", "samtools view -b"]),
        (b"CRAM\3\0", ["is CRAM", "samtools view -b"]),
        (b"@CO\ta comment\n", ["is SAM text", "samtools view -b"]),
        (b"r1\t4\t*\t0\t0\t*\t*\t0\t0\tAC\tII\n", ["is SAM text without its header"]),
        (b"ssc", ["neither FASTA, FASTQ nor BAM", "'ssc'", "gzip, bzip2, xz or zstd"]),
        (b"a,b\n1,2\n", ["neither FASTA, FASTQ nor BAM"]),
        (b"PK\3\4\x14\0\0\0\x08\0reads.fa", ["is a zip archive", "Unpack it"]),
        (b"PK\3\4\x14\0\6\0\x08\0[Content_Types].xml", ["is an office document"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ["is an office document"]),
        (b"7z\xbc\xaf\x27\x1c\0\4", ["is a 7z archive", "Unpack it"]),
        (b"Rar!\x1a\7\0", ["is a rar archive", "Unpack it"]),
        (b"reads.fa".ljust(257, b"\0") + b"ustar\0" + b"00", ["is a tar archive", "Unpack it"]),
        (b"\0" * 100, ["starts with NUL bytes", "Copy it again"]),
        (b"\xff\xfe>\0a\0", ["is UTF-16 text", "iconv -f UTF-16"]),
        (">a\nACGT\n".encode("utf-16-be"), ["is UTF-16 text", "iconv -f UTF-16"]),
        (">a\nACGT\n".encode("utf-16-le"), ["is UTF-16 text", "iconv -f UTF-16"]),
        (b"<!DOCTYPE html><html>", ["is an HTML page", "download the sequence file again"]),
        (b"\n<HTML lang=en>", ["is an HTML page"]),
        (b"<?xml version='1.0'?>", ["is XML"]),
        (b'{"error": "not found"}', ["is JSON"]),
        (b"%PDF-1.7\n", ["is a PDF document"]),
        (b"LOCUS       NC_001\n", ["is a GenBank file", "Convert it to FASTA"]),
        (b"ID   X56734; SV 1; linear;\n", ["is an EMBL or UniProt file", "Convert it to FASTA"]),
        (b"##gff-version 3\n", ["is a GFF file"]),
        (b"##fileformat=VCFv4.2\n", ["is a file of variants"]),
        (b"H\tVN:Z:1.0\nS\t1\tACGT\n", ["is an assembly graph (GFA)", "awk"]),
        (b"CLUSTAL W (1.8)\n", ["is an alignment, but not in FASTA"]),
        (b"NCBI.sra\5\3\x19\x88", ["is an archive of the SRA", "fasterq-dump"]),
        (b"\x89HDF\r\n\x1a\n", ["is HDF5, such as FAST5", "Basecall it"]),
        (b"\x8bPOD\r\n\x1a\n", ["is POD5", "Basecall it"]),
        (b"C'A\x1a\0\0\0\0", ["is a 2bit file", "twoBitToFa"]),
        (b"\x1f\x9d\x90A", ["is compressed with compress (.Z)", "gzip, bzip2, xz or zstd"]),
        (b"\4\x22M\x18d@", ["is compressed with LZ4", "gzip, bzip2, xz or zstd"]),
        (b"LZIP\1", ["is compressed with lzip"]),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            ["is a pointer of Git LFS", "git lfs pull"],
        ),
        (b"crypt4gh\1\0", ["is encrypted", "Decrypt it"]),
        (b"ACGTACGTTGCA\n", ["no header line", "'>' and a name"]),
    ],
)
def test_other_kinds_are_refused_with_a_remedy(message, data, words):
    text = message(data)
    assert text.startswith("reads.dat: ")
    assert all(word in text for word in words)


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.9999])
def test_a_truncated_compressed_file_is_refused(message, tmp_path, compression, keep):
    data = compress(random_fasta(500), compression, tmp_path)
    text = message(data[: max(8, int(len(data) * keep))])
    assert text.startswith(("reads.dat, after record ", "reads.dat, before its first record: "))
    assert "record 0" not in text
    assert "cut short or damaged: copy it again" in text


def test_the_last_record_before_the_damage_is_named(message):
    text = message(gzip.compress(random_fasta(500))[:-1])
    position = int(text.split("after record ")[1].split(" ")[0])
    assert position > 100 and f"after record {position} (r{position - 1}): " in text


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_a_damaged_compressed_file_is_refused(message, tmp_path, compression):
    data = bytearray(compress(random_fasta(500), compression, tmp_path))
    for i in range(len(data) // 2, len(data) // 2 + 20):
        data[i] ^= 0xFF
    assert message(bytes(data)).startswith("reads.dat")


def test_a_missing_file_is_the_users_error(tmp_path):
    with pytest.raises(InputError, match="none.fa.*No such file"):
        list(read_records(InputFile(tmp_path / "none.fa")))


@pytest.mark.parametrize(
    "data",
    [
        b">a b c\nAC\nGT\n>b\tc\nGG\n",
        b"> a b\nACGT\n>  c\nGG\n",
        b">\nACGT\n> \nGG\n",
        b">a\r\nACGT\r\nAC\r\n>b\r\nGG\r\n",
        b">a\nAC GT\n AC \n",
        b">a|b||c:1-2 x\nAC\n>d\"e'f\nAC\n>#g\nAC\n>h=i;j,k(l)/m%n\nAC\n",
        b">a\nACGT",
        b">a",
        b">a\n\n\nAC\n\nGT\n\n>b\n",
        b">a >b\nAC\n>>c\nGT\n",
        b">a\x0bb\nAC\n>c\x0cd\nGG\n",
    ],
)
def test_names_and_sequences_are_biopythons(read, tmp_path, data):
    found = read(data)
    with (tmp_path / "reads.dat").open() as file:
        expected = [(record.id, str(record.seq)) for record in SeqIO.parse(file, "fasta")]
    assert found == expected


def test_all_nucleotide_letters_pass_in_their_own_case(read):
    letters = "ACGTUNRYSWKMBDHVacgtunryswkmbdhv-."
    assert read(b">a\n" + letters.encode() + b"\n") == [("a", letters)]


@pytest.mark.parametrize(
    "sequence, words",
    [
        ("ACGT*", "letter '*' at position 5; the record is not a nucleotide sequence"),
        ("ACGE" + "A" * 16, "letter 'E' at position 4; the record is not a nucleotide sequence"),
        ("MKVLIF", "letter 'L' at position 4; the record looks like protein"),
        ("atgc234", "letter '2' at position 5; the record is not a nucleotide sequence"),
        ("ACGT>C", "letter '>' at position 5"),
    ],
)
def test_letters_that_are_not_dna_are_refused(message, sequence, words):
    text = message(f">ok\nACGT\n>bad\n{sequence}\n".encode())
    assert text.startswith("reads.dat, record 2 (bad): " + words)
    assert "Give DNA with IUPAC letters only" in text


@pytest.mark.parametrize(
    "data",
    [
        ">ok\nAC\n>a\nAC\u00c9T\n".encode(),
        b"@ok\nAC\n+\nII\n@a\nAC\xc3\x89T\n+\nIIIII\n",
    ],
)
def test_letters_beyond_ascii_are_refused(message, data):
    text = message(data)
    assert text.startswith("reads.dat, record 2")
    assert "must be plain ASCII" in text and "cut short" not in text


def test_text_that_becomes_another_thing_is_refused(message):
    assert "line 2 ('ACGT') comes before the first header line" in message(b"# a comment\nACGT\n")


@pytest.mark.parametrize(
    "data, words",
    [
        (FASTQ[:-2], "record 2: q2: 2 bases but 1 qualities. The file is damaged, or a program"),
        (
            FASTQ[:-3],
            "record 2: q2: 2 bases but 0 qualities at the end of the file. The file is cut",
        ),
        (FASTQ[:-7], "record 2: q2: the file ends before its line '+'. The file is cut short"),
        (FASTQ[:-10], "record 2: q2: the file ends before its line '+'. The file is cut short"),
        (FASTQ + b"@q3\nACG\n+\nIIII\n" + FASTQ, "record 3: q3: 3 bases but 4 qualities"),
        (FASTQ + b"@q3\nACGT\n+\nIII\n" + FASTQ, "record 3: q3: 4 bases but 3 qualities"),
        (FASTQ + b"@q3\nACGT\nAC\n+\nIIII\n", "record 3: q3: 6 bases but 4 qualities at the end"),
        (
            FASTQ + b"@q3\nACGT\n" + FASTQ,
            "record 3: q3: the next record begins before its line '+'",
        ),
        (FASTQ + b"ACGT\n" + FASTQ, "record 3: begins with 'ACGT', not with '@'"),
        (FASTQ + b">q3\nACGT\n+\nIIII\n", "record 3: begins with '>', as FASTA"),
    ],
)
def test_a_truncated_or_damaged_fastq_is_refused(message, data, words):
    text = message(data)
    assert text.startswith("reads.dat, " + words)
    assert "copy" in text or "FASTA" in text


def test_a_fastq_may_have_crlf_and_no_last_line_end(read):
    expected = [("q1", "ACGT"), ("q2", "GG")]
    assert read(FASTQ.replace(b"\n", b"\r\n")) == read(FASTQ[:-1]) == expected


def test_letters_that_are_not_dna_are_refused_in_a_fastq_too(message):
    assert "record 1 (q): letter '?' at position 2" in message(b"@q\nA?\n+\nII\n")


def test_mates_get_their_suffix_once(read):
    reads = b"@a x\nAC\n+\nII\n@b/1\nGG\n+\nII\n@c/2\nGG\n+\nII\n"
    assert [name for name, _ in read(reads, mate="/1")] == ["a/1", "b/1", "c/2/1"]
    assert [name for name, _ in read(reads)] == ["a", "b/1", "c/2"]


def test_a_mate_without_a_name_stays_unnamed(read):
    assert read(b"@\nAC\n+\nII\n", mate="/2") == [("", "AC")]  # SPLIT numbers it


def write_bam(path: Path, reads, mode="wb", references=True) -> bytes:
    """Write (name, flag, sequence as stored) and return the bytes of the file."""
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "c", "LN": 1000}] * references}
    with pysam.AlignmentFile(
        str(path), mode, header=pysam.AlignmentHeader.from_dict(header)
    ) as bam:
        for name, flag, sequence in reads:
            read = pysam.AlignedSegment(bam.header)
            read.query_name, read.flag, read.query_sequence = name, flag, sequence
            if not flag & 4:
                read.reference_id, read.reference_start = 0, 1
                read.cigarstring = f"{len(sequence)}M" if sequence else None
            bam.write(read)
    return path.read_bytes()


def test_unaligned_reads_of_a_bam(read, tmp_path):
    reads = [
        ("a", 4, "ACGTN"),
        ("p", 77, "AAC"),
        ("p", 141, "GGT"),
        ("q/1", 77, "AC"),
        ("n", 4, None),
    ]
    expected = [("a", "ACGTN"), ("p/1", "AAC"), ("p/2", "GGT"), ("q/1", "AC"), ("n", "")]
    for mode in ("wb", "wbu"):
        assert read(write_bam(tmp_path / "w", reads, mode, references=False)) == expected


def test_aligned_reads_come_once_and_in_their_own_orientation(read, tmp_path):
    reads = [
        ("forward", 0, "AACG"),
        ("reverse", 16, "AACGNRT"),
        ("reverse", 16 | 256, "AACG"),  # secondary
        ("reverse", 16 | 2048, "AACG"),  # supplementary
        ("pair", 1 | 16 | 64, "AAC"),
        ("pair", 1 | 128, "AAC"),
    ]
    assert read(write_bam(tmp_path / "w", reads)) == [
        ("forward", "AACG"),
        ("reverse", "AYNCGTT"),
        ("pair/1", "GTT"),
        ("pair/2", "AAC"),
    ]


def test_a_bam_without_reads(read, tmp_path):
    assert read(write_bam(tmp_path / "w", [], references=False)) == []


def many_reads(num_reads: int):
    rng = random.Random(3)
    return [(f"r{i}", 4, "".join(rng.choices("ACGT", k=150))) for i in range(num_reads)]


def test_a_truncated_bam_is_refused(message, read, tmp_path):
    data = write_bam(tmp_path / "w", many_reads(3000))
    assert len(read(data)) == 3000
    cuts = [len(data) - 28, len(data) - 1, len(data) // 2, 100]  # the first: just the end marker
    for text in [message(data[:cut]) for cut in cuts]:
        assert text.startswith("reads.dat, before its first record: cannot be read to its end")
        assert "cut short or damaged: copy it again" in text


def test_a_damaged_bam_is_refused(message, tmp_path):
    data = bytearray(write_bam(tmp_path / "w", many_reads(3000)))
    data[len(data) // 2] ^= 0xFF
    text = message(bytes(data))
    position = int(text.split("after record ")[1].split(" ")[0])
    assert 1000 < position < 2000 and f"({'r' + str(position - 1)})" in text


def test_a_bam_in_plain_gzip_is_refused(message, tmp_path):
    data = gzip.decompress(write_bam(tmp_path / "w", many_reads(9)))
    for text, how in [(message(gzip.compress(data)), "compressed with gzip"),
                      (message(compress(data, "zst", tmp_path)), "compressed with zstd"),
                      (message(data), "not compressed")]:  # fmt: skip
        assert f"is BAM, but {how} instead of BGZF" in text and "samtools view -b" in text


def test_cram_and_sam_of_samtools_are_refused(message, tmp_path):
    reads = many_reads(3)
    assert "is CRAM" in message(write_bam(tmp_path / "w", reads, "wc", references=False))
    assert "is SAM text" in message(write_bam(tmp_path / "w", reads, "wh"))


def test_rna_is_read_as_dna_where_it_is_said_to_be(tmp_path):
    path = tmp_path / "rna.fa"
    path.write_text(">a\nAUGuaaNT\n")
    assert [r.sequence for r in read_records(InputFile(path))] == ["AUGuaaNT"]
    assert [r.sequence for r in read_records(InputFile(path, is_rna=True))] == ["ATGtaaNT"]
