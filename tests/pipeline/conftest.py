"""Running the pipeline from a test, with a tiny model set of random weights."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from virnucpro.calls.classifier import save_classifier
from virnucpro.models import component, dnabert_s, esm2

PROJECT = Path(__file__).resolve().parents[2]
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
        """Return "PROCESS tag" of the tasks with a status of the trace, e.g. CACHED."""
        return {
            f"{task['process'].split(':')[-1]} {task['tag']}"
            for task in self.tasks
            if task["status"] == status
        }

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

    def command(self, *options: str) -> list[str]:
        """Return the command line of a run."""
        return [NEXTFLOW, "run", str(self.project), "--model_set", str(self.model_set), *options]

    def run(self, *options: str, outdir: str = "results", **environment: str) -> Run:
        """Run to the end and read the trace."""
        done = subprocess.run(
            self.command("--outdir", outdir, *options),
            cwd=self.folder,
            env={**os.environ, "NXF_ANSI_LOG": "false", **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        result = Run(done.returncode, done.stdout, self.folder / outdir)
        trace = result.outdir / "pipeline_info" / "trace.txt"
        if trace.exists():
            with trace.open() as rows:
                result.tasks = list(csv.DictReader(rows, delimiter="\t"))
        return result


def write_model_set(folder: Path, seed: int = 1, chunk_bp: tuple[int, ...] = (500, 300)) -> Path:
    """Write a model set of tiny random components."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    component.write_component(folder / "esm2.safetensors", esm2.ESM2(esm2.Config(2, 64, 4)))
    component.write_component(
        folder / "dnabert_s.safetensors",
        dnabert_s.DnabertS(dnabert_s.Config(1, 64, 4, 128, 4096)),
    )
    write_classifier(folder / "classifier.safetensors", seed)
    shutil.copy(PROJECT / "models" / "compact-500" / "tokenizer.json", folder)
    files = {
        "dnabert_s": ("dnabert_s.safetensors", {"width": 64}),
        "tokenizer": ("tokenizer.json", {}),
        "esm2": ("esm2.safetensors", {"width": 64}),
        "classifier": ("classifier.safetensors", {"input_width": 128}),
    }
    description = {
        "format": 1,
        "name": "random",
        "version": str(seed),
        "chunk_bp": list(chunk_bp),
        "frame_rule": "open",
        "components": {
            name: {"file": file, "sha256": sha256(folder / file), **more}
            for name, (file, more) in files.items()
        },
    }
    (folder / "modelset.json").write_text(json.dumps(description, indent=2))
    return folder


def write_classifier(path: Path, seed: int) -> None:
    """Write a random classifier whose scores lie on both sides."""
    rng = np.random.default_rng(seed)
    save_classifier(
        path,
        {
            "hidden_layer.weight": rng.normal(size=(32, 128)).astype(np.float32),
            "hidden_layer.bias": np.zeros(32, np.float32),
            "bn1.weight": np.ones(32, np.float32),
            "bn1.bias": np.zeros(32, np.float32),
            "bn1.running_mean": np.zeros(32, np.float32),
            "bn1.running_var": np.ones(32, np.float32),
            "output_layer.weight": rng.normal(size=(2, 32)).astype(np.float32),
            "output_layer.bias": np.zeros(2, np.float32),
        },
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
