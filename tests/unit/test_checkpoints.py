"""Parts of unfinished tasks: what is restored, what is refused, and what happens when none can be had."""

import errno
import logging
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from virnucpro.embeddings.store import EmbeddingsWriter, Provenance, read_embeddings
from virnucpro.engine import checkpoints as module
from virnucpro.engine import embed_task
from virnucpro.engine.checkpoints import Checkpoint, Part, PartError, identity_of
from virnucpro.engine.embed import Embeddings, embed
from virnucpro.engine.outputs import Outputs
from virnucpro.files import file_sha256
from virnucpro.models import esm2
from virnucpro.models.component import write_component
from virnucpro.models.in_place import InPlaceESM2
from virnucpro.models.tokenizers import EsmTokenizer
from virnucpro.sequences.no_vector import NOT_FINITE
from virnucpro.task import EXIT_DISK

SHARED = Provenance("esm2", "c" * 64, "", "l" * 64, {"precision": "fp32", "token_budget": 512})
IDENTITY = identity_of(SHARED, ["MKV", "MA"])
RNG = np.random.default_rng(0)


def some_part(*rows, width=4):
    return Part(
        RNG.normal(size=(len(rows), width)).astype(np.float32),
        np.array(rows, np.int64),
        np.arange(len(rows), dtype=np.int64) + 5,
        np.arange(len(rows)) % 2 == 1,
        (np.arange(len(rows)) % 3).astype(np.uint8),
    )


def written(folder, part, identity=IDENTITY):
    folder.mkdir(exist_ok=True)
    before = set(folder.iterdir())
    module.write_part(folder, identity, part)
    (path,) = set(folder.iterdir()) - before
    return path


def test_a_part_comes_back_with_every_fact_of_its_sequences(tmp_path):
    part = some_part(7, 2, 5)
    result = module.read_part(written(tmp_path / "f", part), IDENTITY, 8, 4)
    for name, array in part.arrays().items():
        assert getattr(result, name).tobytes() == array.tobytes(), name


@pytest.mark.parametrize("part", [some_part(0, 1, 2), some_part(0, width=0)])
def test_no_changed_byte_and_no_shorter_file_is_taken(tmp_path, part):
    path = written(tmp_path / "f", part)
    content, width = path.read_bytes(), part.vectors.shape[1]
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        with pytest.raises(PartError):
            module.read_part(path, IDENTITY, 3, width)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(PartError):
            module.read_part(path, IDENTITY, 3, width)
    path.write_bytes(content)
    module.read_part(path, IDENTITY, 3, width)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"numerics": {"precision": "fp16", "token_budget": 512}}, "another numerics"),
        ({"numerics": {"precision": "fp32", "token_budget": 256}}, "another numerics"),
        ({"component_sha256": "d" * 64}, "another component_sha256"),
        ({"tokenizer_sha256": "d" * 64}, "another tokenizer_sha256"),
        ({"library_digest": "d" * 64}, "another library_digest"),
        ({"sequences_sha256": "d" * 64}, "another sequences_sha256"),
    ],
)
def test_a_part_of_another_task_is_not_taken(tmp_path, change, words):
    path = written(tmp_path / "f", some_part(0, 1), IDENTITY | change)
    with pytest.raises(PartError, match=words):
        module.read_part(path, IDENTITY, 2, 4)


def test_the_identity_depends_on_each_sequence_and_their_order():
    lists = [["MKV", "MA"], ["MA", "MKV"], ["MKV"], ["MKVMA"], ["MKV", "MA", ""], ["MK", "VMA"]]
    digests = [identity_of(SHARED, names)["sequences_sha256"] for names in lists]
    assert len(set(digests)) == len(lists)
    assert digests[0] == IDENTITY["sequences_sha256"]


def test_rows_and_widths_that_the_task_does_not_have_are_refused(tmp_path):
    path = written(tmp_path / "f", some_part(0, 5))
    for count, width in [(5, 4), (6, 8)]:
        with pytest.raises(PartError, match="is damaged"):
            module.read_part(path, IDENTITY, count, width)


def embeddings(count=6, width=4):
    return Embeddings(
        np.full((count, width), np.nan, np.float32), np.arange(count), np.zeros(count, np.int64),
        np.zeros(count, bool), np.zeros(count, np.uint8), float("nan"),
    )  # fmt: skip


