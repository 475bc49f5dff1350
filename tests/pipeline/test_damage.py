"""A file in work/ that changes between a run and its -resume is refused by name; then all is well."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PROJECT, Pipeline, Run

DEMO = PROJECT / "assets" / "demo"
OPTIONS = ["--input", str(DEMO / "contigs_a.fa.gz"), "--shard_tokens", "6000", "--dnabert_s_shards", "1"]  # fmt: skip


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-4096] + bytes(4096))


@pytest.fixture(scope="module")
def first(shared_pipeline: Pipeline) -> Run:
    run = shared_pipeline.run(*OPTIONS)
    assert run.status == 0, run.output
    return run


@pytest.mark.parametrize(
    "name, damage",
    [
        ("*.00001.chunks.fna", flip),
        ("*.00002.frames.faa", empty),
        ("*.00002.frames.fna", flip),
        ("*.00001.esm2.h5", zeros),
        ("*.00002.chunks.tsv", flip),
        ("*.00001.scores.tsv", flip),
        ("*.records.tsv", flip),
    ],
)
def test_a_damaged_file_is_refused_and_named_until_its_folder_is_removed(
    shared_pipeline: Pipeline, first: Run, name: str, damage: Callable[[Path], None]
) -> None:
    newest = max(
        (p for p in (shared_pipeline.folder / "work").rglob(name) if not p.is_symlink()),
        key=lambda p: p.stat().st_mtime,
    )
    damage(newest)
    for _ in range(2):  # as long as it lies there
        run = shared_pipeline.run(*OPTIONS, "-resume", outdir="refused")
        assert run.status == 1
        assert f"{newest.resolve()}: is not what its task wrote" in run.output
        assert not (run.outdir / "contigs_a" / "contigs.tsv").exists()
    found = re.search(r"Remove the folder (\S+) and run again with -resume", run.output)
    assert found and found[1] == str(newest.resolve().parent)
    shutil.rmtree(found[1])
    run = shared_pipeline.run(*OPTIONS, "-resume", outdir="again")
    assert run.status == 0, run.output
    assert run.result_files() == first.result_files()
    shutil.rmtree(run.outdir)


def test_an_input_of_the_same_size_and_time_is_seen_with_check_inputs(pipeline: Pipeline) -> None:
    path = pipeline.folder / "a.fa"

    def write(letter: str) -> None:
        path.write_text(">x\n" + "ACGGCTGCAGCTAAA" * 30 + letter + "\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))

    options = ["--input", str(path), "--check_inputs", "-resume"]
    write("A")
    assert pipeline.run(*options).status == 0
    os.utime(path, (1_600_000_000, 1_600_000_000))
    assert "SPLIT a" in pipeline.run(*options).names("CACHED")
    write("C")
    run = pipeline.run(*options)
    assert run.status == 0 and "SPLIT a" in run.names("COMPLETED")
