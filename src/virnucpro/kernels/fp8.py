"""8-bit rounding by row: each row is scaled so that its largest value is the type's largest."""

import torch
import triton
import triton.language as tl
from torch import Tensor

FP8 = torch.float8_e4m3fn
FP8_MAX = tl.constexpr(448.0)
SMALLEST = tl.constexpr(1e-12)  # a row of zeros stays zeros


@triton.jit
def scale_of(row):
    """Return the float32 scale of a row: its 8-bit values times it are the row."""
    return tl.maximum(tl.max(tl.abs(row), 0), SMALLEST) / FP8_MAX


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight [N, K] as float8_e4m3fn [N, K], and its scales float32 [N, 1]."""
    wide = weight.float()
    scales = wide.abs().amax(1, keepdim=True).clamp_min(SMALLEST.value) / FP8_MAX.value
    return (wide / scales).to(FP8), scales


def linear_fp8(x: Tensor, scales: Tensor, weight: Tensor, weight_scales: Tensor) -> Tensor:
    """Return (x * scales) (weight * weight_scales)' as float16 [T, N].

    Args:
        x: float8_e4m3fn [T, K]; scales: float32 [T, 1].
        weight: float8_e4m3fn [N, K]; weight_scales: float32 [N, 1].
    """
    return torch._scaled_mm(
        x,
        weight.t(),
        scale_a=scales,
        scale_b=weight_scales.t(),
        out_dtype=torch.float16,
        use_fast_accum=True,  # sums in float32 cost a fifth of the rate, and add little exactness
    )
