"""Training on a small sheet with the embedded encoders, and predicting with what comes of it."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline, Run
from probe import ask

SHEET = PROJECT / "assets" / "demo" / "training" / "genomes.csv"
COMPACT = PROJECT / "models" / "compact-500"


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    # with -c, 25.04's v2 parser knows no -profile of the pipeline
    return Pipeline(tmp_path_factory.mktemp("launch"), COMPACT, config=None)


@pytest.fixture(scope="module")
def trained(launch: Pipeline) -> Run:
    run = launch.run("-profile", "train_demo", outdir="out")
    assert run.status == 0, run.output
    return run


def figures(run: Run, name: str) -> dict[str, str]:
    """Return the first row of a set's metrics."""
    text = (run.outdir / name / "metrics.tsv").read_text()
    return next(csv.DictReader(text.splitlines(), delimiter="\t"))


def test_a_run_makes_a_set_that_is_checked_and_predicts(launch: Pipeline, trained: Run) -> None:
    tags = trained.names("COMPLETED")
    assert {"TRAIN_CLASSIFIER adamw", "EVALUATE_CLASSIFIER trained"} < tags
    assert sum(tag.startswith("EMBED_") for tag in tags) == 2  # 15 genomes share the tasks
    assert "Model set: out/trained" in trained.output
    assert figures(trained, "trained")["viral"] == "43"
    new = trained.outdir / "trained"
    check = [sys.executable, "-m", "virnucpro", "models", "check", str(new), "--device", "cpu"]
    done = subprocess.run(check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert "calibration-500-longest_open.json" in done.stdout

    user = Pipeline(launch.folder, new)
    run = user.run("--input", str(SHEET.parent / "chicken.fa.gz"), "-resume", outdir="calls")
    assert run.status == 0, run.output
    rows = list(csv.DictReader(run.table("chicken", "contigs.tsv").decode().splitlines(), delimiter="\t"))  # fmt: skip
    assert len(rows) == 2 and all(0 < float(row["p_virus"]) < 1 for row in rows)
    provenance = json.loads(run.table("chicken", "provenance.json"))
    assert (provenance["model_set"], provenance["frame_rule"]) == ("trained", "longest_open")


def test_resuming_runs_nothing_and_other_training_options_just_train_on_the_same_split(
    launch: Pipeline, trained: Run
) -> None:
    again = launch.run("-profile", "train_demo", "-resume", outdir="out")
    assert again.status == 0, again.output
    assert not again.names("COMPLETED")
    assert again.names("CACHED") == trained.names("COMPLETED")
    other = launch.run(
        "-profile", "train_demo", "--trainer", "original", "--training_frames", "coding",
        "--set_name", "as_original", "-resume", outdir="out",
    )  # fmt: skip
    assert other.status == 0, other.output
    assert other.names("COMPLETED") == {"TRAIN_CLASSIFIER original", "EVALUATE_CLASSIFIER as_original"}  # fmt: skip
    sets = [trained.outdir / name for name in ("trained", "as_original")]
    assert sets[0].joinpath("split.tsv").read_bytes() == sets[1].joinpath("split.tsv").read_bytes()
    own, original = (figures(trained, path.name) for path in sets)
    assert own["chunks"] == original["chunks"]
    weights = [path.joinpath("classifier.safetensors").read_bytes() for path in sets]
    assert weights[0] != weights[1]
    split = csv.DictReader(sets[1].joinpath("split.tsv").read_text().splitlines(), delimiter="\t")
    learnt = [row for row in split if row["split"] == "train"]
    coding, frames = (sum(int(row[key]) for row in learnt) for key in ("coding_frames", "frames"))
    assert 0 < coding < frames
    cards = [path.joinpath("README.md").read_text() for path in sets]
    assert f"Trained on {frames} open or partial frames of" in cards[0]
    assert f"Trained on {coding} coding frames of" in cards[1]


def test_all_faults_of_a_training_sheet_are_reported_before_any_task(pipeline: Pipeline) -> None:
    """tests/unit/test_check_samplesheet_task.py has all of them."""
    rows = ["id,fasta,label,class,group,split", "a,{fa},viral,x,G,", "A,{fa},virus,x,G,", "b,lost.fa,viral,,G,dev"]  # fmt: skip
    text = "\n".join(rows).format(fa=SHEET.parent / "tmv.fa.gz")
    (pipeline.folder / "sheet.csv").write_text(text)
    run = pipeline.run("--workflow", "train", "--input", "sheet.csv", "--training_frames", "coding")
    assert run.status == 1
    for words in (
        "ERROR ~ --input sheet.csv:\n  row 1 (a): --training_frames coding needs its annotation",
        "row 2 (A): label 'virus' must be viral or nonviral", "more than one row has the id 'a'",
        "row 3 (b): lost.fa is neither beside",
    ):  # fmt: skip
        assert words in run.output
    assert run.started() == {"CHECK_MODEL_SET", "CHECK_SAMPLESHEET"}


def test_options_of_the_other_workflow_are_refused(tmp_path: Path) -> None:
    """test_parameters.py gives some of them to a run."""
    lines = {
        "predict": "nextflow run . --input x.fa --trainer original --seed 3",
        "train": "nextflow run . --workflow train --input x.csv --viral-prior 0.1 --interleaved --seed 3",
    }
    asked = [{"workflow": name, "command_line": line} for name, line in lines.items()]
    predict, train = (set(answer["faults"]) for answer in ask(tmp_path, asked))
    assert predict == {f"--{o} is for --workflow train: omit it" for o in ("trainer", "seed")}
    assert train == {
        f"--{o} is for --workflow predict: omit it" for o in ("viral_prior", "interleaved")
    }


def test_a_genome_that_cannot_be_read_stops_the_training(launch: Pipeline, trained: Run) -> None:
    (launch.folder / "bad.fa").write_text("no sequence\n")
    header, *rows = SHEET.read_text().splitlines()
    rows = [re.sub(r"[^,]+\.(fa\.gz|gff3)", rf"{SHEET.parent}/\g<0>", row) for row in rows]
    rows.append("bad,bad.fa,viral,x,B,,train")
    (launch.folder / "sheet.csv").write_text("\n".join([header, *rows]))
    options = ["-profile", "train_demo", "--input", "sheet.csv", "-resume"]
    run = launch.run(*options, outdir="bad")
    assert run.status != 0
    assert len(run.names("CACHED")) >= 30  # the other genomes are those of the first run
    assert "genome bad: bad.records.tsv is missing" in run.output
    assert not (run.outdir / "trained").exists()
