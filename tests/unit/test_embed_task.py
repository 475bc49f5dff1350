"""The two executables, in process."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from virnucpro.embeddings.store import read_embeddings
from virnucpro.engine import embed_task
from virnucpro.engine.device import GpuMemoryError
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.component import file_sha256, write_component

ROOT = Path(__file__).parents[2]
TOKENIZER = ROOT / "models/compact-500/tokenizer.json"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    write_component(tmp_path / "esm2", esm2.ESM2(esm2.Config(1, 16, 2)))
    config = dnabert_s.Config(1, 24, 3, 32, 4096)
    write_component(tmp_path / "dnabert_s", dnabert_s.DnabertS(config))
    (tmp_path / "a.frames.faa").write_text(">s_chunk_1F1\nMKVL\nAW\n>s_chunk_1R2\nMKV\n")
    (tmp_path / "b.frames.faa").write_text("")
    (tmp_path / "a.frames.fna").write_text(">s_chunk_1F1\nACGTTTGACNA\n")
    return tmp_path


def arguments(kind, *frames):
    args = ["--frames", *frames, "--encoder", kind, "--encoder-sha256", file_sha256(Path(kind))]
    if kind == "dnabert_s":
        args += ["--tokenizer", str(TOKENIZER), "--tokenizer-sha256", file_sha256(TOKENIZER)]
    return [*args, "--device", "cpu"]


def run_esm2(argv):
    return embed_task.run_embed(embed_task.ESM2_TASK, None, argv)


def test_one_file_is_written_for_each_frame_file(folder):
    assert run_esm2(arguments("esm2", "a.frames.faa", "b.frames.faa")) == 0
    ids, vectors, provenance = read_embeddings(folder / "a.esm2.h5")
    assert ids == ["s_chunk_1F1", "s_chunk_1R2"] and vectors.shape == (2, 16)
    assert provenance.num_tokens == 8 + 5 and provenance.architecture == "esm2"
    assert provenance.component_sha256 == file_sha256(folder / "esm2")
    assert provenance.numerics["precision"] == "fp32"
    assert read_embeddings(folder / "b.esm2.h5")[1].shape == (0, 16)


def test_the_pool_does_not_change_a_file(folder):
    (folder / "c.frames.faa").write_text(">x\nMKVLAWWW\n")
    assert run_esm2(arguments("esm2", "a.frames.faa")) == 0
    alone = (folder / "a.esm2.h5").read_bytes()
    assert run_esm2([*arguments("esm2", "c.frames.faa", "a.frames.faa"), "--threads", "2"]) == 0
    assert (folder / "a.esm2.h5").read_bytes() == alone


@pytest.mark.parametrize("kind, frames", [("esm2", "a.frames.faa"), ("dnabert_s", "a.frames.fna")])
def test_the_executables_run(folder, kind, frames):
    script = ROOT / f"bin/vnp_embed_{kind}.py"
    main = runpy.run_path(str(script))["main"]
    assert main([*arguments(kind, frames), "--process", "EMBED"]) == 0
    assert read_embeddings(folder / f"a.{kind}.h5")[2].architecture == kind
    assert "torch:" in (folder / "versions.yml").read_text()
    assert script.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "content, message",
    [
        (">a\nMK\n>a\nMV\n", "frame a: occurs twice"),
        (">a\n>b\nMV\n", "frame a: has no sequence"),
        ("MKV\n", "not a readable FASTA file"),
    ],
)
def test_bad_frame_files_are_the_users_error(folder, capsys, content, message):
    (folder / "bad.frames.faa").write_text(content)
    assert run_esm2(arguments("esm2", "bad.frames.faa")) == 2
    assert message in capsys.readouterr().err


def test_files_that_do_not_belong_are_refused(folder, capsys):
    assert run_esm2(arguments("esm2", "a.frames.fna")) == 2
    assert "the name must end in .frames.faa" in capsys.readouterr().err
    argv = arguments("esm2", "a.frames.faa")
    argv[argv.index("esm2")] = "dnabert_s"
    argv[argv.index("--encoder-sha256") + 1] = file_sha256(folder / "dnabert_s")
    assert run_esm2(argv) == 2
    assert "holds dnabert_s, not esm2" in capsys.readouterr().err


def test_running_out_of_gpu_memory_has_a_status_of_its_own(folder, monkeypatch, capsys):
    def run_out(*_, **__):
        raise GpuMemoryError("GPU memory ran out")

    monkeypatch.setattr(embed_task, "embed", run_out)
    assert run_esm2(arguments("esm2", "a.frames.faa")) == 75
    assert "GPU memory ran out" in capsys.readouterr().err


def test_embedding_a_sample_does_not_import_the_compiler(tmp_path: Path) -> None:
    """torch._dynamo takes longer to import than a small sample to embed."""
    model_set = ROOT / "models/compact-500"
    (tmp_path / "s.frames.faa").write_text(">a\nMKV\n")
    program = (
        "import sys; from virnucpro.engine.embed_task import ESM2_TASK, run_embed; "
        "status = run_embed(ESM2_TASK, None, sys.argv[1:]); "
        "print(status, 'torch._dynamo' in sys.modules)"
    )
    encoder = model_set / "esm2.safetensors"
    options = ["--frames", "s.frames.faa", "--encoder", encoder, "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", program, *options, "--encoder-sha256", file_sha256(encoder)],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["0", "False"]
