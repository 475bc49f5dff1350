"""-resume reruns what changed, and nothing else."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline, Run, sha256, write_classifier, write_model_set

from virnucpro.model_sets.digest import set_digest

DEMO = PROJECT / "assets" / "demo"
ROWS = ["a,{0}/contigs_a.fa.gz,", "b,{0}/contigs_b.fa.gz,", "c,{0}/reads_1.fastq.gz,{0}/reads_2.fastq.gz"]  # fmt: skip
PROCESSES = {"SPLIT", "TRANSLATE", "EMBED_DNABERT_S", "EMBED_ESM2", "CLASSIFY", "SUMMARISE"}
# About the estimated tokens of one sample: a and b are pools of their own, c and what follows share.
ONE_SAMPLE_A_POOL = ["--shard_tokens", "36000", "--dnabert_s_shards", "1"]


def write_sheet(folder: Path, rows: list[str]) -> str:
    lines = ["sample,input,input_2", *(row.format(DEMO) for row in rows)]
    (folder / "sheet.csv").write_text("\n".join(lines) + "\n")
    return "sheet.csv"


@pytest.fixture(scope="module")
def first(shared_pipeline: Pipeline) -> Run:
    """A run of three samples, each a pool of its own."""
    sheet = write_sheet(shared_pipeline.folder, ROWS)
    run = shared_pipeline.run("--input", sheet, *ONE_SAMPLE_A_POOL, outdir="first")
    assert run.status == 0, run.output
    return run


def test_a_second_run_is_cached_and_a_new_sample_runs_alone(
    shared_pipeline: Pipeline, first: Run
) -> None:
    folder = shared_pipeline.folder
    assert len(first.names("COMPLETED")) == 3 + 3 + 3 + 3 + 3 + 3, first.names("COMPLETED")

    second = shared_pipeline.run("--input", "sheet.csv", *ONE_SAMPLE_A_POOL, "-resume")
    assert second.status == 0, second.output
    assert second.names("CACHED") == first.names("COMPLETED")
    assert not second.names("COMPLETED")
    assert second.result_files() == first.result_files()

    (folder / "small.fa").write_text(">x\n" + "ACGGCTGCAGCTAAA" * 30 + "\n")
    write_sheet(folder, [*ROWS, "d,small.fa,"])
    third = shared_pipeline.run("--input", "sheet.csv", *ONE_SAMPLE_A_POOL, "-resume")
    assert third.status == 0, third.output
    # c had room for d: their pool is embedded again, and so c's shard classified and summarised
    again = {
        "SPLIT d", "TRANSLATE d.00001", "EMBED_ESM2 c.00001", "EMBED_DNABERT_S c.00001",
        "CLASSIFY c.00001", "CLASSIFY d.00001", "SUMMARISE c", "SUMMARISE d",
    }  # fmt: skip
    assert third.names("COMPLETED") == again
    for sample in "abc":
        assert third.table(sample) == first.table(sample)


def test_further_columns_of_the_sheet_rerun_nothing_and_come_back(
    shared_pipeline: Pipeline, first: Run
) -> None:
    rows = [row.format(DEMO) + f",site {n}" for n, row in enumerate(ROWS)]
    (shared_pipeline.folder / "more.csv").write_text(
        "\n".join(["sample,input,input_2,place", *rows])
    )
    run = shared_pipeline.run("--input", "more.csv", *ONE_SAMPLE_A_POOL, "-resume")
    assert run.status == 0, run.output
    assert run.processes("COMPLETED") <= {"EMBED_ESM2", "EMBED_DNABERT_S", "CLASSIFY", "SUMMARISE"}
    assert not {name for name in run.names("COMPLETED") if name.split()[1][0] in "ab"}
    table = (run.outdir / "summary.tsv").read_text().splitlines()
    assert [line.split("\t")[-1] for line in table] == ["place", "site 0", "site 1", "site 2"]


def test_a_file_replaced_inside_the_model_set_reruns_what_uses_it(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, write_model_set(tmp_path / "set"))
    other = write_model_set(tmp_path / "other", seed=2)
    sheet = write_sheet(tmp_path, ROWS[2:])
    assert pipeline.run("--input", sheet).status == 0
    for component, rerun in [
        ("classifier", {"CLASSIFY", "SUMMARISE"}),
        ("esm2", {"EMBED_ESM2", "CLASSIFY", "SUMMARISE"}),
        ("dnabert_s", {"EMBED_DNABERT_S", "CLASSIFY", "SUMMARISE"}),
        ("tokenizer", {"EMBED_DNABERT_S", "CLASSIFY", "SUMMARISE"}),
        ("text", set()),
    ]:
        description = json.loads((pipeline.model_set / "modelset.json").read_text())
        if component == "text":  # model card, licence: nothing that results depend on
            description |= {"licence": "another", "measured": {"auroc": 1}}
        else:
            file = pipeline.model_set / description["components"][component]["file"]
            if component == "tokenizer":
                file.write_text(file.read_text() + "\n")
            else:
                shutil.copy(other / file.name, file)
            description["components"][component]["sha256"] = sha256(file)
        (pipeline.model_set / "modelset.json").write_text(json.dumps(description))
        run = pipeline.run("--input", sheet, "-resume")
        assert run.status == 0, run.output
        assert run.processes("COMPLETED") == rerun, component
        note = json.loads((run.outdir / "c" / "provenance.json").read_text())
        assert note["model_set_digest"] == set_digest(description)


def test_a_file_that_is_not_the_sets_is_refused_by_the_task(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, write_model_set(tmp_path / "set"))
    write_classifier(pipeline.model_set / "classifier.safetensors", seed=2)
    run = pipeline.run("--input", write_sheet(tmp_path, ROWS[2:]))
    assert run.status == 1
    assert "The file is damaged or another version" in run.output


@pytest.fixture(scope="module")
def copied_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose library can be changed."""
    copy = tmp_path_factory.mktemp("project") / "copy"
    copy.mkdir()
    for name in ("main.nf", "nextflow.config", "nextflow_schema.json"):
        shutil.copy(PROJECT / name, copy)
    for name in ("assets", "bin", "conf", "modules", "src", "subworkflows", "tools", "workflows"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns(".runtime"))
    (copy / ".venv").symlink_to(PROJECT / ".venv")
    return copy


