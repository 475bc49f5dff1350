"""Sequences in, one vector each out: distinct sequences, batches that fit, a runner, vectors.

A sequence without a vector (not finite even in float32, too long for the GPU) need not fail the
others: its row is NaN, and `no_vector` says why.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, replace
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
from virnucpro.sequences.no_vector import HAS_VECTOR, NOT_FINITE, TOO_LONG_FOR_GPU

PROGRESS_INTERVAL_S = 10.0
EXACT_TOKEN_BUDGET = 2048  # where half precision overflowed: a few sequences, in float32
# So many sequences whose vectors are not finite, and more than this share of a task's, are a fault
# of the model set, not of the sequences.
MANY_NOT_FINITE, SHARE_NOT_FINITE = 10, 0.01
MAX_NAMED = 20  # sequences that the log names

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Embeddings:
    """What embed returns: m distinct sequences of n.

    Attributes:
        distinct: float32 [m, d].
        row_of: int64 [n], row of each sequence in `distinct`.
        distinct_num_tokens: int64 [m], special tokens included.
        recomputed: bool [m], sequences that overflowed and were computed in float32.
        no_vector: uint8 [m], why a sequence has no vector (sequences/no_vector.py), but NaN.
        gpu_busy: share of the time between the first and the last batch that the GPU computed;
            nan on a CPU.
    """

    distinct: np.ndarray
    row_of: np.ndarray
    distinct_num_tokens: np.ndarray
    recomputed: np.ndarray
    no_vector: np.ndarray
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
    write: Callable[[Engine], AbstractContextManager[Sink]] | None = None, *, strict: bool = True,
) -> tuple[Embeddings, Engine]:  # fmt: skip
    """Embed; when GPU memory runs out, start again with batches of half the tokens.

    Args:
        write: makes what writes the vectors of an attempt.
        strict: as of embed.
    Returns: the embeddings, and the engine with the budget of all of them.
    Raises: GpuMemoryError when the smallest batch does not fit either; InputError as embed.
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
                    strict=strict,
                )
            return result, engine
        except GpuMemoryError as error:
            if budget < MIN_TOKEN_BUDGET:
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
    strict: bool = True,
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
        strict: raise for a sequence without a vector, instead of noting why it has none.
    Raises: InputError naming a sequence whose vector is not finite even in float32, if strict or
        when there are too many to be its own fault; GpuMemoryError, also as SequenceTooLongError
        naming one, of a GPU that other programs use. If that is not so, a sequence that is too
        long has no vector, and is an InputError if strict.
    """
    distinct, row_of = distinct_sequences(sequences)
    assert exact or model.dtype == torch.float32, "half precision may overflow"
    work = _Work(
        Embeddings(
            np.empty((len(distinct), model.width), np.float32),
            row_of,
            np.zeros(len(distinct), np.int64),
            np.zeros(len(distinct), bool),
            np.zeros(len(distinct), np.uint8),
            float("nan"),
        ),
        np.zeros(len(distinct), bool),
        tokenizer,
        distinct,
        names,
        threads,
        sink or _NoSink(),
        strict=strict,
        is_smallest_budget=token_budget // 2 < MIN_TOKEN_BUDGET,
    )
    work.restore()
    clock = GpuClock()
    work.compute(model, token_budget, clock)
    num_overflowed = np.count_nonzero(~work.is_final)
    if num_overflowed and model.dtype != torch.float32:
        assert exact
        log.info("%d of %d vectors overflowed: computing them in float32",
                 num_overflowed, len(distinct))  # fmt: skip
        work.compute(exact(), EXACT_TOKEN_BUDGET, GpuClock(), is_recomputed=True)
    work.finish()
    return replace(work.result, gpu_busy=clock.busy_share())


@dataclass(frozen=True)
class _Work:
    """The distinct sequences of a task, and what is known of their vectors.

    Attributes:
        is_final: bool [m], sequences that have their vector, or are known to have none.
        is_smallest_budget: smaller batches will not be tried.
    """

    result: Embeddings
    is_final: np.ndarray
    tokenizer: Tokenizer
    distinct: list[str]
    names: Sequence[str] | None
    threads: int
    sink: Sink
    _: KW_ONLY
    strict: bool
    is_smallest_budget: bool

    def restore(self) -> None:
        """Take over what the sink has from before, but for what is an error now."""
        self.sink.restore(self.result, self.is_final)
        if self.strict:
            self.is_final[self.result.no_vector != HAS_VECTOR] = False
            self.result.no_vector[:] = HAS_VECTOR

    def compute(
        self, model: Model, token_budget: int, clock: GpuClock, *, is_recomputed: bool = False
    ) -> None:
        """Compute what is not final; where a vector is not finite, it stays so."""
        progress = _Progress(int(np.count_nonzero(~self.is_final)))
        for batch, vectors in self._batches(model, token_budget, clock):
            is_finite = np.isfinite(vectors).all(axis=1)
            self.result.distinct[batch.rows] = vectors
            self.result.distinct_num_tokens[batch.rows] = batch.lengths
            self.result.recomputed[batch.rows] = is_finite & is_recomputed
            has_reason = self.result.no_vector[batch.rows] != HAS_VECTOR
            self.is_final[batch.rows] = is_finite | has_reason
            progress.add(batch)
            self.sink(self.result, self.is_final)

    def finish(self) -> None:
        """Note which vectors are not finite in float32 either, if that is a fault of theirs.

        Raises: InputError if it is not, or if strict.
        """
        rows = np.flatnonzero(~self.is_final)
        self.result.no_vector[rows] = NOT_FINITE
        num_rows = np.count_nonzero(self.result.no_vector == NOT_FINITE)  # restored ones, too
        num_all = len(self.distinct)
        is_many = num_rows >= MANY_NOT_FINITE and num_rows > SHARE_NOT_FINITE * num_all
        if len(rows) and (self.strict or is_many or num_rows == num_all):
            raise InputError(
                f"sequence {self._name(rows[0])}: its vector is not finite, in float32 either "
                f"({num_rows} such sequences of {num_all}). It is empty, or the model set is "
                "damaged."
            )
        for row in rows[:MAX_NAMED]:
            log.warning(
                "sequence %s: its vector is not finite, in float32 either: left out (%d such "
                "sequences of %d)", self._name(row), num_rows, num_all,
            )  # fmt: skip
        self.result.distinct[rows] = np.nan
        self.is_final[rows] = True
        self.sink(self.result, self.is_final)

    def _batches(
        self, model: Model, token_budget: int, clock: GpuClock
    ) -> Iterator[tuple[Batch, np.ndarray]]:
        """Yield batches of what is not final, with their vectors.

        A sequence that does not fit into GPU memory beside others is tried alone; then it has no
        vector.
        """
        is_left = ~self.is_final
        while is_left.any():
            rows = np.flatnonzero(is_left).tolist()
            batches = token_batches(self.tokenizer, self.distinct, token_budget, rows)
            try:
                for batch, vectors in self._run(model, batches, clock):
                    is_left[batch.rows] = False
                    yield batch, vectors
                return
            except BatchMemoryError as error:
                if error.batch.lengths[-1] <= token_budget:
                    raise
                alone = error.batch
            # not above, where the error still holds the tensors of its batch
            torch.cuda.empty_cache()
            is_left[alone.rows] = False
            try:
                yield from self._run(model, iter([alone]), clock)
            except BatchMemoryError as error:
                self._note_too_long(alone, error, model)
                yield alone, np.full((1, model.width), np.nan, np.float32)

    def _note_too_long(self, batch: Batch, error: BatchMemoryError, model: Model) -> None:
        """Note that the sequence of a batch has no vector, since it is too long for the GPU.

        Raises: SequenceTooLongError if more memory can be had; InputError if strict.
        """
        text = f"sequence {self._name(batch.rows[-1])}, {batch.lengths[-1]} tokens: {error}"
        if not self.is_smallest_budget or is_shared(model.device):  # smaller ones have less filler
            raise SequenceTooLongError(text) from error
        if self.strict:
            raise InputError(
                f"{text} A sequence cannot be split: take a GPU with more memory or --device cpu, "
                "or omit it."
            ) from error
        log.warning("%s It is left out.", text)
        self.result.no_vector[batch.rows] = TOO_LONG_FOR_GPU

    def _run(
        self, model: Model, batches: Iterator[Batch], clock: GpuClock
    ) -> Iterator[tuple[Batch, np.ndarray]]:
        if model.device.type == "cuda":
            return run_on_gpu(model, batches, self.tokenizer.filler_id, clock)
        return run_on_cpu(model, batches, self.tokenizer.filler_id, self.threads)

    def _name(self, row: int) -> str:
        """Return the name of the first sequence of a distinct row."""
        first = int(np.flatnonzero(self.result.row_of == row)[0])
        return self.names[first] if self.names else f"number {first + 1}"


def distinct_sequences(sequences: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the m distinct sequences by first occurrence, and int64 [n], the row of each of n."""
    rows: dict[str, int] = {}
    row_of = np.array([rows.setdefault(s, len(rows)) for s in sequences], dtype=np.int64)
    return list(rows), row_of


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
