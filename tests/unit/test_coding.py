import gzip

import pytest

from virnucpro.errors import InputError
from virnucpro.sequences.translation import Span, translate_chunks
from virnucpro.training.coding import (
    Exon,
    annotated_records,
    coding_frames,
    exons_near,
    read_exons,
)

GFF = "##gff-version 3\nc1\tx\tgene\t1\t90\t.\t+\t.\tID=g\n"


def row(start, end, strand, phase, name="c1"):
    return f"{name}\tx\tCDS\t{start}\t{end}\t.\t{strand}\t{phase}\tID=c\n"


def genbank(location, qualifier=""):
    return (
        "LOCUS       c1   100 bp    DNA     linear   BCT 01-JAN-2000\nVERSION     c1.1\n"
        "FEATURES             Location/Qualifiers\n     source          1..100\n"
        f"     CDS             {location}\n{qualifier}"
        '                     /note="join(1..9)"\n     gene            1..100\n'
        "ORIGIN\n        1 acgt\n//\n"
    )


def write(tmp_path, text):
    path = tmp_path / "a.gff"
    path.write_text(text)
    return path


@pytest.mark.parametrize("span, strand, codon_start, expected", [
    # a chunk of 30 bp at 100: F1 100-130, F2 101-128 (9 codons), F3 102-129; R1 as F1, R2 102-129 ...
    ((90, 200), "+", 100, ["F1"]),
    ((90, 200), "+", 91, ["F1"]),
    ((90, 200), "+", 92, ["F2"]),
    ((90, 200), "+", 93, ["F3"]),
    ((90, 200), "-", 130, ["R1"]),
    ((90, 200), "-", 129, ["R2"]),
    ((90, 200), "-", 200, ["R3"]),
    ((101, 128), "+", 101, ["F2"]),  # just its codons
    ((101, 127), "+", 101, []),  # the last codon is outside
    ((102, 128), "+", 101, []),  # a part of the first
])  # fmt: skip
def test_a_frame_is_coding_in_phase_on_the_strand_and_inside(span, strand, codon_start, expected):
    exon = Exon(*span, strand, codon_start)
    assert coding_frames(Span(100, 130), "oooooo", None, [exon]) == expected


def test_frames_that_are_not_embedded_are_never_coding_and_partial_ones_by_their_codons():
    exon = Exon(110, 119, "+", 110)
    assert coding_frames(Span(100, 130), "ssspss", Span(9, 21), [exon]) == []
    assert coding_frames(Span(100, 130), "spssss", Span(10, 19), [exon]) == ["F2"]
    assert coding_frames(Span(100, 130), "sssspn", Span(10, 19), [Exon(110, 119, "-", 119)]) == [
        "R2"
    ]


@pytest.mark.parametrize("strand", "+-")
def test_it_is_the_frame_that_translates_to_the_protein(strand, tmp_path):
    """As the original decides: the frame's protein is part of that of the gene."""
    gene = "ATG" + "GCTAAAGAC" * 12
    forward = "CC" + gene + "TAA" + "GTGC"
    start, end = 3, 2 + len(gene) + 3
    if strand == "-":
        forward = forward.translate(str.maketrans("ACGT", "TGCA"))[::-1]
        start, end = len(forward) - end + 1, len(forward) - start + 1
    exons = read_exons(write(tmp_path, GFF + row(start, end, strand, 0)))
    (gene_frame,) = (f for f in translate_chunks(["g"], [gene])[0].frames if f.id == "gF1")
    for a, b in ((10, 70), (11, 71), (12, 70), (30, 90)):
        (found,) = translate_chunks(["c"], [forward[a:b]])
        expected = [f.id[1:] for f in found.frames if f.protein in gene_frame.protein]
        span = Span(a, b)
        assert coding_frames(span, found.states, None, exons_near("c1", span, exons)) == expected
        assert len(expected) == 1


