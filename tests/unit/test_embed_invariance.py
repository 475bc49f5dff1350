"""The same sequence gives the same bytes, whatever it is embedded with; and what embed promises."""

import copy
import itertools
import logging

import numpy as np
import pytest
import torch

from virnucpro.engine import embed as embed_module
from virnucpro.engine.embed import embed
from virnucpro.engine.memory import GpuMemoryError
from virnucpro.errors import InputError
from virnucpro.models import dnabert_s, esm2
from virnucpro.models.in_place import InPlaceDnabertS, InPlaceESM2
from virnucpro.models.tokenizers import EsmTokenizer
from virnucpro.sequences.no_vector import NOT_FINITE

TOKENIZER = EsmTokenizer(esm2.ALPHABET)
# 255 and more tokens: attention goes sequence by sequence; 1500: longer than the budget.
LENGTHS = [
    1,
    3,
    15,
    29,
    31,
    62,
    98,
    *[100] * 6,
    *[166] * 14,
    188,
    198,
    253,
    255,
    298,
    298,
    700,
    1500,
]
BUDGET = 1024


def models():
    torch.manual_seed(5)
    for layers, width, heads in [(2, 192, 12), (2, 320, 20), (2, 64, 4)]:
        yield esm2.ESM2(esm2.Config(layers, width, heads)).eval()
    for width, heads in [(192, 12), (64, 4), (96, 6)]:
        yield dnabert_s.DnabertS(dnabert_s.Config(2, width, heads, 4 * width, 33)).eval()


def sequences():
    rng = np.random.default_rng(11)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)) for length in LENGTHS]


@pytest.fixture(
    params=list(models()), ids=lambda m: f"{m.architecture}-{m.config.width}-{m.config.heads}"
)
def plain(request):
    return request.param


@pytest.fixture(params=["plain", "in place"])
def model(request, plain):
    if request.param == "plain":
        return plain
    form = InPlaceESM2 if isinstance(plain, esm2.ESM2) else InPlaceDnabertS
    return form(copy.deepcopy(plain))


def vectors(model, names, threads=1, budget=BUDGET):
    return embed(model, TOKENIZER, names, budget, threads=threads).vectors


def test_vectors_do_not_depend_on_neighbours_position_or_threads(model):
    pool = sequences()
    expected = dict(zip(pool, vectors(model, pool), strict=True))
    rng = np.random.default_rng(2)
    for threads in (1, 2, 3):
        some = [pool[i] for i in rng.permutation(len(pool))[: 12 * threads]]
        for sequence, vector in zip(some, vectors(model, some, threads), strict=True):
            assert vector.tobytes() == expected[sequence].tobytes(), f"length {len(sequence)}"
    for sequence in {len(s): s for s in pool}.values():
        assert vectors(model, [sequence])[0].tobytes() == expected[sequence].tobytes()


def test_the_number_of_torch_threads_neither_matters_nor_changes(model):
    pool = sequences()
    expected = vectors(model, pool)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert vectors(model, pool).tobytes() == expected.tobytes()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return esm2.ESM2(esm2.Config(1, 32, 2)).eval()


def test_results_are_in_input_order_with_token_counts(tiny):
    names = ["MKVLA", "M", "MKV"]
    result = embed(tiny, TOKENIZER, names, 64)
    assert result.distinct_num_tokens.tolist() == [7, 3, 5]
    assert result.vectors.dtype == np.float32
    for name, vector in zip(names, result.vectors, strict=True):
        assert vectors(tiny, [name], budget=64)[0].tobytes() == vector.tobytes()


def test_identical_sequences_are_computed_once(tiny, caplog):
    caplog.set_level(logging.INFO)
    result = embed(tiny, TOKENIZER, ["MKV", "MA", "MKV"], 64)
    assert result.vectors[0].tobytes() == result.vectors[2].tobytes()
    assert "embedded 2 of 2 distinct sequences" in caplog.text


def test_no_sequences_give_no_vectors(tiny):
    assert embed(tiny, TOKENIZER, [], 64).vectors.shape == (0, 32)


