"""The tokenizer on a GPU gives the ids of the library's, token by token."""

import random
from pathlib import Path

import pytest
import torch

from virnucpro.models.attention import why_no_triton
from virnucpro.models.tokenizers import BpeTokenizer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no usable NVIDIA GPU")
TOKENIZER = Path(__file__).parents[2] / "models/compact-500/tokenizer.json"
DEVICE = torch.device("cuda")


@pytest.fixture(scope="module")
def both():
    if reason := why_no_triton(DEVICE):
        pytest.skip(reason)
    from virnucpro.models.gpu_tokenizer import GpuBpeTokenizer

    return BpeTokenizer(TOKENIZER), GpuBpeTokenizer(TOKENIZER, DEVICE)


def assert_equal(both, sequences):
    library, ours = both
    for sequence, expected, actual in zip(
        sequences, library.encode(sequences), ours.encode(sequences), strict=True
    ):
        assert actual.tolist() == expected.tolist(), sequence


def words(letters, count, longest, seed=0):
    draw = random.Random(seed)
    return ["".join(draw.choices(letters, k=draw.randint(1, longest))) for _ in range(count)]


@pytest.mark.parametrize("longest", [10, 128, 129, 500, 1024])
def test_random_dna(both, longest):
    assert_equal(both, words("ACGT", 2000, longest))


def test_low_complexity_and_repeats(both):
    units = ["A", "T", "AC", "AAT", "CAG", "ACGT", "AAAAAC", "TTAGGG"]
    assert_equal(both, [(unit * 200)[:length] for unit in units for length in (1, 2, 3, 61, 500)])
    assert_equal(both, words("AAAAC", 500, 500))


def test_ambiguous_letters_lower_case_and_what_only_the_cpu_takes(both):
    assert_equal(both, words("ACGTN", 200, 300) + words("ACGTRYKMSWBDHVNU", 200, 300))
    assert_equal(both, ["acgtn", "AC-GT", "AC GT", "AC*", "", "ÄCGT", "A" * 3000, "ACGT" * 300])


def test_the_order_of_mixed_lengths_is_kept(both):
    sequences = words("ACGT", 300, 1000) + ["A"] + words("ACGT", 300, 100)
    assert_equal(both, sequences)
