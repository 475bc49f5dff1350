"""FASTA and FASTQ that are not as dnaio and Biopython want them."""

import gzip
import random

import pytest

from virnucpro.errors import InputError
from virnucpro.sequences import reader
from virnucpro.sequences.reader import InputFile, read_records

BOM = b"\xef\xbb\xbf"


def random_reads(num_reads: int, seed: int = 1) -> list[tuple[str, str, str]]:
    """Return (header, sequence, qualities); qualities may begin with any character, @ and + too."""
    rng = random.Random(seed)
    reads = []
    for number in range(num_reads):
        length = rng.choice((0, 1, 59, 60, 61, 120, 150, 333))
        sequence = "".join(rng.choices("ACGTN", k=length))
        reads.append((f"q{number} 1:N:0", sequence, "".join(rng.choices("@+>-~!I", k=length))))
    return reads


def fastq(reads, width: int = 10**9, plus: str = "+", blank: str = "", end: str = "\n") -> bytes:
    lines = [blank]
    for header, sequence, qualities in reads:
        for start, text in (("@" + header, sequence), (plus, qualities)):
            lines += [start, *(text[i : i + width] for i in range(0, len(text), width))]
            lines += [""] * (width == 10**9 and not text)
        lines.append(blank)
    return end.join(line for line in lines if line != "omit").encode() + end.encode()


READS = random_reads(900)
RECORDS = [(header.split()[0], sequence) for header, sequence, _ in READS]
PLAIN = fastq(READS, blank="omit")


@pytest.fixture
def read(tmp_path):
    """Return (name, sequence) of the records, and the warnings."""

    def read_bytes(data: bytes):
        (tmp_path / "x.dat").write_bytes(data)
        warnings: list[str] = []
        records = [tuple(r) for r in read_records(InputFile(tmp_path / "x.dat"), warnings)]
        return records, warnings

    return read_bytes


@pytest.fixture
def message(read):
    def error(data: bytes) -> str:
        with pytest.raises(InputError) as caught:
            read(data)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return error


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        fastq(READS, width=60, blank="omit"),
        fastq(READS, width=1, blank="omit"),
        fastq(READS, width=60, blank=""),
        fastq(READS, blank=""),
        fastq(READS, width=60, end="\r\n"),
        fastq(READS, blank="omit", end="\r"),
        fastq(READS, width=60, blank="omit", end="\r"),
        fastq(READS, plus="+another", blank="omit"),
        fastq(READS, plus="+", blank=" \t"),
        b"\n\r\n" * 100_000 + PLAIN,
        PLAIN + b"\n\n",
        PLAIN + b"\n" + PLAIN[:0],
        BOM + PLAIN,
        BOM + fastq(READS, width=60),
    ],
)
def test_fastq_in_any_form_has_the_same_records(read, data):
    assert read(data) == read(gzip.compress(data)) == (RECORDS, [])


def test_records_before_the_odd_one_come_once(read):
    many = random_reads(5000, seed=2)  # of several buffers of dnaio
    names = [header.split()[0] for header, _, _ in many]
    for at in (0, 1, 2, 2500, 4999, 5000):
        data = fastq(many[:at], blank="omit") if at else b""
        data += fastq(many[at:], width=60, blank="") if at < 5000 else b"\n"
        records, _ = read(data)
        assert [name for name, _ in records] == names
        assert [sequence for _, sequence in records] == [sequence for _, sequence, _ in many]


def test_fastq_of_four_lines_is_read_by_dnaio(read, monkeypatch):
    def refuse(*args):
        raise AssertionError("the slow reader")

    monkeypatch.setattr("virnucpro.sequences.fastq.wrapped_records", refuse)
    for data in (PLAIN, PLAIN[:-1], PLAIN.replace(b"\n", b"\r\n"), BOM + PLAIN):
        assert read(data) == (RECORDS, [])


@pytest.mark.parametrize("width", [60, 10**9])
def test_a_cut_fastq_is_refused_or_ends_with_a_record(read, width):
    reads = [(f"r{i}", "ACGTN" * 30, "@+I>-" * 30) for i in range(3)]
    data = fastq(reads, width=width, blank="omit")
    size = len(data) // 3
    for cut in range(1, len(data)):
        whole, rest = divmod(cut, size)
        if rest in (0, size - 1):  # the last line end may be missing
            assert len(read(data[:cut])[0]) == whole + (rest > 0)
        else:
            with pytest.raises(InputError, match=f"record {whole + 1}: .*(cut short|changed only)"):
                read(data[:cut])


