"""Writes a task's HDF5 files by one thread, while the next batches are computed.

    main thread     batch 7 fetched | batch 8 fetched | ...
    writer thread   gather and write rows 0 to 2047 of a.h5 | rows 2048 to ... | a.h5 gets its name

Blocks of rows are written in the order of the files, each as soon as all of its vectors are final.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from virnucpro.embeddings.store import EmbeddingsFile, Provenance
from virnucpro.engine.embed import Embeddings

BLOCK_ROWS = 2048  # 20 MB of ESM-2 3B
PENDING_BLOCKS = 64  # a writer this far behind is waited for; a pending block holds no vectors


@dataclass(frozen=True)
class Output:
    """One file to write: where, and the ids of its sequences."""

    path: Path
    ids: Sequence[str]


@dataclass(frozen=True)
class _Block:
    """Rows `first` to `stop` - 1 of a file; `offset` sequences lie in the files before it."""

    output: Output
    offset: int
    first: int
    stop: int

    @property
    def sequences(self) -> slice:
        """Return which of all sequences they are."""
        return slice(self.offset + self.first, self.offset + self.stop)


class Outputs:
    """A context: called with embeddings as they grow, it has the blocks that are ready written.

    Leaving it waits for the writer; leaving it by an error, the writer's own too, drops what waits
    and removes the unfinished file.

    Attributes:
        write_s: seconds that the thread wrote.
        waited_s: seconds that something waited for it.
    """

    def __init__(self, outputs: Sequence[Output], provenance: Provenance) -> None:
        """Take the files in order, and what is the same in all; counts are filled in."""
        self.write_s = self.waited_s = 0.0
        self._blocks = _blocks(outputs)
        self._next = next(self._blocks, None)
        self._provenance = provenance
        self._pending: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(1, "write")
        # The writer thread's until the pool is shut down:
        self._file: EmbeddingsFile | None = None
        self._is_broken = False

    def __call__(self, found: Embeddings, is_final: np.ndarray) -> None:
        """Hand over every next block whose rows, of the distinct ones, are all final.

        Raises: what writing an earlier block raised.
        """
        while self._pending and self._pending[0].done():
            self._wait()
        while self._next and is_final[found.row_of[self._next.sequences]].all():
            if len(self._pending) >= PENDING_BLOCKS:
                self._wait()
            self._pending.append(self._pool.submit(self._write, self._next, found))
            self._next = next(self._blocks, None)

    def __enter__(self) -> "Outputs":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the writer. Raises: what writing raised, unless there is an error already."""
        try:
            while self._pending and not kind:
                self._wait()
        finally:
            self._pool.shutdown(cancel_futures=True)
            if self._file:
                self._file.give_up()

    def _wait(self) -> None:
        start = time.perf_counter()
        self._pending.popleft().result()
        self.waited_s += time.perf_counter() - start

    def _write(self, block: _Block, found: Embeddings) -> None:
        """Write a block; with the last one of its file, finish that. After an error, do nothing."""
        if self._is_broken:
            return
        self._is_broken = True
        start = time.perf_counter()
        path, ids = block.output.path, block.output.ids
        if block.first == 0:
            self._file = EmbeddingsFile(path, ids, found.distinct.shape[1])
        assert self._file, "the first block of a file opens it"
        self._file.write(block.first, found.distinct[found.row_of[block.sequences]])
        if block.stop == len(ids):
            rows = found.row_of[block.offset : block.offset + len(ids)]
            provenance = replace(
                self._provenance,
                num_tokens=int(found.distinct_num_tokens[rows].sum()),
                num_recomputed=int(found.recomputed[rows].sum()),
            )
            self._file.finish(provenance)
            self._file = None
        self.write_s += time.perf_counter() - start
        self._is_broken = False


def _blocks(outputs: Sequence[Output]) -> Iterator[_Block]:
    """Yield the blocks of all files, one at least of each."""
    offset = 0
    for output in outputs:
        count = len(output.ids)
        for first in range(0, max(count, 1), BLOCK_ROWS):
            yield _Block(output, offset, first, min(first + BLOCK_ROWS, count))
        offset += count
