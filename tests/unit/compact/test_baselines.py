"""The simple models that a compact set is compared with."""

import numpy as np
from compact_data import CPU

from virnucpro.compact.baselines import kmer_shares, linear_scores
from virnucpro.training.measures import auroc


def test_5_mers_are_counted_on_both_strands():
    shares = kmer_shares(["AACGTTN", "GGGGG"])
    code = {"AACGT": 0b0000011011, "ACGTT": 0b0001101111}  # each the other's reverse complement
    assert shares[0][list(code.values())].tolist() == [0.5, 0.5]
    assert shares[1][[0b1010101010, 0b0101010101]].tolist() == [0.5, 0.5]


def test_the_linear_model_finds_a_line():
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, (300, 4)).astype(np.float32)
    labels = (x[:, 1] - x[:, 2] > 0).astype(np.int64)
    assert auroc(labels[200:], linear_scores(x[:200], labels[:200], x[200:], CPU)) > 0.98
