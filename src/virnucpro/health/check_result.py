"""What a check takes and returns, and how it runs a program."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OK, WARN, FAIL, SKIP = "ok", "warn", "FAIL", "skip"
PROGRAM_TIMEOUT_S = 20


@dataclass(frozen=True)
class CheckResult:
    """One line of the report; its fields are the keys of `virnucpro health --json`.

    Attributes:
        check: its name; status: ok, warn, FAIL or skip.
        found: the state of what was checked; remedy: what to do about it, or empty.
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
        device: auto, cpu or cuda. model_set: a folder; None: the bundled set.
        environment: variables; launch: the folder to run in.
    """

    pipeline: Path | None
    device: str
    model_set: Path | None
    environment: Mapping[str, str]
    launch: Path


@dataclass(frozen=True)
class ProgramOutput:
    """Exit status and output of a program; status None: it is missing, or timed out."""

    status: int | None
    text: str


def run_program(command: Sequence[str | Path], environment: Mapping[str, str]) -> ProgramOutput:
    """Run a program; its output includes stderr."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PROGRAM_TIMEOUT_S,
            env=dict(environment),
        )
    except OSError as error:
        return ProgramOutput(None, f"cannot be run ({error.strerror})")
    except subprocess.TimeoutExpired:
        return ProgramOutput(None, f"no answer in {PROGRAM_TIMEOUT_S:g} s")
    return ProgramOutput(done.returncode, done.stdout.strip())
