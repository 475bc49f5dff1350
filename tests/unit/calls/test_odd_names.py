"""Names that readers of tables take for something else: every file has a row for each sequence."""

import csv
import io
import random
from urllib.parse import unquote

import pytest
from samples import CHUNK_BP, make_sample

from virnucpro.calls.summarise_task import summarise_sample

NAMES = [
    "plain", '"quoted', 'in"side', '"', '""', "=1+1", "+a", "-n", "@x", "#comment", "track", "track_2",
    "browser1", "visibility", "chr", ">x", "!x", "a,b", "a;b=c&d", "50%", "a%22b", "it's", "NA",
    "nan", "NULL", "1e5", "007", "'", "\\N", "a|b", "_=1+1", "TRUE",
]  # fmt: skip
IDS = ["plain", "_quoted", "in_side", "_", "__", "_=1+1", "_+a", "_-n", "_@x", "_#comment",
       "_track", "_track_2", "_browser1", "_visibility", "_chr", "_>x", "_!x", *NAMES[17:30],
       "_=1+1_dup2", "TRUE"]  # fmt: skip
TABLES = ["sequences.tsv", "contigs.tsv", "chunks.tsv", "prediction_results.txt",
          "prediction_results_highestscore.csv"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd")
    (path / "out").mkdir()
    sequence = "".join(random.Random(1).choices("ACG", k=700))
    files = make_sample(path / "w", dict.fromkeys(NAMES, sequence), p_virus=lambda _: 0.9)
    summarise_sample(files, CHUNK_BP, path / "out")
    return path / "out"


def sequence_of(table_id: str) -> str:
    return table_id.rsplit("_chunk_", 1)[0]


@pytest.mark.parametrize("name", TABLES)
def test_csv_readers_see_every_row(folder, name):
    text = (folder / name).read_text()
    assert '"' not in text and text.isascii()
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True))
    assert len(table) == text.count("\n") and len({len(row) for row in table}) == 1
    ids = dict.fromkeys(sequence_of(row[0]) for row in table[1:])
    assert sorted(ids) == sorted(IDS)
    for row in table[1:]:
        assert row[0][0] not in "=+-@#>!" and not row[0].startswith(("track", "browser"))
    formulas = [cell for row in table for cell in row if cell[:1] in tuple("=+@")]
    assert formulas == []


@pytest.mark.parametrize("name", TABLES)
def test_pandas_and_polars_see_every_row(folder, name):
    num_rows = (folder / name).read_text().count("\n") - 1
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(folder / name, sep="\t", dtype=str, keep_default_na=False)
    assert len(frame) == num_rows and {sequence_of(i) for i in frame.iloc[:, 0]} == set(IDS)
    assert len(pandas.read_csv(folder / name, sep="\t")) == num_rows
    polars = pytest.importorskip("polars")
    table = polars.read_csv(folder / name, separator="\t", infer_schema=False)
    assert len(table) == num_rows and {sequence_of(i) for i in table[:, 0]} == set(IDS)


def test_the_names_can_be_read_back(folder):
    rows = csv.DictReader((folder / "sequences.tsv").open(newline=""), delimiter="\t")
    assert [(row["sequence_id"], unquote(row["name"])) for row in rows] == list(
        zip(IDS, NAMES, strict=True)
    )


def test_every_file_has_the_same_ids(folder):
    assert list(read_fasta_ids(folder)) == IDS
    bed = [line.split("\t") for line in (folder / "regions.bed").read_text().splitlines()]
    assert [row[0] for row in bed] == IDS
    # what bedtools takes for a header
    assert not any(row[0].startswith(("track", "browser", "visibility", "#", ">", "!"))
                   or row[0] in ("chr", "chrom") for row in bed)  # fmt: skip
    gff3 = [line.split("\t") for line in (folder / "regions.gff3").read_text().splitlines()[1:]]
    assert [unquote(row[0]) for row in gff3] == IDS
    assert {len(row) for row in gff3} == {9}
    assert all(row[8].count(";") == row[8].count("&") == 0 and row[8].count("=") == 1
               for row in gff3)  # fmt: skip


def read_fasta_ids(folder):
    text = (folder / "viral.fasta").read_text()
    return [line[1:] for line in text.splitlines() if line.startswith(">")]