def test_a_change_in_the_library_reruns_its_processes(
    copied_project: Path, tmp_path: Path, model_set: Path
) -> None:
    """Stubs have the inputs of the tasks, the digest among them, and take no time."""
    library = copied_project / "src" / "virnucpro"
    pipeline = Pipeline(tmp_path, model_set, copied_project)
    options = ["--input", write_sheet(tmp_path, ROWS[2:])]

    def rerun() -> set[str]:
        run = pipeline.run(*options, "-stub-run", "-resume")
        assert run.status == 0, run.output
        tasks = re.findall(r"\] (Submitted|Cached) process > \w+:(\w+) ", run.output)
        assert len(tasks) == len(PROCESSES)  # a stub run writes no trace
        return {name for word, name in tasks if word == "Submitted"}

    assert rerun() == PROCESSES
    for module, expected in [
        ("training/__init__.py", set()),
        ("model_import/download.py", set()),
        ("input_checks/sheet.py", set()),  # the check alone, whose answers are values
        ("calls/regions.py", {"SUMMARISE"}),
        ("calls/result_tables.py", {"SUMMARISE"}),
        ("scoring/classifier.py", {"CLASSIFY", "SUMMARISE"}),
        ("engine/device.py", {"EMBED_DNABERT_S", "EMBED_ESM2", "CLASSIFY", "SUMMARISE"}),
    ]:
        with (library / module).open("a") as text:
            text.write("# changed\n")
        assert rerun() == expected, module
    run = pipeline.run(*options)  # and the scripts find the library that they expect
    assert run.status == 0, run.output


def test_an_image_with_a_library_of_another_version_is_refused(
    copied_project: Path, tmp_path: Path, model_set: Path
) -> None:
    with (copied_project / "src" / "virnucpro" / "task.py").open("a") as text:
        text.write("# newer than the installed one\n")
    # an engine whose image has the library of this checkout
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(
        "#!/bin/bash\n[ $1 = run ] || exit 0\nwhile [ $1 != /bin/bash ]; do shift; done\n"
        f'PYTHONPATH={PROJECT}/src exec "$@"\n'
    )
    engine.chmod(0o755)
    run = Pipeline(tmp_path, model_set, copied_project, config=None).run(
        *["--input", write_sheet(tmp_path, ROWS[2:]), "-profile", "docker"],
        PATH=f"{engine.parent}:{os.environ['PATH']}",
    )
    assert run.status == 1
    assert "has another version of virnucpro: rebuild it" in run.output


def test_a_killed_run_resumes_to_the_same_tables(pipeline: Pipeline, first: Run) -> None:
    options = ["--input", write_sheet(pipeline.folder, ROWS), *ONE_SAMPLE_A_POOL]
    command = pipeline.command(*options, "--outdir", "resumed")
    environment = {**os.environ, "NXF_ANSI_LOG": "false"}
    log = pipeline.folder / "log.txt"
    with log.open("w") as out:
        killed = subprocess.Popen(
            command, cwd=pipeline.folder, env=environment, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while "CLASSIFY" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    assert "CLASSIFY" in log.read_text()
    resumed = pipeline.run(*options, "-resume", outdir="resumed")
    assert resumed.status == 0, resumed.output
    assert resumed.names("CACHED")
    assert resumed.names("COMPLETED")
    assert resumed.result_files() == first.result_files()
