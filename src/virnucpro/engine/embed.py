"""Sequences in, one vector each out: distinct sequences, batches that fit, a runner, vectors."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from virnucpro.engine.batches import Batch, token_batches
from virnucpro.engine.engine import Engine
from virnucpro.engine.memory import (
    GpuMemoryError,
    SequenceTooLongError,
    is_shared,
)
from virnucpro.engine.runners import BatchMemoryError, GpuClock, run_on_cpu, run_on_gpu
from virnucpro.errors import InputError
from virnucpro.models.encoder import Model
from virnucpro.models.options import MIN_TOKEN_BUDGET
from virnucpro.models.tokenizers import Tokenizer

PROGRESS_INTERVAL_S = 10.0
EXACT_TOKEN_BUDGET = 2048  # where half precision overflowed: a few sequences, in float32

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Embeddings:
    """What embed returns: m distinct sequences of n.

    Attributes:
        distinct: float32 [m, d].
        row_of: int64 [n], row of each sequence in `distinct`.
        distinct_num_tokens: int64 [m], special tokens included.
        recomputed: bool [m], sequences that overflowed and were computed in float32.
        gpu_busy: share of the time between the first and the last batch that the GPU computed;
            nan on a CPU.
    """

    distinct: np.ndarray
    row_of: np.ndarray
    distinct_num_tokens: np.ndarray
    recomputed: np.ndarray
    gpu_busy: float

    @property
    def vectors(self) -> np.ndarray:
        """Return float32 [n, d], in the order of the sequences."""
        return self.distinct[self.row_of]


class Sink(Protocol):
    """Takes vectors as they come. `is_final`: bool [m], the distinct rows that have theirs."""

    def restore(self, embeddings: Embeddings, is_final: np.ndarray) -> None:
        """Fill in vectors that are known from before, and mark their rows final."""

    def __call__(self, embeddings: Embeddings, is_final: np.ndarray) -> None:
        """Take the embeddings so far; called after each batch and at the end."""


class _NoSink:
    """Knows nothing and takes nothing."""

    def restore(self, embeddings: Embeddings, is_final: np.ndarray) -> None:
        pass

    def __call__(self, embeddings: Embeddings, is_final: np.ndarray) -> None:
        pass


def embed_within_memory(
    engine: Engine, tokenizer: Tokenizer, sequences: list[str], names: list[str], threads: int,
    write: Callable[[Engine], AbstractContextManager[Sink]] | None = None,
) -> tuple[Embeddings, Engine]:  # fmt: skip
    """Embed; when GPU memory runs out, start again with batches of half the tokens.

    Args:
        write: makes what writes the vectors of an attempt.
    Returns: the embeddings, and the engine with the budget of all of them.
    Raises: GpuMemoryError when the smallest batch does not fit either; InputError when one sequence
        is too long for the GPU, and no other program holds much of its memory.
    """
    while True:
        budget = engine.token_budget // 2
        try:
            with write(engine) if write else nullcontext() as sink:
                result = embed(
                    engine.model,
                    tokenizer,
                    sequences,
                    engine.token_budget,
                    names=names,
                    threads=threads,
                    exact=engine.exact,
                    sink=sink,
                )
            return result, engine
        except GpuMemoryError as error:
            if budget < MIN_TOKEN_BUDGET:
                is_too_long = isinstance(error, SequenceTooLongError)
                if is_too_long and not is_shared(engine.encoder.device):
                    raise InputError(
                        f"{error} A sequence cannot be split: take a GPU with more memory or "
                        "--device cpu, or omit it."
                    ) from error
                raise
            log.warning("%s Starting again with %d tokens a batch.", error, budget)
        # not above, where the error still holds the tensors of its batch
        engine = engine.with_budget(budget)
        torch.cuda.empty_cache()


def embed(
    model: Model,
    tokenizer: Tokenizer,
    sequences: Sequence[str],
    token_budget: int,
    *,
    names: Sequence[str] | None = None,
    threads: int = 1,
    exact: Callable[[], Model] | None = None,
    sink: Sink | None = None,
) -> Embeddings:
    """Embed each sequence; identical ones once, and those that the sink restores not at all.

    Args:
        model: on its device, in its precision.
        sequences: any number, none included.
        token_budget: tokens of every batch; part of the numerics key.
        names: of the sequences, for messages.
        threads: CPU threads. Each computes whole batches by itself, so that their number cannot
            change how a sum is split.
        exact: makes the float32 model for what half precision cannot represent; a model of half
            precision must have it.
        sink: takes vectors as they come.
    Raises: InputError naming a sequence whose vector is not finite even in float32;
        GpuMemoryError, also as SequenceTooLongError naming one.
    """
    distinct, row_of = distinct_sequences(sequences)
    assert exact or model.dtype == torch.float32, "half precision may overflow"
    result = Embeddings(
        np.empty((len(distinct), model.width), np.float32),
        row_of,
        np.zeros(len(distinct), np.int64),
        np.zeros(len(distinct), bool),
        float("nan"),
    )
    is_final = np.zeros(len(distinct), bool)
    sink = sink or _NoSink()
    sink.restore(result, is_final)
    unknown = np.flatnonzero(~is_final).tolist()
    progress = _Progress(len(unknown))
    batches = token_batches(tokenizer, distinct, token_budget, unknown)
    clock = GpuClock()
    if model.device.type == "cuda":
        computed = run_on_gpu(model, batches, tokenizer.filler_id, clock)
    else:
        computed = run_on_cpu(model, batches, tokenizer.filler_id, threads)
    try:
        for batch, vectors in computed:
            result.distinct[batch.rows] = vectors
            result.distinct_num_tokens[batch.rows] = batch.lengths
            is_final[batch.rows] = np.isfinite(vectors).all(axis=1)
            progress.add(batch)
            sink(result, is_final)
    except BatchMemoryError as error:
        longest = error.batch.lengths[-1]
        if longest <= token_budget:
            raise
        name = _name(error.batch.rows[-1], row_of, names)
        raise SequenceTooLongError(f"sequence {name}, {longest} tokens: {error}") from error
    overflowed = np.flatnonzero(~is_final)
    if len(overflowed):
        if model.dtype == torch.float32:
            name = _name(int(overflowed[0]), row_of, names)
            raise InputError(
                f"sequence {name}: its vector is not finite, in float32 either "
                f"({len(overflowed)} such sequences). It is empty, or the model set is damaged."
            )
        assert exact
        log.info("%d of %d vectors overflowed: computing them in float32",
                 len(overflowed), len(distinct))  # fmt: skip
        embed(
            exact(),
            tokenizer,
            [distinct[row] for row in overflowed.tolist()],
            EXACT_TOKEN_BUDGET,
            names=[_name(row, row_of, names) for row in overflowed.tolist()],
            threads=threads,
            sink=_Recomputed(overflowed, result, is_final, sink),
        )
    sink(result, is_final)
    return replace(result, gpu_busy=clock.busy_share())


def distinct_sequences(sequences: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the m distinct sequences by first occurrence, and int64 [n], the row of each of n."""
    rows: dict[str, int] = {}
    row_of = np.array([rows.setdefault(s, len(rows)) for s in sequences], dtype=np.int64)
    return list(rows), row_of


