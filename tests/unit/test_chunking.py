import random

import pytest

from virnucpro.sequences.chunking import chunk_coordinates, chunk_id


@pytest.mark.parametrize(
    "length_bp, chunk_bp, expected",
    [
        (0, 500, []),  # an empty record has no chunk; SPLIT reports it
        (1, 500, [(0, 1)]),
        (499, 500, [(0, 499)]),  # kept short
        (500, 500, [(0, 500)]),
        (501, 500, [(0, 500), (250, 501)]),  # the last chunk is shorter, as in the original
        (600, 500, [(0, 500), (299, 600)]),
        (999, 500, [(0, 500), (499, 999)]),
        (1000, 500, [(0, 500), (500, 1000)]),
        (1001, 500, [(0, 500), (333, 833), (666, 1001)]),
        (2345, 500, [(0, 500), (468, 968), (936, 1436), (1404, 1904), (1872, 2345)]),
        (601, 300, [(0, 300), (200, 500), (400, 601)]),
    ],
)
def test_chunk_coordinates(length_bp, chunk_bp, expected):
    assert chunk_coordinates(length_bp, chunk_bp) == expected


@pytest.mark.parametrize("chunk_bp", [300, 500])
def test_coordinates_are_those_of_the_originals_loop(original, chunk_bp):
    rng = random.Random(chunk_bp)
    lengths = [*range(5000), *(rng.randrange(5000, 60_000) for _ in range(2000)), 44_701, 124_501]
    for length_bp in lengths:
        expected = original.chunk_coordinates(length_bp, chunk_bp)
        assert chunk_coordinates(length_bp, chunk_bp) == expected, length_bp


@pytest.mark.parametrize(
    "num_chunks, chunk_bp, shortest",
    [(2, 300, 151), (3, 300, 201), (4, 300, 226), (10, 300, 271),
     (2, 500, 251), (3, 500, 335), (4, 500, 376), (10, 500, 451)],
)  # fmt: skip
def test_the_shortest_last_chunk(num_chunks, chunk_bp, shortest):
    lengths = range((num_chunks - 1) * chunk_bp + 1, num_chunks * chunk_bp + 1)
    last = [chunk_coordinates(length_bp, chunk_bp)[-1] for length_bp in lengths]
    assert min(end - start for start, end in last) == shortest


@pytest.mark.parametrize("chunk_bp, limit_bp", [(300, 44_701), (500, 124_501)])
def test_short_last_chunks_stop_at_the_stated_length(chunk_bp, limit_bp):
    def is_short(length_bp):
        start, end = chunk_coordinates(length_bp, chunk_bp)[-1]
        return end - start < chunk_bp

    assert is_short(limit_bp)
    assert not any(is_short(length_bp) for length_bp in range(limit_bp + 1, limit_bp + 3000))


def test_names_count_from_one():
    assert [chunk_id("contig 7", k) for k in (0, 9)] == ["contig 7_chunk_1", "contig 7_chunk_10"]
