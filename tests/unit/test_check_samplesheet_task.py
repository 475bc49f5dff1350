"""What CHECK_SAMPLESHEET makes of --input: samples, genomes, or all that is wrong."""

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from virnucpro.errors import InputError
from virnucpro.input_checks.genomes_sheet import check_genomes, genomes_table
from virnucpro.input_checks.samples_sheet import check_samples
from virnucpro.input_checks.sheet import InputRequest, SheetSample
from virnucpro.training.genomes import Genome, read_genomes

ASSETS = Path(__file__).parents[2] / "assets"
SAMPLES = json.loads((ASSETS / "schema_input.json").read_text())
GENOMES = json.loads((ASSETS / "schema_train.json").read_text())
FILES = {name: f"/data/{name}" for name in ("a.fa", "b.fa", "r1.fq", "r2.fq", "p$1.fa")}


def samples_of(folder: Path, text: str | bytes, **request: Any) -> list[SheetSample]:
    """Ask with a sheet; FILES are the files there are."""
    sheet = folder / "sheet"
    sheet.write_bytes(text.encode() if isinstance(text, str) else text)
    faults = {"dir": "is a folder"}
    faults["p$1.fa"] = "has a dollar sign"
    links = {"link.fa": "/data/link.fa"}
    request = {"paths": {**FILES, **links, "dir": "/data/dir"}, "faults": faults,
               "real_paths": {**FILES, "link.fa": "/data/a.fa"}, **request}  # fmt: skip
    return check_samples(InputRequest("s.csv", **request), sheet, SAMPLES)


