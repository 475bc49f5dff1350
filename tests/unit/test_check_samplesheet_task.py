"""What CHECK_SAMPLESHEET makes of --input: samples, genomes, or all that is wrong."""

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from virnucpro.errors import InputError
from virnucpro.input_checks.file_columns import unread_columns
from virnucpro.input_checks.file_pairs import unpaired_warning
from virnucpro.input_checks.genomes_sheet import check_genomes, genomes_table
from virnucpro.input_checks.samples_sheet import check_samples
from virnucpro.input_checks.sheet import InputRequest, Sheet, SheetSample
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
    ('sample\tinput\t"my\tsite"\ns\ta.fa\tx\n',
     ["column 'my\\tsite': has a line break or a tab in its name"]),
    ('sample,input,"my\nsite"\ns,a.fa,x\n',
     ["column 'my\\nsite': has a line break or a tab in its name"]),
    ("", ["this one has no sample and no input: "]),
    ("sample,reads_1\ns,x.fq\n", ["this one has no input: sample, reads_1"]),
    ("sample,input,fastq_1,fastq_2,fasta\ns,a.fa,r1.fq,r2.fq,\nt,,r1.fq,,b.fa\nu,,,r2.fq,a.fa\nv,,,r2.fq,\n", [
        "row 1 (s): input and fastq_1 mean the same: fill one of them",
        "row 2 (t): fastq_1 and fasta mean the same", "row 3 (u): fasta has no second mates",
        "row 4 (v): the column input or fastq_1 or fasta is empty",
    ]),
    ("sample,input,input_2\ns,x/A_R2_001.fq.gz,x/A_R1_001.fq.gz\nt,A.1.fastq,A.2.fastq\n", [
        "row 1 (s): x/A_R2_001.fq.gz is called like second mates and x/A_R1_001.fq.gz like first ones",
    ]),
    ("sample,fastq_1\ns,\n", ["row 1 (s): the column fastq_1 is empty"]),
    ("sample,input,more\ns,r1.fq,r2.fq\nt,a.fa,see r2.fq\n", ["column more: names sequence files (r2.fq), but is not read"]),
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
    assert "row 2 (t): A.1.fastq is called" not in str(caught.value)


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


def test_sheets_of_nf_core_are_taken_as_they_are(tmp_path: Path) -> None:
    text = (
        "sample,run_accession,instrument_platform,fastq_1,fastq_2,fasta\n"
        "lake,E1,ILLUMINA,r1.fq,r2.fq,\nlake,E2,ILLUMINA,b.fa,,\nsea,E3,NANOPORE,,,a.fa\n"
    )
    assert [astuple(sample) for sample in samples_of(tmp_path, text)] == [
        ("lake", ["/data/r1.fq", "/data/r2.fq", "/data/b.fa"], "120",
         {"run_accession": "E1;E2", "instrument_platform": "ILLUMINA"}),
        ("sea", ["/data/a.fa"], "0", {"run_accession": "E3", "instrument_platform": "NANOPORE"}),
    ]  # fmt: skip
    mixed = samples_of(tmp_path, "sample,input,fasta,fastq_2\ns,r1.fq,,r2.fq\nt,,a.fa,\n")
    assert [(s.files, s.ends, s.columns) for s in mixed] == [
        (["/data/r1.fq", "/data/r2.fq"], "12", {}), (["/data/a.fa"], "0", {}),
    ]  # fmt: skip


@pytest.mark.parametrize("name", [
    "R2", "r_2", "read2", "Reads 2", "input 2", "Input_2", "INPUT-2", "fastq2", "FASTQ_2", "fastq.r2",
    "mate_2", "mates", "Reverse", "reverse_reads", "R2_fastq", "short_reads_2", "second mate", "fasta_2",
    "file2", "right_reads", "fastq_rev", "path_r2", "in2", "pair2", "2",
])  # fmt: skip
def test_a_column_whose_name_means_mates_is_refused(name: str) -> None:
    sheet = Sheet(["sample", "input", name], [{"sample": "s", "input": "x", name: "y"}], [])
    words = f"column {name}: the column of second mates must be input_2"
    assert unread_columns(sheet, InputRequest("s.csv")) == [words]


@pytest.mark.parametrize("name", [
    "site", "group", "strandedness", "reverse_primer", "revision", "rev", "read_length", "depth_2", "pair",
    "replicate2", "paired", "run_accession", "fastq_md5", "second", "input_2", "fastq_1", "fastq_2", "fasta",
])  # fmt: skip
def test_other_columns_are_not(name: str) -> None:
    sheet = Sheet(["sample", "input", name], [{"sample": "s", "input": "x", name: "y"}], [])
    addresses = InputRequest("s.csv", paths={"y": "https://x/y.fq"})  # of where a file comes from
    assert unread_columns(sheet, addresses) == []


