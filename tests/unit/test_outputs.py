"""How a task's files are written while computing: order, waiting, and errors of the writer."""

import threading
from pathlib import Path

import numpy as np
import pytest
from embeddings_file import write_embeddings

from virnucpro.embeddings.store import EmbeddingsWriter, Provenance, read_embeddings
from virnucpro.engine import outputs as outputs_module
from virnucpro.engine.embed import Embeddings
from virnucpro.engine.outputs import Output, Outputs

SHARED = Provenance("esm2", "c" * 64, "", "l" * 64, {"token_budget": 512}, 0, 0)
COUNTS = {"a": 5, "b": 0, "c": 3}
ROW_OF = np.array([0, 1, 2, 1, 3, 4, 0, 5])  # a: 5 sequences, c: 3, whose second is a's first


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outputs_module, "BLOCK_ROWS", 2)


@pytest.fixture
def embeddings():
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    recomputed = np.array([False, False, True, False, False, False])
    no_vector = np.zeros(6, np.uint8)
    return Embeddings(vectors, ROW_OF, np.arange(10, 16), recomputed, no_vector, float("nan"))


def files():
    return [Output(Path(f"{n}.h5"), [f"{n}{i}" for i in range(k)]) for n, k in COUNTS.items()]


def final(*rows):
    is_final = np.zeros(6, bool)
    is_final[list(rows)] = True
    return is_final


def test_files_have_their_rows_and_equal_those_written_in_one_go(embeddings):
    with Outputs(files(), SHARED) as outputs:
        for count in range(7):
            outputs(embeddings, final(*range(count)))
    ids, vectors, provenance = read_embeddings(Path("a.h5"))
    assert ids == ["a0", "a1", "a2", "a3", "a4"]
    assert vectors.tobytes() == embeddings.distinct[[0, 1, 2, 1, 3]].tobytes()
    assert (provenance.num_tokens, provenance.num_recomputed) == (10 + 11 + 12 + 11 + 13, 1)
    assert read_embeddings(Path("b.h5"))[1].shape == (0, 4)
    assert read_embeddings(Path("c.h5"))[1].tobytes() == embeddings.distinct[[4, 0, 5]].tobytes()
    write_embeddings(Path("whole.h5"), ids, vectors, provenance)
    assert Path("whole.h5").read_bytes() == Path("a.h5").read_bytes()


def wait_for(file):
    done = threading.Event()
    for _ in range(500):
        if Path(file).exists():
            return True
        done.wait(0.01)
    return False


def test_a_file_is_written_as_soon_as_its_vectors_are_final_and_no_sooner(embeddings):
    with Outputs(files(), SHARED) as outputs:
        outputs(embeddings, final(1, 2, 3, 4, 5))  # row 0 is in the first block
        assert not outputs._pending
        outputs(embeddings, final(0, 1, 2, 3))
        assert wait_for("b.h5") and Path("a.h5").exists() and not Path("c.h5").exists()
        outputs(embeddings, final(*range(6)))


@pytest.fixture
def gate(monkeypatch):
    """Nothing is written before the gate opens."""
    opened, write = threading.Event(), EmbeddingsWriter.write

    def slow(self, *arguments):
        assert opened.wait(5)
        write(self, *arguments)

    monkeypatch.setattr(EmbeddingsWriter, "write", slow)
    return opened


def test_a_slow_writer_does_not_delay_computing(embeddings, gate):
    with Outputs(files(), SHARED) as outputs:
        outputs(embeddings, final(*range(6)))  # returns though nothing is written
        assert not Path("a.h5").exists() and outputs.waited_s == 0
        gate.set()
    assert Path("c.h5").exists() and outputs.write_s > 0


def test_a_writer_too_far_behind_is_waited_for(embeddings, gate, monkeypatch):
    monkeypatch.setattr(outputs_module, "PENDING_BLOCKS", 2)
    threading.Timer(0.2, gate.set).start()
    with Outputs(files(), SHARED) as outputs:
        outputs(embeddings, final(*range(6)))
        assert outputs.waited_s > 0.1
        assert len(outputs._pending) <= 2


def test_an_error_of_the_writer_is_raised_and_leaves_no_damaged_file(embeddings, monkeypatch):
    write, calls = EmbeddingsWriter.write, []

    def fail(self, first_row, vectors):
        calls.append(first_row)
        if len(calls) == 2:
            raise OSError("No space left on device")
        write(self, first_row, vectors)

    monkeypatch.setattr(EmbeddingsWriter, "write", fail)
    with pytest.raises(OSError, match="No space left"), Outputs(files(), SHARED) as outputs:
        outputs(embeddings, final(*range(6)))
    assert calls == [0, 2]  # nothing after the error
    assert not list(Path().iterdir())


def test_an_error_of_the_writer_stops_computing(embeddings, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(EmbeddingsWriter, "write", fail)
    calls = 0
    with pytest.raises(OSError, match="No space left"), Outputs(files(), SHARED) as outputs:
        for _ in range(500):
            outputs(embeddings, final(0, 1))
            calls += 1
            threading.Event().wait(0.01)
    assert calls < 500


def test_an_error_in_computing_ends_writing_and_is_not_hidden(embeddings):
    with pytest.raises(ValueError, match="a broken product"), Outputs(files(), SHARED) as outputs:
        outputs(embeddings, final(0, 1))
        raise ValueError("a broken product")
    assert not list(Path().iterdir())