class _Recomputed(_NoSink):
    """Takes the vectors of some rows, in float32, over into the embeddings of all."""

    def __init__(
        self, rows: np.ndarray, result: Embeddings, is_final: np.ndarray, sink: Sink
    ) -> None:
        self._rows, self._result, self._is_final, self._sink = rows, result, is_final, sink

    def __call__(self, embeddings: Embeddings, is_final: np.ndarray) -> None:
        new = is_final & ~self._is_final[self._rows]
        rows = self._rows[new]
        self._result.distinct[rows] = embeddings.distinct[new]
        self._result.recomputed[rows] = True
        self._is_final[rows] = True
        self._sink(self._result, self._is_final)


def _name(row: int, row_of: np.ndarray, names: Sequence[str] | None) -> str:
    """Return the name of the first sequence of a distinct row."""
    first = int(np.flatnonzero(row_of == row)[0])
    return names[first] if names else f"number {first + 1}"


class _Progress:
    """Logs how far the work is, at most every PROGRESS_INTERVAL_S seconds, and at its end."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._tokens = self._budget = 0
        self._start = self._logged = time.monotonic()

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        self._done += len(batch.rows)
        self._tokens += sum(batch.lengths)
        self._budget += batch.num_tokens
        now = time.monotonic()
        if now - self._logged >= PROGRESS_INTERVAL_S or self._done == self._total:
            self._logged = now
            log.info(
                "embedded %d of %d distinct sequences, %.0f tokens/s, batches %.1f %% full",
                self._done,
                self._total,
                self._tokens / max(now - self._start, 1e-9),
                100 * self._tokens / self._budget,
            )
