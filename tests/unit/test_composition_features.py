"""Counts of frames, against a plain definition."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from Bio.Seq import Seq

from virnucpro.scoring.composition_features import COMPOSITION_WIDTH, composition_features

DNA = ["ATGGCTAAACGTCTGGAAGATCCGT", "ATGNNNGCTA", "GGNA"]
PROTEIN = ["MAKRLEDP", "MXA", "G"]


def shares(words, every):
    counts = Counter(word for word in words if word in set(every))
    return [counts[word] / max(1, counts.total()) for word in every]


def plain(dna, protein):
    codons = ["".join(letters) for letters in product("ACGT", repeat=3)]
    tetramers = ["".join(letters) for letters in product("ACGT", repeat=4)]
    pairs = ["".join(letters) for letters in product("ACDEFGHIKLMNPQRSTVWY", repeat=2)]
    of_codon = shares([dna[i : i + 3] for i in range(0, len(dna) - 2, 3)], codons)
    residue = [str(Seq(codon).translate()) for codon in codons]
    of_residue = Counter()
    for letter, share in zip(residue, of_codon, strict=True):
        of_residue[letter] += share
    return [
        *of_codon,
        *[s / (of_residue[r] or 1) for s, r in zip(of_codon, residue, strict=True)],
        *shares([dna[i : i + 4] for i in range(len(dna) - 3)], tetramers),
        *shares([protein[i : i + 2] for i in range(len(protein) - 1)], pairs),
        np.log(len(protein) / 100),
    ]


def test_counts_are_those_of_the_plain_definition():
    found = composition_features(DNA, PROTEIN)
    assert found.shape == (3, COMPOSITION_WIDTH) and found.dtype == np.float32
    expected = [plain(*frame) for frame in zip(DNA, PROTEIN, strict=True)]
    np.testing.assert_allclose(found, np.array(expected, np.float32), rtol=1e-6, atol=0)


@pytest.mark.parametrize("row", range(3))
def test_counts_of_a_frame_do_not_depend_on_its_neighbours(row):
    alone = composition_features([DNA[row]], [PROTEIN[row]])
    assert alone.tobytes() == composition_features(DNA, PROTEIN)[row].tobytes()


def test_no_frames_give_no_rows():
    assert composition_features([], []).shape == (0, COMPOSITION_WIDTH)
