"""The frame rule and the calibration: by option, by model set, and what they leave alone."""

import csv
import json
from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline, Run, sha256, write_model_set

from virnucpro.consensus.calibrator import Bin, Calibration, Rates, Temperature
from virnucpro.training.set_folder import write_calibration

DEMO = str(PROJECT / "assets" / "demo" / "contigs_a.fa.gz")
TABLES = ("prediction_results.txt", "prediction_results_highestscore.csv")


def rows(run: Run, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(run.table("contigs_a", name).decode().splitlines(), delimiter="\t"))


def calls(run):
    """Return the result files but those that name the model set, whose own rule is another."""
    return {
        name: content
        for name, content in run.result_files().items()
        if not name.endswith(("provenance.json", "manifest.json", "summary.tsv"))
    }


def provenance(run: Run) -> dict[str, object]:
    content: dict[str, object] = json.loads(run.table("contigs_a", "provenance.json"))
    return content


def called_share(run: Run) -> float:
    chunks = rows(run, "chunks.tsv")
    return sum(row["call"] != "none" for row in chunks) / len(chunks)


def change_set(folder: Path, **changes: object) -> None:
    description = json.loads((folder / "modelset.json").read_text())
    (folder / "modelset.json").write_text(json.dumps(description | changes))


@pytest.fixture(scope="module")
def own_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model set of this module's own, to be changed."""
    return write_model_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory, own_set: Path) -> Pipeline:
    return Pipeline(tmp_path_factory.mktemp("launch"), own_set)


@pytest.fixture(scope="module")
def by_open(launch: Pipeline) -> Run:
    run = launch.run("--input", DEMO, outdir="open")
    assert run.status == 0, run.output
    return run


def test_longest_open_calls_more_chunks_and_changes_no_others(
    launch: Pipeline, by_open: Run
) -> None:
    run = launch.run("--input", DEMO, "--frame_rule", "longest_open", "-resume", outdir="longest")
    assert run.status == 0, run.output
    assert "SPLIT" in run.processes("CACHED") and "TRANSLATE" in run.processes("COMPLETED")
    assert called_share(by_open) < 0.5 and called_share(run) == 1.0
    for name in TABLES:
        before, after = (r.table("contigs_a", name).splitlines() for r in (by_open, run))
        assert set(before) < set(after) and len(set(after)) == len(after)
        assert [line for line in after if line in set(before)] == before
    before = {row["chunk_id"]: row for row in rows(by_open, "chunks.tsv") if row["call"] != "none"}
    after = {row["chunk_id"]: row for row in rows(run, "chunks.tsv")}
    assert all(after[name] == row for name, row in before.items())
    partial = {name for name, row in after.items() if row["partial_frame"]}
    assert partial == after.keys() - before.keys()
    assert sum(int(row["chunks_partial"]) for row in rows(run, "contigs.tsv")) == len(partial)


def test_a_model_set_may_ask_for_the_rule_and_be_overruled(
    launch: Pipeline, by_open: Run, own_set: Path
) -> None:
    change_set(own_set, frame_rule={"rule": "longest_open", "min_residues": 100})
    run = launch.run("--input", DEMO, "-resume", outdir="set")
    assert run.status == 0, run.output
    assert called_share(by_open) < called_share(run) < 1.0  # some have no such long stretch
    assert all(
        int(row["partial_end"]) - int(row["partial_start"]) + 1 >= 300
        for row in rows(run, "chunks.tsv")
        if row["partial_frame"]
    )
    overruled = launch.run("--input", DEMO, "--frame_rule", "open", "-resume", outdir="overruled")
    assert calls(overruled) == calls(by_open)
    assert "TRANSLATE" in overruled.processes("CACHED")


def test_a_calibration_reruns_the_summary_alone_and_follows_the_prior(
    launch: Pipeline, by_open: Run, own_set: Path
) -> None:
    rates = Rates((-1.0, 0.5), (1.0, 0.5), (1.0, 0.1))
    change_set(own_set, frame_rule="open")
    bins = (Bin(1, Temperature(2.0, 0.0), rates),)
    file = write_calibration(own_set, Calibration(bins, viral_prior=0.25), 500, "open")
    run = launch.run("--input", DEMO, "--viral_prior", "0.9999999", "-resume", outdir="calibrated")
    assert run.status == 0, run.output
    assert run.processes("COMPLETED") == {"SUMMARISE"}
    assert all(run.table("contigs_a", t) == by_open.table("contigs_a", t) for t in TABLES)
    assert {row["call"] for row in rows(run, "contigs.tsv")} == {"viral", "none"}
    assert "non-viral" in {row["call"] for row in rows(by_open, "contigs.tsv")}
    assert all(float(row["fdr"]) < 1e-6 for row in rows(run, "contigs.tsv") if row["p_virus"])

    noted = {"calibration": sha256(file), "viral_prior": 0.9999999}
    assert provenance(run).items() >= noted.items()
    assert not {"calibration", "viral_prior"} & provenance(by_open).keys()

    # where no prior is given, the calibration's own is used, and told
    plain = launch.run("--input", DEMO, "-resume", outdir="own_prior")
    assert plain.status == 0, plain.output
    assert plain.processes("COMPLETED") == {"SUMMARISE"}
    assert provenance(plain) == provenance(run) | {"viral_prior": 0.25}
    assert "non-viral" in {row["call"] for row in rows(plain, "contigs.tsv")}

    # made for other chunks than these: not used, and a prior has no meaning
    other = launch.run("--input", DEMO, "--chunk_length", "300", "--viral_prior", "0.1")
    assert other.status == 1
    assert "is not calibrated for chunks of 300 bp and the frame rule open (it is for: 500 bp, open)" in other.output  # fmt: skip
