"""The faults: each a function of a launch that prepares it, and says what must come of it.

To add one, write such a function with @fault("what happens"), and its row in docs/reliability.md.
"""

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import PROJECT, write_model_set
from launch import (
    KILLED,
    OPTIONS,
    Launch,
    Plan,
    kill_nextflow,
    mount,
    remount,
    wait_until,
)

Prepare = Callable[[Launch], Plan]
PROCESSES = ("split", "translate", "embed_dnabert_s", "embed_esm2", "classify", "summarise")


@dataclass(frozen=True)
class Fault:
    """A row of the table."""

    words: str
    prepare: Prepare
    is_quick: bool  # is part of `make test`


FAULTS: list[Fault] = []


def fault(words: str, quick: bool = False) -> Callable[[Prepare], Prepare]:
    """Add a function to the faults."""

    def add(prepare: Prepare) -> Prepare:
        FAULTS.append(Fault(words, prepare, quick))
        return prepare

    return add


def variants(words: str, values: Iterator[str] | tuple[str, ...], quick: tuple[str, ...] = ()):
    """Add a function of a launch and a value to the faults, once for each value."""

    def add(prepare: Callable[[Launch, str], Plan]) -> Callable[[Launch, str], Plan]:
        for value in values:
            bound = lambda launch, value=value: prepare(launch, value)  # noqa: E731
            FAULTS.append(Fault(words.format(value), bound, value in quick))
        return prepare

    return add


# processes that end


@fault("kill -9 of an embedding process", quick=True)
def kill_task(launch: Launch) -> Plan:
    launch.in_batch("os.kill(os.getpid(), signal.SIGKILL)")
    return Plan(exits={"EMBED_ESM2": ["137", "0"]})


@fault("SIGTERM to an embedding process")
def stop_task(launch: Launch) -> Plan:
    launch.in_batch("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)")
    return Plan(exits={"EMBED_ESM2": ["143", "0"]})


@fault("an embedding task is taken away five times")
def preempt(launch: Launch) -> Plan:
    lots = "".join(f"first {n} && exit 143\n" for n in range(5))
    launch.wrap("embed_esm2", before=lots)
    return Plan(exits={"EMBED_ESM2": ["143"] * 5 + ["0"]})


@fault("kill -9 of Nextflow while its tasks embed, and go on", quick=True)
def kill_while_embedding(launch: Launch) -> Plan:
    launch.in_batch("time.sleep(6)")  # and so computes beside the task of the resumed run
    mark = launch.folder / "mark-embed_esm2"

    def during(run: subprocess.Popen[str]) -> None:
        wait_until(lambda: mark.exists() and mark.read_text(), run)
        kill_nextflow(run)

    return Plan(during=during, says=KILLED, heal=launch.unwrap)


@fault("kill -9 of Nextflow while it publishes")
def kill_while_publishing(launch: Launch) -> Plan:
    outdir = launch.folder / "results"

    def during(run: subprocess.Popen[str]) -> None:
        wait_until(lambda: list(outdir.glob(".publishing-*/new/*")) or list(outdir.glob("?")), run)
        kill_nextflow(run)

    return Plan(during=during, says=KILLED, heal=launch.unwrap)


@fault("each process ends with 104, 143, 247, 175, 137 or 75 at first", quick=True)
def retried_statuses(launch: Launch) -> Plan:
    statuses = ("104", "143", "247", "175", "137", "75")
    for process, status in zip(PROCESSES, statuses, strict=True):
        launch.wrap(process, before=f"first {process} && exit {status}")
    chosen = zip(PROCESSES, statuses, strict=True)
    per_sample = {"split", "translate", "classify", "summarise"}
    return Plan(exits={p.upper(): sorted([s, "0", "0"] if p in per_sample else [s, "0"]) for p, s in chosen})  # fmt: skip


@variants("a task ends with {}, beside one under way", ("1", "65", "74"))
def fatal_statuses(launch: Launch, status: str) -> Plan:
    launch.wrap("translate", before=f"case $* in *b.00001*) exit {status};; esac\nsleep 4")
    says = f"terminated with an error exit status \\({status}\\)"
    return Plan(says=says, heal=launch.unwrap, exits={"TRANSLATE": sorted(["0", status])})


