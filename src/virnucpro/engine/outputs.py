"""Writes the HDF5 files of a task in one thread, while the next batches are computed.

    main thread     batch 7 fetched | batch 8 fetched | ...
    writer thread   collect and write rows 0-2047 of a.h5 | rows 2048-... | rename to a.h5

Blocks of rows are written in the order of the files, each as soon as all of its vectors are final.
Between them the same thread writes the parts of a checkpoint.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from virnucpro.embeddings.store import EmbeddingsWriter, Provenance
from virnucpro.engine.checkpoints import Checkpoint
from virnucpro.engine.embed import Embeddings
from virnucpro.errors import InputError

BLOCK_ROWS = 2048  # 20 MB of ESM-2 3B
PENDING_BLOCKS = 64  # a writer this far behind is waited for; a pending block has no vectors yet


@dataclass(frozen=True)
class Output:
    """One file to write: where, the ids of its sequences, and the frame file they are from."""

    path: Path
    ids: Sequence[str]
    frames_sha256: str = ""


@dataclass(frozen=True)
class _Block:
    """Rows `first` to `stop` - 1 of a file; the files before it have `offset` sequences."""

    output: Output
    offset: int
    first: int
    stop: int

    @property
    def sequences(self) -> slice:
        """Return which of all sequences the rows are."""
        return slice(self.offset + self.first, self.offset + self.stop)


class Outputs:
    """A context manager to be called with the embeddings so far: writes the blocks that are final.

    Its exit waits for the writer; after an error, also one of the writer, it drops pending blocks,
    removes the unfinished file and saves what is computed.

    Attributes:
        write_s: seconds that the thread wrote.
        waited_s: seconds that callers waited for it.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        provenance: Provenance,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Take the files in order, and what is the same in all; counts are filled in."""
        self._checkpoint = checkpoint
        self._saving: Future[None] | None = None
        self.write_s = self.waited_s = 0.0
        self._blocks = _blocks(outputs)
        self._next = next(self._blocks, None)
        self._provenance = provenance
        self._pending: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(1, "write")
        # Only the writer thread uses these, until the pool is shut down.
        self._file: EmbeddingsWriter | None = None
        self._is_broken = False

    def restore(self, embeddings: Embeddings, is_final: np.ndarray) -> None:
        """Fill in the vectors that the checkpoint has, and mark their rows final."""
        if self._checkpoint:
            self._checkpoint.restore(embeddings, is_final)

    def __call__(self, embeddings: Embeddings, is_final: np.ndarray) -> None:
        """Submit the next blocks, as far as all of their rows are final.

        Args:
            is_final: bool [m], of the distinct sequences.

        Raises: what writing an earlier block raised.
        """
        while self._pending and self._pending[0].done():
            self._wait()
        while self._next and is_final[embeddings.row_of[self._next.sequences]].all():
            if len(self._pending) >= PENDING_BLOCKS:
                self._wait()
            self._pending.append(self._pool.submit(self._write, self._next, embeddings))
            self._next = next(self._blocks, None)
        if self._saving and self._saving.done():
            self._saving.result()
            self._saving = None
        if self._checkpoint and not self._saving and self._checkpoint.is_due():
            self._saving = self._pool.submit(self._checkpoint.save)

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
                self._file.discard()
            # the input's fault would come again; after any other error there may be a next attempt
            if kind and not issubclass(kind, InputError) and self._checkpoint:
                self._checkpoint.save()

    def _wait(self) -> None:
        start = time.perf_counter()
        self._pending.popleft().result()
        self.waited_s += time.perf_counter() - start

    def _write(self, block: _Block, embeddings: Embeddings) -> None:
        """Write a block; after the last one of a file, finish it. After an error, do nothing."""
        if self._is_broken:
            return
        self._is_broken = True
        start = time.perf_counter()
        path, ids = block.output.path, block.output.ids
        if block.first == 0:
            self._file = EmbeddingsWriter(path, ids, embeddings.distinct.shape[1])
        assert self._file, "the first block of a file opens it"
        rows = embeddings.row_of[block.sequences]
        self._file.write(block.first, embeddings.distinct[rows])
        if block.stop == len(ids):
            rows = embeddings.row_of[block.offset : block.offset + len(ids)]
            provenance = replace(
                self._provenance,
                num_tokens=int(embeddings.distinct_num_tokens[rows].sum()),
                num_recomputed=int(embeddings.recomputed[rows].sum()),
                frames_sha256=block.output.frames_sha256,
            )
            self._file.finish(provenance, embeddings.no_vector[rows])
            self._file = None
        self.write_s += time.perf_counter() - start
        self._is_broken = False


def _blocks(outputs: Sequence[Output]) -> Iterator[_Block]:
    """Yield the blocks of all files, at least one of each."""
    offset = 0
    for output in outputs:
        count = len(output.ids)
        for first in range(0, max(count, 1), BLOCK_ROWS):
            yield _Block(output, offset, first, min(first + BLOCK_ROWS, count))
        offset += count
