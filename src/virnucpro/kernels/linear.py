"""Matrix products with GELU or gated GELU in their epilogue, for GPUs with the tensor copy engine.

A separate pass over the hidden layer of the feed-forward block would cost 5 % of the time. The
kernel is persistent: one program a multiprocessor goes through tiles of the output, and loads of
the next tile overlap with the epilogue of the last. An output row is summed in one order, whatever
the number of rows.
"""

import functools

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from virnucpro.kernels.activation import gelu

# 128 x 256 tiles of 64 columns, three in flight: of 20 shapes the fastest on an H100
BLOCK_M, BLOCK_N, BLOCK_K = 128, 256, 64
HALF_N = BLOCK_N // 2
NUM_WARPS, NUM_STAGES = 8, 3
GROUP_M = 8  # rows of tiles that share their columns of the weight in the L2 cache


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return GELU(x weight' + bias) [T, N] of x [T, K] and weight [N, K], both half."""
    return _launch(x, weight, bias, weight.shape[0])


def linear_geglu(x: Tensor, weight: Tensor) -> Tensor:
    """Return GELU(x gate') * (x value') [T, N / 2]; weight [N, K] comes from interleave."""
    return _launch(x, weight, None, weight.shape[0] // 2)


def interleave(weight: Tensor) -> Tensor:
    """Return gate and value rows [2 * I, K] in alternating blocks of HALF_N rows, gate first.

    So a tile of the product has both halves that the gated GELU multiplies. I must be a multiple
    of HALF_N.
    """
    gate, value = (part.unflatten(0, (-1, HALF_N)) for part in weight.chunk(2))
    return torch.stack([gate, value], 1).flatten(0, 2)


def _launch(x: Tensor, weight: Tensor, bias: Tensor | None, out_width: int) -> Tensor:
    rows, inner = x.shape
    width = weight.shape[0]
    out = torch.empty(rows, out_width, dtype=x.dtype, device=x.device)
    tiles = triton.cdiv(rows, BLOCK_M) * triton.cdiv(width, BLOCK_N)
    _linear[(min(_multiprocessors(x.device), tiles),)](
        TensorDescriptor.from_tensor(x, [BLOCK_M, BLOCK_K]),
        TensorDescriptor.from_tensor(weight, [BLOCK_N, BLOCK_K]),
        TensorDescriptor.from_tensor(out, [BLOCK_M, HALF_N]),
        x if bias is None else bias,
        rows,
        width,
        inner,
        gated=bias is None,
        block_m=BLOCK_M,
        block_n=BLOCK_N,
        block_k=BLOCK_K,
        group_m=GROUP_M,
        num_warps=NUM_WARPS,
        num_stages=NUM_STAGES,
    )
    return out


@functools.lru_cache
def _multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


@triton.jit
def _linear(
    x, weight, out, bias, rows, width, inner,
    gated: tl.constexpr, block_m: tl.constexpr, block_n: tl.constexpr, block_k: tl.constexpr,
    group_m: tl.constexpr,
):  # fmt: skip
    half: tl.constexpr = block_n // 2
    tiles_m = tl.cdiv(rows, block_m)
    tiles_n = tl.cdiv(width, block_n)
    for tile in tl.range(tl.program_id(0), tiles_m * tiles_n, tl.num_programs(0), flatten=True):
        group = tile // (group_m * tiles_n)
        size = min(tiles_m - group * group_m, group_m)
        index = tile % (group_m * tiles_n)
        row = (group * group_m + index % size) * block_m
        column = index // size * block_n
        total = tl.zeros([block_m, block_n], tl.float32)
        for k in range(0, inner, block_k):
            total = tl.dot(x.load([row, k]), weight.load([column, k]).T, total)
        # both halves of the columns: [M, 2, N / 2] -> [M, N / 2] twice
        left, right = tl.split(tl.permute(tl.reshape(total, [block_m, 2, half]), [0, 2, 1]))
        if gated:
            result = gelu(left) * right
            out.store([row, column // 2], result.to(out.dtype))
        else:
            columns = column + tl.arange(0, half)
            left += tl.load(bias + columns, columns < width, 0.0).to(tl.float32)[None, :]
            out.store([row, column], gelu(left).to(out.dtype))
            columns += half
            right += tl.load(bias + columns, columns < width, 0.0).to(tl.float32)[None, :]
            out.store([row, column + half], gelu(right).to(out.dtype))
