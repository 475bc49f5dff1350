"""Viral regions inside long sequences: neighbouring viral chunks, joined."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from virnucpro.consensus.consensus import ChunkCall

MAX_BRIDGED_CHUNKS = 1  # chunks without an open frame that may lie between two viral ones
GFF3_UNESCAPED = "!*$+?@^|:"  # in a seqid, beside letters, digits and _.-~


class Region(NamedTuple):
    """A stretch of a sequence, 0-based half-open; delta is the mean margin of its viral chunks."""

    start: int
    end: int
    delta: float


def viral_regions(
    calls: Mapping[int, ChunkCall], coordinates: Sequence[tuple[int, int]]
) -> list[Region]:
    """Return the regions of one sequence.

    A chunk called non-viral ends a region, and so do two chunks in a row without a call.

    Args:
        calls: chunk number from 0 -> call, of the called chunks, ascending.
        coordinates: of all chunks of the sequence, 0-based half-open.
    """
    runs: list[list[int]] = []
    previous = -1  # the called chunk before
    for k, call in calls.items():
        is_near = k - previous <= MAX_BRIDGED_CHUNKS + 1
        if call.is_virus and is_near and runs and runs[-1][-1] == previous:
            runs[-1].append(k)
        elif call.is_virus:
            runs.append([k])
        previous = k
    return [
        Region(
            coordinates[run[0]][0],
            coordinates[run[-1]][1],
            sum(calls[k].delta for k in run) / len(run),
        )
        for run in runs
    ]


def bed_line(sequence_id: str, number: int, region: Region) -> str:
    """Return a BED6 line; the score is 1000 times the delta, within the 0 to 1000 of BED.

    Only a calibration calls chunks with a delta below 0 viral: they get the lowest score.
    """
    score = max(0, round(1000 * region.delta))
    return (
        f"{sequence_id}\t{region.start}\t{region.end}\t{sequence_id}_region_{number}\t{score}\t.\n"
    )


def gff3_line(sequence_id: str, number: int, region: Region) -> str:
    """Return a GFF3 line, 1-based inclusive; the score is the delta, which may be negative."""
    name = quote(sequence_id, safe=GFF3_UNESCAPED)
    return (
        f"{name}\tvirnucpro\tregion\t{region.start + 1}\t{region.end}\t{region.delta:.4f}\t.\t.\t"
        f"ID={quote(sequence_id, safe='')}_region_{number}\n"
    )
