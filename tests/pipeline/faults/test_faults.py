"""After a fault the tables are those of an undisturbed run, or there is one clear error and no table."""

import csv
import re
from pathlib import Path

import pytest
from catalogue import FAULTS, Fault
from conftest import PROJECT, Run
from launch import KILLED, OPTIONS, Launch, Plan, unmount_below

from virnucpro.cli.main import main

ROWS = re.compile(r"^\| (.+?) \| (survived|survived after -resume|refused) \|$", re.MULTILINE)
MOST_LINES = 60  # of a run with an error: Nextflow quotes the task's script and messages


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, model_set: Path) -> Run:
    run = Launch(tmp_path_factory.mktemp("undisturbed"), model_set).whole()
    assert run.status == 0, run.output
    return run


@pytest.fixture
def launch(tmp_path: Path, model_set: Path):
    launch = Launch(tmp_path / "launch", model_set)
    yield launch
    unmount_below(tmp_path)


def disturbed_run(launch: Launch, plan: Plan) -> Run:
    """Return the run with the fault; its status is 1 where it was killed."""
    if not plan.during:
        return launch.run(*OPTIONS, *plan.options)
    started = launch.start(*plan.options)
    plan.during(started)
    status = started.wait(300)
    return launch.finished(1 if status < 0 else status)


def has_only_right_tables(run: Run, undisturbed: Run) -> None:
    """What is published is complete and right; summary.tsv says which samples these are."""
    right = undisturbed.result_files()
    for sample in "ab":
        files = {p: b for p, b in run.result_files().items() if p.startswith(f"{sample}/")}
        assert files in ({}, {p: b for p, b in right.items() if p.startswith(f"{sample}/")})
    if (run.outdir / "summary.tsv").exists():
        with (run.outdir / "summary.tsv").open() as text:
            for row in csv.DictReader(text, delimiter="\t"):
                if row["status"] == "done":
                    assert (run.outdir / row["sample"]).exists()


def is_right(run: Run, undisturbed: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.status == 0, run.output
    assert run.result_files() == undisturbed.result_files()
    capsys.readouterr()
    status = main(["verify", str(run.outdir)])
    assert status == 0, capsys.readouterr().out


def is_one_clear_error(run: Run, plan: Plan) -> None:
    assert run.status == 1, run.output
    assert re.search(plan.says, run.output), run.output
    assert "Traceback" not in run.output and "Exception" not in run.output, run.output
    assert len(run.output.splitlines()) < MOST_LINES, run.output


def slow_unless(fault: Fault) -> list[pytest.MarkDecorator]:
    return [] if fault.is_quick else [pytest.mark.slow]


@pytest.mark.parametrize(
    "fault", [pytest.param(f, id=f.words, marks=slow_unless(f)) for f in FAULTS]
)
def test_tables_are_right_or_absent(
    fault: Fault, launch: Launch, undisturbed: Run, capsys: pytest.CaptureFixture[str], request
) -> None:
    plan = fault.prepare(launch)
    request.node.user_properties.append(("fault", (fault.words, plan.outcome)))
    run = disturbed_run(launch, plan)
    for process, exits in plan.exits.items():
        seen = [t["exit"] for t in run.tasks if t["process"].endswith(process)]
        assert sorted(seen) == sorted(exits), (process, run.output)
    if plan.task_says:
        assert re.search(plan.task_says, launch.log_of_esm2()), launch.log_of_esm2()
    if not plan.says:
        is_right(run, undisturbed, capsys)
        return
    has_only_right_tables(run, undisturbed)
    if plan.says != KILLED:
        is_one_clear_error(run, plan)
    if plan.heal:
        plan.heal()
        options = dict.fromkeys((*OPTIONS, *plan.options, "-resume"))  # which may be there already
        is_right(launch.run(*options), undisturbed, capsys)


def test_the_document_has_these_faults() -> None:
    text = (PROJECT / "docs" / "reliability.md").read_text()
    assert [words for words, _ in ROWS.findall(text)] == [fault.words for fault in FAULTS]
