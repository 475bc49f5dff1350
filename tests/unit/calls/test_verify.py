"""virnucpro verify: a whole result passes, and each kind of damage is named."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from samples import CALIBRATION, CHUNK_BP, RECORDS, make_sample

from virnucpro.calls.manifest import write_manifest
from virnucpro.calls.summarise_task import SUMMARY_COLUMNS, summarise_sample
from virnucpro.cli.main import main
from virnucpro.consensus.calibrator import Calibrator

MODELS = {"model_set": "x", "model_set_digest": "0" * 64, "chunk_bp": CHUNK_BP, "rna": False}


def write_sample(outdir: Path, files, calibrator: Calibrator | None = None) -> str:
    """Write the folder of sample s; return its row of summary.tsv."""
    folder = outdir / "s"
    folder.mkdir(parents=True)
    counts = summarise_sample(files, CHUNK_BP, folder, calibrator)
    (folder / "provenance.json").write_text(json.dumps({**MODELS, "sample": "s"}))
    write_manifest(folder)
    numbers = [str(counts.get(column, 0)) for column in SUMMARY_COLUMNS]
    return "\t".join(["s", *numbers, "x", "0" * 64, "done", "", "note"])


def write_run(outdir: Path, rows: list[str]) -> Path:
    """Write what is of the run."""
    columns = ["model_set", "model_set_digest", "status", "reason", "note"]
    header = "\t".join(["sample", *SUMMARY_COLUMNS, *columns])
    (outdir / "summary.tsv").write_text("\n".join([header, *rows]) + "\n")
    (outdir / "pipeline_info").mkdir()
    (outdir / "pipeline_info/model_set.json").write_text(json.dumps({**MODELS, "folder": "/x"}))
    return outdir


@pytest.fixture
def outdir(files, tmp_path) -> Path:
    return write_run(tmp_path / "out", [write_sample(tmp_path / "out", files)])


@pytest.mark.parametrize("calibrator", [None, Calibrator(CALIBRATION, 0.3)])
@pytest.mark.parametrize("min_residues", [None, 5])
def test_a_whole_result_passes(tmp_path, capsys, calibrator, min_residues):
    made = make_sample(tmp_path / "made", RECORDS, min_residues=min_residues)
    outdir = write_run(tmp_path / "out", [write_sample(tmp_path / "out", made, calibrator)])
    assert main(["verify", str(outdir)]) == 0, capsys.readouterr().out
    ok, last = capsys.readouterr().out.splitlines()
    assert ok.startswith("ok    s: 14 sequences, ") and last == "1 sample, no faults"


def test_a_sample_without_a_sequence_passes(tmp_path):
    made = make_sample(tmp_path / "made", {})
    outdir = write_run(tmp_path / "out", [write_sample(tmp_path / "out", made)])
    assert main(["verify", str(outdir)]) == 0


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    """Return what changes a file of the sample, and its manifest with it."""

    def apply(outdir: Path) -> None:
        path = outdir / "s" / name
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before
        write_manifest(outdir / "s")

    return apply


def without_line(number: int) -> Callable[[str], str]:
    return lambda text: "".join(
        line for n, line in enumerate(text.splitlines(True)) if n != number % text.count("\n")
    )


def swapped(number: int) -> Callable[[str], str]:
    def change(text: str) -> str:
        lines = text.splitlines(True)
        lines[number], lines[number + 1] = lines[number + 1], lines[number]
        return "".join(lines)

    return change


def replaced(old: str, new: str, count: int = 1) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, count)


def last_digit(text: str) -> str:
    return text[:-3] + str((int(text[-3]) + 1) % 10) + text[-2:]


TABLE_DAMAGE = [
    ("sequences.tsv", without_line(-1), "contigs.tsv: last_without is of no sequence"),
    ("sequences.tsv", without_line(3), "contigs.tsv: sequence_id of stops: letters"),
    ("sequences.tsv", replaced("\tviral\t", "\tnon-viral\t"), "contigs.tsv: call of r"),
    ("sequences.tsv", replaced("\tempty\n", "\ttoo_short\n"), "summary.tsv has empty 1, the tables 0"),
    ("contigs.tsv", without_line(-1), "contigs.tsv: sequence_id of last_without: none"),
    ("contigs.tsv", without_line(0), "contigs.tsv: its first line is not"),
    ("chunks.tsv", without_line(-1), "chunks.tsv: chunk 2 of last_without: none"),
    ("chunks.tsv", swapped(5), "chunks.tsv: chunk "),
    ("chunks.tsv", lambda text: text + text.splitlines(True)[-1], "chunks.tsv: last_without_chunk_2"),
    ("chunks.tsv", replaced("\tviral\t", "\tnone\t"), "chunks.tsv: call of "),
    ("chunks.tsv", replaced("\tviral\t", "\tnon-viral\t"), "chunks.tsv: call of "),
    ("chunks.tsv", replaced("no_open_frame\n", "\n"), "has a reason"),
    ("prediction_results.txt", without_line(-1), "prediction_results.txt: frames of last_without"),
    ("prediction_results.txt", without_line(4), "prediction_results.txt: frames of "),
    ("prediction_results.txt", swapped(3), "prediction_results.txt: frames of "),
    ("prediction_results.txt", replaced("\tvirus\t", "\tothers\t"), "label of "),
    ("prediction_results.txt", replaced("\t0.", "\t9."), "prediction_results.txt: label of "),
    ("prediction_results_highestscore.csv", without_line(-1), "are not those of the"),
    ("prediction_results_highestscore.csv", replaced("True", "False"), "are not those of the"),
    ("prediction_results_highestscore.csv", swapped(2), "is not in order"),
    ("viral.fasta", lambda text: text[: text.rindex(">")], "viral.fasta: entry: none, expected "),
    ("viral.fasta", lambda text: text[:-2] + "\n", "viral.fasta: length of "),
    ("viral.fasta", lambda text: text + ">more\nACG\n", "viral.fasta: "),
    ("regions.bed", without_line(0), "regions.bed: region 1 of "),
    ("regions.bed", lambda text: text + "r3\t0\t3\tr3_region_1\t1\t.\n", "regions.bed: r3 0 3"),
    ("regions.gff3", without_line(0), "regions.gff3: first line"),
    ("regions.gff3", without_line(-1), "regions.gff3: region "),
    ("provenance.json", replaced("0000", "1111"), "provenance.json has model_set_digest 1111"),
    ("provenance.json", replaced('"s"', '"t"'), "provenance.json has sample t, the folder s"),
    ("provenance.json", replaced("false", "true"), "provenance.json has rna True"),
    ("provenance.json", replaced("{", ""), "provenance.json is malformed"),
]  # fmt: skip


@pytest.mark.parametrize("name, change, words", TABLE_DAMAGE)
def test_tables_that_do_not_fit_together_are_found(outdir, capsys, name, change, words):
    edit(name, change)(outdir)
    assert main(["verify", str(outdir)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("FAULT s: ") and words in out
    assert out.count("\n") == 2


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before


def link_to_nothing(outdir: Path) -> None:
    (outdir / "s/contigs.tsv").unlink()
    (outdir / "s/contigs.tsv").symlink_to("/nowhere/contigs.tsv")


def copy_as(name: str) -> Callable[[Path], None]:
    def apply(outdir: Path) -> None:
        (outdir / name).mkdir()
        (outdir / name / "provenance.json").write_text("{}")

    return apply


def save_vectors(outdir: Path) -> None:
    (outdir / "s/embeddings").mkdir()
    for encoder in ("dnabert_s", "esm2"):
        with h5py.File(outdir / f"s/embeddings/s.00001.{encoder}.h5", "w") as file:
            file["ids"] = np.array([b"a"])
    manifest = json.loads((outdir / "s/manifest.json").read_text())
    for path in (outdir / "s/embeddings").iterdir():
        (outdir / "moved").mkdir(exist_ok=True)
        path.rename(outdir / "moved" / path.name)
    write_manifest(outdir / "moved")
    for name, entry in json.loads((outdir / "moved/manifest.json").read_text())["files"].items():
        manifest["files"][f"embeddings/{name}"] = entry
        (outdir / "moved" / name).rename(outdir / "s/embeddings" / name)
    (outdir / "moved/manifest.json").unlink()
    (outdir / "s/manifest.json").write_text(json.dumps(manifest))


DAMAGE = [
    (lambda out: rewrite(out / "s/contigs.tsv", lambda t: t[:100]), "s: contigs.tsv has 100 bytes"),
    (lambda out: rewrite(out / "s/chunks.tsv", lambda t: t.swapcase()), "s: chunks.tsv has another sha256"),
    (lambda out: (out / "s/viral.fasta").unlink(), "s: viral.fasta is missing"),
    (link_to_nothing, "s: contigs.tsv, a link to /nowhere/contigs.tsv, is missing"),
    (lambda out: (out / "s/.contigs.tsv.tmp").touch(), "s: .contigs.tsv.tmp is not in manifest.json"),
    (lambda out: (out / "s/manifest.json").unlink(), "s: manifest.json is missing"),
    (lambda out: rewrite(out / "s/manifest.json", lambda t: t[:50]), "s: manifest.json cannot be read"),
    (lambda out: rewrite(out / "s/manifest.json", replaced(": 1,", ": 2,")), "has format 2, not 1"),
    (lambda out: rewrite(out / "s/manifest.json", replaced("contigs.tsv", "c")), "contigs.tsv is not in manifest.json"),
    (save_vectors, "1 vectors of esm2 for "),
    (lambda out: (out / "s").rename(out / ".s"), "s: its folder is missing"),
    (copy_as("other"), "other: is not in summary.tsv: the folder is of another run"),
    (lambda out: rewrite(out / "summary.tsv", replaced("\tdone\t", "\tunfinished\t")), "s: status is unfinished"),
    (lambda out: rewrite(out / "summary.tsv", replaced("\tdone\t", "\tfailed\tno DNA")), "s: status is failed: no DNA"),
    (lambda out: rewrite(out / "summary.tsv", replaced("\t14\t", "\t15\t")), "s: summary.tsv has sequences 15, the tables 14"),
    (lambda out: rewrite(out / "summary.tsv", lambda t: t.replace("0" * 64, "1" * 64)), "model_set_digest"),
    (lambda out: rewrite(out / "summary.tsv", lambda t: t[:-9]), "summary.tsv: its last line is cut short"),
    (lambda out: rewrite(out / "summary.tsv", lambda t: t + t.splitlines(True)[-1]), "summary.tsv: has sample s 2 times"),
    (lambda out: rewrite(out / "summary.tsv", replaced("\tstatus", "")), "summary.tsv: has no column status"),
    (lambda out: (out / "summary.tsv").unlink(), "summary.tsv: cannot be read"),
    (lambda out: (out / "pipeline_info/model_set.json").unlink(), "pipeline_info/model_set.json: is missing"),
    (lambda out: rewrite(out / "pipeline_info/model_set.json", replaced("0000", "1111")), "model_set.json: model_set_digest is 1111"),
]  # fmt: skip


@pytest.mark.parametrize("damage, words", DAMAGE)
def test_damaged_files_and_runs_are_found(outdir, capsys, damage, words):
    damage(outdir)
    assert main(["verify", str(outdir)]) == 1
    assert words in capsys.readouterr().out


def test_another_folder_is_a_usage_error(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "none"):
        assert main(["verify", str(path)]) == 2
        assert f"{path}: is not a result folder" in capsys.readouterr().err
