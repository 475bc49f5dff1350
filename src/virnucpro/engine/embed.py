"""Sequences in, one vector each out: tokenise, pack, run the model, pool.

    main thread     launch batch 3 | launch 4 | fetch vectors of 2 | ...
    worker thread   tokenise and pack 5, 6, ...
    GPU             batch 2 | batch 3 | batch 4 ...

On a GPU one thread launches and another prepares; on a CPU each thread computes whole batches.
"""

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from virnucpro.engine.device import GpuMemoryError, SequenceTooLongError, is_out_of_memory
from virnucpro.errors import InputError
from virnucpro.models.dnabert_s import DnabertS
from virnucpro.models.esm2 import ESM2
from virnucpro.models.packing import PackedBatch, pack, packed_batch
from virnucpro.models.tokenizers import Ids, Tokenizer

if TYPE_CHECKING:
    from virnucpro.models.fused import FusedDnabertS, FusedESM2
    from virnucpro.models.in_place import InPlaceDnabertS, InPlaceESM2

PROGRESS_INTERVAL_S = 10.0
WINDOW = 8192  # sequences that are tokenised and packed together
EXACT_TOKEN_BUDGET = 2048  # where half precision overflowed: a few sequences, in float32
PREPARED_BATCHES = 4  # tokenised and packed ahead of the GPU
LAUNCHED_BATCHES = 2  # whose vectors are not fetched yet
# Python lets a thread that computes go on for 5 ms: a thread that launches kernels, which gives the
# interpreter away at each, would wait as long for the one that prepares (1 ms a launch, not 10 us).
SWITCH_INTERVAL_S = 5e-4

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Model(Protocol):
    """What embed needs of a model; ESM2, DnabertS and their faster forms have it."""

    def __call__(self, ids: Tensor, batch: PackedBatch) -> Tensor:
        """Return the hidden states [T, D] of token ids int64 [T]."""

    def pool(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Return float32 [B, D], one vector for each sequence."""


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

    @property
    def num_tokens(self) -> np.ndarray:
        """Return int64 [n], tokens of each sequence, special tokens included."""
        return self.distinct_num_tokens[self.row_of]


# Told after each batch, and at the end: the embeddings so far, and bool [m], which rows are final.
OnRows = Callable[[Embeddings, np.ndarray], None]


def embed(
    model: Model,
    tokenizer: Tokenizer,
    sequences: Sequence[str],
    token_budget: int,
    *,
    names: Sequence[str] | None = None,
    threads: int = 1,
    exact: Callable[[], Model] | None = None,
    on_rows: OnRows | None = None,
) -> Embeddings:
    """Embed each sequence; identical ones once.

    Args:
        model: on its device, in its precision.
        sequences: any number, none included.
        token_budget: tokens of every batch; part of the numerics key.
        names: of the sequences, for messages.
        threads: CPU threads. Each computes whole batches by itself, so that their number cannot
            change how a sum is split.
        exact: makes the float32 model for what half precision cannot hold; a model of half
            precision must have it.
        on_rows: takes vectors as they come.
    Raises: InputError naming a sequence whose vector is not finite even in float32;
        GpuMemoryError, also as SequenceTooLongError naming one.
    """
    rows: dict[str, int] = {}
    row_of = np.array([rows.setdefault(s, len(rows)) for s in sequences], dtype=np.int64)
    distinct = list(rows)
    width, dtype, device = _described(model)
    assert exact or dtype == torch.float32, "half precision may overflow"
    found = Embeddings(
        np.empty((len(distinct), width), np.float32),
        row_of,
        np.zeros(len(distinct), np.int64),
        np.zeros(len(distinct), bool),
        float("nan"),
    )
    is_final = np.zeros(len(distinct), bool)
    tell = on_rows or (lambda *_: None)
    progress = _Progress(len(distinct))
    batches = _batches(tokenizer, distinct, token_budget)
    clock = _GpuClock()
    if device.type == "cuda":
        results = _run_on_gpu(model, device, batches, tokenizer.filler_id, clock)
    else:
        results = _run_on_cpu(model, batches, tokenizer.filler_id, threads)
    try:
        for batch, vectors in results:
            found.distinct[batch.rows] = vectors
            found.distinct_num_tokens[batch.rows] = batch.lengths
            is_final[batch.rows] = np.isfinite(vectors).all(axis=1)
            progress.add(batch)
            tell(found, is_final)
    except _OutOfMemoryError as error:
        text = f"GPU memory ran out at {token_budget} tokens a batch ({error})."
        longest = error.batch.lengths[-1]
        if longest <= token_budget:
            raise GpuMemoryError(text) from error
        name = _name(error.batch.rows[-1], row_of, names)
        raise SequenceTooLongError(f"sequence {name}, {longest} tokens: {text}") from error
    bad = np.flatnonzero(~is_final)
    if len(bad) and dtype == torch.float32:
        raise InputError(
            f"sequence {_name(int(bad[0]), row_of, names)}: its vector is not finite, in float32 "
            f"either ({len(bad)} such sequences). It is empty, or the model set is damaged."
        )
    if len(bad):
        assert exact
        log.info("%d of %d vectors overflowed: computing them in float32", len(bad), len(distinct))
        again = [distinct[row] for row in bad.tolist()]
        first_names = [_name(row, row_of, names) for row in bad.tolist()]
        found.distinct[bad] = embed(
            exact(), tokenizer, again, EXACT_TOKEN_BUDGET, names=first_names, threads=threads
        ).distinct
        found.recomputed[bad] = True
        is_final[bad] = True
    tell(found, is_final)
    return replace(found, gpu_busy=clock.busy_share())


def _name(row: int, row_of: np.ndarray, names: Sequence[str] | None) -> str:
    """Return the name of the first sequence of a distinct row."""
    first = int(np.flatnonzero(row_of == row)[0])
    return names[first] if names else f"number {first + 1}"


@dataclass(frozen=True)
class _Batch:
    """Sequences that are computed together.

    Attributes:
        rows: their rows among the distinct sequences, by ascending length.
        ids: their tokens.
        num_tokens: T, filler included.
    """

    rows: list[int]
    ids: list[Ids]
    num_tokens: int

    @property
    def lengths(self) -> list[int]:
        return [len(ids) for ids in self.ids]

    def on_host(self, filler_id: int) -> tuple[Tensor, PackedBatch]:
        """Return the token ids int64 [T] and where they lie."""
        ids = np.full(self.num_tokens, filler_id, dtype=np.int64)
        np.concatenate(self.ids, out=ids[: sum(self.lengths)])
        return torch.from_numpy(ids), packed_batch(self.lengths, self.num_tokens)


class _OutOfMemoryError(Exception):
    """Memory ran out, and for which batch."""

    def __init__(self, message: str, batch: _Batch) -> None:
        super().__init__(message)
        self.batch = batch


@contextmanager
def _computing(batch: _Batch) -> Iterator[None]:
    """Name the batch when memory runs out.

    Raises: _OutOfMemoryError.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise _OutOfMemoryError(str(error).splitlines()[0], batch) from error


def _batches(tokenizer: Tokenizer, sequences: list[str], token_budget: int) -> Iterator[_Batch]:
    """Yield all sequences in batches; the last, emptiest one of a window waits for the next."""
    rows: list[int] = []
    ids: list[Ids] = []
    for start in range(0, len(sequences), WINDOW):
        window = sequences[start : start + WINDOW]
        rows += range(start, start + len(window))
        ids += tokenizer.encode(window)
        is_last = start + WINDOW >= len(sequences)
        waiting: list[int] = []
        lengths = [len(part) for part in ids]
        plans = pack(lengths, token_budget)
        for plan in plans:
            if plan is plans[-1] and not is_last:
                waiting += plan.members
            else:
                members = plan.members
                yield _Batch([rows[i] for i in members], [ids[i] for i in members], plan.num_tokens)
        rows, ids = [rows[i] for i in waiting], [ids[i] for i in waiting]


def _run_on_gpu(
    model: Model,
    device: torch.device,
    batches: Iterator[_Batch],
    filler_id: int,
    clock: "_GpuClock",
) -> Iterator[tuple[_Batch, np.ndarray]]:
    """Yield each batch with its vectors float32 [B, d], while the next ones are computed."""
    launched: deque[tuple[_Batch, Tensor, torch.cuda.Event, torch.cuda.Event]] = deque()

    def fetch() -> tuple[_Batch, np.ndarray]:
        batch, vectors, begin, end = launched.popleft()
        end.synchronize()
        clock.add(begin, end)
        return batch, vectors.numpy()

    prepared = (
        (batch, ids.pin_memory(), packed.pin_memory())
        for batch in batches
        for ids, packed in [batch.on_host(filler_id)]
    )
    with _short_turns():
        for batch, ids, packed in _ahead(prepared, PREPARED_BATCHES):
            begin = torch.cuda.Event(enable_timing=True)
            begin.record()
            with _computing(batch), torch.inference_mode():
                packed = packed.to(device)
                vectors = model.pool(model(ids.to(device, non_blocking=True), packed), packed)
                host = torch.empty(vectors.shape, pin_memory=True)
                host.copy_(vectors, non_blocking=True)
            end = torch.cuda.Event(enable_timing=True)
            end.record()
            launched.append((batch, host, begin, end))
            if len(launched) > LAUNCHED_BATCHES:
                yield fetch()
        while launched:
            yield fetch()


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let threads change over every SWITCH_INTERVAL_S; before and after, as it was."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class _GpuClock:
    """Adds up how long the GPU computed, from events before and behind each batch."""

    def __init__(self) -> None:
        self._first: torch.cuda.Event | None = None
        self._last: torch.cuda.Event | None = None
        self._busy_ms = 0.0

    def add(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> None:
        """Count a finished batch."""
        self._first = self._first or begin
        self._last = end
        self._busy_ms += begin.elapsed_time(end)

    def busy_share(self) -> float:
        """Return the share of the time from the first event to the last; nan without any."""
        if self._first is None or self._last is None:
            return float("nan")
        return self._busy_ms / self._first.elapsed_time(self._last)


def _run_on_cpu(
    model: Model, batches: Iterator[_Batch], filler_id: int, threads: int
) -> Iterator[tuple[_Batch, np.ndarray]]:
    """Yield each batch with its vectors float32 [B, d]."""

    @torch.inference_mode()
    def compute(batch: _Batch) -> tuple[_Batch, np.ndarray]:
        ids, packed = batch.on_host(filler_id)
        with _computing(batch):
            return batch, model.pool(model(ids, packed), packed).numpy()

    with _single_threaded_workers(threads) as pool:
        yield from _in_order(pool, compute, batches, 2 * threads)


@contextmanager
def _single_threaded_workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool whose workers compute on one thread each; the caller's count comes back."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(max(threads, 1), "embed", torch.set_num_threads, (1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """Yield function(item) in the order of the items, with `depth` of them under way."""
    futures: deque[Future[Result]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) >= max(depth, 1):
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()


def _ahead(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """Yield the items; one thread makes up to `depth` of them in advance."""
    end = object()
    with ThreadPoolExecutor(1, "prepare") as pool:
        futures = deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := futures.popleft().result()) is not end:
            futures.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]


def _described(model: Model) -> tuple[int, torch.dtype, torch.device]:
    """Return width, type and device of a model."""
    if not isinstance(model, (ESM2, DnabertS)):
        form: FusedESM2 | FusedDnabertS | InPlaceESM2 | InPlaceDnabertS
        form = model  # type: ignore[assignment]
        model = form.model
    weight = next(model.parameters())
    return model.config.width, weight.dtype, weight.device


class _Progress:
    """Logs how far the work is, at most every PROGRESS_INTERVAL_S seconds, and at its end."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._tokens = self._budget = 0
        self._start = self._logged = time.monotonic()

    def add(self, batch: _Batch) -> None:
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
