"""`virnucpro predict` runs the pipeline, and resumes the run of its output folder."""

import csv
import os
import subprocess
import sys
import uuid
from pathlib import Path

from conftest import NEXTFLOW, PROJECT


def predict(folder: Path, *options: str) -> tuple[str, list[str]]:
    """Run it to the end; return its output, and the status of each task."""
    done = subprocess.run(
        [sys.executable, "-m", "virnucpro", "predict", *options],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT / "src"),
            "PATH": f"{Path(NEXTFLOW).parent}:{os.environ['PATH']}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    with max(folder.glob("out dir/pipeline_info/execution_trace_*.txt")).open() as rows:
        return done.stdout, [row["status"] for row in csv.DictReader(rows, delimiter="\t")]


def test_predict_runs_and_resumes_its_own_run(tmp_path: Path, model_set: Path) -> None:
    golden = PROJECT / "tests/data/golden/test_with_orfs.fa"
    (tmp_path / "reads.fna").write_bytes(golden.read_bytes())
    options = ["reads.fna", "-o", "out dir", "--model-set", str(model_set)]
    options += ["-m", "300", "-k", "-t", "1", "-d", "cpu", "-b", "9", "--", "--shard_tokens", "1"]
    output, statuses = predict(tmp_path, *options)
    assert "-b/--batch-size: no effect here." in output
    assert "--chunk_length 300" in output
    assert set(statuses) == {"COMPLETED"}
    sample = tmp_path / "out dir" / "reads"
    rows = (sample / "prediction_results.txt").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows[1:]] == [
        f"synthetic_seq_{n}_chunk_1R{frame}" for n in (1, 2) for frame in (1, 2)
    ]
    assert len(list((sample / "embeddings").glob("*.h5"))) == 4  # two shards, two encoders

    with (tmp_path / ".nextflow/history").open("a") as history:  # another run in between
        history.write(f"2026-01-01 00:00:00\t1s\tx\tOK\tabc\t{uuid.uuid4()}\tnextflow run y\n")
    output, resumed = predict(tmp_path, "--resume", *options)
    assert len(resumed) == len(statuses) and set(resumed) == {"CACHED"}, output