@fault("a task hangs until its time limit", quick=True)
def hang(launch: Launch) -> Plan:
    launch.wrap("translate", before="first hang && sleep 300")
    launch.configure("process { withName: 'TRANSLATE' { time = { task.attempt == 1 ? 10.s : 1.h } } }")  # fmt: skip
    return Plan(exits={"TRANSLATE": ["-", "0", "0"]})


@fault("a sample cannot be read, beside good ones")
def bad_sample(launch: Launch) -> Plan:
    (launch.folder / "bad.fa").write_text(">x\nACXT\n")
    with (launch.folder / "sheet.csv").open("a") as sheet:
        sheet.write("bad,bad.fa\n")
    says = r"bad\.fa, record 1 \(x\): letter 'X' at position 3"
    return Plan(says=says, exits={"SUMMARISE": ["0", "0"]})


# memory


LIMIT = (
    "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
    "resource.setrlimit(resource.RLIMIT_AS, (used, used))"
)


@fault("memory runs out while ESM-2 embeds (RLIMIT_AS)", quick=True)
def memory_of_embedding(launch: Launch) -> Plan:
    launch.in_batch(f"{LIMIT}; bytearray(1 << 30)")
    return Plan(exits={"EMBED_ESM2": ["137", "0"]})


WORK = {  # a function of each task that needs memory
    "split": "sequences.split_task.repeated_ids",
    "translate": "sequences.translate_task.translate_chunks",
    "classify": "scoring.classify_task.load_classifier",
    "summarise": "calls.summarise_task.read_sample",
}


@variants("memory runs out in {} (RLIMIT_AS)", tuple(WORK))
def memory(launch: Launch, process: str) -> Plan:
    module, _, function = WORK[process].rpartition(".")
    launch.in_python(
        process,
        f"from virnucpro.{module.replace('.', ' import ')} as work\nreal = work.{function}\n"
        f"def allocate(*arguments):\n    {LIMIT}; bytearray(1 << 30)\n    return real(*arguments)\n"
        f"work.{function} = allocate",
    )
    return Plan(exits={process.upper(): ["137", "0", "0"]})


@fault("GPU memory runs out (75)")
def gpu_memory(launch: Launch) -> Plan:
    launch.in_batch("import torch; raise torch.OutOfMemoryError('CUDA out of memory.')")
    return Plan(exits={"EMBED_ESM2": ["75", "0"]})


# checkpoints


def killed_for_good(launch: Launch, *options: str) -> list[Path]:
    """Run, with an embedding process killed and not tried again; return its parts."""
    launch.configure("process { withName: 'EMBED_ESM2' { errorStrategy = 'finish' } }")
    launch.in_batch("os.kill(os.getpid(), signal.SIGKILL)")
    assert launch.whole(*options).status == 1
    parts = list((launch.folder / "work.checkpoints").glob("*/*.safetensors"))
    assert parts
    return parts


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


DAMAGES = {"cut short": cut, "changed": flip}


@variants("a checkpoint part is {}", ("cut short", "changed"), quick=("changed",))
def damaged_part(launch: Launch, damage: str) -> Plan:
    for part in killed_for_good(launch):
        DAMAGES[damage](part)
    return Plan(options=("-resume",), task_says=r"(is damaged|cannot be read).*; it is ignored")


@variants("a checkpoint part is of another {}", ("model", "precision"))
def foreign_part(launch: Launch, other: str) -> Plan:
    model_set = launch.model_set
    options = ()
    if other == "model":
        launch.model_set = write_model_set(launch.folder / "other", seed=2)
    else:
        options = ("--precision", "bf16")
    foreign = killed_for_good(launch, *options)
    foreign_folder, launch.model_set = foreign[0].parent, model_set
    (launch.folder / "mark-embed_esm2").unlink()
    parts = [p for p in killed_for_good(launch) if p.parent != foreign_folder]
    for part, source in zip(parts, itertools.cycle(foreign)):
        shutil.copy(source, part)
    return Plan(options=("-resume",), task_says="belongs to another task.*; it is ignored")


