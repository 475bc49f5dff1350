import random

import pytest

from virnucpro.engine.packing import BatchPlan, Run, pack, packed_batch


@pytest.mark.parametrize(
    "lengths, budget, expected",
    [
        ([], 10, []),
        ([3], 10, [BatchPlan((0,), 10)]),
        ([10], 10, [BatchPlan((0,), 10)]),
        ([11], 10, [BatchPlan((0,), 20)]),  # too long for a batch: its own, a multiple of T
        ([2, 25, 3], 10, [BatchPlan((1,), 30), BatchPlan((0, 2), 10)]),
        ([4, 6, 4, 6, 4], 10, [BatchPlan((0, 1), 10), BatchPlan((2, 3), 10), BatchPlan((4,), 10)]),
        ([5, 5, 5], 10, [BatchPlan((0, 1), 10), BatchPlan((2,), 10)]),
        ([7, 1, 2, 9], 10, [BatchPlan((1, 3), 10), BatchPlan((2, 0), 10)]),
    ],
)
def test_plans(lengths, budget, expected):
    assert pack(lengths, budget) == expected


def test_each_sequence_occurs_once_and_batches_are_full():
    rng = random.Random(3)
    lengths = [rng.randint(60, 125) for _ in range(20_000)]
    plans = pack(lengths, 2048)
    assert sorted(i for plan in plans for i in plan.members) == list(range(len(lengths)))
    assert {plan.num_tokens for plan in plans} == {2048}
    for plan in plans:
        members = [lengths[i] for i in plan.members]
        assert members == sorted(members) and sum(members) <= 2048
    assert sum(lengths) / (2048 * len(plans)) > 0.99


def test_layout_of_a_batch():
    batch = packed_batch([2, 3, 3], num_tokens=10)
    assert batch.cu_seqlens.tolist() == [0, 2, 5, 8]
    assert batch.max_seqlen == 3
    assert batch.runs == (Run(0, 1, 2), Run(2, 2, 3))
    assert batch.positions.tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 0, 0]
    assert batch.num_tokens == 10


def test_a_batch_without_filler():
    assert packed_batch([4, 4]).num_tokens == 8


@pytest.mark.parametrize("lengths, num_tokens", [([3, 2], 10), ([5, 6], 10), ([0, 2], 10)])
def test_unsorted_empty_or_too_many_tokens_are_our_own_mistake(lengths, num_tokens):
    with pytest.raises(AssertionError):
        packed_batch(lengths, num_tokens)
