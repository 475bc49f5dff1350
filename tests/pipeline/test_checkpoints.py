"""An embedding task that is told to stop is tried again, and continues."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline, Run

DEMO = str(PROJECT / "assets" / "demo" / "contigs_a.fa.gz")
# 221 frames in 25 batches of ESM-2
OPTIONS = ["--input", DEMO, "--frame_rule", "longest_open", "--token_budget", "1024"]
PARTS = ["assets", "bin", "conf", "modules", "src", "subworkflows", "tools", "workflows"]
# For the script of ESM-2: its tenth batch takes long in the first attempt, and a part takes seconds.
SLOW = """
def slow_first_attempt() -> None:
    import os, pathlib, time
    from virnucpro.engine import checkpoints
    from virnucpro.models.in_place import InPlaceESM2
    mark = pathlib.Path("MARK")
    forward, write_part, seen = InPlaceESM2.__call__, checkpoints.write_part, []
    def compute(*arguments):
        seen.append(1)
        if len(seen) == 10:
            mark.write_text(str(os.getpid()))
            time.sleep(60)
        return forward(*arguments)
    def write_slowly(*arguments):
        time.sleep(WRITE_S)
        write_part(*arguments)
    if not mark.exists():
        InPlaceESM2.__call__, checkpoints.write_part = compute, write_slowly


slow_first_attempt()


def main("""


def slow_project(folder: Path, write_s: float) -> Path:
    """Return a copy of the project whose ESM-2 task stops at its tenth batch."""
    copy = folder / "clone"
    copy.mkdir()
    for name in ("main.nf", "nextflow.config", "nextflow_schema.json"):
        shutil.copy(PROJECT / name, copy)
    for name in PARTS:
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns(".runtime"))
    (copy / ".venv").symlink_to(PROJECT / ".venv")
    script = copy / "bin" / "vnp_embed_esm2.py"
    slow = SLOW.replace("MARK", str(folder / "mark")).replace("WRITE_S", str(write_s))
    text = script.read_text().replace("\ndef main(", slow)
    assert slow in text
    script.write_text(text)
    return copy


def wrapper_of(pid: int) -> int:
    """Return the outermost process of Nextflow's .command.run around a process."""
    found = 0
    while pid > 1:
        if b".command.run" in Path(f"/proc/{pid}/cmdline").read_bytes():
            found = pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert found
    return found


def interrupted(
    pipeline: Pipeline, write_s: float, to_wrapper: bool, number: int, *options: str
) -> Run:
    """Run, and signal the ESM-2 task, or the wrapper around it as a scheduler does."""
    pipeline.project = slow_project(pipeline.folder, write_s)
    command = pipeline.command(*OPTIONS, "--outdir", "results", *options)
    with (pipeline.folder / "log.txt").open("w") as out:
        started = subprocess.Popen(
            command, cwd=pipeline.folder, env={**os.environ, "NXF_ANSI_LOG": "false"},
            stdout=out, stderr=out,
        )  # fmt: skip
    mark, deadline = pipeline.folder / "mark", time.monotonic() + 180
    while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
        assert started.poll() is None, (pipeline.folder / "log.txt").read_text()
        time.sleep(0.1)
    pid = int(mark.read_text())
    os.kill(wrapper_of(pid) if to_wrapper else pid, number)
    assert started.wait(180) == 0, (pipeline.folder / "log.txt").read_text()
    run = Run(0, (pipeline.folder / "log.txt").read_text(), pipeline.folder / "results")
    (path,) = run.outdir.glob("pipeline_info/execution_trace_*.txt")
    trace = path.read_text().splitlines()
    names, *rows = [line.split("\t") for line in trace]
    run.tasks = [dict(zip(names, row, strict=True)) for row in rows]
    return run


def attempts(run: Run) -> list[tuple[str, dict[str, float]]]:
    """Return exit status and last line of each ESM-2 task."""
    tasks = [task for task in run.tasks if "EMBED_ESM2" in task["name"]]
    logs = [(Path(task["workdir"]) / ".command.err").read_text() for task in tasks]
    found = [re.findall("stages: (.+)", log) or ["{}"] for log in logs]
    return [(t["exit"], json.loads(lines[0])) for t, lines in zip(tasks, found, strict=True)]


@pytest.fixture(scope="module")
def whole(shared_pipeline: Pipeline) -> Run:
    run = shared_pipeline.run(*OPTIONS)
    assert run.status == 0, run.output
    return run


@pytest.mark.parametrize(
    "number, to_wrapper, status",
    [
        (signal.SIGTERM, False, "143"),
        (signal.SIGUSR2, True, "140"),  # SLURM, before the time limit
        (signal.SIGUSR1, True, "138"),
    ],
)
def test_a_retry_continues_and_the_tables_are_equal(
    pipeline: Pipeline, whole: Run, number: int, to_wrapper: bool, status: str
) -> None:
    """The wrapper waits for the part, which takes longer than the retry needs to start."""
    write_s = 8 if to_wrapper else 0
    run = interrupted(pipeline, write_s, to_wrapper, number)
    assert run.result_files() == whole.result_files()
    (first, _), (second, stages) = attempts(run)
    assert (first, second) == (status, "0")
    assert 0 < stages["restored"] < stages["distinct"]
    folder = pipeline.folder / "work.checkpoints"
    assert folder.stat().st_mode & 0o777 == 0o700 and not list(folder.iterdir())


def test_without_checkpoints_a_retry_starts_again(pipeline: Pipeline, whole: Run) -> None:
    run = interrupted(pipeline, 0, False, signal.SIGTERM, "--checkpoint_dir", "false")
    assert run.result_files() == whole.result_files()
    (first, _), (_, stages) = attempts(run)
    assert first == "143" and stages["restored"] == 0
    assert not (pipeline.folder / "work.checkpoints").exists()


def test_a_folder_that_tasks_cannot_use_is_one_warning(pipeline: Pipeline) -> None:
    (pipeline.folder / "file").touch()
    for place, words in [
        ("s3://bucket/parts", "s3://bucket/parts is object storage"),
        (f"{pipeline.folder}/file/parts", f"{pipeline.folder}/file/parts is not writable"),
    ]:
        run = pipeline.run("--input", DEMO, "--checkpoint_dir", place, "-stub-run")
        assert run.status == 0, run.output
        assert run.output.count("No checkpoints: ") == 1
        assert f"No checkpoints: {words}, so an interrupted embedding task" in run.output
