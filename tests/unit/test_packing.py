import random

import pytest
import torch

from virnucpro.models.packing import TILE_ROWS, BatchPlan, Run, pack, packed_batch


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


def test_tiles_of_a_batch():
    """Start of the sequence, its length, first row of the piece; long sequences first."""
    assert packed_batch([2, 64, 65], num_tokens=270).tiles.tolist() == [
        [66, 65, 64], [66, 65, 0], [2, 64, 0], [0, 2, 0],
        [131, 0, 0], [195, 0, 0], [259, 0, 0],
    ]  # fmt: skip
    assert packed_batch([130]).tiles.tolist() == [[0, 130, 128], [0, 130, 64], [0, 130, 0]]


def test_tiles_cover_each_row_once():
    lengths = sorted(random.Random(1).choices(range(1, 300), k=40))
    batch = packed_batch(lengths, num_tokens=8192)
    seen = [0] * 8192
    for start, length, row in batch.tiles.tolist():
        end = start + min(row + TILE_ROWS, length) if length else min(start + TILE_ROWS, 8192)
        for token in range(start + row, end):
            seen[token] += 1
    assert seen == [1] * 8192


def test_a_batch_moves_with_all_its_tensors():
    batch = packed_batch([2, 3, 3], num_tokens=10)
    there = batch.to(torch.device("meta"))
    for name in ("cu_seqlens", "positions", "tiles"):
        assert getattr(there, name).device.type == "meta"
        assert getattr(there, name).shape == getattr(batch, name).shape
    assert there.runs == batch.runs and there.max_seqlen == batch.max_seqlen


def test_a_batch_without_filler():
    assert packed_batch([4, 4]).num_tokens == 8


@pytest.mark.parametrize("lengths, num_tokens", [([3, 2], 10), ([5, 6], 10), ([0, 2], 10)])
def test_unsorted_empty_or_too_many_tokens_are_our_own_mistake(lengths, num_tokens):
    with pytest.raises(AssertionError):
        packed_batch(lengths, num_tokens)