@fault("two runs share a checkpoint folder, and one is killed in it")
def shared_checkpoints(launch: Launch) -> Plan:
    other = Launch(launch.folder / "other", launch.model_set)
    shared = ("--checkpoint_dir", str(launch.folder / "shared"))
    for each in (launch, other):
        each.in_batch("time.sleep(2)")
    launch.in_batch("os.kill(os.getpid(), signal.SIGKILL)")

    def during(run: subprocess.Popen[str]) -> None:
        assert run.wait(300) == 0
        assert beside.wait(300) == 0

    beside = other.start(*shared)
    return Plan(options=shared, during=during, exits={"EMBED_ESM2": ["137", "0"]})


# disks


def small_disk(launch: Launch, size: str) -> Path:
    disk = launch.folder / "disk"
    if not mount(disk, size):
        pytest.skip("no file system can be mounted here")
    return disk


@fault("the results folder is read-only")
def read_only_results(launch: Launch) -> Plan:
    disk = small_disk(launch, "20m")
    (launch.folder / "results").symlink_to(disk)
    remount(disk, "ro")
    return Plan(says="Read-only file system", heal=lambda: remount(disk, "rw"))


@fault("the disk of the results is full")
def full_results(launch: Launch) -> Plan:
    disk = small_disk(launch, "60k")
    (launch.folder / "results").symlink_to(disk)
    says = f"No space left on device.*MB free on its disk|{disk}"
    return Plan(says=says, heal=lambda: remount(disk, "size=20m"))


@fault("the disk of the checkpoints is full")
def full_checkpoints(launch: Launch) -> Plan:
    disk = small_disk(launch, "4k")
    launch.in_batch("os.kill(os.getpid(), signal.SIGKILL)")
    return Plan(
        options=("--checkpoint_dir", str(disk)),
        exits={"EMBED_ESM2": ["137", "0"]},
        task_says="cannot write to .*: continuing without",
    )


@variants("the disk of the work folder is full: {}", PROCESSES, quick=("embed_esm2",))
def full_work(launch: Launch, process: str) -> Plan:
    disk = small_disk(launch, "40m")
    (launch.folder / "work").symlink_to(disk)
    # leaves room for what Nextflow writes of the task, not for its output
    launch.wrap(
        process,
        before=f"dd if=/dev/zero of={disk}/filler bs=4k 2>/dev/null\n"
        f'size=$(stat -c %s {disk}/filler); truncate -s $((size - 8192)) "{disk}/filler"',
    )

    def heal() -> None:
        launch.unwrap()
        (disk / "filler").unlink()

    # where the message does not fit either, .command.err is cut and tee ends with 1: Nextflow's side says it
    says = f"error: No space left in {disk}/|Free space on the disk of {launch.folder}/work: 0 MB"
    return Plan(says=says, heal=heal)


# files that change between runs


def whole_first(launch: Launch) -> None:
    """Run undisturbed, so that the plan's run resumes."""
    done = launch.whole()
    assert done.status == 0, done.output
    shutil.rmtree(launch.folder / "results")


@variants("an HDF5 file in work/ is {}", ("cut short", "changed"))
def damaged_embeddings(launch: Launch, damage: str) -> Plan:
    whole_first(launch)
    path = launch.work_file("a.00001.dnabert_s.h5")
    DAMAGES[damage](path)
    says = f"{path}: is not what its task wrote"
    return Plan(("-resume",), says=says, heal=lambda: shutil.rmtree(path.parent))


@fault("the frames of a shard are replaced by those of another")
def other_shard(launch: Launch) -> Plan:
    whole_first(launch)
    path = launch.work_file("a.00001.frames.faa")
    shutil.copy(launch.work_file("b.00001.frames.faa"), path)
    says = f"{path}: is not what its task wrote"
    return Plan(("-resume",), says=says, heal=lambda: shutil.rmtree(path.parent))


