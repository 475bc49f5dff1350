"""The engine on a GPU: parity with the CPU, and bitwise invariance."""

import copy

import numpy as np
import pytest
import torch

from virnucpro.engine.device import fix_numerics
from virnucpro.engine.embed import embed
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.tokenizers import EsmTokenizer

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


def test_float16_is_close_to_float32(model):
    pool = sequences()
    half, full = vectors(on_gpu(model, torch.float16), pool), vectors(model, pool)
    norms = np.linalg.norm(half, axis=1) * np.linalg.norm(full, axis=1)
    assert ((half * full).sum(1) / norms).min() > FP16_COSINE


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_vectors_do_not_depend_on_neighbours_position_or_shard(model, dtype):
    gpu, pool = on_gpu(model, dtype), sequences()
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
