"""Batches in, vectors out, in the same order: one runner for a GPU, one for a CPU.

    main thread     launch batch 3 | launch 4 | fetch vectors of 2 | ...
    worker thread   tokenise and pack 5, 6, ...
    GPU             batch 2 | batch 3 | batch 4 ...

On a GPU one thread launches and another prepares; on a CPU each thread computes whole batches.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from virnucpro.engine.batches import Batch
from virnucpro.engine.memory import GpuMemoryError, gpu_memory_errors
from virnucpro.models.encoder import Model

PREPARED_BATCHES = 4  # tokenised and packed ahead of the GPU
LAUNCHED_BATCHES = 2  # whose vectors are not fetched yet
# Python lets a thread compute for 5 ms before another one may run. The thread that launches kernels
# releases the interpreter at each launch, and would wait as long for the thread that prepares
# (1 ms a launch, not 10 us).
THREAD_SWITCH_INTERVAL_S = 5e-4

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchMemoryError(GpuMemoryError):
    """GPU memory ran out for a batch."""

    def __init__(self, message: str, batch: Batch) -> None:
        """Take the batch, too."""
        super().__init__(message)
        self.batch = batch


@contextmanager
def _computing(batch: Batch) -> Iterator[None]:
    """Name the batch when GPU memory runs out.

    Raises: BatchMemoryError.
    """
    try:
        with gpu_memory_errors(f" at {batch.num_tokens} tokens a batch"):
            yield
    except GpuMemoryError as error:
        raise BatchMemoryError(str(error), batch) from error


class GpuClock:
    """Adds up how long the GPU computed, from events before and after each batch."""

    def __init__(self) -> None:
        """Start without any batch."""
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


def run_on_gpu(
    model: Model, batches: Iterator[Batch], filler_id: int, clock: GpuClock
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Yield each batch with its vectors float32 [B, D], while the next ones are computed.

    Raises: BatchMemoryError.
    """
    device = model.device
    launched: deque[tuple[Batch, Tensor, torch.cuda.Event, torch.cuda.Event]] = deque()

    def fetch() -> tuple[Batch, np.ndarray]:
        batch, vectors, begin, end = launched.popleft()
        end.synchronize()
        clock.add(begin, end)
        return batch, vectors.numpy()

    prepared = (
        (batch, ids.pin_memory(), packed.pin_memory())
        for batch in batches
        for ids, packed in [batch.on_host(filler_id)]
    )
    with _frequent_thread_switches():
        for batch, ids, packed in _prefetched(prepared, PREPARED_BATCHES):
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
def _frequent_thread_switches() -> Iterator[None]:
    """Let threads switch every THREAD_SWITCH_INTERVAL_S; restore the interval afterwards."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(THREAD_SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _prefetched(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """Yield the items; one thread takes up to `depth` of them in advance."""
    end = object()
    with ThreadPoolExecutor(1, "prepare") as pool:
        futures = deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := futures.popleft().result()) is not end:
            futures.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]


def run_on_cpu(
    model: Model, batches: Iterator[Batch], filler_id: int, threads: int
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Yield each batch with its vectors float32 [B, D].

    Raises: BatchMemoryError.
    """

    @torch.inference_mode()
    def compute(batch: Batch) -> tuple[Batch, np.ndarray]:
        ids, packed = batch.on_host(filler_id)
        with _computing(batch):
            return batch, model.pool(model(ids, packed), packed).numpy()

    with _single_threaded_workers(threads) as pool:
        yield from _mapped_in_order(pool, compute, batches, 2 * threads)


@contextmanager
def _single_threaded_workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool whose workers compute on one thread each; restore the caller's count."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(max(threads, 1), "embed", torch.set_num_threads, (1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def _mapped_in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """Yield function(item) in the order of the items, with up to `depth` of them submitted."""
    futures: deque[Future[Result]] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) >= max(depth, 1):
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()
