"""AUROC and the scores of chunks."""

import numpy as np
import pytest

from virnucpro.training.measures import auroc, chunk_scores


def pairs_won(labels, scores, weights):
    """Return AUROC by its definition."""
    won = total = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            pair = weights[i] * weights[j]
            won += pair * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
            total += pair
    return won / total


@pytest.mark.parametrize("levels", [3, 1000], ids=["many ties", "few ties"])
@pytest.mark.parametrize("weighted", [False, True])
def test_auroc_is_the_share_of_pairs_in_order(levels, weighted):
    rng = np.random.default_rng(levels)
    labels = rng.integers(2, size=60)
    scores = rng.integers(levels, size=60) + labels * levels / 4
    weights = rng.random(60) if weighted else np.ones(60)
    found = auroc(labels, scores, weights if weighted else None)
    assert found == pytest.approx(pairs_won(labels, scores, weights), abs=1e-12)


@pytest.mark.parametrize("scores, expected", [([1, 2, 3], 1.0), ([3, 2, 1], 0.0), ([2, 2, 2], 0.5)])
def test_auroc_of_known_orders(scores, expected):
    assert auroc(np.array([0, 0, 1]), np.array(scores)) == expected


def test_a_chunk_scores_the_mean_of_its_extreme_frames():
    chunk = np.array([0, 1, 1, 1, 2, 2])
    frame_logits = np.array([0.5, -3.0, 1.0, 0.0, 2.0, -2.0])
    assert chunk_scores(chunk, frame_logits).tolist() == [0.5, -1.0, 0.0]
