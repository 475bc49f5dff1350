"""Samplesheets, files and globs as --input; samples that cannot be read."""

import csv
import gzip
import json
import os
from pathlib import Path

import pysam
from conftest import PROJECT, Pipeline, Run
from probe import ask

DEMO = PROJECT / "assets" / "demo"
OPEN_FRAME = "ATGGCTGCAGCTAAAGGCGAACTG" * 6


def test_good_and_bad_samples_in_every_form(pipeline: Pipeline) -> None:
    """One run: odd file names, mates, a BAM, joined rows, an empty file, and three bad samples."""
    folder = pipeline.folder / "data here"
    folder.mkdir()
    (folder / 'it\'s `touch planted` "q".fa').write_text(f">x 1\n{OPEN_FRAME}\n")
    (folder / "r1.fq").write_text(f"@p\n{OPEN_FRAME[:150]}\n+\n{'I' * 144}\n")
    (folder / "r2.fq").write_text(f"@p\n{OPEN_FRAME[:99]}\n+\n{'I' * 99}\n")
    with gzip.open(folder / "second", "wt") as text:
        text.write(f">y\n{OPEN_FRAME}\n")
    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6"}})
    with pysam.AlignmentFile(str(folder / "reads.bin"), "wb", header=header) as bam:
        for end in (1, 2):
            read = pysam.AlignedSegment(header)
            read.query_name, read.query_sequence = "q", OPEN_FRAME
            read.is_unmapped = read.is_paired = True
            read.is_read1, read.is_read2 = end == 1, end == 2
            bam.write(read)
    (folder / "empty.fa").write_text("")
    (folder / "stops.fa").write_text(
        ">s\n" + "TAATTAATTAA" * 30 + "\n>none\n\n>tiny\nAC\n>n\n" + "N" * 90
    )
    (folder / "protein.faa").write_text(">dna\nACGT\n>prot\nMVTFETVMEIKILHKQGMSSRAIARELG\n")
    (folder / "not.fasta").write_text("ssc")
    with gzip.open(folder / "whole.gz", "wb") as stream:
        stream.write(b">z\n" + OPEN_FRAME.encode() * 500)
    (folder / "cut.fa.gz").write_bytes((folder / "whole.gz").read_bytes()[:-20])
    (folder / "sheet.tsv").write_text(
        "sample\tinput\tinput_2\tviral\n"
        'odd\tit\'s `touch planted` "q".fa\t\tyes\n'
        "pairs\tr1.fq\tr2.fq\n"
        "odd\tsecond\t\n"
        "bam\treads.bin\t\n"
        "empty\tempty.fa\t\n"
        "stops\tstops.fa\t\n"
        "prot\tprotein.faa\t\n"
        "not\tnot.fasta\t\n"
        "cut\tcut.fa.gz\t\n"
    )
    run = pipeline.run("--input", "data here/sheet.tsv")
    assert run.status == 1
    assert not list(pipeline.folder.rglob("planted"))
    assert "\nSample prot: vnp_split: error: protein.faa, record 2 (prot): letter 'F'" in run.output
    assert "looks like protein" in run.output
    assert "not.fasta: is neither FASTA, FASTQ nor BAM" in run.output
    assert "cut.fa.gz, before its first record: cannot be read to its end" in run.output
    assert "cut short or damaged" in run.output
    assert "3 of 8 samples have no result: prot, not, cut." in run.output
    assert not any((run.outdir / name).exists() for name in ("prot", "not", "cut"))

    def ids(sample: str) -> list[str]:
        rows = run.table(sample, "sequences.tsv").decode().splitlines()[1:]
        return [row.split("\t")[0] for row in rows]

    assert ids("odd") == ["x", "y"]
    assert ids("pairs") == ["p/1", "p/2"]
    assert ids("bam") == ["q/1", "q/2"]
    assert run.table("odd").count(b"\n") > 2
    assert run.table("empty") == b"Sequence_ID\tPrediction\tscore1\tscore2\n"
    assert run.table("empty", "prediction_results_highestscore.csv") == b"Modified_ID\tIs_Virus\n"
    assert ids("empty") == []
    reasons = [
        row.split("\t")[-1] for row in run.table("stops", "sequences.tsv").decode().splitlines()
    ]
    assert reasons == ["reason", "no_open_frame", "empty", "too_short", "no_codon"]
    summary = [row.split("\t") for row in (run.outdir / "summary.tsv").read_text().splitlines()]
    status = summary[0].index("status")
    assert {row[0]: row[status] for row in summary[1:]} == {
        "odd": "done", "pairs": "done", "bam": "done", "empty": "done", "stops": "done",
        "prot": "failed", "not": "failed", "cut": "failed",
    }  # fmt: skip
    reasons_of_samples = {row[0]: row[status + 1] for row in summary[1:]}
    assert "cut short or damaged" in reasons_of_samples["cut"]
    assert reasons_of_samples["odd"] == ""
    assert [row[-1] for row in summary[:3]] == ["sheet_viral", "yes", ""]
    assert summary[0].count("viral") == 1


