"""DNABERT-S against a plain definition written from SPEC 2.2: dense, padded, head by head."""

import math

import numpy as np
import pytest
import torch

from virnucpro.models import dnabert_s
from virnucpro.models.packing import pack, packed_batch

CONFIGS = [
    dnabert_s.Config(layers=3, width=96, heads=12, intermediate=160, vocab_size=50),
    dnabert_s.Config(layers=2, width=64, heads=4, intermediate=256, vocab_size=50),
    dnabert_s.Config(layers=2, width=60, heads=6, intermediate=64, vocab_size=50),
]
LENGTHS = [2, 3, 9, 40, 40, 40, 109, 121, 300]
TOLERANCE = 1e-5  # float32 in another order; values are of the order of 1
SLOPES = {
    12: [2.0**-i for i in range(1, 9)] + [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5],  # SPEC 2.2
    4: [1 / 4, 1 / 16, 1 / 64, 1 / 256],
    6: [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8],
}


def published_weights(config):
    torch.manual_seed(config.heads)
    width, inner = config.width, config.intermediate
    shapes = {
        "embeddings.word_embeddings.weight": (config.vocab_size, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    for i in range(config.layers):
        layer = {
            "attention.self.Wqkv.weight": (3 * width, width),
            "attention.self.Wqkv.bias": (3 * width,),
            "attention.output.dense.weight": (width, width),
            "attention.output.dense.bias": (width,),
            "attention.output.LayerNorm.weight": (width,),
            "attention.output.LayerNorm.bias": (width,),
            "mlp.gated_layers.weight": (2 * inner, width),
            "mlp.wo.weight": (width, inner),
            "mlp.wo.bias": (width,),
            "mlp.layernorm.weight": (width,),
            "mlp.layernorm.bias": (width,),
        }
        shapes |= {f"encoder.layer.{i}.{name}": shape for name, shape in layer.items()}
    return {
        name: torch.randn(shape) * (1 if len(shape) == 1 else shape[-1] ** -0.5)
        for name, shape in shapes.items()
    }


def layer_norm(x, w, name, eps):
    centred = x - x.mean(-1, keepdim=True)
    normed = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps)
    return normed * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def plain_forward(w, config, ids, mask):
    """Last hidden states [B, L, D] of padded ids [B, L]; mask 1 for tokens."""
    width, heads, eps = config.width, config.heads, config.layer_norm_eps
    size = width // heads
    x = (
        w["embeddings.word_embeddings.weight"][ids]
        + w["embeddings.token_type_embeddings.weight"][0]
    )
    x = layer_norm(x, w, "embeddings.LayerNorm", eps)
    positions = torch.arange(ids.shape[1])
    distance = (positions[:, None] - positions[None, :]).abs()
    for i in range(config.layers):
        name = f"encoder.layer.{i}"
        qkv = x @ w[f"{name}.attention.self.Wqkv.weight"].T + w[f"{name}.attention.self.Wqkv.bias"]
        contexts = []
        for head in range(heads):
            q, k, v = (
                qkv[..., part * width + head * size : part * width + (head + 1) * size]
                for part in range(3)
            )
            scores = q @ k.transpose(1, 2) / math.sqrt(size) - SLOPES[heads][head] * distance
            scores = scores + (1 - mask[:, None, :]) * -10000.0
            contexts.append(torch.softmax(scores, -1) @ v)
        out = f"{name}.attention.output"
        dense = torch.cat(contexts, -1) @ w[f"{out}.dense.weight"].T + w[f"{out}.dense.bias"]
        x = layer_norm(dense + x, w, f"{out}.LayerNorm", eps)
        h = x @ w[f"{name}.mlp.gated_layers.weight"].T
        h = gelu(h[..., : config.intermediate]) * h[..., config.intermediate :]
        h = h @ w[f"{name}.mlp.wo.weight"].T + w[f"{name}.mlp.wo.bias"]
        x = layer_norm(h + x, w, f"{name}.mlp.layernorm", eps)
    return x


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.heads} heads")
def test_pooled_vectors_are_those_of_the_plain_definition(config):
    weights = published_weights(config)
    model = dnabert_s.DnabertS(config).eval()
    model.load_state_dict(dnabert_s.from_published(weights))
    ids = [torch.randint(0, config.vocab_size, (length,)) for length in LENGTHS]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=3)
    mask = (torch.arange(padded.shape[1]) < torch.tensor(LENGTHS)[:, None]).float()
    hidden = plain_forward(weights, config, padded, mask)
    expected = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    for plan in pack(LENGTHS, 256):
        batch = packed_batch([LENGTHS[i] for i in plan.members], plan.num_tokens)
        tokens = torch.cat([ids[i] for i in plan.members])
        tokens = torch.nn.functional.pad(tokens, (0, plan.num_tokens - len(tokens)), value=3)
        with torch.no_grad():
            pooled = model.pool(model(tokens, batch), batch)
        np.testing.assert_allclose(pooled, expected[list(plan.members)], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("heads", SLOPES)
def test_alibi_slopes_are_those_of_the_specification(heads):
    assert dnabert_s.alibi_slopes(heads) == pytest.approx(SLOPES[heads], rel=1e-12)


def test_an_unknown_published_name_is_not_swallowed():
    state = {"encoder.layer.0.surprise.weight": torch.zeros(1)}
    assert list(dnabert_s.from_published(state)) == ["encoder.layer.0.surprise.weight"]