def test_a_vector_that_overflows_is_computed_again_alone_in_float32(tiny, caplog):
    caplog.set_level(logging.INFO)
    tiny.layers[0].fc1.weight.data *= 1000
    tiny.layers[0].fc2.weight.data *= 1000  # its sums pass 65504
    half = esm2.ESM2(tiny.config).half().eval()
    half.load_state_dict(tiny.state_dict())
    wide = copy.deepcopy(half).float()
    result = embed(half, TOKENIZER, ["MKV", "WWW"], 64, exact=lambda: wide)
    assert "2 of 2 vectors overflowed" in caplog.text
    assert result.recomputed.tolist() == [True, True]
    expected = vectors(half.float(), ["MKV", "WWW"], budget=64)
    assert result.vectors.tobytes() == expected.tobytes()


def test_a_vector_that_overflows_in_float32_too_is_named_as_the_user_knows_it(tiny):
    half, wide = copy.deepcopy(tiny).half(), copy.deepcopy(tiny)
    for model in (half, wide):
        model.embed_tokens.weight.data[esm2.ALPHABET.index("W")] = float("inf")
    with pytest.raises(InputError, match="sequence c_chunk_1R2: its vector is not finite"):
        names = ["c_chunk_1F1", "c_chunk_1R2"]
        embed(half, TOKENIZER, ["MKV", "MW"], 64, names=names, exact=lambda: wide)


def test_a_vector_that_is_not_finite_in_float32_is_an_error_naming_the_sequence(tiny):
    tiny.embed_tokens.weight.data[esm2.ALPHABET.index("W")] = float("nan")
    with pytest.raises(InputError, match="sequence c_chunk_1R2: its vector is not finite"):
        embed(tiny, TOKENIZER, ["MKV", "MW"], 64, names=["c_chunk_1F1", "c_chunk_1R2"])


def poisoned(tiny):
    """Return a model for which every sequence with W overflows in float32."""
    tiny.embed_tokens.weight.data[esm2.ALPHABET.index("W")] = 3e38
    return tiny


@pytest.mark.parametrize("is_half", [False, True])
def test_a_sequence_without_a_vector_can_be_left_out(tiny, is_half):
    expected = embed(tiny, TOKENIZER, ["MKV", "MA"], 64)
    wide = poisoned(tiny)
    model = copy.deepcopy(wide).half() if is_half else wide
    if is_half:
        expected = embed(model, TOKENIZER, ["MKV", "MA"], 64, exact=lambda: wide)
    names = ["MKV", "MW", "MA", "MW"]
    result = embed(model, TOKENIZER, names, 64, exact=lambda: wide, strict=False)
    assert result.no_vector.tolist() == [0, NOT_FINITE, 0]
    assert not result.recomputed.any()
    assert np.isnan(result.vectors[[1, 3]]).all()
    assert result.vectors[[0, 2]].tobytes() == expected.vectors.tobytes()


@pytest.mark.parametrize(
    "num_bad, num_good, is_damaged",
    [(9, 100, False), (10, 100, True), (10, 990, False), (11, 989, True), (1, 0, True)],
)
def test_many_vectors_that_are_not_finite_are_a_fault_of_the_model(
    tiny, num_bad, num_good, is_damaged
):
    model = poisoned(tiny)
    bad = ["W" * n for n in range(1, num_bad + 1)] * 50  # repeated ones are one fault
    good = [
        "".join(letters)
        for letters in itertools.islice(itertools.product("MKVLA", repeat=5), num_good)
    ]
    if is_damaged:
        with pytest.raises(InputError, match=f"{num_bad} such sequences of {num_bad + num_good}"):
            embed(model, TOKENIZER, bad + good, 512, strict=False)
    else:
        result = embed(model, TOKENIZER, bad + good, 512, strict=False)
        assert np.count_nonzero(result.no_vector) == num_bad


def test_out_of_gpu_memory_says_so(tiny, monkeypatch):
    def run_out(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(tiny, "pool", run_out)
    with pytest.raises(GpuMemoryError, match="ran out at 64 tokens a batch"):
        embed(tiny, TOKENIZER, ["MKV"], 64)


def test_progress_is_logged_at_intervals_and_at_the_end(tiny, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    sequences = ["M" * n for n in range(30, 40)]
    embed(tiny, TOKENIZER, sequences, 64)
    assert len(caplog.messages) == 1
    caplog.clear()
    monkeypatch.setattr(embed_module, "PROGRESS_INTERVAL_S", 0)
    embed(tiny, TOKENIZER, sequences, 64)
    assert len(caplog.messages) == 10
