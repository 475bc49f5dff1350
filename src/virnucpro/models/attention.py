"""Self-attention within each sequence of a packed batch: the back ends and their choice.

A back end is made once a batch for one scheme (rotary angles or ALiBi) and called by each layer
with the output of its qkv product. What it computes for a sequence depends on nothing else.

    reference   plain softmax in the type of the input, one sequence at a time: the definition
    sdpa        torch's dense scaled_dot_product_attention on runs of equally long sequences
    triton      our kernel for short sequences, with rotation and ALiBi inside (kernels/attention)
    varlen      torch's kernel for packed batches (half precision, no ALiBi)
    flash       the flash-attn package (half precision)
"""

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from virnucpro.errors import InputError
from virnucpro.models.packing import TILE_ROWS, PackedBatch

# The flash kernel splits sequences of more than two of its blocks when there are few, and then adds
# in another order: such sequences go one by one, so that their number cannot matter.
MAX_SHARED_LENGTH, MAX_SHARED_LENGTH_WIDE_HEADS = 256, 128
WIDE_HEAD = 64  # for wider heads its blocks are half as long
TABLE_ROWS = 1024  # angle tables have a multiple of it
TRITON_CAPABILITY = (8, 0)
FLASH_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Scheme:
    """How tokens of a sequence attend to each other.

    Attributes:
        heads: their number.
        head_width: dimensions of a head.
        frequencies: radians a position for each pair of dimensions, float32 values, head_width / 2
            of them; None: no rotation.
        slopes: ALiBi slope of each head; None: no bias.
    """

    heads: int
    head_width: int
    frequencies: tuple[float, ...] | None = None
    slopes: tuple[float, ...] | None = None


# T tokens of a packed batch, H heads, K head width, N sequences of length L in a run
Attention = Callable[[Tensor], Tensor]  # [T, 3 * H * K] -> [T, H * K]; filler: anything finite


def reference(scheme: Scheme, batch: PackedBatch, dtype: torch.dtype) -> Attention:
    """Return the definition: softmax(q k' / sqrt(K) + bias) v for each sequence."""
    rotate = rotation(scheme, batch)
    bias = alibi(scheme, batch, torch.float32)
    bounds = batch.cu_seqlens.tolist()

    def attend(qkv: Tensor) -> Tensor:
        q, k, v = split_qkv(qkv, scheme)
        q, k = rotate(q), rotate(k)
        out = qkv.new_zeros(qkv.shape[0], scheme.heads, scheme.head_width)
        for start, end in zip(bounds[:-1], bounds[1:], strict=True):
            rows = slice(start, end)
            scores = torch.einsum("ihk,jhk->hij", q[rows], k[rows]).float()
            scores = scores * scheme.head_width**-0.5
            if bias is not None:
                scores = scores + bias[:, : end - start, : end - start]
            weights = scores.softmax(-1).to(v.dtype)
            out[rows] = torch.einsum("hij,jhk->ihk", weights, v[rows])
        return out.flatten(1)

    return attend


def sdpa(scheme: Scheme, batch: PackedBatch, dtype: torch.dtype) -> Attention:
    """Return dense attention on each run of equally long sequences: no padding inside."""
    rotate = rotation(scheme, batch)
    bias = alibi(scheme, batch, dtype)
    filler = batch.num_tokens - batch.runs[-1].end
    is_wide = scheme.head_width > WIDE_HEAD
    max_shared_length = MAX_SHARED_LENGTH_WIDE_HEADS if is_wide else MAX_SHARED_LENGTH

    def attend(qkv: Tensor) -> Tensor:
        q, k, v = split_qkv(qkv, scheme)
        q, k = rotate(q), rotate(k)
        parts = []
        for run in batch.runs:
            count = 1 if run.length > max_shared_length else run.count
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
        if filler:
            parts.append(parts[0].new_zeros(filler, parts[0].shape[1]))
        return torch.cat(parts)

    return attend


def triton(scheme: Scheme, batch: PackedBatch, dtype: torch.dtype) -> Attention:
    """Return our kernel."""
    from virnucpro.kernels import attention as kernel

    rope = None
    if scheme.frequencies is not None:
        rope = _angle_table(scheme, batch.max_seqlen, batch.tiles.device)
    slopes = _slopes(scheme, batch.tiles.device)

    def attend(qkv: Tensor) -> Tensor:
        return kernel.attend(qkv, batch.tiles, TILE_ROWS, scheme.heads, rope=rope, slopes=slopes)

    return attend


def varlen(scheme: Scheme, batch: PackedBatch, dtype: torch.dtype) -> Attention:
    """Return torch's kernel for packed batches."""
    from torch.nn.attention.varlen import varlen_attn

    assert scheme.slopes is None, "choose refuses it"
    rotate = rotation(scheme, batch)
    bounds, longest = _with_filler(batch)

    def attend(qkv: Tensor) -> Tensor:
        q, k, v = split_qkv(qkv, scheme)
        out = varlen_attn(rotate(q), rotate(k), v, bounds, bounds, longest, longest)
        assert isinstance(out, Tensor), "no aux output was asked for"
        return out.flatten(1)

    return attend


def flash(scheme: Scheme, batch: PackedBatch, dtype: torch.dtype) -> Attention:
    """Return the kernel of the flash-attn package."""
    from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found]

    rotate = rotation(scheme, batch)
    bounds, longest = _with_filler(batch)
    slopes = _slopes(scheme, batch.positions.device)

    def attend(qkv: Tensor) -> Tensor:
        q, k, v = split_qkv(qkv, scheme)
        out: Tensor = flash_attn_varlen_func(
            rotate(q), rotate(k), v, bounds, bounds, longest, longest, alibi_slopes=slopes
        )
        return out.flatten(1)

    return attend


