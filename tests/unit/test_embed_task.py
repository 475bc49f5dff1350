"""The two executables, in process."""

import logging
import runpy
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from virnucpro.embeddings.store import EmbeddingsWriter, read_embeddings, read_no_vector
from virnucpro.engine import batches, embed, embed_task
from virnucpro.files import file_sha256
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.component import write_component
from virnucpro.models.in_place import InPlaceESM2
from virnucpro.sequences.no_vector import NOT_FINITE, TOO_LONG_FOR_GPU

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
    assert "is dnabert_s, not esm2" in capsys.readouterr().err


@pytest.fixture
def small_memory(monkeypatch):
    """Make a batch of more tokens than this run out of memory, as on a GPU."""
    forward, seen = InPlaceESM2.__call__, []

    def limit(tokens):
        def compute(self, ids, batch):
            seen.append(len(ids))
            if len(ids) > tokens:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
            return forward(self, ids, batch)

        monkeypatch.setattr(InPlaceESM2, "__call__", compute)
        return seen

    return limit


def test_batches_are_halved_until_they_fit(folder, small_memory, caplog):
    argv = [*arguments("esm2", "a.frames.faa"), "--token-budget"]
    assert run_esm2([*argv, "2048"]) == 0
    expected = (folder / "a.esm2.h5").read_bytes()
    caplog.set_level(logging.INFO)
    seen = small_memory(2048)
    assert run_esm2([*argv, "8192"]) == 0
    assert seen == [8192, 4096, 2048]
    assert read_embeddings(folder / "a.esm2.h5")[2].numerics["token_budget"] == 2048
    assert (folder / "a.esm2.h5").read_bytes() == expected
    for tokens in (8192, 4096):
        assert (
            f"GPU memory ran out at {tokens} tokens a batch (CUDA out of memory. Tried to allocate "
            f"2 GiB). Starting again with {tokens // 2} tokens a batch."
        ) in caplog.messages


def test_memory_that_is_too_small_for_any_batch_has_a_status_of_its_own(
    folder, small_memory, capsys
):
    seen = small_memory(0)
    assert run_esm2([*arguments("esm2", "a.frames.faa"), "--token-budget", "4096"]) == 75
    assert seen == [4096, 2048, 1024]
    assert "ran out at 1024 tokens a batch" in (error := capsys.readouterr().err)
    assert "Another program may hold it: try again elsewhere or later." in error
    assert not (folder / "a.esm2.h5").exists()


def test_a_slow_writer_stops_no_batch(folder, monkeypatch):
    """Nothing is written before the tenth batch is computed, yet that one comes."""
    (folder / "c.frames.faa").write_text("".join(f">c{n}\n{'M' * n}\n" for n in range(500, 520)))
    forward, write = InPlaceESM2.__call__, EmbeddingsWriter.write
    computed, is_tenth = [], threading.Event()

    def compute(self, ids, batch):
        computed.append(len(ids))
        if len(computed) == 10:
            is_tenth.set()
        return forward(self, ids, batch)

    def wait(self, *arguments):
        assert is_tenth.wait(10), f"only {len(computed)} batches"
        write(self, *arguments)

    monkeypatch.setattr(batches, "WINDOW", 2)
    monkeypatch.setattr(InPlaceESM2, "__call__", compute)
    monkeypatch.setattr(EmbeddingsWriter, "write", wait)
    argv = arguments("esm2", "a.frames.faa", "c.frames.faa")
    assert run_esm2([*argv, "--token-budget", "1024"]) == 0
    assert len(computed) >= 10 and len(read_embeddings(folder / "c.esm2.h5")[0]) == 20