PAIRS: list[tuple[str, list[str], list[tuple[str, str]]]] = [  # glob, files, (sample, ends)
    ("reads/*_R{1,2}.fastq.gz", ["A_R1.fastq.gz", "A_R2.fastq.gz", "B_R1.fastq.gz", "B_R2.fastq.gz"],
     [("A", "12"), ("B", "12")]),
    ("*_{1,2}.fq.gz", ["x.1_1.fq.gz", "x.1_2.fq.gz"], [("x.1", "12")]),
    ("*{1,2}.fq", ["SRR2_1.fq", "SRR2_2.fq"], [("SRR2", "12")]),
    ("*{R1,R2}*.f*q", ["S1_L002_R1_001.fastq", "S1_L002_R2_001.fastq"], [("S1_L002", "12")]),
    ("*_{R1_001,R2_001}.fq", ["a_R1_001.fq", "a_R2_001.fq"], [("a", "12")]),
    ("*_[12]{.fq,.fastq}", ["a_1.fq", "a_2.fq", "b_1.fastq", "b_2.fastq"], [("a", "12"), ("b", "12")]),
    ("R{2,1}_?.fa", ["R1_a.fa", "R2_a.fa"], [("a", "12")]),
    ("*.{fwd,rev}.fq", ["a.fwd.fq", "a.rev.fq"], [("a", "12")]),
    ("lake_[!x]_R{1,2}.fq", ["lake_a_R1.fq", "lake_a_R2.fq"], [("lake_a", "12")]),
    ("{S1,S2}.fq", ["S1.fq", "S2.fq"], [("S1", "0"), ("S2", "0")]),
    ("*.{fa,fq}", ["a_R1.fq", "a_R2.fq"], [("a_R1", "0"), ("a_R2", "0")]),
    ("x_{1,2}.fq", ["x_{1,2}.fq"], [("x__1_2_", "0")]),  # the name of a file
]  # fmt: skip


@pytest.mark.parametrize("glob, names, expected", PAIRS)
def test_a_glob_for_both_mates_makes_pairs(
    glob: str, names: list[str], expected: list[tuple[str, str]]
) -> None:
    paths = [f"/data/{name}" for name in names]
    samples = check_samples(InputRequest(glob, paths), None, SAMPLES)
    assert [(sample.id, sample.ends) for sample in samples] == expected
    assert [path for sample in samples for path in sample.files] == paths


@pytest.mark.parametrize("names, links, words", [
    (["A_R1.fq", "B_R1.fq", "B_R2.fq"], {}, "A_R1.fq: there is no A_R2.fq, its mate, beside it. Add it, or"),
    (["A_R2.fq"], {}, "A_R2.fq: there is no A_R1.fq, its mate"),
    (["x/A_R1.fq", "y/A_R2.fq"], {}, "A_R2.fq: there is no A_R1.fq"),
    (["x/A_R1.fq", "x/A_R2.fq", "y/A_R1.fq", "y/A_R2.fq"], {}, "more than one file would be the sample 'a'"),
    (["A_R1.fq", "A_R2.fq"], {"A_R2.fq": "/data/A_R1.fq"}, "A_R1.fq and its mate are the same file"),
])  # fmt: skip
def test_a_pair_of_files_that_is_none_is_refused(
    names: list[str], links: dict[str, str], words: str
) -> None:
    real_paths = {f"/data/{name}": links.get(name, f"/data/{name}") for name in names}
    with pytest.raises(InputError) as caught:
        check_samples(
            InputRequest("**_R{1,2}.fq", list(real_paths), real_paths=real_paths), None, SAMPLES
        )
    assert words in str(caught.value)


@pytest.mark.parametrize("glob, names, words", [
    ("in/*.fastq.gz", ["A_R1.fastq.gz", "A_R2.fastq.gz", "B_R1.fastq.gz", "B_R2.fastq.gz"],
     "A_R1.fastq.gz and A_R2.fastq.gz look like mates, but become two samples (1 more such pairs). To pair "
     "them: --input 'in/*_R{1,2}.fastq.gz', or"),
    ("*", ["s_1_R1_001.fq", "s_1_R2_001.fq"], "--input '*_R{1,2}_001.fq', or"),
    ("*", ["x_1.fq", "x_2.fq"], "--input '*_{1,2}.fq', or"),
    ("*", ["x.forward.fq", "x.reverse.fq"], "--input '*.{forward,reverse}.fq', or"),
    ("*_R{1,2}.fq", ["x_R1.fq", "x_R2.fq"], ""),
    ("*", ["x_R1.fq", "y_R2.fq"], ""), ("*", ["s_1_R1.fq", "s_2_R1.fq"], ""),
    ("*", ["lake_1.fa", "lake_2.fa"], ""),  # contigs of two samples
])  # fmt: skip
def test_mates_that_become_two_samples_are_named(glob: str, names: list[str], words: str) -> None:
    warning = unpaired_warning(glob, [f"/data/{name}" for name in names])
    assert words in warning and bool(words) == bool(warning)


def test_interleaved_files_have_no_mates_in_another(tmp_path: Path) -> None:
    both = samples_of(tmp_path, "sample,input\ns,a.fa\ns,b.fa\n", interleaved=True)
    assert [sample.ends for sample in both] == ["ii"]
    with pytest.raises(InputError, match="sample 's': --interleaved is for files that hold both"):
        samples_of(tmp_path, "sample,input,input_2\ns,r1.fq,r2.fq\n", interleaved=True)


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