Backend = Callable[[Scheme, PackedBatch, torch.dtype], Attention]
BACKENDS: dict[str, Backend] = {
    "reference": reference,
    "sdpa": sdpa,
    "triton": triton,
    "varlen": varlen,
    "flash": flash,
}


def choose(name: str, scheme: Scheme, device: torch.device, dtype: torch.dtype) -> str:
    """Return the back end for a name; auto is the fastest that runs here.

    Raises: InputError with the reason when the named one cannot run.
    """
    if name == "auto":
        is_half = dtype in (torch.float16, torch.bfloat16)
        return "triton" if is_half and not why_not("triton", scheme, device, dtype) else "sdpa"
    if reason := why_not(name, scheme, device, dtype):
        raise InputError(f"--attention {name}: {reason} Use --attention auto.")
    return name


def why_not(name: str, scheme: Scheme, device: torch.device, dtype: torch.dtype) -> str:
    """Return why a back end cannot run, in a sentence; empty when it can."""
    if name in ("reference", "sdpa"):
        return ""
    if device.type != "cuda":
        return f"it needs a GPU, and the device is {device.type}."
    if name == "triton":
        return why_no_triton(device)
    if torch.cuda.get_device_capability(device) < FLASH_CAPABILITY:
        return "it needs compute capability 8.0 or newer."
    if dtype not in (torch.float16, torch.bfloat16):
        return "it computes in half precision only."
    if name == "varlen" and scheme.slopes is not None:
        return "it has no ALiBi, which DNABERT-S needs."
    if name == "flash" and importlib.util.find_spec("flash_attn") is None:
        return "the package flash-attn is not installed."
    return ""


def why_no_triton(device: torch.device) -> str:
    """Return why Triton kernels cannot run on a GPU, in a sentence; empty when they can."""
    if torch.cuda.get_device_capability(device) < TRITON_CAPABILITY:
        return "Triton needs compute capability 8.0 or newer."
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed."
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "Triton needs a C compiler (gcc or clang on PATH, or CC)."
    return ""


def split_qkv(qkv: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor, Tensor]:
    """Return q, k and v [T, H, K]."""
    q, k, v = qkv.unflatten(1, (3, scheme.heads, scheme.head_width)).unbind(1)
    return q, k, v


def complex_rotation(scheme: Scheme, batch: PackedBatch) -> Tensor:
    """Return complex64 [T, 1, K / 2]: what to multiply pairs of dimensions with to rotate them."""
    table = _angle_table(scheme, batch.max_seqlen, batch.positions.device)[batch.positions]
    return torch.complex(*table[:, None].chunk(2, -1))


def rotation(scheme: Scheme, batch: PackedBatch) -> Callable[[Tensor], Tensor]:
    """Return what rotates [T, H, K] by the angles of its tokens, computed in float32."""
    if scheme.frequencies is None:
        return lambda x: x
    table = _angle_table(scheme, batch.max_seqlen, batch.positions.device)[batch.positions]
    cos, sin = table[:, None].chunk(2, -1)  # [T, 1, K / 2]

    def rotate(x: Tensor) -> Tensor:
        low, high = x.float().chunk(2, -1)
        return torch.cat([low * cos - high * sin, high * cos + low * sin], -1).to(x.dtype)

    return rotate


def _angle_table(scheme: Scheme, length: int, device: torch.device) -> Tensor:
    """Return float32 [S, K], S >= length: cosines, then sines, of each position's angles."""
    rows = -(-length // TABLE_ROWS) * TABLE_ROWS
    assert scheme.frequencies is not None and rows % TILE_ROWS == 0
    return _angles(scheme.frequencies, rows, device)


@functools.lru_cache(maxsize=8)
def _angles(frequencies: tuple[float, ...], rows: int, device: torch.device) -> Tensor:
    """Frequencies and angles are float32, as the checkpoints were trained."""
    with torch.inference_mode(False):  # training may come next
        positions = torch.arange(rows, device=device).float()
        angles = torch.outer(positions, torch.tensor(frequencies, device=device))
        return torch.cat([angles.cos(), angles.sin()], 1)


@functools.lru_cache(maxsize=8)
def _slopes(scheme: Scheme, device: torch.device) -> Tensor | None:
    with torch.inference_mode(False):
        return None if scheme.slopes is None else torch.tensor(scheme.slopes, device=device)


def alibi(scheme: Scheme, batch: PackedBatch, dtype: torch.dtype) -> Tensor | None:
    """Return [H, L, L], L = max_seqlen: -slope * |i - j|; the corner serves shorter sequences."""
    slopes = _slopes(scheme, batch.positions.device)
    if slopes is None:
        return None
    positions = torch.arange(batch.max_seqlen, device=slopes.device)
    return (-slopes[:, None, None] * (positions[:, None] - positions).abs()).to(dtype)


def _with_filler(batch: PackedBatch) -> tuple[Tensor, int]:
    """Return cu_seqlens in which the filler is one more sequence, and the longest length."""
    end = torch.full_like(batch.cu_seqlens[:1], batch.num_tokens)
    filler = batch.num_tokens - batch.runs[-1].end
    return torch.cat([batch.cu_seqlens, end]), max(batch.max_seqlen, filler)


def _heads_first(x: Tensor, length: int) -> Tensor:
    """Return [N * L, H, K] as [N, H, L, K]."""
    return x.unflatten(0, (-1, length)).transpose(1, 2)
