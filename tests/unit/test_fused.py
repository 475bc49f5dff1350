"""The fused forms keep one copy of a weight; what they compute is tested on a GPU."""

import pytest
import torch

from virnucpro.models import dnabert_s, esm2, fused, fused_fp8
from virnucpro.models.fused import FusedDnabertS
from virnucpro.models.fused_fp8 import FusedESM2Fp8


@pytest.fixture(autouse=True)
def card(monkeypatch):
    """A GPU that has every kernel, and is only asked."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))


def numbers(model):
    return sum(weight.numel() for weight in model.parameters())


def test_gated_weights_are_interleaved_and_not_kept_twice():
    config = dnabert_s.Config(2, 32, 2, 2 * fused.HALF_N, 50)
    plain = dnabert_s.DnabertS(config).half()
    before, weight = numbers(plain), plain.layers[0].gated.weight.detach().clone()
    model = FusedDnabertS(plain)
    gate, value = weight.chunk(2)
    first, second = slice(0, fused.HALF_N), slice(fused.HALF_N, 2 * fused.HALF_N)
    expected = torch.cat([gate[first], value[first], gate[second], value[second]])
    assert torch.equal(model._gated[0], expected)
    assert before - numbers(plain) == 2 * weight.numel()


def test_weights_in_8_bits_are_not_kept_in_16(monkeypatch):
    plain = esm2.ESM2(esm2.Config(2, 32, 2)).half()
    means = [(torch.ones(32), torch.ones(128))] * 2
    monkeypatch.setattr(fused_fp8.FusedESM2Fp8, "_mean_inputs", lambda self: means)
    before = numbers(plain)
    model = FusedESM2Fp8(plain)
    assert before - numbers(plain) == 2 * 2 * 32 * 128
    rounded, scales = model._weights[1][0]
    assert rounded.shape == (128, 32) and scales.shape == (128, 1)
