"""Frames against the original's rules, written out plainly in tests/conftest.py."""

import gzip
import random
from pathlib import Path

import pytest
from Bio import SeqIO
from Bio.Seq import Seq

from virnucpro.sequences.translation import FRAME_NAMES, translate_chunks

DEMO = Path(__file__).parents[2] / "assets/demo"
ALPHABETS = (
    "ACGT",
    "ACG",  # without T there is no stop forwards: long open frames
    "CCGGGA",
    "ACGTacgt",
    "ACGTACGTACGTACGTN",
    "ACGTacgtNnRYSWKMBDHVryswkmbdhv",
    "ACGUacgu",
    "ACGT-.NU",
    "N",
)


def random_sequence(rng: random.Random) -> str:
    # short ones more often: of a long one hardly a frame is open
    length = rng.randrange(rng.choice((8, 60, 200, 600, 2001)))
    return "".join(rng.choices(rng.choice(ALPHABETS), k=length))


def assert_frames_are_the_originals(original, chunks: list[str]) -> int:
    """Compare all that comes back; return the number of frames."""
    results = translate_chunks([f"id{n}" for n in range(len(chunks))], chunks)
    num_frames = 0
    for n, (chunk, found) in enumerate(zip(chunks, results, strict=True)):
        states, frames = original.frames(chunk)
        assert found.states == states, chunk
        assert found.frames == [(f"id{n}{name}", *texts) for name, *texts in frames], chunk
        num_frames += len(frames)
    return num_frames


def test_10_000_random_sequences(original):
    rng = random.Random(0)
    sequences = [random_sequence(rng) for _ in range(10_000)]
    assert {len(s) for s in sequences} >= {0, 1, 2, 3, 4, 5}
    assert max(map(len, sequences)) > 1990
    chunks = [s for s in sequences if s]  # an empty record has no chunk
    num_frames = sum(
        assert_frames_are_the_originals(original, chunks[start : start + 700])
        for start in range(0, len(chunks), 700)
    )
    assert num_frames > 15_000


@pytest.mark.parametrize("chunk_bp", [300, 500])
@pytest.mark.parametrize("name", ["contigs_a.fa.gz", "contigs_b.fa.gz"])
def test_real_sequences(original, name, chunk_bp):
    with gzip.open(DEMO / name, "rt") as file:
        contigs = [str(record.seq) for record in SeqIO.parse(file, "fasta")]
    chunks = [
        contig[start:end]
        for contig in contigs
        for start, end in original.chunk_coordinates(len(contig), chunk_bp)
    ]
    assert assert_frames_are_the_originals(original, chunks) > 50


def test_proteins_are_biopythons_where_all_letters_are_known():
    rng = random.Random(1)
    for length in range(3, 303):
        chunk = "".join(rng.choices("ACGT", k=length))
        ((_, frames),) = translate_chunks([""], [chunk])
        for frame in frames:
            strand = Seq(chunk) if frame.id[0] == "F" else Seq(chunk).reverse_complement()
            codons = strand[int(frame.id[1]) - 1 :]
            expected = str(codons[: len(codons) // 3 * 3].translate())
            assert frame.protein == expected
            assert frame.dna == str(codons[: 3 * len(expected) + 1])


@pytest.mark.parametrize(
    "chunk, states, frames",
    [
        ("A", "nnnnnn", []),
        ("AC", "nnnnnn", []),
        ("ATG", "onnonn", [("F1", "ATG", "M"), ("R1", "CAT", "H")]),
        ("ATGC", "oonoon", [("F1", "ATGC", "M"), ("F2", "TGC", "C"),
                            ("R1", "GCAT", "A"), ("R2", "CAT", "H")]),
        ("TAA", "snnonn", [("R1", "TTA", "L")]),
        # a stop at the end rejects the frame too; of TGT the frame has one letter more
        ("ATGTGA", "sooooo", [("F2", "TGTG", "C"), ("F3", "GTGA", "V"), ("R1", "TCACAT", "SH"),
                              ("R2", "CACA", "H"), ("R3", "ACAT", "T")]),
        # a dropped codon is no residue and no stop; the DNA is then a prefix of the frame
        ("ACGNNNACGACGAC", "dddddd", [
            ("F1", "ACGNNNACGA", "TTT"), ("F2", "CGNNNAC", "RR"), ("F3", "GNNNACG", "DD"),
            ("R1", "GTCGTCG", "VV"), ("R2", "TCGTCGT", "SS"), ("R3", "CGTCGTNNNC", "RRR"),
        ]),
        ("acgtt", "oooooo", [("F1", "ACGT", "T"), ("F2", "CGTT", "R"), ("F3", "GTT", "V"),
                             ("R1", "AACG", "N"), ("R2", "ACGT", "T"), ("R3", "CGT", "R")]),
        ("NNNNNN", "nnnnnn", []),
        ("AUGAUG", "nnnnnn", []),  # no codon without U, on either strand: U has no complement
        ("ATG---ATG", "dnndnn", [("F1", "ATG---A", "MM"), ("R1", "CAT---C", "HH")]),
        # the reverse complement is CATCAR: R stays R
        ("RTGATG", "dsodoo", [("F1", "RTGA", "M"), ("F3", "GATG", "D"), ("R1", "CATC", "H"),
                              ("R2", "ATCA", "I"), ("R3", "TCAR", "S")]),
    ],
)  # fmt: skip
def test_frames_worked_out_by_hand(chunk, states, frames):
    assert translate_chunks(["c_"], [chunk]) == [
        (states, [(f"c_{name}", dna, protein) for name, dna, protein in frames])
    ]


@pytest.mark.parametrize(
    "length, expected",
    [
        (500, [("F1", 499, 166), ("F2", 499, 166), ("F3", 498, 166),
               ("R1", 499, 166), ("R2", 499, 166), ("R3", 498, 166)]),
        (300, [("F1", 300, 100), ("F2", 298, 99), ("F3", 298, 99),
               ("R1", 300, 100), ("R2", 298, 99), ("R3", 298, 99)]),
    ],
)  # fmt: skip
def test_lengths_of_the_frames_of_a_full_chunk(length, expected):
    ((_, frames),) = translate_chunks([""], ["C" * length])
    assert [(frame.id, len(frame.dna), len(frame.protein)) for frame in frames] == expected


def test_neighbours_in_a_batch_do_not_change_a_chunk():
    rng = random.Random(2)
    chunks = [s for s in (random_sequence(rng) for _ in range(300)) if s]
    ids = [str(n) for n in range(len(chunks))]
    together = translate_chunks(ids, chunks)
    assert together == [translate_chunks([i], [c])[0] for i, c in zip(ids, chunks, strict=True)]
    assert together[::-1] == translate_chunks(ids[::-1], chunks[::-1])


def test_frame_names_are_the_originals():
    assert FRAME_NAMES == ("F1", "F2", "F3", "R1", "R2", "R3")
