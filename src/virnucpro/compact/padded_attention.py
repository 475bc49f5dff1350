"""Attention for training: all sequences of a batch at once, padded to the longest, with gradients.

The engine's back ends give a sequence the same bytes whatever its neighbours are; training needs
no such thing, and batches of many lengths in few calls.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from virnucpro.models.attention import Attention, Scheme, alibi, rotation, split_qkv
from virnucpro.models.packing import PackedBatch

HIDDEN = -3e4  # added to the scores of padding; its weight is 0 in any precision


def padded(scheme: Scheme, batch: PackedBatch, dtype: torch.dtype) -> Attention:
    """Return dense attention over [B, L], L the longest sequence; no filler."""
    turn, bias = rotation(scheme, batch), alibi(scheme, batch, torch.float32)
    bounds = batch.cu_seqlens.long()
    lengths, longest = bounds[1:] - bounds[:-1], batch.max_seqlen
    count = len(lengths)
    rows = torch.arange(count, device=lengths.device)
    sequence = torch.repeat_interleave(rows, lengths, output_size=batch.num_tokens)
    where = sequence * longest + batch.positions  # [T], place in the padded layout
    is_padding = torch.arange(longest, device=lengths.device) >= lengths[:, None]
    mask = torch.zeros(count, 1, 1, longest, device=lengths.device)
    mask = mask.masked_fill(is_padding[:, None, None], HIDDEN)
    mask = mask.expand(-1, -1, longest, -1) if bias is None else mask + bias

    def attend(qkv: Tensor) -> Tensor:
        def pad(x: Tensor) -> Tensor:
            """Return [T, H, K] as [B, H, L, K]."""
            out = x.new_zeros(count * longest, *x.shape[1:]).index_copy(0, where, x)
            return out.unflatten(0, (count, longest)).transpose(1, 2)

        q, k, v = split_qkv(qkv, scheme)
        out = F.scaled_dot_product_attention(
            pad(turn(q)), pad(turn(k)), pad(v), attn_mask=mask.to(qkv.dtype)
        )
        return out.transpose(1, 2).flatten(0, 1)[where].flatten(1)

    return attend
