"""Sequence files as they are met in the wild, through SPLIT and TRANSLATE.

Files whose licence does not allow a copy here are looked for in the folder that the data came from,
`../shared/data/edge_cases` beside the checkout; files like them are made below.
"""

import bz2
import csv
import gzip
import hashlib
import logging
import random
from pathlib import Path

import pytest
from Bio import SeqIO

from virnucpro.sequences.names import decode_cell

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests/data/edge_cases"
BESIDE = ROOT.parent / "shared/data/edge_cases"
LEFT_OUT = {
    "crlf_NC_002127.1.fna", "crlf_NC_002127.1.fna.gz", "lf_NC_002127.1.fna",
    "lf_NC_002127.1.fna.gz", "invalid_letters.fasta", "iupac_HAV_consensus.fasta",
    "unknown_description_HBV.fasta", "space_after_gt.fasta", "gapped_alignment.fna",
    "odd_headers_in_the_wild.fa",
}  # fmt: skip


def read_cases() -> list[dict[str, str]]:
    with (HERE / "cases.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


CASES = read_cases()


def path_of(name: str) -> Path:
    if name not in LEFT_OUT:
        return HERE / name
    if not BESIDE.is_dir():
        pytest.skip(f"{name} may not be copied, and {BESIDE} is not there")
    return BESIDE / name


def expected_of(case: dict[str, str]) -> dict[str, str]:
    """Return the fields of "exit=0 sequences=5 frames=28 message=words to the end"."""
    fields, _, message = case["expected"].partition(" message=")
    return {**dict(field.split("=") for field in fields.split(" ")), "message": message}


def count(out: Path) -> tuple[int, int]:
    """Return the rows of records.tsv and the frames in both files of the shards."""
    sequences = len((out / "s.records.tsv").read_text().splitlines()) - 1
    frames = [
        "".join(path.read_text() for path in sorted(out.glob(f"s.*.frames.{kind}"))).count(">")
        for kind in ("fna", "faa")
    ]
    assert frames[0] == frames[1]
    return sequences, frames[0]


def sequences_of(out: Path) -> dict[str, str]:
    """Return the files of a task folder but for the names of input files."""
    texts = {path.name: path.read_text() for path in out.iterdir()}
    rows = [line.split("\t") for line in texts["s.records.tsv"].splitlines()]
    texts["s.records.tsv"] = "\n".join("\t".join(row[:2] + row[3:]) for row in rows)
    del texts["s.split.sha256"]  # of the table with the names
    return texts


def frames_of(out: Path) -> list[str]:
    """Return the lines that are no header of the frame files, in order."""
    paths = sorted(out.glob("s.*.frames.f?a"))
    return [x for path in paths for x in path.read_text().splitlines() if x[0] != ">"]


def test_each_file_has_its_row_and_its_licence():
    assert len(CASES) == 30
    present = {path.name for path in HERE.iterdir()} - {"README.md", "cases.tsv", "licences"}
    assert present == {case["file"] for case in CASES} - LEFT_OUT
    text = (HERE / "README.md").read_text()
    for case in CASES:
        if case["file"] not in LEFT_OUT:
            repository = case["source_repo"].split("/")[1]
            assert (HERE / f"licences/{repository}.txt").stat().st_size > 400
            assert f"licences/{repository}.txt" in text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
def test_files_are_as_they_were_found(case):
    content = path_of(case["file"]).read_bytes()
    if case["md5"] != "-":
        assert hashlib.md5(content).hexdigest() == case["md5"]
        assert len(content) == int(case["bytes"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
def test_a_file_ends_as_the_table_says(split_and_translate, capsys, caplog, case):
    expected = expected_of(case)
    path = path_of(case["file"])
    with caplog.at_level(logging.WARNING):
        if expected["exit"] == "0":
            found = count(split_and_translate(path))
            assert found == (int(expected["sequences"]), int(expected["frames"]))
        else:
            with pytest.raises(SystemExit, match=f"^{expected['exit']}$"):
                split_and_translate(path)
    error = capsys.readouterr().err
    assert expected["message"] in error + caplog.text
    assert (f"error: {path.name}" in error) is (expected["exit"] != "0")


def parse(path: Path) -> list[tuple[str, str]]:
    """Return (id, sequence) as Biopython reads them."""
    opener = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    kind = "fastq" if path.suffix == ".fastq" else "fasta"
    with opener(path, "rt") as file:
        return [(record.id, str(record.seq)) for record in SeqIO.parse(file, kind)]


READABLE = [case for case in CASES if case["expected"].startswith("exit=0")
            and case["file"] != "empty_file.fasta"]  # fmt: skip


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case["file"])
def test_chunks_and_frames_are_those_of_biopython_and_the_original(
    split_and_translate, original, case
):
    path = path_of(case["file"])
    out = split_and_translate(path)
    records = parse(path)
    table = [line.split("\t") for line in (out / "s.records.tsv").read_text().splitlines()[1:]]
    names = [decode_cell(row[1]) for row in table]
    assert list(zip(names, (int(row[3]) for row in table), strict=True)) == [
        (name, len(seq)) for name, seq in records
    ]
    assert len({row[0] for row in table}) == len(table)
    fna = faa = ""
    for (sequence_id, *_), (_, sequence) in zip(table, records, strict=True):
        coordinates = original.chunk_coordinates(len(sequence), 500)
        for number, (start, end) in enumerate(coordinates, start=1):
            for frame, dna, protein in original.frames(sequence[start:end])[1]:
                fna += f">{sequence_id}_chunk_{number}{frame}\n{dna}\n"
                faa += f">{sequence_id}_chunk_{number}{frame}\n{protein}\n"
    found = ["".join(p.read_text() for p in out.glob(f"s.*.frames.{k}")) for k in ("fna", "faa")]
    assert found == [fna, faa]


@pytest.mark.parametrize(
    "left, right",
    [
        ("ebola.fasta.gz", "ebola.fasta.bz2"),
        ("crlf_NC_002127.1.fna", "lf_NC_002127.1.fna"),
        ("crlf_NC_002127.1.fna.gz", "lf_NC_002127.1.fna.gz"),
        ("lf_NC_002127.1.fna", "lf_NC_002127.1.fna.gz"),
    ],
)
def test_pairs_give_equal_files(split_and_translate, left, right):
    first = sequences_of(split_and_translate(path_of(left), folder="left"))
    assert first == sequences_of(split_and_translate(path_of(right), folder="right"))
    assert count(Path().resolve())[1] > 0


def test_case_changes_no_frame(split_and_translate):
    lower = split_and_translate(path_of("lowercase_HIV1.fna"), folder="lower")
    upper = split_and_translate(path_of("uppercase_HIV1.fna"), folder="upper")
    assert frames_of(lower) == frames_of(upper) != []
    assert (lower / "s.00001.chunks.fna").read_bytes() != (
        upper / "s.00001.chunks.fna"
    ).read_bytes()


def random_sequence(seed: int, letters: str, length: int) -> str:
    return "".join(random.Random(seed).choices(letters, k=length))


@pytest.fixture
def write(tmp_path):
    def write_bytes(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_bytes


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
def test_line_ends_do_not_show(split_and_translate, write, compress):
    sequence = random_sequence(1, "ACG", 3306)
    lines = [">NC_1.1 a plasmid", *(sequence[i : i + 80] for i in range(0, 3306, 80)), ""]
    outs = []
    for name, end in (("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r")):
        path = write(f"{name}.fna", compress(end.join(lines).encode()))
        outs.append(sequences_of(split_and_translate(path, folder=name)))
    assert outs[0] == outs[1] == outs[2]
    assert outs[0]["s.00001.frames.faa"].count(">") == 6 * 7


def test_all_iupac_letters_are_read_and_their_codons_dropped(split_and_translate, write, original):
    sequence = random_sequence(2, "ACG" * 10 + "RYWSKMBDHVN", 1200)
    out = split_and_translate(write("x.fa", f">ambiguous_consensus\n{sequence}\n"))
    table = (out / "s.00001.chunks.tsv").read_text().splitlines()[1:]
    coordinates = original.chunk_coordinates(1200, 500)
    states = [original.frames(sequence[start:end])[0] for start, end in coordinates]
    assert [row.split("\t")[2] for row in table] == states == ["dddddd"] * 3


def test_gaps_of_an_alignment_are_letters_of_no_codon(split_and_translate, write, original):
    sequence = "-" * 700 + random_sequence(3, "ACG", 400) + "--" + "ACG" * 30 + "." * 9
    out = split_and_translate(write("aln.fna", f">a|b\n{sequence}\n>gaps\n{'-' * 60}\n"))
    assert count(out)[0] == 2
    rows = [row.split("\t") for row in (out / "s.00001.chunks.tsv").read_text().splitlines()[1:]]
    chunks = [sequence[s:e] for s, e in original.chunk_coordinates(len(sequence), 500)]
    assert [row[2] for row in rows] == [original.frames(c)[0] for c in [*chunks, "-" * 60]]
    assert rows[0][2] == rows[-1][2] == "nnnnnn" and "d" in rows[1][2]


@pytest.mark.parametrize(
    "header, name",
    [
        ("> prM-E region (genome 641-1312, 672 nt)", "prM-E"),
        (">nonviral-linear  NC_1.1||s:14||e:18||accession:GCF_1.1  Methano", "nonviral-linear"),
        (">k99_30 flag=0 multi=1.2844 len=1407", "k99_30"),
        (">NODE_1181_length_9275_cov_26.864425", "NODE_1181_length_9275_cov_26.864425"),
        (">IMG_UViG_1_000001|1|2", "IMG_UViG_1_000001|1|2"),
        (">gi|674|ref|NC_1.1| Uncultured phage, complete genome", "gi|674|ref|NC_1.1|"),
        (">NC_1#3k#12001#15000", "NC_1#3k#12001#15000"),
        (">0123", "0123"),
        (">a\tb c", "a"),
        (">A/Finland/97/2009(H3N2),x", "A/Finland/97/2009(H3N2),x"),
        (">NC_3.2 <unknown description>", "NC_3.2"),
        (">it's\\n_50%_$HOME`x`;*", "it's\\n_50%_$HOME`x`;*"),
        (">x_chunk_1", "x_chunk_1"),
        (">n-", "n-"),
    ],
)
def test_odd_headers_keep_their_name(split_and_translate, write, header, name):
    out = split_and_translate(write("x.fa", f"{header}\n{'ACG' * 200}\n"))
    row = (out / "s.records.tsv").read_text().splitlines()[1]
    assert row == f"{name}\t{name}\tx.fa\t600\t2\t"
    frames = (out / "s.00001.frames.fna").read_text().splitlines()[::2]
    names = [f"{s}{n}" for s in "FR" for n in (1, 2, 3)]
    assert frames == [f">{name}_chunk_{k}{frame}" for k in (1, 2) for frame in names]


@pytest.mark.parametrize(
    "sequence, words",
    [
        ("atgc234", "record 2 (BAD): letter '2' at position 5; the record is not a nucleotide"),
        ("actgnfji", "record 2 (BAD): letter 'f' at position 6; the record looks like protein"),
        ("actgn//", "record 2 (BAD): letter '/' at position 6"),
        ("MFAKLIE", "record 2 (BAD): letter 'F' at position 2; the record looks like protein"),
        ("ACGT*", "record 2 (BAD): letter '*' at position 5"),
    ],
)
def test_other_letters_stop_the_sample(split_and_translate, write, capsys, sequence, words):
    path = write("x.fa", f">OK\nATGCatgc\n>BAD\n{sequence}\n>OK_2\nA\n")
    with pytest.raises(SystemExit, match="2"):
        split_and_translate(path)
    assert f"error: x.fa, {words}" in capsys.readouterr().err


def test_nothing_to_call_is_no_error(split_and_translate, write):
    for number, content in enumerate(["", "\n\n", ">a\n", ">a\n>b\n\n", ">a\nTAATTAATTAATTAA\n"]):
        out = split_and_translate(write(f"{number}.fa", content), folder=f"task{number}")
        assert count(out) == (content.count(">"), 0)