@pytest.mark.parametrize(
    "data",
    [
        ">a K\u00f6ln\nACGT\n>b\nGG\n".encode(),
        ">a K\u00f6ln\nACGT\n>b\nGG\n".encode("latin-1"),
        BOM + b">a\nACGT\n>b\nGG\n",
        BOM + b"\r\n>a\r\nACGT\r\n>b\r\nGG\r\n",
        b">a\rACGT\r>b\rGG\r",
        b"; written by x\n>a\n;comment\nAC\n; more\nGT\n#and\n>b\nGG\n;end",
        "@a K\u00f6ln\nACGT\n+\nIIII\n@b\nGG\n+\nII\n".encode(),
        "@a K\u00f6ln\nACGT\n+a K\u00f6ln\nIIII\n@b\nGG\n+\nII\n".encode("latin-1"),
    ],
)
def test_what_is_not_used_does_not_matter(read, data):
    assert read(data) == ([("a", "ACGT"), ("b", "GG")], [])


@pytest.mark.parametrize(
    "data, expected, dropped",
    [
        (">a\nACGT\n--\n>b\nGG\n", ["ACGT", "GG"], 1),
        (">a\nACGT\n--\n>b\nGG\n--\n", ["ACGT", "GG"], 2),
        (">a\nACGT\n--\n\n--\n>b\nGG\n", ["ACGT", "GG"], 2),
        ("--\n>a\nACGT\n>b\nGG\n", ["ACGT", "GG"], 1),
        (">a\r\nACGT\r\n--\r\n>b\r\nGG\r\n", ["ACGT", "GG"], 1),
        (">a\n--\n>b\nGG\n", ["", "GG"], 1),
        (">a\nACGT\n---\n>b\n-\n", ["ACGT---", "-"], 0),  # gaps
        (">a\nAC\n--\nGT\n>b\n--GG\n", ["AC--GT", "--GG"], 0),  # inside a sequence
        (">a\nAC-T\n--\n>b\nG.GG\n--\n", ["AC-T--", "G.GG--"], 0),  # an alignment, line-wrapped
        ("@a\nACGT\n+\n----\n--\n@b\nGG\n+\n--\n", ["ACGT", "GG"], 1),
        ("--\n@a\nACGT\n+\nIIII\n@b\nGG\n+\n--\n--\n", ["ACGT", "GG"], 2),
    ],
)
def test_separators_of_grep_are_not_sequence(read, data, expected, dropped):
    records, warnings = read(data.encode())
    assert records == list(zip("ab", expected, strict=True))
    assert len(warnings) == bool(dropped)
    if dropped:
        lines = "1 line" if dropped == 1 else f"{dropped} lines"
        assert warnings[0].startswith(f"x.dat: {lines} '--' between records, as grep -A writes")


@pytest.mark.parametrize(
    "data",
    [
        b">a\nACGT\n>b\nAC" + b"\0" * 9 + b"GT\n",
        b">a\nACGT\n>b descr" + b"\0" * 9 + b"GT\nAC\n",
        b"@a\nACGT\n+\nIIII\n@b\nAC" + b"\0" * 9 + b"II\n",
        b"@a\nACGT\n+\nIIII\n@b\nAC\0T\n+\nIIII\n",
        b"@a\nACGT\n+\nIIII\n@b descr" + b"\0" * 9 + b"c\nACGT\n+\nIIII\n",  # hides records
        b"@a\nACGT\n+\nIIII\n" + b"\0" * 9 + b"\nACGT\n+\nIIII\n",
        b"@a\nACGT\n+\nIIII\n@b\nACGT\n+\nII" + b"\0" * 9 + b"\nIIII\n",
    ],
)
def test_a_hole_in_a_file_is_named(message, data):
    text = message(data)
    assert text.startswith("x.dat, record 2") and "has NUL bytes" in text and "Copy" in text


def test_warnings_about_the_compressed_file_come_once(read):
    plain = b"@a\nAC\n+\nII\n"
    for data in (plain, plain + b"\n", plain + b"--\n"):  # the latter are opened again
        records, warnings = read(gzip.compress(data) + b"garbage")
        assert records == [("a", "AC")]
        assert sum("garbage" in w or "ignored" in w for w in warnings) == 1


def test_a_file_compressed_twice_is_named(message):
    assert "is compressed twice" in message(gzip.compress(gzip.compress(b">a\nAC\n")))


def test_other_kinds_are_named_when_compressed_too(message):
    tar = b"reads.fa".ljust(257, b"\0") + b"ustar\0" + b"00".ljust(300, b"\0")
    assert "is a tar archive" in message(gzip.compress(tar))
    assert "is an HTML page" in message(BOM + b"<html>")


def test_a_fault_of_the_disk_is_not_called_a_damaged_file(message, monkeypatch):
    def records(*args):
        yield "a", "AC"
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(reader, "_records", records)
    text = message(b">a\nAC\n")
    assert text.startswith("x.dat, after record 1 (a): [Errno 5] Input/output error. The disk")
    assert "cut short" not in text
