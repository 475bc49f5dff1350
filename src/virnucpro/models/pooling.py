"""Means over the tokens of each sequence of a packed batch."""

import torch
from torch import Tensor


def mean_of_spans(x: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Return the float32 [B, D] means of rows starts[b] to ends[b] - 1 of x [T, D].

    Spans ascend without overlap. Each mean adds its rows one after the other, so it depends on
    nothing but them; torch's sum and mean choose their order by the shape of the whole tensor.
    A span without rows has NaN.
    """
    # Segments: before the first span, span, gap, span, ...; every second one is kept.
    bounds = torch.stack([starts, ends], 1).flatten().long()
    sums = torch.segment_reduce(x.float(), "sum", offsets=bounds, unsafe=True)[::2]  # [B, D]
    return sums / (ends - starts)[:, None]