@pytest.mark.parametrize("text, expected", [
    (GFF + row(11, 40, "+", 0), [Exon(10, 40, "+", 10)]),
    (GFF + row(11, 40, "+", 2), [Exon(10, 40, "+", 12)]),
    (GFF + row(11, 40, "-", 1), [Exon(10, 40, "-", 39)]),
    (genbank("11..40"), [Exon(10, 40, "+", 10)]),
    (genbank("<11..>40", "                     /codon_start=3\n"), [Exon(10, 40, "+", 12)]),
    (genbank("<11..>40", '                     /codon_start="2"\n'), [Exon(10, 40, "+", 11)]),
    # 10 bases: one codon is cut after its first base, so the next exon owes it two
    (genbank("join(1..10,21..\n                     40)"), [Exon(0, 10, "+", 0), Exon(20, 40, "+", 22)]),
    (genbank("complement(join(1..20,31..40))"), [Exon(0, 20, "-", 18), Exon(30, 40, "-", 40)]),
    (genbank("join(complement(31..40),complement(1..20))"), [Exon(0, 20, "-", 18), Exon(30, 40, "-", 40)]),
])  # fmt: skip
def test_gff3_and_genbank_give_the_same_exons(text, expected, tmp_path):
    exons = read_exons(write(tmp_path, text))
    assert sorted(exons_near("c1", Span(0, 100), exons)) == expected
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read_exons(packed) == exons


def test_genbank_is_known_by_each_of_its_names_and_far_exons_are_not_near(tmp_path):
    release = "GBVRL1.SEQ   Genetic Sequence Data Bank\n\n"  # stands above the records there
    text = genbank("11..40").replace("VERSION", "ACCESSION   a1 a2\nVERSION")
    exons = read_exons(write(tmp_path, release + text))
    assert annotated_records(exons) == {"c1.1": 40, "c1": 40, "a1": 40}
    assert exons_near("c1.1", Span(0, 9), exons) == exons_near("c1", Span(0, 9), exons) != []
    assert (
        exons_near("c1", Span(10_000, 10_500), exons) == exons_near("c2", Span(0, 9), exons) == []
    )
    long = read_exons(write(tmp_path, GFF + row(9_000, 31_000, "+", 0)))
    assert len(exons_near("c1", Span(20_100, 20_600), long)) == 1


@pytest.mark.parametrize("strand, phase, expected", [
    ("+", 2, [(0, 30, "+", 1), (90, 100, "+", 2)]),
    ("-", 1, [(0, 30, "-", 2), (90, 100, "-", 0)]),
])  # fmt: skip
def test_gff3_counts_on_over_the_origin_where_genbank_joins(strand, phase, expected, tmp_path):
    region = "c1\tx\tregion\t1\t100\t.\t+\t.\tID=c1;Is_circular=true\n"
    joined = {"+": "join(91..100,1..30)", "-": "complement(join(91..100,1..30))"}[strand]
    codon_start = f"                     /codon_start={phase + 1}\n"
    crossing = row(91, 130, strand, phase)
    behind = GFF + crossing + region.replace("true", "True")
    for text in (GFF + region + crossing, behind, genbank(joined, codon_start)):
        exons = exons_near("c1", Span(0, 100), read_exons(write(tmp_path, text)))
        assert sorted((e.start, e.end, e.strand, e.codon_start % 3) for e in exons) == expected


@pytest.mark.parametrize("text, words", [
    (GFF, "has no CDS"),
    (">c1\nACGT\n", "line 1: has 1 columns, GFF3 has 9"),
    (GFF + row(40, 11, "+", 0), "line 3: a CDS needs .* this one has 40, 11"),
    (genbank("40..11"), "location 40..11 of a CDS is not understood"),
    (genbank("join(1..4,(5.7)..9)"), "not understood"),
    (GFF + row(11, 40, "+", "."), "line 3: a CDS needs a start >= 1"),
    (genbank("gap"), "location gap of a CDS is not understood"),
])  # fmt: skip
def test_other_files_are_refused(text, words, tmp_path):
    with pytest.raises(InputError, match=words):
        read_exons(write(tmp_path, text))
