"""Running the pipeline from a test, with a tiny model set of random weights."""

import csv
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from random_set import sha256 as sha256  # for the tests beside
from random_set import write_classifier as write_classifier
from random_set import write_model_set as write_model_set

PROJECT = Path(__file__).resolve().parents[2]
QUICK = Path(__file__).with_name("quick.config")
NEXTFLOW = subprocess.run(
    [PROJECT / "tools" / "find_nextflow.sh"], check=True, stdout=subprocess.PIPE, text=True
).stdout.strip()


@dataclass
class Run:
    """What one run of the pipeline left behind."""

    status: int
    output: str
    outdir: Path
    tasks: list[dict[str, str]] = field(default_factory=list)

    def names(self, status: str) -> set[str]:
        """Return "PROCESS tag" of the tasks with a status of the trace, e.g. CACHED.

        The two that check what is asked for run in every run, and are left out.
        """
        return {
            f"{task['process'].split(':')[-1]} {task['tag']}"
            for task in self.tasks
            if task["status"] == status and not task["process"].startswith("CHECK_")
        }

    def started(self) -> set[str]:
        """Return the processes of which a task was submitted."""
        return set(re.findall(r"Submitted process > (?:\w+:)*(\w+)", self.output))

    def processes(self, status: str) -> set[str]:
        """Return the processes with at least one such task."""
        return {name.split()[0] for name in self.names(status)}

    def table(self, sample: str, name: str = "prediction_results.txt") -> bytes:
        """Return the bytes of a result file."""
        return (self.outdir / sample / name).read_bytes()

    def result_files(self) -> dict[str, bytes]:
        """Return all files of all samples, by path."""
        files = [
            p for p in self.outdir.rglob("*") if p.is_file() and "pipeline_info" not in p.parts
        ]
        return {str(path.relative_to(self.outdir)): path.read_bytes() for path in sorted(files)}


@dataclass
class Pipeline:
    """Starts runs in one launch folder, so that -resume finds the one before."""

    folder: Path
    model_set: Path
    project: Path = PROJECT
    environment: dict[str, str] = field(default_factory=dict)
    config: Path | None = QUICK  # None: as a user runs it

    def command(self, *options: str) -> list[str]:
        """Return the command line of a run."""
        config = ["-c", str(self.config)] if self.config else []
        model_set = ["--model_set", str(self.model_set)]
        return [NEXTFLOW, "run", str(self.project), *config, *model_set, *options]

    def run(self, *options: str, outdir: str = "results", **environment: str) -> Run:
        """Run to the end and read its trace."""
        before = set((self.folder / outdir).glob("pipeline_info/*"))
        done = subprocess.run(
            self.command("--outdir", outdir, *options),
            cwd=self.folder,
            env={**os.environ, "NXF_ANSI_LOG": "false", **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        result = Run(done.returncode, done.stdout, self.folder / outdir)
        traces = sorted(result.outdir.glob("pipeline_info/execution_trace_*.txt"))
        if traces and set(traces) - before:  # a start that is refused leaves none
            with traces[-1].open() as rows:
                result.tasks = list(csv.DictReader(rows, delimiter="\t"))
        return result


@pytest.fixture(scope="session")
def model_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_set(tmp_path_factory.mktemp("model_set"))


@pytest.fixture
def pipeline(tmp_path: Path, model_set: Path) -> Pipeline:
    return Pipeline(tmp_path, model_set)


@pytest.fixture(scope="module")
def shared_pipeline(
    tmp_path_factory: pytest.TempPathFactory, model_set: Path
) -> Iterator[Pipeline]:
    """One launch folder for the tests of a module, for runs that build on each other."""
    yield Pipeline(tmp_path_factory.mktemp("launch"), model_set)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the table of faults (faults/test_faults.py)."""
    rows = [
        (words, outcome if report.passed else "FAILED")
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, (words, outcome) in report.user_properties
        if name == "fault"
    ]
    if rows:
        terminalreporter.section("faults")
        width = max(len(words) for words, _ in rows)
        for words, outcome in rows:
            terminalreporter.write_line(f"{words:{width}}  {outcome}")
        counts = Counter("refused" if o == "refused" else o.split()[0] for _, o in rows)
        terminalreporter.write_line(
            f"tried {len(rows)}, survived {counts['survived']}, refused {counts['refused']}, "
            f"failed {counts['FAILED']}"
        )
