import math

import numpy as np
import pytest

from virnucpro.training.curves import MAX_POINTS, Panel, svg, thinned
from virnucpro.training.figures import (
    CalledChunk,
    average_precision,
    figures,
    figures_by,
    length_range,
    precision_recall,
    roc,
)

LABELS = np.array([1, 0, 1, 1, 0])
SCORES = np.array([0.9, 0.8, 0.8, 0.3, 0.1])


def test_roc_and_precision_worked_out_by_hand():
    false, true = roc(LABELS, SCORES)
    assert list(zip(false.tolist(), true.tolist(), strict=True)) == [
        (0, 0), (0, pytest.approx(1 / 3)), (0.5, pytest.approx(2 / 3)), (0.5, 1), (1, 1),
    ]  # fmt: skip
    threshold, recall, precision = precision_recall(LABELS, SCORES)
    assert threshold.tolist() == [0.9, 0.8, 0.3, 0.1]  # equal scores are one
    assert precision == pytest.approx([1, 2 / 3, 3 / 4, 3 / 5])
    assert recall == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert average_precision(LABELS, SCORES) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


CHUNKS = [
    CalledChunk("viral", "phage", 500, False, 0.8, 0.9, True),
    CalledChunk("viral", "phage", 320, True, -0.2, 0.4, False),
    CalledChunk("viral", "retrovirus", 500, False),  # no frame
    CalledChunk("nonviral", "bird", 500, False, -0.9, 0.05, False),
    CalledChunk("nonviral", "bird", 299, False, 0.4, 0.7, True),
]


def test_figures_worked_out_by_hand():
    found = figures(CHUNKS)
    assert (found.chunks, found.viral, found.nonviral, found.called) == (5, 3, 2, 4)
    assert found.called_share == 0.8
    assert found.auroc == 0.75  # 0.8 above both, -0.2 above one
    assert found.auprc == pytest.approx((1 + 2 / 3) / 2)
    assert (found.accuracy, found.sensitivity, found.specificity) == (0.5, 0.5, 0.5)
    assert found.ece == pytest.approx((0.1 + 0.6 + 0.05 + 0.7) / 4)


def test_figures_by_class_length_and_frames():
    found = figures_by(CHUNKS, 500)
    assert list(found["class"]) == ["bird", "phage", "retrovirus"]
    phage, retrovirus = found["class"]["phage"], found["class"]["retrovirus"]
    assert (phage.chunks, phage.auroc, phage.specificity) == (2, 0.75, None)  # against the birds
    assert (retrovirus.called, retrovirus.auroc, retrovirus.accuracy) == (0, None, None)
    assert {name: f.chunks for name, f in found["length"].items()} == {
        "200-299": 1,
        "300-399": 1,
        "500": 3,
    }
    assert {name: f.chunks for name, f in found["frames"].items()} == {"open": 3, "partial": 1}


@pytest.mark.parametrize(
    "length_bp, expected", [(500, "500"), (499, "400-499"), (30, "0-99"), (449, "400-449")]
)
def test_ranges_of_length_end_below_whole_chunks(length_bp, expected):
    assert length_range(length_bp, 450 if length_bp == 449 else 500) == expected


def test_curves_are_drawn_to_scale_and_thinned():
    text = svg([Panel("A & B", "x", "y", {"one": [(0, 0), (2, 5), (4, 10)]}, (0, 4), (0, 10))])
    assert "A &amp; B" in text and 'd="M0.0,260.0 L130.0,130.0 L260.0,0.0"' in text
    many = [(x, math.sqrt(x)) for x in range(10_000)]
    assert len(thinned(many)) == MAX_POINTS
    assert (thinned(many)[0], thinned(many)[-1]) == (many[0], many[-1])
