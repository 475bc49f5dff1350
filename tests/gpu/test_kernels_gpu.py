"""Each GPU kernel against a plain definition in float64, and each attention back end too."""

import numpy as np
import pytest
import torch

from virnucpro.models import attention, dnabert_s, esm2
from virnucpro.models.packing import packed_batch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no usable NVIDIA GPU")

DEVICE = torch.device("cuda")
LENGTHS = [1, 3, 17, 63, 64, 65, 128, 168, 168, 301, 700]
FILLER = 70
# Relative error (norm) of one rounding to half is 2e-4 (fp16, 11 bits) and 1.6e-3 (bf16, 8 bits);
# attention rounds q, k, weights and the result.
ROUNDING = {torch.float32: 2e-6, torch.float16: 3e-4, torch.bfloat16: 2.4e-3}
ATTENTION = {torch.float32: 3e-6, torch.float16: 8e-4, torch.bfloat16: 6e-3}
FP8_ROUNDING = 0.03  # 4 bits of mantissa


def error(actual, expected):
    return float((actual.double() - expected).norm() / expected.norm())


def random(*shape, dtype=torch.float16, scale=1.0):
    return (torch.randn(*shape, device=DEVICE) * scale).to(dtype)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


SCHEMES = [
    attention.Scheme(heads, width, esm2.rotary_frequencies(width)) for heads, width in
    [(20, 16), (20, 24), (20, 32), (20, 64), (8, 128)]
] + [attention.Scheme(12, 64, slopes=tuple(dnabert_s.alibi_slopes(12)))]  # fmt: skip


@pytest.mark.parametrize("dtype", ATTENTION)
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: f"{s.heads}x{s.head_width}")
@pytest.mark.parametrize("name", attention.BACKENDS)
def test_every_back_end_computes_attention(name, scheme, dtype):
    if reason := attention.why_not(name, scheme, DEVICE, dtype):
        pytest.skip(reason)
    total = sum(LENGTHS)
    batch = packed_batch(LENGTHS, total + FILLER).to(DEVICE)
    qkv = random(total + FILLER, 3 * scheme.heads * scheme.head_width, dtype=dtype)
    expected = attention.reference(scheme, batch, torch.float64)(qkv.double())[:total]
    actual = attention.BACKENDS[name](scheme, batch, dtype)(qkv)
    assert actual.dtype == dtype
    assert error(actual[:total], expected) < ATTENTION[dtype]
    assert torch.isfinite(actual[total:]).all()


@pytest.mark.parametrize("name", attention.BACKENDS)
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: f"{s.heads}x{s.head_width}")
def test_attention_of_a_sequence_does_not_depend_on_its_neighbours(name, scheme):
    dtype = torch.float16
    if reason := attention.why_not(name, scheme, DEVICE, dtype):
        pytest.skip(reason)
    width = 3 * scheme.heads * scheme.head_width
    parts = [random(length, width) for length in LENGTHS]

    def run(members):
        lengths = [LENGTHS[i] for i in members]
        batch = packed_batch(lengths, 2048).to(DEVICE)
        filler = random(2048 - sum(lengths), width)
        out = attention.BACKENDS[name](scheme, batch, dtype)(
            torch.cat([parts[i] for i in members] + [filler])
        )
        return dict(zip(members, out[: sum(lengths)].split(lengths), strict=True))

    together = run(range(len(LENGTHS)))
    for members in ([0], [7], [7, 8], [0, 4, 9], [10]):
        for i, actual in run(members).items():
            assert torch.equal(actual, together[i]), LENGTHS[i]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("rows", "inner", "width"), [(1024, 96, 384), (200, 480, 1920), (2048, 320, 1280)])  # fmt: skip
def test_product_with_gelu(rows, inner, width, dtype):
    large_card()
    from virnucpro.kernels.linear import linear_gelu

    x, weight, bias = (
        random(rows, inner, dtype=dtype),
        random(width, inner, dtype=dtype, scale=0.1),
        random(width, dtype=dtype),
    )
    expected = torch.nn.functional.gelu(x.double() @ weight.double().T + bias.double())
    assert error(linear_gelu(x, weight, bias), expected) < ROUNDING[dtype]


def large_card():
    from virnucpro.models.fused import EPILOGUE_CAPABILITIES

    if torch.cuda.get_device_capability()[0] not in EPILOGUE_CAPABILITIES:
        pytest.skip("needs the tensor copy engine and 180 kB of shared memory")


