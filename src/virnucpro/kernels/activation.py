"""Exact (erf) GELU: the function itself, and where a product cannot apply it in its epilogue."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from virnucpro.kernels.fp8 import FP8, scale_of

BLOCK = 4096
GEGLU_BLOCK = 2048


@triton.jit
def gelu(x):
    """Return x * Phi(x) = max(x, 0) - |x| * Phi(-|x|) of float32 values; Phi(-a) = 2^p(a).

    p is the polynomial of degree 6 nearest to log2 Phi(-a) on [0, 6], weighted by the square root
    of a * Phi(-a) (Lawson's iteration). Error of GELU: 2.5e-7 absolute, as torch's float32; down to
    x = -4 at most 2.3e-5 relative. It takes a third of the instructions of erf, whose cost in a
    product's epilogue would be a tenth of the product.
    """
    size = tl.abs(x)
    a = tl.minimum(size, 6.0)
    power = 3.3893116778926924e-05
    power = power * a - 0.0007695795502513647
    power = power * a + 0.008053711615502834
    power = power * a - 0.05331427976489067
    power = power * a - 0.4588971734046936
    power = power * a - 1.1511389017105103
    power = power * a - 1.000002145767212
    return tl.maximum(x, 0.0) - size * tl.exp2(power)


def gelu_(x: Tensor) -> Tensor:
    """Return x [T, D] with GELU applied in place, computed in float32."""
    _gelu[(triton.cdiv(x.numel(), BLOCK),)](x, x.numel(), block=BLOCK, num_warps=8)
    return x


def bias_gelu_fp8(x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return GELU(x + bias) of x [T, D] as float8_e4m3fn, and its scales float32 [T, 1]."""
    out = torch.empty(x.shape, dtype=FP8, device=x.device)
    scales = torch.empty(x.shape[0], 1, dtype=torch.float32, device=x.device)
    width = x.shape[1]
    _bias_gelu_fp8[(x.shape[0],)](
        x, bias, out, scales, width=width, block=triton.next_power_of_2(width), num_warps=8
    )
    return out, scales


def geglu(x: Tensor) -> Tensor:
    """Return GELU(gate) * value [T, I] of x [T, 2 * I], gate first, computed in float32."""
    rows, width = x.shape[0], x.shape[1] // 2
    out = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    block = min(triton.next_power_of_2(width), GEGLU_BLOCK)
    _geglu[(rows, triton.cdiv(width, block))](x, out, width=width, block=block, num_warps=4)
    return out


@triton.jit
def _gelu(x, count, block: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    keep = at < count
    values = tl.load(x + at, keep, 0.0).to(tl.float32)
    tl.store(x + at, gelu(values).to(x.dtype.element_ty), keep)


@triton.jit
def _bias_gelu_fp8(x, bias, out, scales, width: tl.constexpr, block: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, block)
    keep = columns < width
    at = row.to(tl.int64) * width + columns
    values = tl.load(x + at, keep, 0.0).to(tl.float32)
    values = gelu(values + tl.load(bias + columns, keep, 0.0).to(tl.float32))
    scale = scale_of(values)
    tl.store(out + at, (values / scale).to(out.dtype.element_ty), keep)
    tl.store(scales + row, scale)


@triton.jit
def _geglu(x, out, width: tl.constexpr, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * block + tl.arange(0, block)
    keep = columns < width
    gate = tl.load(x + row * 2 * width + columns, keep, 0.0).to(tl.float32)
    value = tl.load(x + row * 2 * width + width + columns, keep, 0.0).to(tl.float32)
    tl.store(out + row * width + columns, (gelu(gate) * value).to(out.dtype.element_ty), keep)