def fill(result, is_final, *rows):
    for row in rows:
        result.distinct[row] = row
        result.distinct_num_tokens[row] = 100 + row
        result.recomputed[row] = row == 1
        is_final[row] = True


@pytest.fixture
def interval(monkeypatch):
    monkeypatch.setenv(module.INTERVAL_VARIABLE, "0")


def saved(base, *rows):
    """Return a checkpoint of an attempt that has computed and saved some rows, each in a part."""
    checkpoint, result, is_final = Checkpoint(base, IDENTITY), embeddings(), np.zeros(6, bool)
    checkpoint.restore(result, is_final)
    for row in rows:
        fill(result, is_final, row)
        checkpoint.save()
    return checkpoint


def restored(base):
    checkpoint, result, is_final = Checkpoint(base, IDENTITY), embeddings(), np.zeros(6, bool)
    checkpoint.restore(result, is_final)
    assert checkpoint.num_restored == is_final.sum()
    for row in np.flatnonzero(is_final):
        assert (result.distinct[row] == row).all()
        assert result.distinct_num_tokens[row] == 100 + row and result.recomputed[row] == (row == 1)
    return np.flatnonzero(is_final).tolist()


def test_an_attempt_restores_what_those_before_have_saved(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    base = tmp_path / "new" / "parts"
    assert restored(base) == []
    saved(base, 1, 4)
    (folder,) = base.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert restored(base) == [1, 4]
    assert "2 of 6 distinct sequences restored from 2 parts" in caplog.text
    saved(base, 4, 5)  # beside: both may write the same sequence
    assert restored(base) == [1, 4, 5]
    saved(base).remove()
    assert list(base.iterdir()) == []


def test_what_cannot_be_used_is_reported_and_the_rest_restored(tmp_path, caplog):
    checkpoint = saved(tmp_path, 0, 1, 2, 3)
    (folder,) = tmp_path.iterdir()
    by_row = {int(load_file(path)["rows"][0]): path for path in folder.iterdir()}
    by_row[0].write_bytes(by_row[0].read_bytes()[:-1])
    content = bytearray(by_row[1].read_bytes())
    content[-3] ^= 4
    by_row[1].write_bytes(content)
    other = IDENTITY | {"numerics": {"precision": "bf16", "token_budget": 512}}
    stranger = written(folder, some_part(5), other)
    foreign = folder / "weights.safetensors"
    save_file({"x": np.zeros(3)}, foreign)
    (folder / "notes.txt").touch()
    (folder / "folder.safetensors").mkdir()
    leftover = folder / f".{'0' * 32}.tmp"
    leftover.write_bytes(content)
    assert restored(tmp_path) == [2, 3]
    messages = caplog.messages
    for path in (by_row[0], by_row[1], stranger, foreign, folder / "notes.txt"):
        assert any(str(path) in message for message in messages), path
    assert any("another task (another numerics)" in message for message in messages)
    assert not any(str(leftover) in message for message in messages)
    checkpoint = saved(tmp_path)
    checkpoint.remove()  # all that are ours
    left = {path.name for path in folder.iterdir()}
    assert left == {stranger.name, "weights.safetensors", "notes.txt", "folder.safetensors"}


def test_a_process_that_ends_first_does_not_disturb_another(tmp_path, caplog):
    checkpoint, result, is_final = Checkpoint(tmp_path, IDENTITY), embeddings(), np.zeros(6, bool)
    checkpoint.restore(result, is_final)
    fill(result, is_final, 2)
    checkpoint.save()
    saved(tmp_path, 3).remove()
    assert list(tmp_path.iterdir()) == []
    fill(result, is_final, 4)
    checkpoint.save()
    assert caplog.messages == [] and restored(tmp_path) == [4]


def test_a_part_is_due_after_the_interval_or_when_it_is_full(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.delenv(module.INTERVAL_VARIABLE, raising=False)
    checkpoint, result, is_final = Checkpoint(tmp_path, IDENTITY), embeddings(), np.zeros(6, bool)
    checkpoint.restore(result, is_final)
    now[0] = 61
    assert not checkpoint.is_due()  # there is nothing to save
    fill(result, is_final, 0)
    assert checkpoint.is_due()
    checkpoint.save()
    fill(result, is_final, 1)
    now[0] = 120
    assert not checkpoint.is_due()
    monkeypatch.setattr(module, "PART_BYTES", 32)
    assert not checkpoint.is_due()
    fill(result, is_final, 2)
    assert checkpoint.is_due()  # two vectors of 16 bytes
    fill(result, is_final, 3, 4)
    checkpoint.save()
    assert checkpoint.num_parts == 3  # of one row, of two, of two
    now[0] = 1000
    fill(result, is_final, 5)
    assert not checkpoint.is_due()  # the output follows at once


@pytest.fixture
def task(tmp_path, monkeypatch):
    """Return what runs an ESM-2 task of 40 frames in a folder and returns its bytes."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    write_component(tmp_path / "esm2", esm2.ESM2(esm2.Config(1, 16, 2)))
    text = "".join(f">f{n}\n{'MKVLAW'[n % 6] * (300 + n)}\n" for n in range(40))
    Path("a.frames.faa").write_text(text)
    argv = ["--frames", "a.frames.faa", "--encoder", "esm2", "--encoder-sha256"]
    argv += [file_sha256(Path("esm2")), "--device", "cpu", "--token-budget", "1024"]

    def run(*options, status=0):
        Path("a.esm2.h5").unlink(missing_ok=True)
        assert embed_task.run_embed(embed_task.ESM2_TASK, None, [*argv, *options]) == status
        return Path("a.esm2.h5").read_bytes() if status == 0 else b""

    return run


class InterruptedRun(Exception):
    """The task is killed."""


def interrupt(monkeypatch, batch):
    forward, seen = InPlaceESM2.__call__, []

    def compute(*arguments):
        seen.append(1)
        if len(seen) == batch:
            raise InterruptedRun
        return forward(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(InPlaceESM2, "__call__", compute)
        yield


def interrupted(task, monkeypatch, batch, *options):
    for _ in interrupt(monkeypatch, batch):
        with pytest.raises(InterruptedRun):
            task(*options)


def stages(caplog):
    return [message for message in caplog.messages if message.startswith("stages")][-1]


def test_a_task_that_fails_saves_what_it_has_computed(task, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv(module.INTERVAL_VARIABLE, "60")
    expected = task()
    interrupted(task, monkeypatch, 10, "--checkpoint-dir", "parts")
    assert len(list(Path("parts").rglob("*.safetensors"))) == 1
    assert task("--checkpoint-dir", "parts") == expected
    assert '"restored": 0' not in stages(caplog)


@pytest.mark.usefixtures("interval")
def test_a_resumed_task_embeds_what_remains_to_the_same_bytes(task, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    expected = task()
    assert '"restored": 0' in stages(caplog) and '"parts": 0' in stages(caplog)
    interrupted(task, monkeypatch, 10, "--checkpoint-dir", "parts")
    interrupted(task, monkeypatch, 2, "--checkpoint-dir", "parts", "--threads", "2")
    assert list(Path("parts").rglob("*.safetensors"))
    assert task("--checkpoint-dir", "parts") == expected
    assert '"restored": 0' not in stages(caplog)
    assert list(Path("parts").rglob("*")) == []


@pytest.mark.usefixtures("interval")
@pytest.mark.parametrize(
    "change", [["--precision", "bf16"], ["--token-budget", "2048"], ["--attention", "reference"]]
)
def test_a_run_with_other_numbers_takes_no_part(task, monkeypatch, caplog, change):
    caplog.set_level(logging.INFO)
    expected = task(*change)
    interrupted(task, monkeypatch, 10, "--checkpoint-dir", "parts")
    before = sorted(Path("parts").rglob("*.safetensors"))
    assert before
    assert task(*change, "--checkpoint-dir", "parts") == expected
    assert '"restored": 0' in stages(caplog)
    assert sorted(Path("parts").rglob("*.safetensors")) == before  # for the run that they are of


@pytest.mark.usefixtures("interval")
def test_sequences_that_overflowed_are_saved_and_counted(task, monkeypatch, caplog):
    """Of sequences with an even number of tokens the vectors are not finite in bf16."""
    caplog.set_level(logging.INFO)
    pool = esm2.ESM2.pool
    computed = []

    def overflow(self, hidden, batch):
        vectors = pool(self, hidden, batch)
        if self.dtype == torch.bfloat16:
            vectors[batch.cu_seqlens.diff() % 2 == 0] = float("inf")
        else:
            computed.append(len(vectors))
            if len(computed) == stop_at:
                raise InterruptedRun
        return vectors

    monkeypatch.setattr(esm2.ESM2, "pool", overflow)
    stop_at = 0
    expected = task("--precision", "bf16")
    num_recomputed = read_embeddings(Path("a.esm2.h5"))[2].num_recomputed
    assert num_recomputed == 20 and len(computed) == 4  # batches of up to 6
    computed.clear()
    stop_at = 4
    with pytest.raises(InterruptedRun):
        task("--precision", "bf16", "--checkpoint-dir", "parts")
    computed.clear()
    stop_at = 0
    assert task("--precision", "bf16", "--checkpoint-dir", "parts") == expected
    assert sum(computed) < num_recomputed  # some of them were in the parts
    assert f'"recomputed": {num_recomputed}' in stages(caplog)


def test_what_is_known_to_have_no_vector_is_restored_but_for_a_strict_task(tmp_path):
    def start(*, strict):
        model, tokenizer = esm2.ESM2(esm2.Config(1, 16, 2)).eval(), EsmTokenizer(esm2.ALPHABET)
        with Outputs([], SHARED, Checkpoint(tmp_path, IDENTITY)) as sink:
            return embed(model, tokenizer, ["MKV", "MA", "ML"], 64, sink=sink, strict=strict)

    before = embeddings(count=3, width=16)
    checkpoint, is_final = Checkpoint(tmp_path, IDENTITY), np.zeros(3, bool)
    checkpoint.restore(before, is_final)
    fill(before, is_final, 0, 2)
    before.distinct[0], before.no_vector[0] = np.nan, NOT_FINITE
    checkpoint.save()
    result = start(strict=False)
    assert result.no_vector.tolist() == [NOT_FINITE, 0, 0]
    assert np.isfinite(result.distinct).all(axis=1).tolist() == [False, True, True]
    result = start(strict=True)
    assert not result.no_vector.any() and np.isfinite(result.distinct).all()
    assert result.distinct[2].tolist() == [2] * 16  # restored


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("interval")
def test_a_full_disk_ends_checkpoints_in_one_line_and_not_the_task(task, monkeypatch, caplog):
    expected = task()
    monkeypatch.setattr(module, "save_file", full_disk)
    assert task("--checkpoint-dir", "parts") == expected
    lines = [message for message in caplog.messages if "checkpoints" in message]
    assert len(lines) == 1 and "No space left on device): continuing without" in lines[0]
    assert list(Path("parts").rglob("*")) == []
    monkeypatch.setattr(EmbeddingsWriter, "write", full_disk)
    task("--checkpoint-dir", "parts", status=EXIT_DISK)  # the output itself


def test_a_folder_that_cannot_be_used_is_one_line(task, caplog):
    expected = task()
    Path("file").touch()
    assert task("--checkpoint-dir", "file/parts") == expected
    assert [m for m in caplog.messages if "checkpoint" in m] == [
        f"checkpoints: --checkpoint_dir {Path('file/parts').absolute()}: Not a directory: "
        "continuing without"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_parts_of_another_user_are_not_taken(tmp_path, caplog):
    saved(tmp_path, 1)
    (folder,) = tmp_path.iterdir()
    os.chown(folder, 54321, 54321)
    assert restored(tmp_path) == []
    assert f"{folder} belongs to another user" in caplog.text
    saved(tmp_path, 2)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.usefixtures("interval")
def test_a_budget_that_memory_forced_has_parts_of_its_own(task, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    forward = InPlaceESM2.__call__
    expected = task("--token-budget", "1024")

    def compute(self, ids, batch):
        if len(ids) > 1024:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, ids, batch)

    interrupted(task, monkeypatch, 10, "--checkpoint-dir", "parts", "--token-budget", "1024")
    monkeypatch.setattr(InPlaceESM2, "__call__", compute)
    assert task("--checkpoint-dir", "parts", "--token-budget", "2048") == expected
    assert '"restored": 0' not in stages(caplog)
    assert list(Path("parts").rglob("*")) == []


@pytest.mark.usefixtures("interval")
def test_parts_are_written_by_the_thread_that_writes_the_output(task, monkeypatch):
    """So that computing never waits for a part."""
    names, write_part = set(), module.write_part

    def note(*arguments):
        names.add(threading.current_thread().name.split("_")[0])
        write_part(*arguments)

    monkeypatch.setattr(module, "write_part", note)
    task("--checkpoint-dir", "parts")
    assert names == {"write"}
