"""The forms for float32 on a CPU compute what the plain definitions do."""

import copy
import threading

import numpy as np
import pytest
import torch

from virnucpro.engine.embed import embed
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.in_place import InPlaceDnabertS, InPlaceESM2, interleave_halves
from virnucpro.models.packing import packed_batch
from virnucpro.models.tokenizers import EsmTokenizer

TOKENIZER = EsmTokenizer(esm2.ALPHABET)
TOLERANCE = 3e-6  # float32, added in another order; values are of the order of 1


def models():
    torch.manual_seed(5)
    for layers, width, heads in [(3, 48, 2), (2, 320, 20)]:  # heads of 24 and of 16
        yield esm2.ESM2(esm2.Config(layers, width, heads)).eval().requires_grad_(False)
    config = dnabert_s.Config(3, 96, 6, 384, 33)
    yield dnabert_s.DnabertS(config).eval().requires_grad_(False)


def in_place(model):
    form = InPlaceESM2 if isinstance(model, esm2.ESM2) else InPlaceDnabertS
    return form(copy.deepcopy(model))


@pytest.fixture(params=list(models()), ids=lambda m: f"{m.architecture}-{m.config.width}")
def model(request):
    with torch.no_grad():
        for name, weight in request.param.named_parameters():
            if name.endswith("bias") or name == "token_type":
                weight.normal_(0, 0.5)  # those of a fresh model are zeros, or nearly
    return request.param


def sequences():
    draw = np.random.default_rng(3)
    lengths = [1, 2, 30, 62, 98, 98, 166, 255, 300, 700]
    return ["".join(draw.choice(list("ACDEFGHIKLMNPQRSTVWY"), n)) for n in lengths]


@pytest.mark.parametrize("attention", ["sdpa", "reference"])
def test_vectors_are_those_of_the_plain_definition(model, attention):
    form = in_place(model)
    form.encoder.attention = attention
    actual = embed(form, TOKENIZER, sequences(), 512).vectors
    expected = embed(model, TOKENIZER, sequences(), 512).vectors
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE)


def test_batches_of_several_sizes_and_threads_do_not_share_buffers(model):
    """A batch of 700 tokens beside batches of 256, by three threads, in every order."""
    form, pool = in_place(model), sequences() * 5
    pool = [sequence[: len(sequence) - n // 10] or "M" for n, sequence in enumerate(pool)]
    expected = {s: embed(form, TOKENIZER, [s], 256).vectors.tobytes() for s in set(pool)}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(pool))
        some = [pool[i] for i in order]
        vectors = embed(form, TOKENIZER, some, 256, threads=3).vectors
        assert [v.tobytes() for v in vectors] == [expected[s] for s in some]


def test_each_thread_reuses_its_buffers(model):
    form, seen = in_place(model), []

    def look():
        for _ in range(2):
            form(torch.zeros(64, dtype=torch.long), batch)
            seen.append(form._buffers.get("qkv", 64, 3 * model.config.width))

    batch = packed_batch([30], 64)
    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    assert seen[0] is seen[1] and seen[2] is seen[3] and seen[1] is not seen[2]


def test_interleaved_weights_are_not_kept_twice():
    model = next(models())
    before = sum(weight.numel() for weight in model.parameters())
    form = InPlaceESM2(model)
    assert before - sum(weight.numel() for weight in model.parameters()) == 3 * 3 * 48 * 48
    assert form._qkv[0][0].shape == (3 * 48, 48)


def test_halves_of_heads_are_interleaved():
    rows = torch.tensor([0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23])  # q, k, v of one head of 4
    assert interleave_halves(rows, 1).tolist() == [0, 2, 1, 3, 10, 12, 11, 13, 20, 21, 22, 23]
    assert (
        interleave_halves(rows, 2).tolist() == rows.tolist()
    )  # two heads of 2: halves are of one row
