"""The start and the end of a run: what is printed, and what is left of a start that is refused."""

import csv
import json
import os
import subprocess
import uuid
from pathlib import Path

import pytest
from conftest import NEXTFLOW, PROJECT, Pipeline, Run
from probe import ask

READS = str(PROJECT / "assets" / "test" / "contigs.fa")
SCHEMA = json.loads((PROJECT / "nextflow_schema.json").read_text())
PARSERS = ["v1", "v2"]


def tree(folder: Path) -> dict[str, int | None]:
    """Return all files, with their times, and folders below an outdir; nothing if it is not there."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns if path.is_file() else None
        for path in [folder, *folder.rglob("*")]
        if path.exists()
    }


def printed(folder: Path, parser: str, *options: str) -> str:
    """Return what a run prints, and check that it leaves nothing."""
    done = subprocess.run(
        [NEXTFLOW, "-q", "run", str(PROJECT), *options],
        cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "NXF_SYNTAX_PARSER": parser},
    )  # fmt: skip
    assert not (folder / "results").exists()
    return done.stdout


@pytest.mark.parametrize("parser", PARSERS)
def test_version_and_help_need_nothing_else(tmp_path: Path, parser: str) -> None:
    assert printed(tmp_path, parser, "--version") == "virnucpro-nf 0.1.0\n"
    short, full = printed(tmp_path, parser, "--help"), printed(tmp_path, parser, "--help_full")
    for group in SCHEMA["$defs"].values():
        assert group["title"] + "\n" in full
        for name, rule in group["properties"].items():
            line = f" {rule['description']}"
            assert (f"--{name} " in short and line in short) != rule.get("hidden", False), name
            assert f"--{name} " in full and line in full, name
    assert printed(tmp_path, parser, "--help", "--show_hidden") == full
    about = printed(tmp_path, parser, "--help", "token_budget")
    assert "Vectors depend on it in their last bits." in about
    assert "type: integer" in about


@pytest.fixture(scope="module")
def started(shared_pipeline: Pipeline) -> Run:
    """A run whose outdir has results."""
    run = shared_pipeline.run("--input", READS, "-stub-run")
    assert run.status == 0, run.output
    return run


@pytest.mark.parametrize(
    "outdir, options, words",
    [
        ("results", ["--shard-tokens", "5"], "there is no such parameter"),
        ("results", ["--input", "none.fa"], "no such file"),
        ("results", ["--input", READS, "--chunk_length", "77"], "was trained on"),
        ("results", ["--help", "divice"], "Did you mean --help device?"),
        ("results", ["--help"], "Generic options"),
        ("results", ["--input", READS, "-preview"], ""),
        ("new/a/b", ["--input", "none.fa", "-with-trace"], "no such file"),
        ("new", ["--input", READS, "--model_set", "none"], "there is no modelset.json"),
        ("empty", ["--input", "none.fa"], "no such file"),
        ("new", ["--custom_config_base", "none"], "there is no nfcore_custom.config in it"),
    ],
)
def test_a_refused_start_leaves_outdir_as_it_was(
    shared_pipeline: Pipeline, started: Run, outdir: str, options: list[str], words: str
) -> None:
    (shared_pipeline.folder / "empty").mkdir(exist_ok=True)
    top = shared_pipeline.folder / outdir.split("/")[0]
    before = tree(top)
    shared_pipeline.config = None  # with report, timeline and graph, as a user runs it
    run = shared_pipeline.run(*options, outdir=outdir)
    assert words in run.output, run.output
    assert tree(top) == before
    assert ("new" in outdir) == (not top.exists())


def test_a_run_keeps_the_files_of_the_one_before(shared_pipeline: Pipeline, started: Run) -> None:
    before = tree(started.outdir / "pipeline_info")
    (params,) = started.outdir.glob("pipeline_info/params_*.json")
    values = json.loads(params.read_text())
    assert values["input"] == READS
    assert "seed" not in values  # of training
    again = shared_pipeline.run("-params-file", str(params), "-stub-run")
    assert again.status == 0, again.output
    after = tree(again.outdir / "pipeline_info")
    for name in before.keys() - {".", "model_set.json", "versions.yml"}:
        assert after[name] == before[name]
    assert len([name for name in after if name.startswith("params_")]) == 2


def test_a_run_says_where_its_results_are_and_that_a_bundled_set_is_small(
    pipeline: Pipeline,
) -> None:
    pipeline.model_set = PROJECT / "models" / "compact-500"
    pipeline.config = None
    run = pipeline.run("-profile", "test")
    assert run.status == 0, run.output
    assert (
        f"Results: {run.outdir} (summary.tsv, a folder for each sample; 2 samples, " in run.output
    )
    note = "Model set compact-500 is too small for analysis"
    assert run.output.count(note) == 1
    with (run.outdir / "summary.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert [row["sample"] for row in rows] == ["contigs", "reads"]
    assert all("virnucpro models fetch virnucpro-500 -o " in row["model_note"] for row in rows)


def test_a_failed_run_names_its_log(pipeline: Pipeline) -> None:
    (pipeline.folder / "bad.fa").write_text("no sequence\n")
    run = pipeline.run("--input", "bad.fa")
    assert run.status == 1
    log = pipeline.folder / ".nextflow.log"
    assert f": the cause is above, all details are in {log}" in run.output
    assert "Results: " not in run.output


def test_an_institutions_profile_is_read(pipeline: Pipeline) -> None:
    site = pipeline.folder / "site"
    site.mkdir()
    (site / "nfcore_custom.config").write_text(
        "profiles { lab { params.config_profile_name = 'the lab' ; params.rna = true } }\n"
    )
    pipeline.config = None
    options = ["--input", READS, "-stub-run", "-profile", "lab", "--custom_config_base", "site"]
    run = pipeline.run(*options)
    assert run.status == 0, run.output
    assert "Configuration: the lab\n" in run.output
    (params,) = run.outdir.glob("pipeline_info/params_*.json")
    assert json.loads(params.read_text())["rna"] is True


def test_an_address_is_not_fetched_offline(pipeline: Pipeline) -> None:
    options = ["--input", "none.fa", "--custom_config_version", "master"]
    run = pipeline.run(*options, NXF_OFFLINE="true")
    address = "https://raw.githubusercontent.com/nf-core/configs/master/nfcore_custom.config"
    assert f"{address} is not read, since NXF_OFFLINE=true" in run.output
    assert "no such file" in run.output


def test_the_session_to_resume(tmp_path: Path) -> None:
    refused, worked, older, cleaned = (str(uuid.UUID(int=n)) for n in range(4))
    tasks = {refused: 2, worked: 3, older: 9}
    for session, count in tasks.items():
        cache = tmp_path / "cache" / session
        cache.mkdir(parents=True)
        (cache / "index.first").write_bytes(bytes(17 * count))
    (tmp_path / "cache" / refused / "index.this").write_bytes(bytes(17 * 9))
    rows = [older, worked, cleaned, refused]
    lines = [f"2026-01-01 00:00:00\t1s\tx\tOK\tabc\t{s}\tnextflow run {s[-1]}" for s in rows]
    (tmp_path / "history").write_text("\n".join([*lines, "cut short"]) + "\n")
    (tmp_path / "none").mkdir()
    asked = {"folder": str(tmp_path), "run_name": "this"}
    answers = ask(
        tmp_path,
        [
            {**asked, "session": refused},
            {**asked, "session": worked},
            {**asked, "session": refused, "run_name": "first"},  # its other run had tasks
            {**asked, "folder": str(tmp_path / "none"), "session": refused},
        ],
    )
    assert [answer["resume"] for answer in answers] == [
        [worked, "nextflow run 1"], None, None, None,
    ]  # fmt: skip


def test_resume_after_a_refused_start_names_the_run_before(pipeline: Pipeline) -> None:
    assert pipeline.run("--input", READS).status == 0
    session = (pipeline.folder / ".nextflow/history").read_text().splitlines()[0].split("\t")[5]
    assert pipeline.run("--input", READS, "--divice", "cpu").status == 1
    run = pipeline.run("--input", READS, "-resume")
    assert run.output.count(f"To continue the last one here that did: -resume {session}") == 1
    again = pipeline.run("--input", READS, "-resume", session)
    assert "To continue the last one" not in again.output
    assert not again.names("COMPLETED")