def test_rows_of_a_sample_are_joined_in_order(tmp_path: Path) -> None:
    text = (
        "\ufeffsample\t input\tinput_2\tsite\n"
        'lake\ta.fa\t\tnorth\n\n \t\nsea\tr1.fq\tr2.fq\t"a, ""b"""\n'
        "lake\tr1.fq\tr2.fq\tsouth\nlake\tb.fa\n"
    )
    assert [astuple(sample) for sample in samples_of(tmp_path, text)] == [
        ("lake", ["/data/a.fa", "/data/r1.fq", "/data/r2.fq", "/data/b.fa"], "0120",
         {"site": "north;south"}),
        ("sea", ["/data/r1.fq", "/data/r2.fq"], "12", {"site": 'a, "b"'}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path, name",
    [
        ("/x/contigs.fa.gz", "contigs"), ("/x/S1.FASTQ", "S1"), ("/x/a b.v1.bam", "a_b.v1"),
        ("/x/plain", "plain"), ("/x/r.fa.zst", "r"),
    ],
)  # fmt: skip
def test_a_sample_is_called_after_its_file(path: str, name: str) -> None:
    (sample,) = check_samples(InputRequest(path, [path]), None, SAMPLES)
    assert astuple(sample) == (name, [path], "0", {})


REFUSED: list[tuple[str | bytes, list[str]]] = [
    ("sample,input\nbad name,gone.fa\n,a.fa\n", [
        "row 1 (bad name): sample 'bad name' must be letters, digits, '.', '_' and '-' only",
        "row 1 (bad name): gone.fa is neither beside the sheet nor in the launch folder",
        "row 2 (no sample): the column sample is empty",
    ]),
    ("sample,input\ns,\n", ["row 1 (s): the column input is empty"]),
    ("sample,input\ns,a.fa\nS,b.fa\n", ["more than one file would be the sample 's'"]),
    ("sample,input,input2\nsummary.tsv,a.fa,x\n", [
        "column input2: the column of second mates must be input_2",
        "sample 'summary.tsv': needs another name",
    ]),
    ("sample,input\n", ["the sheet has no rows"]),
    ("", ["this one has no sample and no input: "]),
    ("sample,fastq_1\ns,x.fq\n", ["this one has no input: sample, fastq_1"]),
    ("sample,input\ns,dir\nt,~/x.fa\n", [
        "row 1 (s): dir is a folder", "row 2 (t): ~/x.fa: only a shell expands '~'. Write the path in full",
    ]),
    ("sample,input\ns,p$1.fa\n",
     ["row 1 (s): p$1.fa has a dollar sign"]),
    ("sample,input,input_2,site,site\ns,a.fa,,Lake, north\nt,a.fa\nu,b.fa,,Lake, north, east\n", [
        "more than one column is named site",
        "row 3 (u): 6 cells, but 5 columns. Put a cell with a comma in double quotes",
    ]),
    ("sample,input,input_2\ns,r1.fq,r1.fq\nt,b.fa\nt,b.fa\n",
     ["row 1 (s): r1.fq is twice in this sample", "row 3 (t): b.fa is twice in this sample"]),
    ("sample,input\ns,a.fa\ns,link.fa\n", ["row 2 (s): link.fa is twice in this sample"]),
    ("sample,input,,\ns,a.fa,r2.fq,x\n", ["column 3 has no name, but cells: r2.fq", "column 4 has"]),
    ("sample,input\nversions.yml,a.fa\n", ["sample 'versions.yml': needs another name"]),
    ('sample,input\ns,"a.fa\n', ["--input s.csv: line 2: ", "Close the quote, or remove it."]),
    ("sample,input\ns,caf\u00e9.fa\n".encode("latin-1"), ["is not UTF-8 text (byte 18)"]),
]  # fmt: skip


@pytest.mark.parametrize("text, words", REFUSED)
def test_all_faulty_rows_of_a_sheet_are_reported_at_once(
    tmp_path: Path, text: str | bytes, words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        samples_of(tmp_path, text)
    assert str(caught.value).startswith("--input s.csv: ") or str(caught.value).startswith("--input s.csv:\n")  # fmt: skip
    assert [word for word in words if word not in str(caught.value)] == [], caught.value


@pytest.mark.parametrize(
    "request_, words",
    [
        (InputRequest("here", ["/here"], faults={"/here": "is a folder"}), "--input here:\n  /here is a folder. Give a samplesheet, a file, or a quoted glob"),
        (InputRequest("lost*.fa"), "--input lost*.fa: no such file, and no file matches it as a pattern."),
        (InputRequest("p$1.fa", ["/p$1.fa"], faults={"/p$1.fa": "has a dollar sign"}), "/p$1.fa has a dollar sign"),
        (InputRequest("*", ["/a/x.fa", "/b/X.fq"]), "more than one file would be the sample 'x'"),
        (InputRequest(".fa", ["/x/.fa"]), ".fa: the column sample is empty. Name it in a samplesheet"),
        (InputRequest("-x.fa", ["/-x.fa"]), "-x.fa: sample '-x' must be letters, digits"),
    ],
)  # fmt: skip
def test_what_is_not_a_sheet_is_checked_too(request_: InputRequest, words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_samples(request_, None, SAMPLES)
    assert words in str(caught.value)


HEADER = "id,fasta,label,class,group,annotation,split\n"
GENOME_FILES = {**FILES, "x/g.gff3": "/data/x/g.gff3", "y/g.gff3": "/data/y/g.gff3"}


def genomes_of(
    folder: Path, text: str, frames: str = "all"
) -> list[tuple[SheetSample, Genome, str | None]]:
    (folder / "sheet").write_text(text)
    request = InputRequest("g.csv", paths=GENOME_FILES, training_frames=frames)
    return check_genomes(request, folder / "sheet", GENOMES)


def test_genomes_come_with_their_annotation_and_reach_training(tmp_path: Path) -> None:
    text = HEADER + "a,a.fa,viral,phage,G 1,x/g.gff3,train\nb,b.fa,nonviral,host,H,,\n"
    (a, genome_a, annotation), (b, genome_b, none) = genomes_of(tmp_path, text)
    assert (a.id, a.files, a.ends, annotation, none) == ("a", ["/data/a.fa"], "0", "/data/x/g.gff3", None)  # fmt: skip
    assert astuple(genome_a) == ("a", "viral", "phage", "G 1", "train", "g.gff3")
    table = genomes_table([genome_a, genome_b]).splitlines(keepends=True)
    assert read_genomes(table) == [genome_a, genome_b]


FAULTY_GENOMES = [
    ("sample,input\na,b\n", "all", ["is without id, fasta, label, class, group and has the unknown sample, input"]),
    (HEADER + "a,a.fa,viral,x,G,,\nA,a.fa,virus,x,G,,\nb/c,lost.fa,viral,,G,,dev\n", "coding", [
        "row 2 (A): label 'virus' must be viral or nonviral", "row 3 (b/c): id 'b/c' must be letters",
        "row 3 (b/c): the column class is empty", "row 3 (b/c): split 'dev' must be train, val, test",
        "row 3 (b/c): lost.fa is neither beside", "more than one row has the id 'a'",
        "row 1 (a): --training_frames coding needs its annotation",
    ]),
    (HEADER + "a,a.fa,viral,x,G,x/g.gff3,\nb,b.fa,viral,x,G,y/g.gff3,\n", "all",
     ["the annotations of a and b are different files of one name, g.gff3: rename one"]),
    (HEADER + "a,a.fa,viral,x\\y,G,,\nb,a.fa,nonviral,x,H,,\n", "all",
     ["class 'x\\y' must not hold tabs", "a and b have the same fasta: keep one row"]),
]  # fmt: skip


@pytest.mark.parametrize("text, frames, words", FAULTY_GENOMES)
def test_all_faults_of_a_training_sheet_are_reported_at_once(
    tmp_path: Path, text: str, frames: str, words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        genomes_of(tmp_path, text, frames)
    assert [word for word in words if word not in str(caught.value)] == [], caught.value


def test_training_takes_a_sheet() -> None:
    with pytest.raises(InputError, match="Training takes one, CSV or TSV: id,fasta,label,class,group"):  # fmt: skip
        check_genomes(InputRequest("x.fa", ["/x.fa"], training_frames="all"), None, GENOMES)


def test_only_line_ends_end_a_row_and_notes_stay_in_theirs(tmp_path: Path) -> None:
    text = 'sample,input,note\r\nb,\xa0a.fa\u200b,see\u2028c\x0bd\r\ne,b.fa,"one\ntwo\tthree  four\x1b"\r\n'
    b, e = samples_of(tmp_path, text)
    assert (b.files, e.files) == (["/data/a.fa"], ["/data/b.fa"])
    assert (b.columns["note"], e.columns["note"]) == ("see c d", "one two three  four ")


@pytest.mark.parametrize(
    "text",
    [
        "sample,input\n{0},a.fa\n", "sample,input\ns,{0}\n", "sample,input,{0}\ns,a.fa,x,y\n",
        "sample,input,{0},{0}\ns,a.fa,x,y\n", "sample,{0}\ns,a.fa\n", "sample,input,\ns,a.fa,{0}\n",
        "sample,input\n{0},a.fa,x\n",
    ],
)  # fmt: skip
def test_no_message_repeats_ten_thousand_letters(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as error:
        samples_of(tmp_path, text.format("\x1b" + "x" * 9_999))
    assert 50 < len(str(error.value)) < 1500 and "\x1b" not in str(error.value)
