"""A launch folder with small samples, and the ways in which a fault gets into a run.

A task's script is replaced by a wrapper of the same name, in a folder that is first on the task's
PATH: no code of the pipeline knows of faults.
"""

import csv
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conftest import PROJECT, QUICK, Pipeline, Run

# 24 chunks with 144 open frames, 20 batches of ESM-2, since no frame without T or A has a stop codon
OPTIONS = ("--input", "sheet.csv", "--token_budget", "1024", "--device", "cpu")
BATCH = 10  # of the embedding, in which its faults happen
EVERY_BATCH = {"VIRNUCPRO_CHECKPOINT_S": "0"}


@dataclass(frozen=True)
class Plan:
    """How the disturbed run is started, and what must come of it.

    Attributes:
        options: further ones.
        during: acts on the run (its process) while it goes on, and returns when it has done so.
        says: a regular expression for the error that ends the run; empty: it ends with 0. "killed":
            it says nothing.
        heal: removes the cause; then -resume must give the tables of the undisturbed run. None: the
            run stays refused.
        task_says: what the last task of EMBED_ESM2 logs, a regular expression.
        exits: PROCESS -> exit statuses of its tasks, in the order of the trace.
    """

    options: tuple[str, ...] = ()
    during: Callable[[subprocess.Popen[str]], None] | None = None
    says: str = ""
    heal: Callable[[], object] | None = None
    task_says: str = ""
    exits: dict[str, list[str]] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """Return the word for the table."""
        if not self.says:
            return "survived"
        return "survived after -resume" if self.heal else "refused"


KILLED = "killed"


class Launch(Pipeline):
    """A launch folder with two samples and its faults."""

    def __init__(self, folder: Path, model_set: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, model_set)
        for sample in "ab":
            letters = random.Random(sample)
            entries = [
                f">{sample}{n}\n{''.join(letters.choices('ACG', k=700))}\n" for n in range(6)
            ]
            (folder / f"{sample}.fa").write_text("".join(entries))
        (folder / "sheet.csv").write_text("sample,input\na,a.fa\nb,b.fa\n")
        self.wrappers = folder / "wrappers"
        self.wrappers.mkdir(exist_ok=True)
        self.configure()

    def configure(self, text: str = "") -> None:
        """Write the configuration: that of the quick tests, the wrappers' PATH, and a text."""
        self.config = self.folder / "faults.config"
        path = f"env {{ PATH = '{self.wrappers}:$PATH' }}\n"
        self.config.write_text(f"includeConfig '{QUICK}'\n{path}{text}\n")

    def start(self, *options: str, outdir: str = "results") -> subprocess.Popen[str]:
        """Start a run that goes on; its output is in log.txt."""
        with (self.folder / "log.txt").open("w") as log:
            return subprocess.Popen(
                self.command(*OPTIONS, *options, "--outdir", outdir), cwd=self.folder, text=True,
                env={**os.environ, "NXF_ANSI_LOG": "false", **self.environment},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def finished(self, status: int) -> Run:
        """Return what a started run left behind."""
        run = Run(status, (self.folder / "log.txt").read_text(), self.folder / "results")
        traces = sorted(run.outdir.glob("pipeline_info/execution_trace_*.txt"))
        if traces and status == 0:
            with traces[-1].open() as rows:
                run.tasks = list(csv.DictReader(rows, delimiter="\t"))
        return run

    def whole(self, *options: str) -> Run:
        """Run undisturbed, or with a fault that an earlier part of a plan needs."""
        return self.run(*OPTIONS, *options)

    def wrap(self, process: str, before: str = "", after: str = "", real: bool = True) -> None:
        """Replace the script of a process by shell commands around it.

        `$real` is the script; `first NAME` is true once.
        """
        wrapper = self.wrappers / f"vnp_{process}.py"
        run = '"$real" "$@"\n' if real else ""
        wrapper.write_text(
            f"#!/bin/bash\nreal={PROJECT}/bin/{wrapper.name}\n"
            f'first() {{ mkdir "{self.folder}/first-$1" 2>/dev/null; }}\n'
            f"{before}\n{run}status=$?\n{after}\nexit $status\n"
        )
        wrapper.chmod(0o755)

    def unwrap(self, *_: object) -> None:
        """Let all scripts be themselves again."""
        for wrapper in self.wrappers.iterdir():
            wrapper.unlink()

    def in_python(self, process: str, code: str) -> None:
        """Run Python code, once, in the process of a script before its `main`.

        It can name the script's modules, and `mark`, a file that says that it was run.
        """
        mark = self.folder / f"mark-{process}"
        wrapper = self.wrappers / f"vnp_{process}.py"
        script = PROJECT / "bin" / wrapper.name
        body = "\n".join("    " + line for line in code.splitlines())
        wrapper.write_text(
            f"#!{PROJECT}/.venv/bin/python\nimport os, pathlib, resource, runpy, signal, sys, time\n"
            f"mark = pathlib.Path({str(mark)!r})\nsys.argv[0] = {str(script)!r}\n"
            f"runpy.run_path(sys.argv[0])\n"  # imports its modules
            f"if not mark.exists():\n    mark.write_text('')\n{body}\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        )
        wrapper.chmod(0o755)

    def in_batch(self, action: str, process: str = "embed_esm2") -> None:
        """Do something, once, in the tenth batch of ESM-2."""
        self.environment.update(EVERY_BATCH)
        self.in_python(process, IN_BATCH.format(batch=BATCH, action=action))

    def log_of_esm2(self) -> str:
        """Return the log of the ESM-2 task that started last."""
        scripts = (self.folder / "work").glob("*/*/.command.sh")
        of_esm2 = [path for path in scripts if "vnp_embed_esm2" in path.read_text()]
        newest = max(of_esm2, key=lambda path: path.stat().st_mtime)
        return newest.with_name(".command.err").read_text()

    def work_file(self, name: str) -> Path:
        """Return the newest file of a name that a task has written."""
        files = [p for p in (self.folder / "work").rglob(name) if not p.is_symlink()]
        return max(files, key=lambda path: path.stat().st_mtime)


IN_BATCH = """
from virnucpro.engine import embed
run_on_cpu = embed.run_on_cpu
def compute(*arguments):
    for number, batch in enumerate(run_on_cpu(*arguments), start=1):
        if number == {batch}:
            mark.write_text(str(os.getpid()))
            {action}
        yield batch
embed.run_on_cpu = compute
"""


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something that a run does."""
    deadline = time.monotonic() + 180
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.args
        time.sleep(0.05)


def kill_nextflow(process: subprocess.Popen[str]) -> None:
    """Kill Nextflow alone: its tasks go on."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def mount(folder: Path, size: str) -> bool:
    """Mount a small file system; return whether that is permitted here."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


def remount(folder: Path, option: str) -> None:
    """Change a mounted file system: `ro`, `rw`, `size=...`."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def unmount_below(folder: Path) -> None:
    """Unmount what a fault has mounted."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", place], check=True)
