"""How embed streams: windows, order, fill, threads that prepare, rows of duplicates."""

import logging
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from virnucpro.engine import batches as batches_module
from virnucpro.engine import runners
from virnucpro.engine.batches import token_batches
from virnucpro.engine.embed import Embeddings, embed
from virnucpro.models import esm2
from virnucpro.models.tokenizers import EsmTokenizer

TOKENIZER = EsmTokenizer(esm2.ALPHABET)
BUDGET = 512


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return esm2.ESM2(esm2.Config(1, 32, 2)).eval()


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(3)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    return ["".join(rng.choice(letters, n)) for n in rng.integers(20, 120, 300)]


def fill_of(text):
    return float(re.findall(r"batches ([\d.]+) % full", text)[-1])


@pytest.mark.parametrize("window", [1, 7, 64])
def test_windows_change_neither_bytes_nor_order(model, sequences, monkeypatch, caplog, window):
    expected = embed(model, TOKENIZER, sequences, BUDGET)
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(batches_module, "WINDOW", window)
    result = embed(model, TOKENIZER, sequences, BUDGET, threads=2)
    assert result.vectors.tobytes() == expected.vectors.tobytes()
    assert result.distinct_num_tokens[result.row_of].tolist() == [len(s) + 2 for s in sequences]
    assert fill_of(caplog.text) > 95  # what does not fill a batch waits for the next window


def test_a_window_that_fills_no_batch_waits(sequences, monkeypatch):
    """7 sequences of about 70 tokens are about 490: most windows fill no batch of 512."""
    monkeypatch.setattr(batches_module, "WINDOW", 7)
    batches = list(token_batches(TOKENIZER, sequences, BUDGET))
    fills = [sum(batch.lengths) / batch.num_tokens for batch in batches]
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(sequences)))
    assert {batch.num_tokens for batch in batches} == {BUDGET}
    assert len(batches) > 40 and np.mean(fills[:-1]) > 0.9
    assert min(fills[:-1]) > 0.75  # only the very last batch may be nearly empty
    for batch in batches:
        assert batch.lengths == [len(sequences[row]) + 2 for row in batch.rows]
        assert batch.lengths == sorted(batch.lengths)


def test_the_fill_that_is_reported_is_of_tokens(model, caplog):
    caplog.set_level(logging.INFO)
    embed(model, TOKENIZER, ["M" * 98, "K" * 98], 400)
    assert fill_of(caplog.text) == 50.0


def test_duplicates_share_a_row(model):
    names = ["MKV", "MA", "MKV", "MKV", "MA", "W"]
    result = embed(model, TOKENIZER, names, BUDGET)
    assert result.row_of.tolist() == [0, 1, 0, 0, 1, 2]
    assert len(result.distinct) == 3 and result.distinct_num_tokens.tolist() == [5, 4, 3]
    assert result.distinct_num_tokens[result.row_of].tolist() == [5, 4, 5, 5, 4, 3]
    assert result.vectors.tobytes() == result.distinct[[0, 1, 0, 0, 1, 2]].tobytes()
    assert np.isnan(result.gpu_busy)
    nothing = np.zeros(0, np.int64)
    assert Embeddings(result.distinct, *[nothing] * 4, 0.0).vectors.shape == (0, 32)


class Failing:
    """A tokenizer that breaks at its third window."""

    filler_id = TOKENIZER.filler_id

    def __init__(self):
        self.windows = 0
        self.threads = set()

    def encode(self, sequences):
        self.windows += 1
        self.threads.add(threading.current_thread().name)
        if self.windows == 3:
            raise ValueError("no token for this")
        return TOKENIZER.encode(sequences)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_the_tokenizer_ends_embed(model, sequences, monkeypatch, threads):
    monkeypatch.setattr(batches_module, "WINDOW", 30)
    tokenizer = Failing()
    with pytest.raises(ValueError, match="no token for this"):
        embed(model, tokenizer, sequences, BUDGET, threads=threads)
    assert tokenizer.windows == 3


def test_an_error_of_the_thread_that_prepares_is_raised(sequences, monkeypatch):
    """On a GPU batches are prepared by another thread, which must not fail in silence."""
    monkeypatch.setattr(batches_module, "WINDOW", 30)
    tokenizer, seen = Failing(), []
    with pytest.raises(ValueError, match="no token for this"):
        for batch in runners._prefetched(token_batches(tokenizer, sequences, BUDGET), 4):
            seen.append(batch)
    assert len(seen) >= 2  # those before it arrive
    assert len(tokenizer.threads) == 1 and "prepare" in tokenizer.threads.pop()


@pytest.mark.parametrize("depth", [1, 4, 50])
def test_what_is_prepared_ahead_keeps_its_order(depth):
    assert list(runners._prefetched(iter(range(20)), depth)) == list(range(20))
    assert list(runners._prefetched(iter(()), depth)) == []


def test_results_come_in_order_whoever_is_first():
    gate = threading.Event()

    def function(item):
        if item == 0:
            assert gate.wait(5)  # the first ends after the second
        gate.set()
        return item

    with ThreadPoolExecutor(2) as pool:
        assert list(runners._mapped_in_order(pool, function, range(6), 4)) == list(range(6))


def test_an_error_of_the_model_ends_embed(model, sequences, monkeypatch):
    def fail(*_):
        raise RuntimeError("a broken product")

    monkeypatch.setattr(model, "pool", fail)
    with pytest.raises(RuntimeError, match="a broken product"):
        embed(model, TOKENIZER, sequences, BUDGET, threads=2)
    assert torch.get_num_threads() >= 1


class FakeEvent:
    """torch.cuda.Event on a clock of one tick an event."""

    ticks = 0

    def __init__(self, **_):
        self.at = None
        self.is_reached = False

    def record(self):
        FakeEvent.ticks += 1
        self.at = FakeEvent.ticks

    def synchronize(self):
        assert self.at, "waited for before it was launched"
        self.is_reached = True

    def elapsed_time(self, other):
        assert other.is_reached, "fetched before it was computed"
        return float(other.at - self.at)


def test_the_loop_for_a_gpu_gives_the_same_vectors(model, sequences, monkeypatch):
    """The loop itself, on a CPU; tests/gpu has the real one."""
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, *_: self)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *shape, pin_memory=False, **o: empty(*shape, **o))
    clock = runners.GpuClock()
    batches = token_batches(TOKENIZER, sequences, BUDGET)
    vectors = np.empty((len(sequences), 32), np.float32)
    before = sys.getswitchinterval()
    for batch, result in runners.run_on_gpu(model, batches, TOKENIZER.filler_id, clock):
        vectors[batch.rows] = result
        assert sys.getswitchinterval() == pytest.approx(runners.THREAD_SWITCH_INTERVAL_S)
    assert sys.getswitchinterval() == before
    assert vectors.tobytes() == embed(model, TOKENIZER, sequences, BUDGET).vectors.tobytes()
    # begin, end, begin, end: of 2 n - 1 ticks n are between a begin and its end
    assert 0.5 < clock.busy_share() < 0.52