def test_no_open_frame_at_all_is_a_valid_run_without_gpu_tasks_and_chunk_length_counts(
    pipeline: Pipeline,
) -> None:
    stops = ">s\n" + "TAATTAATTAA" * 66 + "\n"  # 726 bp
    (pipeline.folder / "stops.fa").write_text(stops)
    (pipeline.folder / "rna").mkdir()
    (pipeline.folder / "rna" / "stops.fa").write_text(stops.replace("T", "U"))
    for file, options, chunks in [
        ("stops.fa", [], "2"),
        ("stops.fa", ["--chunk_length", "300"], "3"),
        ("stops.fa", ["--chunk_length", "400", "--allow_chunk_length_mismatch"], "2"),
        ("rna/stops.fa", ["--rna"], "2"),
    ]:
        run = pipeline.run("--input", file, *options)
        assert run.status == 0, run.output
        assert run.processes("COMPLETED") == {"SPLIT", "TRANSLATE", "SUMMARISE"}
        assert run.table("stops") == b"Sequence_ID\tPrediction\tscore1\tscore2\n"
        row = run.table("stops", "sequences.tsv").decode().splitlines()[1].split("\t")
        assert row[4] == chunks


def test_warnings_of_a_sample_reach_the_user_also_when_cached(pipeline: Pipeline) -> None:
    (pipeline.folder / "twice.fa").write_text(f">x\n{OPEN_FRAME}\n" * 2)
    (pipeline.folder / "once.fa").write_text(f">x\n{OPEN_FRAME}\n")
    words = "1 sequences shared a name with an earlier one and were renamed NAME_dupN (first: x)."
    for options in ([], ["-resume"]):
        run = pipeline.run("--input", "*e.fa", *options)
        assert run.status == 0, run.output
        assert run.output.count("Sample twice: " + words) == run.output.count(words) == 1
        with (run.outdir / "summary.tsv").open() as table:
            rows = {row["sample"]: row for row in csv.DictReader(table, delimiter="\t")}
        assert rows["twice"]["warnings"].startswith(words) and rows["once"]["warnings"] == ""
        assert all(len(row["model_set_digest"]) == 64 for row in rows.values())
    note = json.loads(run.table("twice", "provenance.json"))
    assert note["warnings"] == [rows["twice"]["warnings"]]
    assert "SPLIT twice" in run.names("CACHED")


def test_lengths_and_odd_names_are_accounted_for(pipeline: Pipeline) -> None:
    """One run: sequences left out by length, a sample left out as a whole, names that need an id."""
    (pipeline.folder / "some.fa").write_text(
        f">short\n{OPEN_FRAME[:99]}\n>=1+1\n{OPEN_FRAME}\n>track\n{OPEN_FRAME[:100]}\n"
        f'>"q\n{OPEN_FRAME[:120]}\n>long\n{OPEN_FRAME * 2}\n>rna\n{"ACGU" * 30}\n'
    )
    (pipeline.folder / "none.fa").write_text(f">a\n{OPEN_FRAME[:50]}\n>b\nAC\n")
    (pipeline.folder / "s.csv").write_text("sample,input\nsome,some.fa\nnone,none.fa\n")
    run = pipeline.run("--input", "s.csv", "--min_length", "100", "--max_length", "144")
    assert run.status == 0, run.output

    def rows(path: Path) -> list[dict[str, str]]:
        with path.open(newline="") as table:
            return list(csv.DictReader(table, delimiter="\t", strict=True))

    sequences = rows(run.outdir / "some" / "sequences.tsv")
    assert [(row["sequence_id"], row["name"], row["reason"]) for row in sequences] == [
        ("short", "short", "shorter_than_min_length"), ("_=1+1", "%3D1+1", ""),
        ("_track", "track", ""), ("_q", "%22q", ""), ("long", "long", "longer_than_max_length"),
        ("rna", "rna", ""),
    ]  # fmt: skip
    assert [row["call"] == "none" for row in sequences] == [True, False, False, False, True, False]
    frames = rows(run.outdir / "some" / "prediction_results.txt")
    called = {row["Sequence_ID"].split("_chunk_")[0] for row in frames}
    assert called == {"_=1+1", "_track", "_q", "rna"}
    assert run.table("none") == b"Sequence_ID\tPrediction\tscore1\tscore2\n"
    some, none = rows(run.outdir / "summary.tsv")
    for row, lengths in ((some, ("1", "1")), (none, ("2", "0"))):
        assert (row["shorter_than_min_length"], row["longer_than_max_length"]) == lengths
        names = ("viral", "non-viral", "empty", "too_short", "no_codon", "no_open_frame")
        total = sum(int(row[name]) for name in names) + sum(map(int, lengths))
        assert total == int(row["sequences"]) > 0
    note = json.loads((run.outdir / "some" / "provenance.json").read_text())
    assert (note["min_length"], note["max_length"]) == (100, 144)