def test_a_failing_writer_fails_the_task(folder, monkeypatch, capsys):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(EmbeddingsWriter, "write", fail)
    assert run_esm2(arguments("esm2", "a.frames.faa", "b.frames.faa")) == 74
    assert "error: No space left in " in capsys.readouterr().err
    assert not list(folder.glob("*.h5")) and not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_sequence_too_long_for_the_card_is_named(
    folder, small_memory, capsys, caplog, monkeypatch, is_shared
):
    """It is left out, unless another program holds the memory."""
    (folder / "c.frames.faa").write_text(f">short\nMKV\n>long\n{'M' * 5000}\n>{'n' * 9}\nMA\n")
    small_memory(4096)
    monkeypatch.setattr(embed, "is_shared", lambda _: is_shared)
    argv = [*arguments("esm2", "c.frames.faa"), "--token-budget", "2048"]
    assert run_esm2(argv) == (75 if is_shared else 0)
    error = capsys.readouterr().err
    words = "sequence long, 5002 tokens: GPU memory ran out at 5120 tokens a batch"
    assert words in error + caplog.text
    assert ("Another program may hold it: try again" in error) == is_shared
    if is_shared:
        assert not (folder / "c.esm2.h5").exists()
        return
    ids, vectors, provenance = read_embeddings(folder / "c.esm2.h5")
    assert read_no_vector(folder / "c.esm2.h5").tolist() == [0, TOO_LONG_FOR_GPU, 0]
    assert np.isfinite(vectors).all(axis=1).tolist() == [True, False, True]
    assert provenance.numerics["token_budget"] == 1024  # smaller batches were tried


def test_a_sequence_that_fits_alone_has_its_vector(folder, monkeypatch, caplog):
    """Memory that earlier batches still hold is free when it is tried again."""
    (folder / "c.frames.faa").write_text(f">short\nMKV\n>long\n{'M' * 1500}\n")
    argv = [*arguments("esm2", "c.frames.faa"), "--token-budget", "1024"]
    assert run_esm2(argv) == 0
    expected = (folder / "c.esm2.h5").read_bytes()
    forward, seen = InPlaceESM2.__call__, []

    def compute(self, ids, batch):
        seen.append(len(ids))
        if seen == [2048]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(self, ids, batch)

    monkeypatch.setattr(InPlaceESM2, "__call__", compute)
    assert run_esm2(argv) == 0
    assert seen.count(2048) == 2
    assert (folder / "c.esm2.h5").read_bytes() == expected
    assert "left out" not in caplog.text


def poison(folder, letter="W", value=3e38):
    """Make every sequence with this residue overflow, in float32 too."""
    model = esm2.ESM2(esm2.Config(1, 16, 2))
    model.embed_tokens.weight.data[esm2.ALPHABET.index(letter)] = value
    write_component(folder / "esm2", model)


def test_a_sequence_that_overflows_in_float32_is_left_out_of_its_pool(folder, caplog):
    """Its row is marked in each file that has it; all other bytes are those without it."""
    poison(folder)
    sequences = {"a": ["MKV", "MKW", "ML"], "c": ["MA", "MKW"], "d": ["MG"]}
    for name, texts in sequences.items():
        lines = "".join(f">{name}{n}\n{text}\n" for n, text in enumerate(texts))
        (folder / f"{name}.frames.faa").write_text(lines)
    assert run_esm2(arguments("esm2", "d.frames.faa")) == 0
    expected = (folder / "d.esm2.h5").read_bytes()
    assert run_esm2(arguments("esm2", *(f"{name}.frames.faa" for name in sequences))) == 0
    assert "sequence a1: its vector is not finite, in float32 either: left out" in caplog.text
    assert (folder / "d.esm2.h5").read_bytes() == expected
    for name, codes in {"a": [0, NOT_FINITE, 0], "c": [0, NOT_FINITE], "d": [0]}.items():
        path = folder / f"{name}.esm2.h5"
        assert read_no_vector(path).tolist() == codes
        assert np.isnan(read_embeddings(path)[1]).all(axis=1).tolist() == [c > 0 for c in codes]


