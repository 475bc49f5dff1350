"""Attention within each sequence of a packed batch, with rotary angles or ALiBi inside.

One program computes the rows of one tile (some tokens of one sequence) for one head. It reads q, k
and v where the qkv product left them, rotates q and k by the rotary angles on the way, and goes
through the keys of the sequence in blocks counted from its first token. So a row depends on its
sequence alone: not on its neighbours, its position or the number of sequences.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

LOG2_E = 1.4426950408889634
MIN_DOT_WIDTH = 16  # the smallest that tl.dot takes
NUM_STAGES = 3  # of 1, 2, 3 the fastest on an H100, for 168 tokens and heads of 64
# Keys of a step. Fewer waste less on frames a little longer than a tile (65 tokens, H100: 0.20 ms
# instead of 0.23), but with angles to compute 64 are faster (168 tokens: 0.49 instead of 0.51).
KEYS_ROTARY, KEYS_ALIBI = 64, 32


# T tokens of a packed batch, H heads, K = D / H
def attend(
    qkv: Tensor,
    tiles: Tensor,
    tile_rows: int,
    heads: int,
    *,
    rope: Tensor | None,
    slopes: Tensor | None,
) -> Tensor:
    """Return softmax(q k' / sqrt(K) + bias) v within each sequence; zeros for filler.

    Args:
        qkv: [T, 3 * H * K], queries, keys and values beside each other; half or float32.
        tiles: int32 [N, 3]: first token of the sequence, its length, first row of the tile in it;
            a length of 0 marks a tile of filler.
        tile_rows: most rows of a tile, a power of two.
        rope: float32 [S, K]: cosines, then sines, of the angles of S >= max_seqlen positions, S a
            multiple of tile_rows. None: no rotation.
        slopes: float32 [H]: the score of tokens i and j gets -slope * |i - j|. None: no bias.
    Returns: [T, H * K] in the type of qkv.
    """
    width = qkv.shape[1] // 3
    out = torch.empty(qkv.shape[0], width, dtype=qkv.dtype, device=qkv.device)
    half = width // heads // 2
    unused = qkv
    _attend[(heads, tiles.shape[0])](
        qkv,
        out,
        tiles,
        unused if rope is None else rope,
        unused if slopes is None else slopes,
        qkv.shape[0],
        LOG2_E * (2 * half) ** -0.5,
        width=width,
        half=half,
        half_padded=max(MIN_DOT_WIDTH, triton.next_power_of_2(half)),
        rotary=rope is not None,
        alibi=slopes is not None,
        block=tile_rows,
        key_block=KEYS_ALIBI if rope is None else KEYS_ROTARY,
        num_warps=4,
        num_stages=NUM_STAGES if half <= 32 else 2,
    )
    return out


# Heads are cut in halves, low and high dimensions: the rotation pairs them, and half a head of 24
# or 48 dimensions pads better than a whole one.
@triton.jit
def _attend(
    qkv, out, tiles, rope, slopes, num_tokens, scale,
    width: tl.constexpr, half: tl.constexpr, half_padded: tl.constexpr,
    rotary: tl.constexpr, alibi: tl.constexpr, block: tl.constexpr, key_block: tl.constexpr,
):  # fmt: skip
    tile = tiles + tl.program_id(1) * 3
    head = tl.program_id(0)  # neighbouring programs read neighbouring bytes
    start = tl.load(tile)
    length = tl.load(tile + 1)
    first = tl.load(tile + 2)
    dims = tl.arange(0, half_padded)
    inside = dims < half
    block_rows = tl.arange(0, block)
    block_keys = tl.arange(0, key_block)

    # An angle is the sum of that of its block's first row and that of its row in the block, so the
    # table of a block is read once.
    step_cos = 1.0
    step_sin = 0.0
    if rotary:
        steps = rope + block_rows[:, None] * (2 * half) + dims[None, :]
        step_cos = tl.load(steps, inside[None, :], 0.0)
        step_sin = tl.load(steps + half, inside[None, :], 0.0)

    queries = qkv + head * 2 * half
    low, high = _load(queries, start, first, length, block_rows, dims, inside, width, half)
    if rotary:
        low, high = _rotate(low, high, rope, first, step_cos, step_sin, dims, inside, half)
    best = tl.full([block], float("-inf"), tl.float32)
    total = tl.zeros([block], tl.float32)
    sum_low = tl.zeros([block, half_padded], tl.float32)
    sum_high = tl.zeros([block, half_padded], tl.float32)
    for key in range(0, length, key_block):
        key_low, key_high = _load(
            queries + width, start, key, length, block_keys, dims, inside, width, half
        )
        if rotary:
            key_low, key_high = _rotate(
                key_low, key_high, rope, key, step_cos, step_sin, dims, inside, half
            )
        scores = tl.dot(low, tl.trans(key_low), input_precision="ieee")
        scores = tl.dot(high, tl.trans(key_high), scores, input_precision="ieee") * scale
        if alibi:
            distance = tl.abs((first + block_rows)[:, None] - (key + block_keys)[None, :]).to(
                tl.float32
            )
            scores -= tl.load(slopes + head) * 1.4426950408889634 * distance
        scores = tl.where((key + block_keys < length)[None, :], scores, float("-inf"))
        new_best = tl.maximum(best, tl.max(scores, 1))
        powers = tl.exp2(scores - new_best[:, None])
        shrink = tl.exp2(best - new_best)
        best = new_best
        total = total * shrink + tl.sum(powers, 1)
        value_low, value_high = _load(
            queries + 2 * width, start, key, length, block_keys, dims, inside, width, half
        )
        powers = powers.to(value_low.dtype)
        sum_low = tl.dot(powers, value_low, sum_low * shrink[:, None], input_precision="ieee")
        sum_high = tl.dot(powers, value_high, sum_high * shrink[:, None], input_precision="ieee")

    rows = first + block_rows
    real = rows < length
    if length == 0:  # filler: zeros
        real = start + rows < num_tokens
        total += 1.0
    at = out + (start + rows).to(tl.int64)[:, None] * width + head * 2 * half + dims[None, :]
    keep = real[:, None] & inside[None, :]
    tl.store(at, (sum_low / total[:, None]).to(out.dtype.element_ty), keep)
    tl.store(at + half, (sum_high / total[:, None]).to(out.dtype.element_ty), keep)


@triton.jit
def _load(
    base, start, first, length, block_rows, dims, inside, width: tl.constexpr, half: tl.constexpr
):  # fmt: skip
    """Return both halves of one head of a block of rows; zeros after the end of the sequence."""
    rows = first + block_rows
    at = base + (start + rows).to(tl.int64)[:, None] * (3 * width) + dims[None, :]
    keep = (rows < length)[:, None] & inside[None, :]
    return tl.load(at, keep, 0.0), tl.load(at + half, keep, 0.0)


@triton.jit
def _rotate(low, high, rope, first, step_cos, step_sin, dims, inside, half: tl.constexpr):
    """Return both halves rotated by the angles of a block of rows; computed in float32."""
    base = rope + first * (2 * half) + dims
    base_cos = tl.load(base, inside, 0.0)[None, :]
    base_sin = tl.load(base + half, inside, 0.0)[None, :]
    cos = base_cos * step_cos - base_sin * step_sin
    sin = base_sin * step_cos + base_cos * step_sin
    wide_low = low.to(tl.float32)
    wide_high = high.to(tl.float32)
    return (
        (wide_low * cos - wide_high * sin).to(low.dtype),
        (wide_high * cos + wide_low * sin).to(high.dtype),
    )
