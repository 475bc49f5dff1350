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
        assert (found.states, found.partial) == (states, None), chunk
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
        ((_, frames, _),) = translate_chunks([""], [chunk])
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
        (states, [(f"c_{name}", dna, protein) for name, dna, protein in frames], None)
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
    ((_, frames, _),) = translate_chunks([""], ["C" * length])
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


# The frame rule longest_open.


@pytest.mark.parametrize(
    "chunk, states, frame, partial",
    [
        # F1 is * L I N *; R1 is L I N * L: equally long, the first frame wins
        ("TAATTAATTAATTAA", "psssss", ("F1", "TTAATTAATT", "LIN"), (3, 12)),
        # F1 is L V N * L A R: within a frame the first wins
        ("CTAGTTAACTAGCTAGCTAGA", "psssss", ("F1", "CTAGTTAACT", "LVN"), (0, 9)),
        # L N I I N *: from the chunk's begin to a stop at its end
        ("TTAAATATTATTAATTAAAT", "psssss", ("F1", "TTAAATATTATTAATT", "LNIIN"), (0, 15)),
        # * F I Y E L V: to the chunk's end, where there is no base more than the codons
        ("TAATTTATTTATGAATTAGTA", "psssss", ("F1", "TTTATTTATGAATTAGTA", "FIYELV"), (3, 21)),
        # R2 is I T N Y L L * and begins one base from the end of the forward strand
        ("GTTATAATAAATAATTAGTTATA", "ssssps", ("R2", "ATAACTAATTATTTATTAT", "ITNYLL"), (4, 22)),
        # R1 is T S N L . *: the dropped codon lies in the span, and shortens the DNA by three
        ("TTTAANTTAAATTAGAGGT", "sssqss", ("R1", "ACCTCTAATTTAA", "TSNL"), (4, 19)),
        # F3 is . L V N *: the DNA begins with the dropped codon, so it ends before the last one
        ("AATNNTTAGTTAATTAA", "ssqsss", ("F3", "TNNTTAGTTA", "LVN"), (2, 14)),
        ("aatnnttagttaattaa", "ssqsss", ("F3", "TNNTTAGTTA", "LVN"), (2, 14)),
    ],
)  # fmt: skip
def test_longest_stretches_worked_out_by_hand(chunk, states, frame, partial):
    name, dna, protein = frame
    expected = (states, [(f"c_{name}", dna, protein)], partial)
    assert translate_chunks(["c_"], [chunk], min_residues=1) == [expected]
    assert translate_chunks(["c_"], [chunk], min_residues=len(protein)) == [expected]
    # one residue too short: as if the rule were `open`
    closed = states.replace("p", "s").replace("q", "s")
    assert translate_chunks(["c_"], [chunk], len(protein) + 1) == [(closed, [], None)]
    assert translate_chunks(["c_"], [chunk]) == [(closed, [], None)]


@pytest.mark.parametrize(
    "chunk", ["A", "AC", "ACG", "TAA", "ATGTGA", "NNNNNN", "AUGAUG", "C" * 500]
)
def test_a_chunk_with_an_open_frame_or_without_a_codon_stays_as_it_is(chunk):
    assert translate_chunks(["c"], [chunk], min_residues=1) == translate_chunks(["c"], [chunk])


def assert_stretches_are_those_of_the_definition(definition, chunks, min_residues) -> int:
    """Compare with the rule written out codon by codon; return the number of partial frames."""
    results = translate_chunks([f"id{n}" for n in range(len(chunks))], chunks, min_residues)
    for n, (chunk, found) in enumerate(zip(chunks, results, strict=True)):
        states, frames, partial = definition(chunk, min_residues)
        named = [(f"id{n}{name}", *texts) for name, *texts in frames]
        assert found == (states, named, partial), chunk
    return sum(found.partial is not None for found in results)


@pytest.mark.parametrize("min_residues", [1, 3, 20])
def test_stretches_of_random_sequences(original, min_residues):
    rng = random.Random(min_residues)
    alphabets = (*ALPHABETS, "AT", "TTAA", "ATNRY", "TAGN", "TAACGTAACNN")
    chunks = [
        "".join(rng.choices(rng.choice(alphabets), k=rng.randrange(1, rng.choice((20, 60, 500)))))
        for _ in range(3000)
    ]
    found = assert_stretches_are_those_of_the_definition(
        original.longest_open, chunks, min_residues
    )
    assert found > 300


@pytest.mark.parametrize("chunk_bp", [75, 150, 500])
def test_stretches_of_real_sequences(original, chunk_bp):
    with gzip.open(DEMO / "contigs_a.fa.gz", "rt") as file:
        contigs = [str(record.seq) for record in SeqIO.parse(file, "fasta")]
    chunks = [
        contig[start:end]
        for contig in contigs
        for start, end in original.chunk_coordinates(len(contig), chunk_bp)
    ]
    found = assert_stretches_are_those_of_the_definition(original.longest_open, chunks, 20)
    assert found > 20
    # the rule leaves chunks with an open frame alone, and calls nearly all of the others
    ids = [str(n) for n in range(len(chunks))]
    by_rule = translate_chunks(ids, chunks, 20)
    as_before = translate_chunks(ids, chunks)
    assert all(a == b for a, b in zip(by_rule, as_before, strict=True) if b.frames)
    assert sum(not a.frames for a in by_rule) < (0.1 if chunk_bp < 150 else 0.002) * len(chunks)


def test_the_span_of_a_partial_frame_holds_its_codons():
    rng = random.Random(7)
    chunks = ["".join(rng.choices("ACGT", k=300)) for _ in range(300)]
    partial = [
        (chunk, found.partial, found.frames[0])
        for chunk, found in zip(chunks, translate_chunks(["c"] * 300, chunks, 1), strict=True)
        if found.partial
    ]
    assert len({frame.id for _, _, frame in partial}) == 6
    for chunk, (start, end), frame in partial:
        part = Seq(chunk[start:end])
        codons = part if frame.id[1] == "F" else part.reverse_complement()
        assert str(codons.translate()) == frame.protein
        assert frame.dna.startswith(str(codons)) and len(frame.dna) <= len(codons) + 1
