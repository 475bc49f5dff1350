"""Composition features of a frame, which a classifier may take beside the embeddings.

COMPOSITION_WIDTH numbers:

    64    share of each codon among the frame's codons; A C G T in this order, first base slowest
    64    share of each codon among the frame's codons for the same residue, or stop
    256   share of each run of four bases, at all places
    400   share of each pair of neighbouring residues; one-letter codes in the order of RESIDUES
    1     ln(residues / 100)

Runs with another letter are left out. All are of the strand that the frame lies on, so they do not
depend on the strand that a sequence was given on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from virnucpro.sequences.translation import STANDARD_CODE

BASES, RESIDUES = "ACGT", "ACDEFGHIKLMNPQRSTVWY"
COMPOSITION_WIDTH = 64 + 64 + 256 + 400 + 1
USUAL_RESIDUES = 100  # where the last number is 0
BLOCK_FRAMES = 2048  # at a time: some 100 MB


def composition_features(dna: Sequence[str], protein: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 [frames, COMPOSITION_WIDTH].

    Args:
        dna: nucleotides of each frame from its first codon on, upper case.
        protein: residues of each frame, at least one.
    """
    features = np.empty((len(dna), COMPOSITION_WIDTH), np.float32)
    for start in range(0, len(dna), BLOCK_FRAMES):
        rows = slice(start, start + BLOCK_FRAMES)
        features[rows] = _block(dna[rows], protein[rows])
    return features


def _block(dna: Sequence[str], protein: Sequence[str]) -> NDArray[np.float64]:
    residues = np.array([len(frame) for frame in protein])
    length = np.log(residues / USUAL_RESIDUES)[:, None]
    codons = word_shares(dna, BASES, 3, step=3)
    columns = (
        codons,
        _within_residues(codons),
        word_shares(dna, BASES, 4),
        word_shares(protein, RESIDUES, 2),
        length,
    )
    return np.concatenate(columns, axis=1)


def _within_residues(codons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return shares [n, 64] of codons among those of the same residue; 0 where there are none."""
    same_residue = _SYNONYMS @ codons.T  # [64, n]
    return codons / np.where(same_residue > 0, same_residue, 1).T


def _synonyms() -> NDArray[np.float64]:
    """Return [64, 64]: 1 where two codons stand for the same residue, in the order of BASES."""
    place = ["TCAG".index(base) for base in BASES]  # in the order of STANDARD_CODE
    residues = np.array(list(STANDARD_CODE)).reshape(4, 4, 4)[np.ix_(place, place, place)].ravel()
    return (residues[:, None] == residues).astype(float)


_SYNONYMS = _synonyms()


def word_shares(sequences: Sequence[str], letters: str, size: int, step: int = 1) -> NDArray:
    """Return float64 [n, len(letters) ** size]: the share of each word; 0 where there is none.

    Args:
        sequences: in ASCII.
        letters: that words are made of, in their order.
        size: letters of a word; step: from one word to the next.
    """
    code_of = np.full(256, -1)
    code_of[[ord(letter) for letter in letters]] = np.arange(len(letters))
    num_words = len(letters) ** size
    codes = code_of[np.frombuffer("".join(sequences).encode(), np.uint8)]
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    starts = np.flatnonzero((place % step == 0) & (place + size <= lengths[sequence]))
    letters_of = codes[starts[:, None] + np.arange(size)]  # [words, size]
    known = (letters_of >= 0).all(axis=1)
    word = letters_of[known] @ len(letters) ** np.arange(size)[::-1]
    cells = sequence[starts[known]] * num_words + word
    counts = np.bincount(cells, minlength=len(lengths) * num_words).reshape(-1, num_words)
    return counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
