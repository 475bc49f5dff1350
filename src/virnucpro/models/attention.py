"""Self-attention inside each sequence of a packed batch: the one place where back ends live.

Today there is one, torch's dense scaled_dot_product_attention on each run of equally long
sequences: no padding, and what is computed depends on a sequence's own length only.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from virnucpro.engine.packing import PackedBatch

BACKEND = "sdpa"
# The flash kernel splits longer sequences over blocks when there are few, and then adds in another
# order: such sequences go one by one, so that how many there are cannot matter.
MAX_SHARED_LENGTH = 256


# T tokens of a packed batch, H heads, K = D / H, N sequences of length L in a run
def attend(q: Tensor, k: Tensor, v: Tensor, batch: PackedBatch, bias: Tensor | None) -> Tensor:
    """Return softmax(q k' / sqrt(K) + bias) v within each sequence; zeros for filler.

    Args:
        q: queries [T, H, K]; likewise k and v.
        batch: where the sequences lie.
        bias: [H, S, S] with S >= max_seqlen, in the type of q; [h, i, j] is added to the score of
            tokens i and j of every sequence. None: no bias.
    Returns: [T, H * K]
    """
    parts = []
    for run in batch.runs:
        count = 1 if run.length > MAX_SHARED_LENGTH else run.count
        mask = None if bias is None else bias[None, :, : run.length, : run.length]
        for start in range(run.first_token, run.end, count * run.length):
            rows = slice(start, start + count * run.length)
            out = F.scaled_dot_product_attention(
                _heads_first(q[rows], run.length),
                _heads_first(k[rows], run.length),
                _heads_first(v[rows], run.length),
                attn_mask=mask,
            )  # [N, H, L, K]
            parts.append(out.transpose(1, 2).reshape(count * run.length, -1))
    filler = batch.num_tokens - batch.runs[-1].end
    if filler:
        parts.append(parts[0].new_zeros(filler, parts[0].shape[1]))
    return torch.cat(parts)


def _heads_first(x: Tensor, length: int) -> Tensor:
    """Return [N * L, H, K] as [N, H, L, K]."""
    return x.unflatten(0, (-1, length)).transpose(1, 2)