def test_product_with_gated_gelu():
    large_card()
    from virnucpro.kernels.linear import interleave, linear_geglu

    x, weight = random(500, 192), random(2 * 768, 192, scale=0.1)
    gate, value = (x.double() @ weight.double().T).chunk(2, 1)
    expected = torch.nn.functional.gelu(gate) * value
    assert error(linear_geglu(x, interleave(weight)), expected) < ROUNDING[x.dtype]


@pytest.mark.parametrize("dtype", ROUNDING)
def test_gelu_and_gated_gelu_in_one_pass(dtype):
    from virnucpro.kernels.activation import geglu, gelu_

    x = random(77, 6000, dtype=dtype, scale=2)
    expected = torch.nn.functional.gelu(x.double())
    assert error(gelu_(x.clone()), expected) < ROUNDING[dtype]
    gate, value = x.double().chunk(2, 1)
    assert error(geglu(x), torch.nn.functional.gelu(gate) * value) < ROUNDING[dtype]


def test_gelu_is_exact_to_float32_rounding():
    from virnucpro.kernels.activation import gelu_

    x = torch.linspace(-30, 30, 1_000_001, device=DEVICE)
    expected = torch.nn.functional.gelu(x.double())
    assert float((gelu_(x.clone()) - expected).abs().max()) < 2e-6  # an ulp of 16 to 32
    near = x.abs() < 4
    assert float((gelu_(x.clone()) - expected).abs()[near].max()) < 5e-7


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("width", [96, 480, 2560])
def test_layer_norm(width, dtype):
    from virnucpro.kernels.norm import layer_norm

    x, weight, bias = (
        random(100, width, dtype=dtype),
        random(width, dtype=dtype),
        random(width, dtype=dtype),
    )
    shift = torch.randn(width, device=DEVICE)
    for added in (None, shift):
        moved = x.double() + (0 if added is None else added.double())
        expected = torch.nn.functional.layer_norm(
            moved, (width,), weight.double(), bias.double(), 1e-5
        )
        assert error(layer_norm(x, weight, bias, 1e-5, shift=added), expected) < ROUNDING[dtype]


def eight_bits():
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("8-bit products need compute capability 8.9")


def test_layer_norm_adds_in_place():
    from virnucpro.kernels.norm import layer_norm

    x, add, weight, bias = random(100, 320), random(100, 320), random(320), random(320)
    summed = x + add
    expected = layer_norm(summed.clone(), weight, bias, 1e-5)
    assert torch.equal(layer_norm(x, weight, bias, 1e-5, add=add), expected)
    assert torch.equal(x, summed)


def test_eight_bit_norm_scales_rows():
    eight_bits()
    from virnucpro.kernels.norm import layer_norm_fp8

    x, weight, bias = random(100, 320), random(320), random(320)
    shift = torch.randn(320, device=DEVICE)
    moved = x.double() + shift.double()
    expected = torch.nn.functional.layer_norm(moved, (320,), weight.double(), bias.double(), 1e-5)
    rounded, scales = layer_norm_fp8(x, weight, bias, 1e-5, shift=shift)
    assert error(rounded.double() * scales, expected) < FP8_ROUNDING
    assert float(rounded.float().abs().amax(1).min()) == 448  # each row uses the whole range


def test_eight_bit_product():
    eight_bits()
    from virnucpro.kernels.activation import bias_gelu_fp8
    from virnucpro.kernels.fp8 import linear_fp8, quantize_rows

    x, bias, weight = random(256, 1280), random(1280), random(320, 1280, scale=0.05)
    expected = torch.nn.functional.gelu(x.double() + bias.double())
    rounded, scales = bias_gelu_fp8(x, bias)
    assert error(rounded.double() * scales, expected) < FP8_ROUNDING
    actual = linear_fp8(rounded, scales, *quantize_rows(weight))
    assert error(actual, expected @ weight.double().T) < 2 * FP8_ROUNDING


def test_numpy_agrees_with_the_reference():
    """The definition that all of the above rests on, once more in numpy."""
    scheme = attention.Scheme(2, 4, slopes=(0.5, 0.25))
    batch = packed_batch([3])
    qkv = torch.randn(3, 24, dtype=torch.float64)
    q, k, v = np.moveaxis(qkv.numpy().reshape(3, 3, 2, 4), 1, 0)
    expected = np.empty((3, 2, 4))
    for h, slope in enumerate(scheme.slopes):
        for i in range(3):
            scores = np.array([q[i, h] @ k[j, h] / 2 - slope * abs(i - j) for j in range(3)])
            powers = np.exp(scores)
            expected[i, h] = powers @ v[:, h] / powers.sum()
    actual = attention.reference(scheme, batch, torch.float64)(qkv)
    np.testing.assert_allclose(actual, expected.reshape(3, 8), atol=1e-6)
