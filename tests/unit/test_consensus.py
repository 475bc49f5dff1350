"""Calls worked out by hand. A chunk is written (max_other, max_virus)."""

import itertools

import pytest

from virnucpro.consensus.consensus import (
    ChunkCall,
    FrameScore,
    call_chunk,
    call_sequence,
    is_virus_frame,
)


@pytest.mark.parametrize(
    "p_other, p_virus, is_virus",
    [(0.4, 0.6, True), (0.6, 0.4, False), (0.5, 0.5, False), (0.49999997, 0.5, True)],
)
def test_a_tie_of_a_frame_is_others(p_other, p_virus, is_virus):
    assert is_virus_frame(FrameScore(p_other, p_virus)) is is_virus


@pytest.mark.parametrize(
    "frames, max_other, max_virus, is_virus",
    [
        ([(0.3, 0.7)], 0.3, 0.7, True),
        ([(0.7, 0.3)], 0.7, 0.3, False),
        ([(0.5, 0.5)], 0.5, 0.5, True),  # a tie of a chunk is virus
        ([(0.2, 0.8), (0.9, 0.1)], 0.9, 0.8, False),  # maxima from different frames
        ([(0.1, 0.9), (0.9, 0.1)], 0.9, 0.9, True),
        ([(0.6, 0.4), (0.6, 0.4), (0.3, 0.7)], 0.6, 0.7, True),  # no vote: the most extreme one
        ([(0.12100612, 0.8789939), (0.0011595711, 0.9988405)], 0.12100612, 0.9988405, True),
    ],
)
def test_a_chunk_takes_the_largest_score_of_either_side(frames, max_other, max_virus, is_virus):
    for order in itertools.permutations(frames):
        call = call_chunk([FrameScore(*frame) for frame in order])
        assert call == ChunkCall(max_other, max_virus)
        assert call.is_virus is is_virus


@pytest.mark.parametrize(
    "chunks, is_virus, tier, weighted_delta",
    [
        ([(0.1, 0.9)] * 5, True, "high", 0.8),
        ([(0.9, 0.1)] * 5, False, "high", -0.8),
        ([(0.1, 0.9)] * 4, True, "low", 0.8),  # under five chunks: demoted
        ([(0.9, 0.1)], False, "low", -0.8),
        ([(0.25, 0.81)] * 5, True, "moderate", 0.56),
        ([(0.81, 0.25)] * 5, False, "moderate", -0.56),
        ([(0.25, 0.81)] * 4, True, "low", 0.56),
        ([(0.3, 0.7)] * 5, True, "low", 0.4),  # clear, but no chunk is confident
        ([(0.7, 0.3)] * 4, False, "review", -0.4),
        ([(0.4, 0.6)] * 50, True, "review", 0.2),
        ([(0.36, 0.64)] * 5, True, "review", 0.28),
        ([(0.34, 0.66)] * 5, True, "low", 0.32),
        ([(0.5, 0.5)], True, "review", 0.0),  # as the chunk's tie
        ([(0.6, 0.4)], False, "review", -0.2),
        # weights sqrt(0.64) and sqrt(0.36): (0.64 * 0.8 - 0.36 * 0.6) / 1.4
        ([(0.18, 0.82), (0.68, 0.32)], True, "review", 0.296 / 1.4),
        # no vote: (0.81 * 0.9 - 4 * 0.04 * 0.2) / (0.9 + 4 * 0.2)
        ([(0.05, 0.86)] + [(0.52, 0.48)] * 4, True, "moderate", 0.697 / 1.7),
        # 1 confident chunk of 11 is under a tenth, 1 of 10 is enough
        ([(0.1, 0.9)] + [(0.3, 0.7)] * 9, True, "moderate", None),
        ([(0.1, 0.9)] + [(0.3, 0.7)] * 10, True, "low", None),
        # confident chunks of the other side do not support a call
        ([(0.81, 0.1)] * 3 + [(0.0, 0.79)] * 17, True, "low", None),
    ],
)
def test_the_call_of_a_sequence(chunks, is_virus, tier, weighted_delta):
    call = call_sequence([ChunkCall(*chunk) for chunk in chunks])
    assert (call.is_virus, call.tier, call.num_chunks) == (is_virus, tier, len(chunks))
    if weighted_delta is not None:
        assert call.weighted_delta == pytest.approx(weighted_delta, abs=1e-12)


@pytest.mark.parametrize(
    "chunk, counts",
    [
        ((0.1, 0.9), (1, 0, 0)),
        ((0.9, 0.1), (0, 1, 0)),
        ((0.2, 0.8), (0, 0, 0)),  # above 0.8, not at it
        ((0.3, 0.9), (0, 0, 0)),  # below 0.3, not at it
        ((0.9, 0.3), (0, 0, 0)),
        ((0.75, 0.95), (0, 0, 1)),
        ((0.7, 0.95), (0, 0, 0)),  # above 0.7, not at it
    ],
)
def test_confident_and_ambiguous_chunks(chunk, counts):
    call = call_sequence([ChunkCall(*chunk)])
    assert (call.num_confident_viral, call.num_confident_nonviral, call.num_ambiguous) == counts


def test_proportions_leave_ambiguous_chunks_out():
    chunks = [(0.1, 0.9)] * 2 + [(0.9, 0.1)] + [(0.75, 0.95)] * 3 + [(0.4, 0.6)]
    call = call_sequence([ChunkCall(*chunk) for chunk in chunks])
    assert call.num_ambiguous == 3
    assert (call.viral_proportion, call.nonviral_proportion) == (0.5, 0.25)
    alone = call_sequence([ChunkCall(0.75, 0.95)])
    assert (alone.viral_proportion, alone.nonviral_proportion) == (0.0, 0.0)


def test_a_sequence_of_one_chunk_has_the_chunks_call():
    for p in range(101):
        chunk = ChunkCall(1 - p / 100, p / 100)
        assert call_sequence([chunk]).is_virus is chunk.is_virus


def test_the_order_of_chunks_does_not_show():
    chunks = [ChunkCall(*c) for c in [(0.1, 0.91), (0.33, 0.77), (0.6, 0.1), (0.2, 0.25)]]
    assert len({call_sequence(order) for order in itertools.permutations(chunks)}) == 1
