"""Distinct sequences to batches of tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from virnucpro.models.packing import PackedBatch, pack, packed_batch
from virnucpro.models.tokenizers import Ids, Tokenizer

WINDOW = 8192  # sequences that are tokenised and packed together


@dataclass(frozen=True)
class Batch:
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
        """Return the tokens of each sequence."""
        return [len(ids) for ids in self.ids]

    def on_host(self, filler_id: int) -> tuple[Tensor, PackedBatch]:
        """Return the token ids int64 [T], and where each sequence is among them."""
        ids = np.full(self.num_tokens, filler_id, dtype=np.int64)
        np.concatenate(self.ids, out=ids[: sum(self.lengths)])
        return torch.from_numpy(ids), packed_batch(self.lengths, self.num_tokens)


def token_batches(
    tokenizer: Tokenizer,
    sequences: list[str],
    token_budget: int,
    chosen: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """Yield sequences in batches; the last, emptiest one of a window waits for the next.

    Args:
        chosen: which of the sequences, by row; default: all.
    """
    rows: list[int] = []
    ids: list[Ids] = []
    chosen = range(len(sequences)) if chosen is None else chosen
    for start in range(0, len(chosen), WINDOW):
        window = chosen[start : start + WINDOW]
        rows += window
        ids += tokenizer.encode([sequences[row] for row in window])
        plans = pack([len(part) for part in ids], token_budget)
        waiting = plans.pop().members if start + WINDOW < len(chosen) else ()
        for plan in plans:
            members = plan.members
            yield Batch([rows[i] for i in members], [ids[i] for i in members], plan.num_tokens)
        rows, ids = [rows[i] for i in waiting], [ids[i] for i in waiting]
