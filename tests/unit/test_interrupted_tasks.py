"""kill -9 and signals: the next attempt continues, and its output is the same."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from virnucpro.models import esm2
from virnucpro.models.component import write_component

ROOT = Path(__file__).parents[2]
TASKS = Path(__file__).with_name("interrupted_tasks.py")
NUM_DISTINCT = 300
CASES = ["SIGTERM embedding", "SIGUSR1 embedding", "SIGUSR2 embedding",
         "SIGTERM loading", "SIGTERM closed", "SIGUSR1 saving"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    torch.manual_seed(0)
    write_component(folder / "esm2", esm2.ESM2(esm2.Config(1, 16, 2)))
    rng = np.random.default_rng(1)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    frames = ["".join(rng.choice(letters, n)) for n in rng.integers(100, 400, NUM_DISTINCT)]
    frames += frames[:20]  # in both files
    for name, some in (("a", frames[:150]), ("b", frames[150:])):
        text = "".join(f">{name}{n}\n{sequence}\n" for n, sequence in enumerate(some))
        (folder / f"{name}.frames.faa").write_text(text)
    return folder


def run(folder, *arguments):
    done = subprocess.run(
        [sys.executable, TASKS, folder, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def test_a_killed_task_continues_to_the_same_bytes(folder):
    results = run(folder, "kill", *map(str, range(20)))
    for seed, result in enumerate(results):
        assert result["status"] == -signal.SIGKILL, seed
        assert result["resumed"] == 0 and result["is_equal"], seed
        # nothing that was saved is computed again; of the rest a part may just have got its name
        assert result["saved"] <= result["restored"] < NUM_DISTINCT == result["distinct"], seed
        assert result["left"] == [], seed
    assert sum(result["restored"] > 0 for result in results) > 12


def test_a_signal_saves_what_is_computed_and_ends_with_143(folder):
    for case, result in zip(CASES, run(folder, "signal", *CASES), strict=True):
        assert result["status"] == 143, case
        assert result["resumed"] == 0 and result["is_equal"], case
        assert result["elapsed_s"] < 5, case
        is_saved = not case.endswith(("loading", "saving"))
        assert result["parts"] == is_saved, case
        assert (result["restored"] > 20) == is_saved, case


@pytest.mark.parametrize("kind", ["esm2", "dnabert_s"])
def test_the_executables_listen_while_torch_is_imported(kind):
    started = subprocess.Popen(
        [sys.executable, ROOT / f"bin/vnp_embed_{kind}.py", "--help"], stdout=subprocess.PIPE
    )
    status = Path(f"/proc/{started.pid}/status")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        caught = int(status.read_text().partition("SigCgt:")[2].split()[0], 16)
        if caught & 1 << (signal.SIGUSR2 - 1):
            break
        time.sleep(0.005)
    time.sleep(0.05)
    assert not started.poll()
    started.terminate()
    assert started.wait(20) == 143
