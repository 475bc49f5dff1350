"""Batches of a fixed number of tokens, with sequences end to end and no padding inside.

    tokens   | seq | seq | seq | seq  | seq  | filler |     sorted by length
    runs     |   3 of length 5 |  2 of length 6  |          dense blocks for attention

Every batch has exactly `token_budget` tokens: a matrix product may add in another order when its
number of rows changes, so a constant number keeps a sequence's vector the same bit for bit whatever
its neighbours are. Filler tokens belong to no run: they pass through the linear layers and nothing
else.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

TILE_ROWS = 64  # rows that one program of kernels/attention computes


@dataclass(frozen=True)
class BatchPlan:
    """Which sequences share a batch.

    Attributes:
        members: indices of the sequences, by ascending length, then ascending index.
        num_tokens: tokens of the batch, filler included.
    """

    members: tuple[int, ...]
    num_tokens: int


@dataclass(frozen=True)
class Run:
    """`count` sequences of one `length`, end to end from token `first_token` on."""

    first_token: int
    count: int
    length: int

    @property
    def end(self) -> int:
        """Return the first token after the run."""
        return self.first_token + self.count * self.length


@dataclass(frozen=True)
class PackedBatch:
    """Where the sequences of one batch are; their token ids are passed separately.

    Attributes:
        cu_seqlens: int32 [B + 1], start of each sequence, then the end of the last.
        max_seqlen: longest sequence.
        runs: sequences of equal length, in order; they cover the tokens before the filler.
        positions: int64 [T], position of each token in its sequence; 0 for filler.
        tiles: int32 [N, 3], pieces of up to TILE_ROWS tokens of one sequence, longest sequences
            first: first token of the sequence, its length, first row of the piece in it. Pieces
            of filler have length 0.
    """

    cu_seqlens: Tensor
    max_seqlen: int
    runs: tuple[Run, ...]
    positions: Tensor
    tiles: Tensor

    @property
    def num_tokens(self) -> int:
        """Return T, filler included."""
        return self.positions.shape[0]

    def pin_memory(self) -> "PackedBatch":
        """Return the batch with its tensors in pinned memory, which a GPU copies from by itself."""
        return self._with_tensors(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device) -> "PackedBatch":
        """Return the batch with its tensors on a device."""
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> "PackedBatch":
        return replace(
            self,
            cu_seqlens=change(self.cu_seqlens),
            positions=change(self.positions),
            tiles=change(self.tiles),
        )


def pack(lengths: Sequence[int], token_budget: int) -> list[BatchPlan]:
    """Distribute sequences over batches of `token_budget` tokens; longest first, best fit.

    Args:
        lengths: tokens of each sequence, special tokens included.
        token_budget: tokens of each batch. A longer sequence has a batch of its own, rounded up to
            a multiple of it.
    Returns: a pure function of the arguments; each index occurs once.
    """
    waiting: dict[int, list[int]] = defaultdict(list)
    for member in reversed(range(len(lengths))):
        waiting[lengths[member]].append(member)
    sizes = sorted(waiting)
    plans = []
    while sizes:
        num_tokens = -(-max(sizes[-1], 1) // token_budget) * token_budget
        taken: list[int] = []
        room = num_tokens if sizes[-1] <= token_budget else sizes[-1]
        while (index := bisect_right(sizes, room)) > 0:
            length = sizes[index - 1]
            members = waiting[length]
            count = min(len(members), room // length)
            taken += [members.pop() for _ in range(count)]
            room -= count * length
            if not members:
                del sizes[index - 1]
        taken.sort(key=lambda member: (lengths[member], member))
        plans.append(BatchPlan(tuple(taken), num_tokens))
    return plans


def packed_batch(lengths: Sequence[int], num_tokens: int | None = None) -> PackedBatch:
    """Put sequences of ascending length end to end, then filler.

    Args:
        lengths: tokens of each sequence, ascending, at least one.
        num_tokens: T; default: no filler.
    """
    total = sum(lengths)
    num_tokens = total if num_tokens is None else num_tokens
    assert list(lengths) == sorted(lengths) and lengths[0] > 0, "sequences must be sorted by length"
    assert total <= num_tokens, f"{total} tokens do not fit into {num_tokens}"
    sizes = np.array(lengths)
    cu_seqlens = np.concatenate(([0], np.cumsum(sizes)))
    positions = np.zeros(num_tokens, np.int64)
    positions[:total] = np.arange(total) - np.repeat(cu_seqlens[:-1], sizes)
    return PackedBatch(
        torch.from_numpy(cu_seqlens.astype(np.int32)),
        lengths[-1],
        _runs(lengths),
        torch.from_numpy(positions),
        torch.from_numpy(_tiles(cu_seqlens, num_tokens)),
    )


def _tiles(cu_seqlens: np.ndarray, num_tokens: int) -> np.ndarray:
    """Return int32 [N, 3], as PackedBatch describes them."""
    starts, sizes = cu_seqlens[:-1], np.diff(cu_seqlens)
    counts = -(-sizes // TILE_ROWS)  # of each sequence
    firsts = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    real = np.stack([np.repeat(starts, counts), np.repeat(sizes, counts), firsts * TILE_ROWS], 1)
    filler = np.arange(cu_seqlens[-1], num_tokens, TILE_ROWS)[:, None] * [1, 0, 0]
    return np.concatenate([real[::-1], filler]).astype(np.int32)


def _runs(lengths: Sequence[int]) -> tuple[Run, ...]:
    """Return the runs of equal values."""
    runs: list[Run] = []
    for length in lengths:
        if runs and runs[-1].length == length:
            runs[-1] = Run(runs[-1].first_token, runs[-1].count + 1, length)
        else:
            runs.append(Run(runs[-1].end if runs else 0, 1, length))
    return tuple(runs)