def test_a_glob_makes_a_sample_of_each_file(pipeline: Pipeline) -> None:
    run = pipeline.run("--input", f"{DEMO}/contigs_*.fa.gz", "-stub-run")
    assert run.status == 0, run.output
    for process in ("SPLIT", "TRANSLATE", "EMBED_DNABERT_S", "EMBED_ESM2", "CLASSIFY", "SUMMARISE"):
        assert f":{process} (contigs_a" in run.output  # a stub run writes no trace
    assert "PREDICT:SUMMARISE (contigs_b)" in run.output


def test_all_faulty_rows_of_a_sheet_are_reported_before_any_task(pipeline: Pipeline) -> None:
    """tests/unit/test_check_samplesheet_task.py has all faults."""
    (pipeline.folder / "names.csv").write_text("sample,input\nbad name,gone.fa\n,x.fa\n")
    run = pipeline.run("--input", "names.csv")
    assert run.status == 1
    for words in (
        "ERROR ~ --input names.csv:\n  row 1 (bad name): sample 'bad name' must be letters",
        "\n  row 1 (bad name): gone.fa is neither beside the sheet nor in the launch folder",
        "\n  row 2 (no sample): the column sample is empty",
    ):
        assert words in run.output
    assert run.started() == {"CHECK_MODEL_SET", "CHECK_SAMPLESHEET"}


# content of a sheet; the cells that name files, of those in the folder
SHEETS = [
    ("sample,input\ns,a.fa\nt,'lost.fa'\n", ["a.fa"]),
    ('\ufeff"a.fa",input\n"b, c.fa","it is ""quoted"".fa"\n', ["a.fa", "b, c.fa", 'it is "quoted".fa']),
    ("sample\tinput\ns\tb, c.fa\nt\ta*b?.fa\nu\t[x]{y}.fa\n", ["b, c.fa", "a*b?.fa", "[x]{y}.fa"]),
    ('sample\tinput\ns\tit is "quoted".fa\n', ['it is "quoted".fa']),
    ("sample,input\ns,\u00e4 \u00e9.fa\nt,\xa0a.fa\u200b\nv,a\0b\n", ["\u00e4 \u00e9.fa", "a.fa"]),
    ("sample,input,note\ns,a.fa,foo://bar/x\n", ["a.fa", "foo://bar/x"]),  # not opened
    ("sample,input\n", []),
    ("", []),
    ("sample,input\ns,caf\udce9.fa\nt,a.fa\n", ["a.fa"]),  # latin-1: refused by the check
    (">a.fa,x\tb\nACG\n", []),  # FASTA
    ("@HD\tVN:1.6\na.fa\t4\n", []),  # SAM
]  # fmt: skip
# cells of a sheet that are there, but that no task can read or stage safely
UNUSABLE = {
    "folder": "is a folder", "pipe": "is a pipe or a device, not a file",
    "d$HOME/a.fa": "has a dollar sign, a control character", "x\ntouch\tplanted\ny.fa": "has a dollar sign",
}  # fmt: skip


