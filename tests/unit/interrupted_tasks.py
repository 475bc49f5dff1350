"""Embedding tasks that are killed or told to stop, for test_interrupted_tasks.py; prints JSON.

Each runs in a fork of this process, which has imported torch (seconds) and computed nothing.

    python interrupted_tasks.py FOLDER kill SEED...
    python interrupted_tasks.py FOLDER signal NAME PLACE
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from virnucpro.engine import checkpoints, embed_task
from virnucpro.engine.stopping import STOP
from virnucpro.files import file_sha256
from virnucpro.models.in_place import InPlaceESM2

FOLDER = Path(sys.argv[1])
OPTIONS = ["--encoder", str(FOLDER / "esm2"), "--encoder-sha256", file_sha256(FOLDER / "esm2"),
           "--device", "cpu", "--token-budget", "1024"]  # fmt: skip
forward, save, write_part = (
    InPlaceESM2.__call__,
    checkpoints.Checkpoint.save,
    checkpoints.write_part,
)


def fork(work: Path, prepare: Callable[[], None]) -> int:
    """Start a task in a folder; return its process id."""
    work.mkdir()
    if pid := os.fork():
        return pid
    status = 99
    try:
        os.chdir(work)
        log = os.open("log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 2)
        sys.stderr = os.fdopen(2, "w", buffering=1)
        prepare()
        argv = ["--frames", str(FOLDER / "a.frames.faa"), str(FOLDER / "b.frames.faa")]
        argv += [*OPTIONS, "--checkpoint-dir", str(FOLDER / "parts" / work.name[:4])]
        status = embed_task.run_embed(embed_task.ESM2_TASK, None, argv)
    finally:
        os._exit(status)


def wait(pid: int) -> int:
    """Return the exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_at(seed: int) -> Callable[[], None]:
    """Return what makes a task kill itself in a random batch, and write down what it has saved."""
    last = random.Random(seed).randrange(1, 60)
    seen = []

    def compute(*arguments):
        seen.append(1)
        if len(seen) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return forward(*arguments)

    def note(self):
        save(self)
        with Path("saved").open("a") as lines:
            lines.write(f"{self._num_saved}\n")

    def prepare():
        os.environ[checkpoints.INTERVAL_VARIABLE] = "0"
        InPlaceESM2.__call__, checkpoints.Checkpoint.save = compute, note

    return prepare


def stages(work: Path) -> dict[str, float]:
    """Return the last line of a task's log."""
    return json.loads((work / "log").read_text().rpartition("stages: ")[2])


def outputs(work: Path) -> bytes:
    """Return what a task has written."""
    return b"".join(path.read_bytes() for path in sorted(work.glob("*.h5")))


def killed(seed: int) -> dict[str, object]:
    """Kill a task, and run it again."""
    first, second = FOLDER / f"{seed:04}a", FOLDER / f"{seed:04}b"
    status = wait(fork(first, kill_at(seed)))
    resumed = wait(fork(second, lambda: None))
    saved = (first / "saved").read_text() if (first / "saved").exists() else ""
    return {
        "status": status,
        "resumed": resumed,
        "saved": max(map(int, saved.rpartition("\n")[0].split()), default=0),
        "is_equal": outputs(second) == outputs(FOLDER / "whole"),
        "left": [str(path) for path in (FOLDER / "parts" / first.name[:4]).rglob("*")],
        **stages(second),
    }


def prepare_signal(place: str) -> None:
    """Make a task stay where a signal shall meet it, and say when it is there."""

    def stay(*_, **__):
        Path("here").touch()
        time.sleep(60)

    def compute(*arguments):
        seen.append(1)
        if len(seen) == 20:
            stay()
        return forward(*arguments)

    seen: list[int] = []
    if place == "loading":
        embed_task.load_engine = stay
    else:
        InPlaceESM2.__call__ = compute
    if place == "saving":
        checkpoints.write_part = stay
    if place == "closed":  # nobody reads stderr any longer
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 2)
    STOP.listen()


def signalled(name: str, place: str) -> dict[str, object]:
    """Send a signal to a task, a second one where it hangs while saving, and run it again."""
    first, second = FOLDER / f"{name[-4:]}-{place}", FOLDER / f"{name[-4:]}-{place}-again"
    pid = fork(first, lambda: prepare_signal(place))
    while not (first / "here").exists():
        time.sleep(0.01)
    time.sleep(0.1)
    start = time.monotonic()
    os.kill(pid, getattr(signal, name))
    if place == "saving":
        os.kill(pid, signal.SIGTERM)  # the same stop
        time.sleep(1.5)
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        os.kill(pid, signal.SIGTERM)
    status = wait(pid)
    elapsed_s = time.monotonic() - start
    parts = list((FOLDER / "parts" / first.name[:4]).rglob("*.safetensors"))
    resumed = wait(fork(second, lambda: None))
    return {
        "status": status,
        "elapsed_s": elapsed_s,
        "parts": len(parts),
        "resumed": resumed,
        "restored": stages(second)["restored"],
        "is_equal": outputs(second) == outputs(FOLDER / "whole"),
    }


if __name__ == "__main__":
    if not (FOLDER / "whole").exists():
        assert wait(fork(FOLDER / "whole", lambda: None)) == 0
    if sys.argv[2] == "kill":
        print(json.dumps([killed(int(seed)) for seed in sys.argv[3:]]))
    else:
        print(json.dumps([signalled(*case.split()) for case in sys.argv[3:]]))