PLANT = {
    "twice in the frames": (
        "translate",
        "a.00001.frames.faa",
        "sed -n 1,2p $f >> $f",
        "a0_chunk_1F1: occurs twice",
    ),
    "missing in the frames": (
        "translate",
        "a.00001.frames.faa",
        "sed -i 1,2d $f",
        r"holds other frames than a\.00001\.frames\.faa",
    ),
    "twice in the scores": (
        "classify",
        "a.00001.scores.tsv",
        "sed -n 2p $f >> $f",
        "score of a0_chunk_1F1, which .* has one already",
    ),
    "missing in the scores": (
        "classify",
        "a.00001.scores.tsv",
        "sed -i 2d $f",
        "frames are a0_chunk_1F1",
    ),
}


@variants("an id is {}, with right checksums", tuple(PLANT), quick=("missing in the scores",))
def planted_ids(launch: Launch, where: str) -> Plan:
    process, name, change, says = PLANT[where]
    code = "import pathlib; from virnucpro.checksums import write_checksums as w; "
    names = (
        ("frames.fna", "frames.faa", "chunks.tsv") if process == "translate" else ("scores.tsv",)
    )
    code += f"w(pathlib.Path('a.00001.{process}.sha256'), [pathlib.Path('a.00001.' + n) for n in {names}])"
    launch.wrap(
        process,
        after=f'f={name}; if [ -e $f ]; then {change}; {PROJECT}/.venv/bin/python -c "{code}"; fi',
    )

    def heal() -> None:
        launch.unwrap()
        shutil.rmtree(launch.work_file(name).parent)

    return Plan(says=says, heal=heal)


@fault("an input file changes between two runs")
def changed_input(launch: Launch) -> Plan:
    path = launch.folder / "a.fa"
    content = path.read_text()
    path.write_text(content.replace("a0", "a9"))
    whole_first(launch)
    path.write_text(content)
    return Plan(("-resume",))


@fault("the model set changes between two runs")
def changed_model(launch: Launch) -> Plan:
    right, launch.model_set = launch.model_set, launch.folder / "set"
    write_model_set(launch.model_set, seed=2)
    whole_first(launch)
    for file in right.iterdir():
        shutil.copy(file, launch.model_set)
    return Plan(("-resume",))


@fault("a model file changes, and modelset.json does not")
def damaged_model(launch: Launch) -> Plan:
    right, launch.model_set = launch.model_set, launch.folder / "set"
    shutil.copytree(right, launch.model_set)
    flip(launch.model_set / "esm2.safetensors")
    heal = lambda: shutil.copy(right / "esm2.safetensors", launch.model_set)  # noqa: E731
    return Plan(
        says=r"esm2\.safetensors: sha256 is .*The file is damaged or another version", heal=heal
    )


@fault("the clock was set back: files in work/ are of tomorrow")
def future(launch: Launch) -> Plan:
    whole_first(launch)
    tomorrow = time.time() + 86_400
    for path in (launch.folder / "work").rglob("*"):
        os.utime(path, (tomorrow, tomorrow), follow_symlinks=False)
    return Plan(("-resume",))


# two runs at once


@fault("two runs in one launch folder")
def two_in_one_folder(launch: Launch) -> Plan:
    def during(run: subprocess.Popen[str]) -> None:
        second = subprocess.run(
            launch.command(*OPTIONS, "--outdir", "second"), cwd=launch.folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert second.returncode == 0, second.stdout
        assert run.wait(300) == 0

    return Plan(during=during)


@fault("-resume beside the run that it would resume")
def resume_a_live_run(launch: Launch) -> Plan:
    launch.wrap("translate", before="first slow && sleep 30")

    def during(run: subprocess.Popen[str]) -> None:
        wait_until(lambda: (launch.folder / "first-slow").exists(), run)
        second = launch.whole("-resume")
        assert second.status == 1 and "Unable to acquire lock on session" in second.output
        assert not second.started() and "Exception" not in second.output
        assert run.wait(300) == 0

    return Plan(during=during)


@fault("two runs with one results folder")
def two_with_one_outdir(launch: Launch) -> Plan:
    other = Launch(launch.folder / "other", launch.model_set)

    def during(run: subprocess.Popen[str]) -> None:
        assert beside.wait(300) == 0
        assert run.wait(300) == 0

    beside = other.start(outdir=str(launch.folder / "results"))
    return Plan(during=during)
