"""Layer norm of packed rows, fused with the steps around it: a sum, a bias, 8-bit rounding."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from virnucpro.kernels.fp8 import FP8, scale_of


def layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    *,
    shift: Tensor | None = None,
    add: Tensor | None = None,
) -> Tensor:
    """Return the layer norm [T, D] of x + add + shift, computed in float32.

    Args:
        x: [T, D]; with `add`, x + add is written to it.
        weight: [D]; likewise bias.
        shift: float32 [D], for every row. None: zeros.
        add: [T, D] in the type of x. None: zeros.
    """
    out = torch.empty_like(x)
    _launch(x, add, shift, weight, bias, out, None, eps)
    return out


def layer_norm_fp8(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, *, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the layer norm of x + shift in 8 bits.

    Returns: float8_e4m3fn [T, D], and the scales float32 [T, 1] to multiply its rows with.
    """
    out = torch.empty(x.shape, dtype=FP8, device=x.device)
    scales = torch.empty(x.shape[0], 1, dtype=torch.float32, device=x.device)
    _launch(x, None, shift, weight, bias, out, scales, eps)
    return out, scales


def _launch(
    x: Tensor, add: Tensor | None, shift: Tensor | None, weight: Tensor, bias: Tensor,
    out: Tensor, scales: Tensor | None, eps: float,
) -> None:  # fmt: skip
    width = x.shape[1]
    block = triton.next_power_of_2(width)
    unused = x
    _layer_norm[(x.shape[0],)](
        x,
        unused if add is None else add,
        unused if shift is None else shift,
        weight,
        bias,
        out,
        unused if scales is None else scales,
        eps,
        width=width,
        block=block,
        has_add=add is not None,
        has_shift=shift is not None,
        is_fp8=scales is not None,
        num_warps=max(1, min(8, block // 512)),
    )


@triton.jit
def _layer_norm(
    x, add, shift, weight, bias, out, scales, eps,
    width: tl.constexpr, block: tl.constexpr, has_add: tl.constexpr, has_shift: tl.constexpr,
    is_fp8: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    columns = tl.arange(0, block)
    keep = columns < width
    at = row.to(tl.int64) * width + columns
    values = tl.load(x + at, keep, 0.0).to(tl.float32)
    if has_add:
        summed = (values + tl.load(add + at, keep, 0.0).to(tl.float32)).to(x.dtype.element_ty)
        tl.store(x + at, summed, keep)
        values = summed.to(tl.float32)
    if has_shift:
        values += tl.load(shift + columns, keep, 0.0)
    mean = tl.sum(values, 0) / width
    centred = tl.where(keep, values - mean, 0.0)
    variance = tl.sum(centred * centred, 0) / width
    result = centred * tl.rsqrt(variance + eps)
    result = result * tl.load(weight + columns, keep, 0.0).to(tl.float32)
    result += tl.load(bias + columns, keep, 0.0).to(tl.float32)
    if is_fp8:
        scale = scale_of(result)
        tl.store(scales + row, scale)
        result = result / scale
    tl.store(out + at, result.to(out.dtype.element_ty), keep)
