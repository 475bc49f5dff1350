"""Six-frame translation of chunks, as the original does it, many chunks at a time.

The codes of all codons of a batch are computed at once; stops are counted by (chunk, frame), and
only the frames without a stop are then cut out. Frames 0..5 are F1, F2, F3, R1, R2, R3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAME_NAMES = ("F1", "F2", "F3", "R1", "R2", "R3")
STANDARD_CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"  # NCBI 1, TCAG
STOP = ord("*")
DROPPED = ord(".")  # a codon with a letter other than A, C, G, T: no residue, no stop
COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")  # other letters stay as they are


class Frame(NamedTuple):
    """An open frame: one reading of a chunk that holds a residue and no stop.

    Attributes:
        id: chunk id and frame name, as the original joins them.
        dna: the codons and one letter more, clipped at the chunk's end; of the reverse complement
            for R frames.
        protein: its residues; codons with unknown letters are left out.
    """

    id: str
    dna: str
    protein: str


class ChunkFrames(NamedTuple):
    """What became of the six frames of one chunk.

    Attributes:
        states: six letters in the order of FRAME_NAMES: o open, d open with dropped codons,
            s stop, n no codon that translates.
        frames: the open ones, in that order.
    """

    states: str
    frames: list[Frame]


def _codon_tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the residue of each codon code (25 a + 5 b + c, 4 = unknown), forward and reverse."""
    forward = np.full(125, DROPPED, np.uint8)
    reverse = np.full(125, DROPPED, np.uint8)
    for i, residue in enumerate(STANDARD_CODE):
        a, b, c = i // 16, i // 4 % 4, i % 4
        forward[25 * a + 5 * b + c] = ord(residue)
        # the letters are ordered T C A G, so that the complement of x is (x + 2) % 4
        reverse[25 * ((c + 2) % 4) + 5 * ((b + 2) % 4) + (a + 2) % 4] = ord(residue)
    return forward, reverse


LETTER_CODES = np.full(256, 4, np.uint8)
LETTER_CODES[np.frombuffer(b"TCAG", np.uint8)] = np.arange(4)
FORWARD_CODE, REVERSE_CODE = _codon_tables()


def translate_chunks(ids: Sequence[str], chunks: Sequence[str]) -> list[ChunkFrames]:
    """Return the frames of each chunk; `chunks` in any case, ASCII, none empty."""
    text = "".join(chunks).upper().encode()
    ends = np.cumsum([len(chunk) for chunk in chunks])
    starts = np.concatenate(([0], ends[:-1]))
    letters = LETTER_CODES[np.frombuffer(text + b"NN", np.uint8)]
    codons = 25 * letters[:-2] + 5 * letters[1:-1] + letters[2:]
    forward, reverse = FORWARD_CODE[codons], REVERSE_CODE[codons]
    stops = _count_by_frame(forward == STOP, reverse == STOP, starts, ends)
    dropped = _count_by_frame(forward == DROPPED, reverse == DROPPED, starts, ends)
    forward_text, reverse_text = forward.tobytes(), reverse.tobytes()

    results = []
    for n, (chunk_id, start, end) in enumerate(
        zip(ids, starts.tolist(), ends.tolist(), strict=True)
    ):
        states, frames = "", []
        for f, name in enumerate(FRAME_NAMES):
            num_codons = max(0, (end - start - f % 3) // 3)
            if stops[n][f]:
                states += "s"
            elif dropped[n][f] == num_codons:
                states += "n"
            else:
                states += "d" if dropped[n][f] else "o"
                frames.append(
                    _cut_frame(
                        chunk_id + name, f, text[start:end], start, forward_text, reverse_text
                    )
                )
        results.append(ChunkFrames(states, frames))
    return results


def _count_by_frame(
    forward_hits: NDArray[np.bool_],
    reverse_hits: NDArray[np.bool_],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> list[list[int]]:
    """Count codon positions by chunk and frame: [num_chunks][6]."""
    counts = np.zeros((len(starts), 6), np.int64)
    for strand, hits in enumerate((forward_hits, reverse_hits)):
        position = np.flatnonzero(hits)
        chunk = np.searchsorted(ends, position, side="right")
        inside = position <= ends[chunk] - 3  # later codons reach into the next chunk
        position, chunk = position[inside], chunk[inside]
        offset = ends[chunk] - 3 - position if strand else position - starts[chunk]
        key = 6 * chunk + 3 * strand + offset % 3
        counts += np.bincount(key, minlength=counts.size).reshape(counts.shape)
    return counts.tolist()


def _cut_frame(
    frame_id: str, f: int, chunk: bytes, start: int, forward_text: bytes, reverse_text: bytes
) -> Frame:
    length, offset = len(chunk), f % 3
    if f < 3:
        strand = chunk
        residues = forward_text[start + offset : start + length - 2 : 3]
    else:
        strand = chunk.translate(COMPLEMENT)[::-1]
        window = reverse_text[start : start + length - 2 - offset]
        residues = window[::-1][::3]
    protein = residues.replace(b".", b"").decode()
    # 3P + 1: one base more than the codons, as the original's slice; its classifier was trained so
    return Frame(frame_id, strand[offset : offset + 1 + 3 * len(protein)].decode(), protein)
