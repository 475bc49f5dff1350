"""Windows of labelled sequences, and how much they weigh."""

import numpy as np
import pytest
from compact_data import WINDOW_BP, source

from virnucpro.compact.windows import (
    MOST_OF_A_GROUP,
    Windows,
    drawing_weights,
    field_weights,
    training_windows,
    validation_windows,
)
from virnucpro.sequences.translation import COMPLEMENT


def test_classes_and_groups_are_drawn_by_the_root_of_their_size():
    own = [
        source("a", "1", 1600),
        source("a", "2", 400),
        source("b", "3", 400),
        source("b", "3", 100),
    ]
    weights = drawing_weights(own)
    assert weights.sum() == pytest.approx(1)
    assert weights[:2].sum() / weights[2:].sum() == pytest.approx((2000 / 500) ** 0.5)
    assert weights[0] / weights[1] == pytest.approx(2)
    assert weights[2] / weights[3] == pytest.approx(4)  # within a group, by length


def test_training_windows_are_pieces_of_their_sources_on_either_strand(sources):
    windows = training_windows(sources, (60, WINDOW_BP), 400, seed=2)
    assert np.bincount(windows.labels).tolist() == [200, 200]
    lengths = [len(sequence) for sequence in windows.sequences]
    assert min(lengths) >= 60 and max(lengths) == WINDOW_BP and len(set(lengths)) > 20
    forward = 0
    for sequence, of, label in zip(
        windows.sequences, windows.sequence_of, windows.labels, strict=True
    ):
        whole = sources[of]
        assert whole.split == "train" and whole.label == label
        forward += sequence in whole.sequence
        assert sequence in whole.sequence or sequence.translate(COMPLEMENT)[::-1] in whole.sequence
    assert 120 < forward < 280


def test_validation_windows_cover_sequences_and_no_group_counts_too_much():
    own = [source("phage", "G", 20_000, "val"), source("phage", "H", 240, "val"),
           source("phage", "I", 40, "val")]  # fmt: skip
    windows = validation_windows(own, 100)
    assert windows.groups.count("G") == MOST_OF_A_GROUP
    # 100, 100 and 40: the rest is shorter than half a window
    assert windows.groups.count("H") == 2 and windows.groups.count("I") == 0


def test_classes_weigh_their_share_of_the_field():
    kinds = ["phage", "phage", "plant virus", "bacterium", "archaeon", "fungus"]
    labels = np.array([1, 1, 1, 0, 0, 0])
    windows = Windows(["A"] * 6, labels, kinds, ["g"] * 6, np.arange(6))
    expected = [0.35 / 2, 0.35 / 2, 0.30, 0.45 / 2, 0.45 / 2, 0.45]
    assert field_weights(windows).tolist() == pytest.approx(expected)