def test_a_task_without_any_finite_vector_fails(folder, capsys):
    poison(folder, "M", float("nan"))
    assert run_esm2(arguments("esm2", "a.frames.faa")) == 2
    assert "(2 such sequences of 2). It is empty, or the model set is" in capsys.readouterr().err
    assert not (folder / "a.esm2.h5").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        torch.AcceleratorError("CUDA error: out of memory"),  # no room for a context
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
    ],
)
@pytest.mark.parametrize("place", ["while loading", "in a batch"])
def test_running_out_of_memory_has_that_status_whatever_the_message(
    folder, monkeypatch, capsys, error, place
):
    def run_out(*_, **__):
        raise error

    if place == "while loading":
        monkeypatch.setattr(embed_task, "load_engine", run_out)
    else:
        monkeypatch.setattr(InPlaceESM2, "__call__", run_out)
    assert run_esm2(arguments("esm2", "a.frames.faa")) == 75
    message = capsys.readouterr().err.splitlines()[-1]
    assert "GPU memory ran out" in message and f"({error})" in message
    assert message.endswith("Another program may hold it: try again elsewhere or later.")


def test_any_other_error_of_a_batch_keeps_its_traceback(folder, monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(InPlaceESM2, "__call__", fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run_esm2(arguments("esm2", "a.frames.faa"))


@pytest.mark.parametrize(
    "options, numerics",
    [
        ([], {"path": "in place", "precision": "fp32", "attention": "sdpa", "token_budget": 2048}),
        (["--token-budget", "1024"], {"token_budget": 1024}),
        (["--attention", "reference"], {"attention": "reference"}),
        (["--precision", "bf16"], {"precision": "bf16", "path": "plain"}),
        (["--engine", "official"], {"path": "official esm", "precision": "fp32"}),
    ],
)
def test_options_of_the_engine_are_in_the_provenance(folder, options, numerics):
    assert run_esm2([*arguments("esm2", "a.frames.faa"), *options]) == 0
    stored = read_embeddings(folder / "a.esm2.h5")[2].numerics
    assert {name: stored[name] for name in numerics} == numerics


def test_auto_is_the_precision_of_the_official_engine_on_a_gpu_too(folder, monkeypatch):
    asked = []
    choose = embed_task.devices.choose_precision
    monkeypatch.setattr(
        embed_task.devices, "choose_precision", lambda *a: asked.append(a[0]) or choose(*a)
    )
    assert run_esm2([*arguments("esm2", "a.frames.faa"), "--engine", "official"]) == 0
    assert run_esm2(arguments("esm2", "a.frames.faa")) == 0
    assert asked == ["fp32", "auto"]


@pytest.mark.parametrize("text", ["0", "-2048", "1023", "many", "2e3"])
def test_an_invalid_token_budget_is_refused(folder, capsys, text):
    with pytest.raises(SystemExit, match="2"):
        run_esm2([*arguments("esm2", "a.frames.faa"), f"--token-budget={text}"])
    assert f"must be an integer >= 1024, not '{text}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, message",
    [
        (["--attention", "triton"], "--attention triton: it needs a GPU, and the device is cpu"),
        (["--precision", "fp8"], "--precision fp8: a CPU computes in fp32 or bf16"),
        (["--engine", "official", "--precision", "bf16"], "computes in fp32, not bf16"),
        (["--engine", "official", "--token-budget", "2048"], "Omit --token-budget"),
    ],
)
def test_options_that_cannot_be_had_are_refused(folder, capsys, options, message):
    assert run_esm2([*arguments("esm2", "a.frames.faa"), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_tokenizer_of_another_model_is_refused(folder, capsys):
    config = dnabert_s.Config(1, 24, 3, 32, 50)
    write_component(folder / "other", dnabert_s.DnabertS(config))
    argv = arguments("dnabert_s", "a.frames.fna")
    argv[argv.index("dnabert_s")] = "other"
    argv[argv.index("--encoder-sha256") + 1] = file_sha256(folder / "other")
    assert embed_task.run_embed(embed_task.DNABERT_S_TASK, None, argv) == 2
    assert "tokenizer.json: 4096 tokens, but the encoder has 50" in capsys.readouterr().err


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
