"""Six-frame translation of chunks, as the original does it, many chunks at a time.

Every position of a batch starts a codon; every third of them are one frame of each chunk:

    text      chunk 1 | chunk 2 | ... | chunk 2' | chunk 1'          ' reverse complement
    residues  positions 0 3 6 ..., then 1 4 7 ..., then 2 5 8 ...
              M K R * L V A . G * * N E Q I G C W F * ...            * stop, or a codon with a |
              |---|   |-------|     |-------------|                  stretches, up to the next stop

A frame that is one stretch is open. Where a chunk has no open frame, its longest stretch may be
taken instead (the frame rule `longest_open`). Frames 0..5 are F1, F2, F3, R1, R2, R3.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAME_NAMES = ("F1", "F2", "F3", "R1", "R2", "R3")
STANDARD_CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"  # NCBI 1, TCAG
STOP = ord("*")
DROPPED = ord(".")  # a codon with a letter other than A, C, G, T: no residue, no stop
COMPLEMENT = str.maketrans("ACGT", "TGCA")  # other letters stay as they are
OPEN_RULE, LONGEST_OPEN_RULE = "open", "longest_open"  # which frames are embedded
# Of a stretch, where the model set does not say. Of labelled 150 bp reads every one has a stretch
# of 20 residues, 1 % none of 30.
MIN_RESIDUES = 20
# States of a frame. Those of the second line have an embedding.
HAS_STOP, NO_CODON = "s", "n"
OPEN, OPEN_DROPPED, PARTIAL, PARTIAL_DROPPED = EMBEDDED_STATES = "odpq"
DROPPED_STATES = OPEN_DROPPED + PARTIAL_DROPPED
PARTIAL_STATES = PARTIAL + PARTIAL_DROPPED


class Frame(NamedTuple):
    """One reading of a chunk, or a stretch of it, that has a residue and no stop.

    Attributes:
        id: chunk id and frame name, as the original joins them.
        dna: the codons and one letter more, clipped at the chunk's end; of the reverse complement
            for R frames.
        protein: its residues; codons with unknown letters are left out.
    """

    id: str
    dna: str
    protein: str


class Span(NamedTuple):
    """Part of a chunk, 0-based half-open, on the forward strand for R frames too."""

    start: int
    end: int


class ChunkFrames(NamedTuple):
    """What became of the six frames of one chunk.

    Attributes:
        states: six letters in the order of FRAME_NAMES: o open, d open with dropped codons,
            s stop, n no codon that translates; p and q as o and d, for a stretch between stops.
        frames: those to embed, in that order: the open ones, or else the longest stretch, if any.
        partial: where the codons of that stretch lie; None for open frames.
    """

    states: str
    frames: list[Frame]
    partial: Span | None = None


SEPARATOR = "|"  # behind each strand
LETTERS = "TCAG"  # the order of STANDARD_CODE
UNKNOWN, BETWEEN = 4, 5  # codes of other letters and of the separator
CODE_OF_LETTER = {letter: code for code, letter in enumerate(LETTERS)} | {SEPARATOR: BETWEEN}
LETTER_CODES = bytes(CODE_OF_LETTER.get(chr(byte), UNKNOWN) for byte in range(256))


def _codon_table() -> bytes:
    """Return the residue of each codon code, 36 a + 6 b + c of its letters' codes."""
    table = bytearray(DROPPED for _ in range(256))
    for i, residue in enumerate(STANDARD_CODE):
        table[36 * (i // 16) + 6 * (i // 4 % 4) + i % 4] = ord(residue)
    for a, b, c in itertools.product(range(6), repeat=3):
        if BETWEEN in (a, b, c):
            table[36 * a + 6 * b + c] = STOP
    return bytes(table)


CODON_TABLE = _codon_table()


@dataclass(frozen=True)
class _Batch:
    """Chunks and their reverse complements, with a separator behind each, and all their codons.

    Attributes:
        text: the chunks in order, then their reverse complements, the last chunk's first.
        start, end: int64 [2 N], of each of these strands in `text`.
        residues: of the codon at each position, in the order drawn above.
    """

    text: str
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    residues: bytes


@dataclass(frozen=True)
class _Stretches:
    """Runs of codons without a stop, some of them empty; arrays [number of them].

    Attributes:
        frame: the frame it lies in, 6 n + 0..5 for chunk n.
        begin, stop: where its codons lie in the residues of the batch.
        dna_begin, strand_end: of its first codon and of its strand, in the text of the batch.
        num_residues: codons that translate.
        is_whole: it is all of its frame; before_stop: it ends at a stop codon of its frame.
    """

    frame: NDArray[np.int64]
    begin: NDArray[np.int64]
    stop: NDArray[np.int64]
    dna_begin: NDArray[np.int64]
    strand_end: NDArray[np.int64]
    num_residues: NDArray[np.int64]
    is_whole: NDArray[np.bool_]
    before_stop: NDArray[np.bool_]


def translate_chunks(
    ids: Sequence[str], chunks: Sequence[str], min_residues: int | None = None
) -> list[ChunkFrames]:
    """Return the frames of each chunk.

    Args:
        ids: of the chunks.
        chunks: in any case, ASCII, none empty.
        min_residues: None: open frames only, as the original. Else a chunk without one gives its
            longest stretch without a stop, if that has so many residues; of equally long ones the
            first, in the order of the frames and then along the strand.
    """
    if not chunks:
        return []
    batch = _codons(chunks)
    stretches = _find_stretches(batch)
    is_open = stretches.is_whole & (stretches.num_residues > 0)
    is_partial = np.zeros_like(is_open)
    if min_residues is not None:
        is_partial[_longest_of_closed_chunks(stretches, is_open, min_residues)] = True

    states = np.full(6 * len(chunks), ord(NO_CODON), np.uint8)
    dropped = stretches.stop - stretches.begin > stretches.num_residues
    for mask, state in (
        (stretches.before_stop, HAS_STOP),
        (is_open, OPEN),
        (is_open & dropped, OPEN_DROPPED),
        (is_partial, PARTIAL),
        (is_partial & dropped, PARTIAL_DROPPED),
    ):
        states[stretches.frame[mask]] = ord(state)
    chosen = np.flatnonzero(is_open | is_partial)
    chosen = chosen[np.argsort(stretches.frame[chosen])]
    frames = _cut_frames(ids, batch, stretches, chosen)
    spans = _forward_spans(chunks, stretches, np.flatnonzero(is_partial))

    results, state_text, done = [], states.tobytes().decode(), 0
    num_frames = np.bincount(stretches.frame[chosen] // 6, minlength=len(chunks))
    for n, count in enumerate(num_frames.tolist()):
        states_of_chunk = state_text[6 * n : 6 * n + 6]
        results.append(ChunkFrames(states_of_chunk, frames[done : done + count], spans.get(n)))
        done += count
    return results


def _codons(chunks: Sequence[str]) -> _Batch:
    forward = SEPARATOR.join(chunks).upper() + SEPARATOR
    text = forward + forward.translate(COMPLEMENT)[::-1] + SEPARATOR
    length = np.array([len(chunk) for chunk in chunks])
    end = np.cumsum(length + len(SEPARATOR)) - len(SEPARATOR)
    start = np.concatenate((end - length, (2 * len(forward) - end)[::-1]))

    num_thirds = -(-len(text) // 3)
    padded = text.ljust(3 * num_thirds + 2, SEPARATOR).encode().translate(LETTER_CODES)
    letters = np.frombuffer(padded, np.uint8)
    codons = 36 * letters[:-2] + 6 * letters[1:-1] + letters[2:]
    by_position = codons.tobytes().translate(CODON_TABLE)
    residues = b"".join(by_position[k::3] for k in range(3))
    return _Batch(text, start, start + np.concatenate((length, length[::-1])), residues)


def _find_stretches(batch: _Batch) -> _Stretches:
    residues = np.frombuffer(batch.residues, np.uint8)
    stop = np.flatnonzero(residues == STOP)
    begin = np.concatenate(([0], stop[:-1] + 1))
    dropped = np.flatnonzero(residues == DROPPED)
    num_dropped = np.searchsorted(dropped, stop) - np.searchsorted(dropped, begin)

    third, n = np.divmod(begin, len(residues) // 3)
    dna_begin = 3 * n + third
    dna_stop = dna_begin + 3 * (stop - begin)
    num_strands = len(batch.start)
    strand = np.searchsorted(batch.start, dna_begin, side="right") - 1
    offset = dna_begin - batch.start[strand]
    strand_end = batch.end[strand]
    # strands are F of chunks 0, 1, ... N - 1, then R of chunks N - 1, ... 1, 0
    is_reverse = strand >= num_strands // 2
    chunk = np.where(is_reverse, num_strands - 1 - strand, strand)
    return _Stretches(
        frame=6 * chunk + 3 * is_reverse + offset % 3,
        begin=begin,
        stop=stop,
        dna_begin=dna_begin,
        strand_end=strand_end,
        num_residues=stop - begin - num_dropped,
        is_whole=(offset < 3) & (strand_end - dna_stop < 3),
        before_stop=strand_end - dna_stop >= 3,
    )


def _longest_of_closed_chunks(
    stretches: _Stretches, is_open: NDArray[np.bool_], min_residues: int
) -> NDArray[np.int64]:
    """Return the longest stretch of each chunk without an open frame, where long enough."""
    chunk = stretches.frame // 6
    has_open = np.zeros(chunk.max() + 1, np.bool_)
    has_open[chunk[is_open]] = True
    candidates = np.flatnonzero(~has_open[chunk] & (stretches.num_residues >= min_residues))
    frame, num_residues = stretches.frame[candidates], stretches.num_residues[candidates]
    # a stable sort: equally long ones of a frame stay in their order
    candidates = candidates[np.lexsort((frame, -num_residues, frame // 6))]
    _, longest = np.unique(chunk[candidates], return_index=True)
    return candidates[longest]


def _cut_frames(
    ids: Sequence[str], batch: _Batch, stretches: _Stretches, chosen: NDArray[np.int64]
) -> list[Frame]:
    text, residues = batch.text, batch.residues.decode()
    dna_begin = stretches.dna_begin[chosen]
    # 3P + 1: one base more than the codons, as the original's slice; its classifier was trained so
    dna_end = np.minimum(
        dna_begin + 3 * stretches.num_residues[chosen] + 1, stretches.strand_end[chosen]
    )
    columns = (stretches.frame[chosen], dna_begin, dna_end, stretches.begin[chosen],
               stretches.stop[chosen])  # fmt: skip
    return [
        Frame(ids[f // 6] + FRAME_NAMES[f % 6], text[a:b], residues[c:d].replace(".", ""))
        for f, a, b, c, d in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _forward_spans(
    chunks: Sequence[str], stretches: _Stretches, partial: NDArray[np.int64]
) -> dict[int, Span]:
    """Return chunk -> where the codons of its partial frame lie."""
    spans = {}
    columns = (stretches.frame, stretches.begin, stretches.stop, stretches.dna_begin,
               stretches.strand_end)  # fmt: skip
    for f, begin, stop, dna_begin, strand_end in zip(
        *(column[partial].tolist() for column in columns), strict=True
    ):
        left_bp, codons_bp = strand_end - dna_begin, 3 * (stop - begin)
        start = len(chunks[f // 6]) - left_bp if f % 6 < 3 else left_bp - codons_bp
        spans[f // 6] = Span(start, start + codons_bp)
    return spans
