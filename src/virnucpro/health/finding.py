"""What a check returns, and what it may know."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OK, WARN, FAIL, SKIP = "ok", "warn", "FAIL", "skip"
PROGRAM_TIMEOUT_S = 20


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        check: its name; status: ok, warn, FAIL or skip.
        found: what there is; remedy: what to do about it, empty when nothing.
    """

    check: str
    status: str
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Machine:
    """What the checks look at.

    Attributes:
        pipeline: a checkout, None where there is none, as in an image.
        device: auto, cpu or cuda. model_set: a folder; None: the embedded set.
        environment: variables; launch: the folder to run in.
    """

    pipeline: Path | None
    device: str
    model_set: Path | None
    environment: Mapping[str, str]
    launch: Path


@dataclass(frozen=True)
class Answer:
    """What a program said; status None: it is missing, or did not answer in time."""

    status: int | None
    text: str


def ask(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    timeout_s: float = PROGRAM_TIMEOUT_S,
) -> Answer:
    """Run a program and return what it printed, errors included."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=dict(environment),
        )
    except OSError as error:
        return Answer(None, f"cannot be run ({error.strerror})")
    except subprocess.TimeoutExpired:
        return Answer(None, f"no answer in {timeout_s:g} s")
    return Answer(done.returncode, done.stdout.strip())
