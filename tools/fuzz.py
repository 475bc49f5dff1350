#!/usr/bin/env python3
"""Run the property tests with new random examples, then atheris on each format, until time is up.

    fuzz.py SECONDS

Half of the time each. Exit status 1 at the first failure, with the example that reproduces it.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROPERTIES = ROOT / "tests/properties"
STOPPED = 2  # pytest's exit status after SIGINT, unless a test had failed
LIST = "from formats import FORMATS; print(*FORMATS)"


def run_properties(until: float) -> int:
    """Repeat the property tests, each time with another seed; return the exit status."""
    while (left_s := until - time.monotonic()) > 0:
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"property tests, seed {seed}", flush=True)
        tests = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "tests/properties",
             f"--hypothesis-seed={seed}"],
            cwd=ROOT, env={**os.environ, "HYPOTHESIS_PROFILE": "fuzz"},
        )  # fmt: skip
        try:
            if status := tests.wait(left_s):
                return status
        except subprocess.TimeoutExpired:
            tests.send_signal(signal.SIGINT)  # pytest stops its workers, and says what failed
            if tests.wait() != STOPPED:
                return 1
    return 0


def run_atheris(until: float) -> int:
    """Run each format's target for an equal share of the time; return the exit status."""
    if importlib.util.find_spec("atheris") is None:
        print("atheris: skipped, it is not installed here (pip install atheris, Linux wheels only)")
        return 0
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", PROPERTIES)))
    environment = {**os.environ, "PYTHONPATH": paths}
    listed = subprocess.run(
        [sys.executable, "-c", LIST], capture_output=True, text=True, check=True, env=environment
    )
    names = listed.stdout.split()
    for position, name in enumerate(names):
        seconds = int((until - time.monotonic()) / (len(names) - position))
        if seconds < 1:
            break
        print(f"atheris: {name}, {seconds} s", flush=True)
        with tempfile.TemporaryDirectory() as corpus:
            status = subprocess.call(
                [sys.executable, PROPERTIES / "atheris_target.py", name, corpus,
                 f"-max_total_time={seconds}", "-rss_limit_mb=4096", "-timeout=60",
                 "-verbosity=0", "-print_final_stats=1",
                 f"-artifact_prefix={tempfile.gettempdir()}/{name}-"],
                env=environment,
            )  # fmt: skip
        if status:
            print(f"atheris: {name} failed; the file is named above")
            return 1
    return 0


def main(argv: list[str]) -> int:
    """Return the exit status."""
    seconds = int(argv[0])
    start = time.monotonic()
    return run_properties(start + seconds / 2) or run_atheris(start + seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
