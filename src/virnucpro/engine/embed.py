"""Sequences in, one vector each out: tokenise, pack, run the model, pool."""

import copy
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from virnucpro.engine.device import GpuMemoryError
from virnucpro.engine.packing import BatchPlan, pack, packed_batch
from virnucpro.errors import InputError
from virnucpro.models.component import Encoder
from virnucpro.models.tokenizers import Ids, Tokenizer

PROGRESS_INTERVAL_S = 10.0
CUDA_WORKERS = 2  # one prepares its batch while the other's is computed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Embeddings:
    """What embed returns.

    Attributes:
        vectors: float32 [n, d], in the order of the sequences.
        num_tokens: int64 [n], tokens of each sequence, special tokens included.
    """

    vectors: np.ndarray
    num_tokens: np.ndarray


def embed(
    model: Encoder,
    tokenizer: Tokenizer,
    sequences: Sequence[str],
    token_budget: int,
    *,
    names: Sequence[str] | None = None,
    threads: int = 1,
) -> Embeddings:
    """Embed each sequence; identical ones once.

    Args:
        model: on its device, in its precision.
        sequences: any number, none included.
        token_budget: tokens of every batch; part of the numerics key.
        names: of the sequences, for messages.
        threads: CPU threads. Each computes whole batches by itself, so that their number cannot
            change how a sum is split.
    Raises: InputError naming a sequence whose vector is not finite even in float32;
        GpuMemoryError.
    """
    distinct = {sequence: row for row, sequence in enumerate(dict.fromkeys(sequences))}
    tokens = tokenizer.encode(list(distinct))
    lengths = [len(ids) for ids in tokens]
    plans = pack(lengths, token_budget)
    vectors = np.empty((len(tokens), model.config.width), dtype=np.float32)
    progress = _Progress(len(tokens))
    try:
        with _single_threaded_workers(model, min(threads, len(plans))) as pool:
            run = _BatchRunner(model, tokenizer.filler_id, tokens)
            for plan, rows in zip(plans, pool.map(run, plans), strict=True):
                vectors[list(plan.members)] = rows
                progress.add(len(plan.members), sum(lengths[i] for i in plan.members))
    except torch.OutOfMemoryError as error:
        raise GpuMemoryError(
            f"GPU memory ran out at {token_budget} tokens a batch "
            f"({str(error).splitlines()[0]}). Another program may hold it: try again elsewhere."
        ) from error
    rows_of = np.array([distinct[sequence] for sequence in sequences], dtype=np.int64)
    _mend_overflows(model, tokenizer.filler_id, tokens, vectors, token_budget)
    _check_finite(vectors[rows_of], names)
    return Embeddings(vectors[rows_of], np.array(lengths, dtype=np.int64)[rows_of])


class _BatchRunner:
    """Computes the vectors of one batch; safe to call from several threads."""

    def __init__(self, model: Encoder, filler_id: int, tokens: Sequence[Ids]) -> None:
        self._model = model
        self._filler_id = filler_id
        self._tokens = tokens
        self._device = next(model.parameters()).device

    @torch.inference_mode()
    def __call__(self, plan: BatchPlan) -> np.ndarray:
        """Return float32 [B, d], in the order of the plan's members."""
        parts = [self._tokens[i] for i in plan.members]
        batch = packed_batch([len(part) for part in parts], plan.num_tokens)
        ids = np.full(plan.num_tokens, self._filler_id, dtype=np.int64)
        np.concatenate(parts, out=ids[: int(batch.cu_seqlens[-1])])
        batch = batch.to(self._device)
        hidden: Tensor = self._model(torch.from_numpy(ids).to(self._device), batch)
        return self._model.pool(hidden, batch).cpu().numpy()


@contextmanager
def _single_threaded_workers(model: Encoder, threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool whose workers compute on one thread each; the caller's count comes back."""
    if next(model.parameters()).device.type == "cuda":
        threads = CUDA_WORKERS
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(max(threads, 1), "embed", torch.set_num_threads, (1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def _mend_overflows(
    model: Encoder, filler_id: int, tokens: Sequence[Ids], vectors: np.ndarray, token_budget: int
) -> None:
    """Compute, alone and in float32, each vector that half precision could not hold."""
    overflowed = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(overflowed) == 0 or next(model.parameters()).dtype == torch.float32:
        return
    log.info(
        "%d of %d vectors overflowed: computing them in float32", len(overflowed), len(vectors)
    )
    run = _BatchRunner(copy.deepcopy(model).float(), filler_id, tokens)
    for row in overflowed.tolist():
        num_tokens = pack([len(tokens[row])], token_budget)[0].num_tokens
        vectors[row] = run(BatchPlan((row,), num_tokens))[0]


def _check_finite(vectors: np.ndarray, names: Sequence[str] | None) -> None:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        name = names[bad[0]] if names else f"number {bad[0] + 1}"
        raise InputError(
            f"sequence {name}: its vector is not finite, in float32 either ({len(bad)} such "
            "sequences). The sequence is empty or the model set is damaged."
        )


class _Progress:
    """Logs how far the work is, at most every PROGRESS_INTERVAL_S seconds, and at its end."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._tokens = 0
        self._start = self._logged = time.monotonic()

    def add(self, sequences: int, tokens: int) -> None:
        """Count what was done."""
        self._done += sequences
        self._tokens += tokens
        now = time.monotonic()
        if now - self._logged >= PROGRESS_INTERVAL_S or self._done == self._total:
            self._logged = now
            rate = self._tokens / max(now - self._start, 1e-9)
            log.info(
                "embedded %d of %d distinct sequences, %.0f tokens/s",
                self._done,
                self._total,
                rate,
            )
