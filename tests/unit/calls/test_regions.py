"""Viral regions: which chunks they join, and their coordinates in BED and GFF3."""

import pytest

from virnucpro.calls.regions import Region, bed_line, gff3_line, viral_regions
from virnucpro.consensus.consensus import ChunkCall

CALLS = {"v": ChunkCall(0.25, 0.75), "V": ChunkCall(0.0, 1.0), "n": ChunkCall(0.9, 0.1)}
CHUNK_BP = 100


@pytest.mark.parametrize(
    "chunks, expected",  # v, V viral, n non-viral, . without a call
    [
        ("", []),
        ("nn..", []),
        ("v", [(0, 100, 0.5)]),
        ("vV", [(0, 200, 0.75)]),
        ("nvvn", [(100, 300, 0.5)]),
        ("vnv", [(0, 100, 0.5), (200, 300, 0.5)]),
        ("v.V", [(0, 300, 0.75)]),  # one chunk without a call is bridged
        ("v..v", [(0, 100, 0.5), (300, 400, 0.5)]),  # two are not
        (".v.v.", [(100, 400, 0.5)]),  # none at the ends
    ],
)
def test_regions_join_neighbouring_viral_chunks(
    chunks: str, expected: list[tuple[int, int, float]]
) -> None:
    calls = {k: CALLS[c] for k, c in enumerate(chunks) if c != "."}
    coordinates = [(k * CHUNK_BP, (k + 1) * CHUNK_BP) for k in range(len(chunks))]
    assert viral_regions(calls, coordinates) == [Region(*region) for region in expected]


def test_bed_is_0_based_and_gff3_is_1_based_and_escaped() -> None:
    region = Region(100, 250, 0.7504)
    assert bed_line("a;b", 2, region) == "a;b\t100\t250\ta;b_region_2\t750\t.\n"
    assert gff3_line("a;b", 2, region) == (
        "a%3Bb\tvirnucpro\tregion\t101\t250\t0.7504\t.\t.\tID=a%3Bb_region_2\n"
    )


@pytest.mark.parametrize(
    "delta, score, text",
    [
        (1.0, 1000, "1.0000"),
        (0.0004, 0, "0.0004"),
        (0.0, 0, "0.0000"),
        (-0.0004, 0, "-0.0004"),
        (-0.25, 0, "-0.2500"),  # called viral by a calibration alone
        (-1.0, 0, "-1.0000"),
    ],
)
def test_scores_of_bed_stay_within_0_and_1000(delta: float, score: int, text: str) -> None:
    region = Region(0, 9, delta)
    assert bed_line("a", 1, region) == f"a\t0\t9\ta_region_1\t{score}\t.\n"
    assert gff3_line("a", 1, region).split("\t")[5] == text