def test_the_launch_machine_finds_the_files_that_a_sheet_names(tmp_path: Path) -> None:
    for name in {name for _, names in SHEETS for name in names if "://" not in name}:
        (tmp_path / name).write_text(">x\nACG\n")
    sheets = [
        f"{n}.{'txt' if content[:1] in ('>', '@') else 'csv'}"
        for n, (content, _) in enumerate(SHEETS)
    ]
    for sheet, (content, _) in zip(sheets, SHEETS, strict=True):
        (tmp_path / sheet).write_bytes(content.encode("utf-8", "surrogateescape"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "d$HOME").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in list(UNUSABLE)[2:]:
        (tmp_path / name).write_text(">x\nACG\n")
    rows = "".join(f's,"{name}"\n' for name in UNUSABLE)
    (tmp_path / "unusable.csv").write_text("sample,input\n" + rows)
    *answers, unusable = ask(tmp_path, [{"sheet": name} for name in [*sheets, "unusable.csv"]])
    for answer, (content, names) in zip(answers, SHEETS, strict=True):
        expected = {name: name if "://" in name else str(tmp_path / name) for name in names}
        assert answer["paths"] == expected, content
        assert not any(answer["faults"].values())
    for name, words in UNUSABLE.items():
        assert unusable["faults"][name].startswith(words), name


def test_a_path_that_a_shell_would_expand_is_refused(pipeline: Pipeline) -> None:
    for folder, name in (("d$HOME", "right"), ("d" + os.environ["HOME"], "wrong")):
        (pipeline.folder / folder).mkdir(parents=True)
        (pipeline.folder / folder / "a.fa").write_text(f">{name}\n{OPEN_FRAME}\n")
    (pipeline.folder / "s.csv").write_text("sample,input\na,d$HOME/a.fa\n")
    run = pipeline.run("--input", "s.csv")
    assert run.status == 1
    assert "\n  row 1 (a): d$HOME/a.fa has a dollar sign" in run.output
    assert run.started() == {"CHECK_MODEL_SET", "CHECK_SAMPLESHEET"}


def test_paths_resolve_beside_the_sheet_then_in_the_launch_folder(pipeline: Pipeline) -> None:
    folder: Path = pipeline.folder / "sheets"
    folder.mkdir()
    (folder / "here.fa").write_text(f">beside\n{OPEN_FRAME}\n")
    (pipeline.folder / "here.fa").write_text(f">launch\n{OPEN_FRAME}\n")
    (pipeline.folder / "there.fa").write_text(f">launch\n{OPEN_FRAME}\n")
    (folder / "s.csv").write_text('\ufeff"sample",input\none,"here.fa"\ntwo,there.fa\n')
    run = pipeline.run("--input", "sheets/s.csv")
    assert run.status == 0, run.output
    assert b"\nbeside\t" in run.table("one", "sequences.tsv")
    assert b"\nlaunch\t" in run.table("two", "sequences.tsv")


def reads(*names: str) -> str:
    return "".join(f"@{name}\n{OPEN_FRAME}\n+\n{'I' * len(OPEN_FRAME)}\n" for name in names)


def ids(run: Run, sample: str) -> list[str]:
    rows = run.table(sample, "sequences.tsv").decode().splitlines()[1:]
    return [row.split("\t")[0] for row in rows]


def test_a_glob_pairs_files_and_mates_are_compared(pipeline: Pipeline) -> None:
    (pipeline.folder / "in").mkdir()
    for name, text in [
        ("A_R1", reads("p 1:N:0:A", "q 1:N:0:A")), ("A_R2", reads("p 2:N:0:A", "q 2:N:0:A")),
        ("B_R1", reads("p", "q")), ("B_R2", reads("p", "x")),
    ]:  # fmt: skip
        (pipeline.folder / "in" / f"{name}.fq").write_text(text)
    run = pipeline.run("--input", "in/*_R{1,2}.fq")
    assert run.status == 1
    assert ids(run, "A") == ["p/1", "q/1", "p/2", "q/2"]
    words = "Sample B: vnp_split: error: B_R1.fq and B_R2.fq, record 2 of each: q and x are not"
    assert words in run.output
    assert "look like mates" not in run.output
    run = pipeline.run("--input", "in/A*.fq", "-stub-run")
    assert run.status == 0, run.output
    assert (
        "WARN: A_R1.fq and A_R2.fq look like mates, but become two samples. To pair" in run.output
    )
    assert "--input 'in/*_R{1,2}.fq', or a samplesheet" in run.output
    (pipeline.folder / "in" / "A_R2.fq").unlink()
    run = pipeline.run("--input", "in/*_R{1,2}.fq")
    assert (run.status, run.started()) == (1, {"CHECK_MODEL_SET", "CHECK_SAMPLESHEET"})
    assert "\n  A_R1.fq: there is no A_R2.fq, its mate, beside it." in run.output


def test_interleaved_reads_of_a_sheet_as_in_nf_core(pipeline: Pipeline) -> None:
    (pipeline.folder / "both.fq").write_text(reads("p", "p", "q/1", "q/2"))
    (pipeline.folder / "odd.fq").write_text(reads("p", "p", "q"))
    (pipeline.folder / "s.csv").write_text(
        "sample,fastq_1,fastq_2,fasta,lane\nboth,both.fq,,,1\nodd,,,odd.fq,2\n"
    )
    run = pipeline.run("--input", "s.csv", "--interleaved")
    assert run.status == 1
    assert ids(run, "both") == ["p/1", "p/2", "q/1", "q/2"]
    assert "Sample odd: vnp_split: error: odd.fq: 3 reads, of which the last (q) has" in run.output
    assert (run.outdir / "summary.tsv").read_text().splitlines()[0].endswith("\tlane")
