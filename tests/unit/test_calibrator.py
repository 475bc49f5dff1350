"""Calibrated calls: small cases worked out by hand."""

import dataclasses
import math
import random

import pytest

from virnucpro.consensus.calibrator import (
    Bin,
    Calibration,
    Calibrator,
    Isotonic,
    Rates,
    Temperature,
    delta_log_odds,
    logit,
    sigmoid,
)
from virnucpro.consensus.consensus import ChunkCall, FrameScore, call_chunk, call_sequence

RATES = Rates((-1.0, 0.0, 0.5, 0.8), (1.0, 0.9, 0.6, 0.2), (1.0, 0.3, 0.1, 0.05))
ONE = Bin(1, Temperature(2.0, 0.0), RATES)
FEW = Bin(2, Temperature(1.0, -0.5), RATES)
MANY = Bin(5, Isotonic((-0.6, 0.0, 0.4), (0.1, 0.3, 0.9)), RATES)
CALIBRATION = Calibration((ONE, FEW, MANY))


@pytest.mark.parametrize(
    "delta, expected",
    [(0.0, 0.0), (0.5, math.log(3)), (-0.5, -math.log(3)), (0.8, math.log(9)),
     (1.0, math.log(1999999)), (-1.0, -math.log(1999999))],
)  # fmt: skip
def test_the_log_odds_of_a_delta(delta, expected):
    assert delta_log_odds(delta) == pytest.approx(expected, rel=1e-9, abs=0)


def test_the_delta_of_one_frame_has_the_log_odds_of_its_score():
    for p in (0.01, 0.3, 0.5, 0.97):
        assert delta_log_odds(p - (1 - p)) == pytest.approx(logit(p), abs=1e-12)
        assert sigmoid(logit(p)) == pytest.approx(p, abs=1e-15)
    assert (sigmoid(1000), sigmoid(-1000)) == (1.0, 0.0)


@pytest.mark.parametrize(
    "delta, num_chunks, p_virus",
    [
        (0.8, 1, 0.75),  # log-odds ln 9 / 2 = ln 3
        (-0.8, 1, 0.25),
        (0.0, 1, 0.5),
        (0.5, 2, 3 * math.exp(-0.5) / (1 + 3 * math.exp(-0.5))),
        (0.5, 4, 3 * math.exp(-0.5) / (1 + 3 * math.exp(-0.5))),
        (-1.0, 5, 0.1),  # below the first knot
        (-0.6, 5, 0.1),
        (-0.3, 5, 0.2),  # half way
        (0.0, 7, 0.3),
        (0.3, 7, 0.75),  # three quarters of the way from 0.3 to 0.9
        (0.4, 7, 0.9),
        (0.99, 700, 0.9),
    ],
)
def test_probabilities_of_bins_worked_out_by_hand(delta, num_chunks, p_virus):
    verdict = Calibrator(CALIBRATION).verdict(delta, num_chunks)
    assert verdict.p_virus == pytest.approx(p_virus, abs=1e-12)
    assert verdict.is_virus is (p_virus >= 0.5)


def test_a_prior_moves_the_odds_by_its_own():
    # odds 3 at equal frequencies; 1 in 10: 3 / 9
    verdict = Calibrator(CALIBRATION, viral_prior=0.1).verdict(0.8, 1)
    assert verdict.p_virus == pytest.approx(0.25, abs=1e-12)
    assert not verdict.is_virus
    assert Calibrator(CALIBRATION, viral_prior=0.5).verdict(0.8, 1).p_virus == pytest.approx(0.75)
    own = dataclasses.replace(CALIBRATION, viral_prior=0.1)
    assert Calibrator(own).verdict(0.8, 1) == verdict  # the set's prior where none is given
    assert Calibrator(own, 0.5).verdict(0.8, 1).is_virus


def test_the_threshold_decides():
    strict = dataclasses.replace(CALIBRATION, threshold=0.8)
    assert not Calibrator(strict).verdict(0.8, 1).is_virus
    assert Calibrator(dataclasses.replace(CALIBRATION, threshold=0.74)).verdict(0.8, 1).is_virus
    assert Calibrator(CALIBRATION).verdict(0.0, 1).is_virus  # at the threshold: as a tie of a chunk


@pytest.mark.parametrize(
    "delta, prior, fdr",
    [
        (0.0, 0.5, 0.3 / 1.2),
        (0.49, 0.5, 0.3 / 1.2),  # what the threshold at or below it says
        (0.5, 0.5, 0.1 / 0.7),
        (0.79, 0.5, 0.1 / 0.7),
        (0.8, 0.5, 0.1 / 0.7),  # 0.05 / 0.25 is more: a higher score is never worse
        (0.99, 0.2, 0.08 / 0.2),  # 0.8 * 0.1 and 0.2 * 0.6
    ],
)
def test_the_fdr_of_rates_worked_out_by_hand(delta, prior, fdr):
    calibrator = Calibrator(dataclasses.replace(CALIBRATION, threshold=0.01), prior)
    assert calibrator.verdict(delta, 1).fdr == pytest.approx(fdr, abs=1e-12)


def test_only_viral_calls_have_an_fdr():
    assert Calibrator(CALIBRATION).verdict(-0.1, 1).fdr is None


@pytest.mark.parametrize("num_chunks", [1, 3, 9])
def test_a_higher_delta_is_never_less_viral(num_chunks):
    rng = random.Random(num_chunks)
    deltas = sorted(rng.uniform(-1, 1) for _ in range(400)) + [1.0]
    for prior in (0.001, 0.5, 0.9):
        verdicts = [Calibrator(CALIBRATION, prior).verdict(d, num_chunks) for d in deltas]
        for a, b in zip(verdicts, verdicts[1:], strict=False):
            assert a.p_virus <= b.p_virus and a.is_virus <= b.is_virus
            assert a.fdr is None or (b.fdr is not None and b.fdr <= a.fdr)


def test_calls_of_chunks_and_sequences_follow_the_calibration():
    strict = Calibrator(CALIBRATION, 0.1)
    frames = [FrameScore(0.1, 0.9)]
    chunk = call_chunk(frames, strict)
    assert (chunk.is_virus, chunk.is_virus_uncalibrated) == (False, True)
    assert (chunk.max_other, chunk.max_virus, chunk.delta) == (0.1, 0.9, 0.8)
    sequence = call_sequence([chunk], strict)
    assert not sequence.is_virus and sequence.verdict == chunk.verdict  # one chunk: the same call
    # against the sign of the delta: not to be trusted
    assert (sequence.tier, sequence.weighted_delta) == ("review", pytest.approx(0.8))
    many = [call_chunk(frames, strict)] * 5
    rare = call_sequence(many, Calibrator(CALIBRATION, 1e-3))
    assert (rare.is_virus, rare.tier) == (False, "review")  # else a margin of 0.8 would be more
    lenient = Calibrator(CALIBRATION)
    chunks = [call_chunk(frames, lenient)] * 5
    assert (call_sequence(chunks, lenient).tier, call_sequence(chunks, lenient).is_virus) == (
        "high", True,
    )  # fmt: skip
    assert call_sequence(chunks, lenient).verdict.p_virus == pytest.approx(0.9)


def test_without_a_calibration_the_call_is_the_original_one():
    for p in range(101):
        chunk = call_chunk([FrameScore(1 - p / 100, p / 100)])
        assert chunk == ChunkCall(1 - p / 100, p / 100)
        assert chunk.verdict is None and chunk.is_virus is chunk.is_virus_uncalibrated
        assert call_sequence([chunk]).verdict is None
