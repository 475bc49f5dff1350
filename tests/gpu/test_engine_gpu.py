"""The engine on a GPU: parity with the CPU, and bitwise invariance."""

import copy

import numpy as np
import pytest
import torch

from virnucpro.engine.device import fix_numerics
from virnucpro.engine.embed import embed
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.attention import why_no_triton
from virnucpro.models.tokenizers import EsmTokenizer

fused_models = pytest.importorskip("virnucpro.models.fused", reason="no Triton")
FusedESM2Fp8 = pytest.importorskip("virnucpro.models.fused_fp8", reason="no Triton").FusedESM2Fp8
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no usable NVIDIA GPU")

TOKENIZER = EsmTokenizer(esm2.ALPHABET)
LENGTHS = [1, 3, 30, 62, 98, *range(90, 120), *[166] * 40, 255, 298, 298, 700, 2500]
BUDGET = 2048
# float32 without TF32, in another order of additions; values are of the order of 1.
FP32_TOLERANCE = 2e-5
FP16_COSINE = 0.9999  # the floor that DESIGN section 7 asks of the 3B model


def models():
    torch.manual_seed(5)
    for layers, width, heads in [(4, 192, 12), (4, 640, 10), (2, 320, 20)]:
        yield esm2.ESM2(esm2.Config(layers, width, heads)).eval()
    for layers, width, heads in [(4, 192, 12), (4, 768, 12)]:
        config = dnabert_s.Config(layers, width, heads, 4 * width, 33)
        yield dnabert_s.DnabertS(config).eval()


@pytest.fixture(
    params=list(models()), ids=lambda m: f"{m.architecture}-{m.config.width}-{m.config.heads}"
)
def model(request):
    fix_numerics()
    return request.param


def sequences():
    rng = np.random.default_rng(11)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)) for length in LENGTHS]


def on_gpu(model, dtype):
    return copy.deepcopy(model).to("cuda", dtype)


def vectors(model, pool):
    return embed(model, TOKENIZER, pool, BUDGET).vectors


def test_float32_agrees_with_the_cpu(model):
    pool = sequences()
    np.testing.assert_allclose(
        vectors(on_gpu(model, torch.float32), pool),
        vectors(model, pool),
        rtol=0,
        atol=FP32_TOLERANCE,
    )


def fused(model, dtype, eight_bits=False):
    if reason := why_no_triton(torch.device("cuda")):
        pytest.skip(reason)
    plain = on_gpu(model, dtype)
    plain.attention = "triton"
    if eight_bits:
        return FusedESM2Fp8(plain)
    make = fused_models.FusedESM2 if isinstance(plain, esm2.ESM2) else fused_models.FusedDnabertS
    return make(plain)


def fp8(model):
    if not isinstance(model, esm2.ESM2):
        pytest.skip("DNABERT-S has no 8-bit form")
    if model.config.width % 16 or torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("8-bit products need compute capability 8.9")
    return fused(model, torch.float16, eight_bits=True)


FORMS = {
    "plain fp32": lambda model: on_gpu(model, torch.float32),
    "plain fp16": lambda model: on_gpu(model, torch.float16),
    "fused fp16": lambda model: fused(model, torch.float16),
    "fused bf16": lambda model: fused(model, torch.bfloat16),
    "fused fp8": fp8,
}


def cosines(found, expected):
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(1) / norms


@pytest.mark.parametrize(
    ("form", "floor"),
    [
        ("plain fp16", FP16_COSINE),
        ("fused fp16", FP16_COSINE),
        ("fused bf16", 0.999),
        ("fused fp8", 0.99),
    ],
)
def test_half_precision_is_close_to_float32(model, form, floor):
    pool = sequences()
    found, expected = vectors(FORMS[form](model), pool), vectors(model, pool)
    assert cosines(found, expected).min() > floor


def test_the_fused_form_is_no_less_exact_than_the_plain_one(model):
    pool = sequences()
    expected = vectors(model, pool)
    errors = {
        form: np.sqrt(np.mean((vectors(FORMS[form](model), pool) - expected) ** 2))
        for form in ("plain fp16", "fused fp16")
    }
    assert errors["fused fp16"] < 1.1 * errors["plain fp16"]  # a tenth: chance of rounding


@pytest.mark.parametrize("form", FORMS)
def test_vectors_do_not_depend_on_neighbours_position_or_shard(model, form):
    gpu, pool = FORMS[form](model), sequences()
    expected = dict(zip(pool, vectors(gpu, pool), strict=True))
    rng = np.random.default_rng(2)
    shards = [[pool[i] for i in rng.permutation(len(pool))[:size]] for size in (5, 20, 50)]
    shards += [[sequence] for sequence in {len(s): s for s in pool}.values()]
    different = {
        len(sequence)
        for shard in shards
        for sequence, vector in zip(shard, vectors(gpu, shard), strict=True)
        if vector.tobytes() != expected[sequence].tobytes()
    }
    assert not different, f"lengths {sorted(different)}"


def test_an_overflow_is_computed_again_in_float32(caplog):
    caplog.set_level("INFO")
    torch.manual_seed(0)
    model = esm2.ESM2(esm2.Config(1, 64, 2)).eval()
    model.layers[0].fc1.weight.data *= 1000
    model.layers[0].fc2.weight.data *= 1000  # its sums pass 65504
    half = on_gpu(model, torch.float16)
    result = vectors(half, ["MKV", "WWW"])
    assert "2 of 2 vectors overflowed" in caplog.text
    assert result.tobytes() == vectors(half.float(), ["MKV", "WWW"]).tobytes()
