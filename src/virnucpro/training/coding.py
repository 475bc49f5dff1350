"""Which frames of a chunk read a gene as the cell does: coding regions out of GFF3 or GenBank.

The original trained on frames whose protein is part of a /translation of the same record. Here a
frame is coding when all its codons lie in one exon of a CDS, on its strand and in its phase. That
is the same but for genes of another genetic code, and for the first codon where it is not ATG.
"""

import io
import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from virnucpro.errors import InputError, excerpt
from virnucpro.sequences.decompression import DamagedFile, open_decompressed
from virnucpro.sequences.translation import EMBEDDED_STATES, FRAME_NAMES, PARTIAL_STATES, Span

CODON_BP = 3
BIN_BP = 10_000
NUM_FORWARD = 3  # F1, F2, F3 come first


class Exon(NamedTuple):
    """A stretch of a coding region, 0-based half-open on the forward strand.

    Attributes:
        strand: "+" or "-".
        codon_start: on "+", the first base of any of its codons; on "-", the end of one, the base
            behind its first base on that strand.
    """

    start: int
    end: int
    strand: str
    codon_start: int


Exons = dict[tuple[str, int], list[Exon]]  # record name and number of a bin -> exons in it


def coding_frames(
    span: Span, states: str, partial: Span | None, exons: Collection[Exon]
) -> list[str]:
    """Return the names of the embedded frames of a chunk that are coding.

    Args:
        span: of the chunk in its sequence.
        states: of its frames (ChunkFrames.states); partial: span of a partial one in the chunk.
        exons: of the sequence, at least those around the chunk.
    """
    coding = []
    for n, (name, state) in enumerate(zip(FRAME_NAMES, states, strict=True)):
        if state not in EMBEDDED_STATES:
            continue
        if state in PARTIAL_STATES:
            assert partial is not None
            start, end = span.start + partial.start, span.start + partial.end
        else:
            offset = n % NUM_FORWARD
            codons_bp = (span.end - span.start - offset) // CODON_BP * CODON_BP
            start = span.start + offset if n < NUM_FORWARD else span.end - offset - codons_bp
            end = start + codons_bp
        strand, first = ("+", start) if n < NUM_FORWARD else ("-", end)
        if any(
            exon.strand == strand
            and exon.start <= start
            and end <= exon.end
            and (first - exon.codon_start) % CODON_BP == 0
            for exon in exons
        ):
            coding.append(name)
    return coding


def read_exons(path: Path) -> Exons:
    """Return the coding exons of a GFF3 or GenBank file, plain or compressed.

    Raises: InputError for another file, a damaged line, and one without any CDS.
    """
    try:
        with open_decompressed(path) as stream:
            lines = io.TextIOWrapper(stream, "utf-8-sig", "replace").read().split("\n")
    except (DamagedFile, OSError) as error:
        raise InputError(f"{path.name}: cannot be read ({error}). Copy it again.") from error
    is_genbank = any(line.startswith("LOCUS ") for line in lines)
    pairs = _genbank(path, lines) if is_genbank else _gff3(path, lines)
    exons: Exons = {}
    for name, exon in pairs:
        for place in _bins(exon.start, exon.end):
            exons.setdefault((name, place), []).append(exon)
    if not exons:
        raise InputError(
            f"{path.name}: has no CDS. Give GFF3 or GenBank with coding regions, or omit its "
            "genome, which has no coding frame to learn from, or use --training_frames all with an "
            "empty column annotation."
        )
    return exons


def exons_near(record: str, span: Span, exons: Exons) -> list[Exon]:
    """Return the exons around a stretch of a record."""
    return [exon for place in _bins(*span) for exon in exons.get((record, place), ())]


def annotated_records(exons: Exons) -> dict[str, int]:
    """Return the name of each record with an exon -> where its last exon ends."""
    ends: dict[str, int] = {}
    for (name, _), bin_exons in exons.items():
        ends[name] = max(ends.get(name, 0), *(exon.end for exon in bin_exons))
    return ends


def _bins(start: int, end: int) -> range:
    return range(start // BIN_BP, (end - 1) // BIN_BP + 1)


def _gff3(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Exon]]:
    lines = list(itertools.takewhile(lambda line: not line.startswith("##FASTA"), lines))
    # record -> its length; the line that has it may come after the CDS
    circular = {
        fields[0]: int(fields[4])
        for fields in (line.split("\t") for line in lines)
        if len(fields) == 9 and "is_circular=true" in fields[8].lower() and fields[4].isdigit()
    }
    for number, line in enumerate(lines, start=1):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 9:
            raise InputError(
                f"{path.name}, line {number}: has {len(fields)} columns, GFF3 has 9, separated by "
                "tabs. Give GFF3 or GenBank."
            )
        name, _, feature, start, end, _, strand, phase, _ = fields
        if feature != "CDS":
            continue
        in_order = start.isdigit() and end.isdigit() and 1 <= int(start) <= int(end)
        if not (in_order and strand in ("+", "-") and phase in ("0", "1", "2")):
            raise InputError(
                f"{path.name}, line {number}: a CDS needs a start >= 1, an end not before it, "
                f"strand (+ or -) and phase (0, 1 or 2), this one has "
                f"{excerpt(f'{start}, {end}, {strand} and {phase}')}. Fix the file."
            )
        begin, stop = int(start) - 1, int(end)
        first = begin + int(phase) if strand == "+" else stop - int(phase)
        for exon in _unrolled(Exon(begin, stop, strand, first), circular.get(name, stop)):
            yield name, exon


def _unrolled(exon: Exon, length: int) -> Iterator[Exon]:
    """Yield the parts of an exon up to the end of its record, and behind the origin.

    In GFF3 the coordinates of a CDS that crosses the origin of a circular record go on counting.
    """
    if exon.start < length:
        yield exon._replace(end=min(exon.end, length))
    if exon.end > length:
        start = max(exon.start - length, 0)
        yield Exon(start, exon.end - length, exon.strand, exon.codon_start - length)


def _genbank(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Exon]]:
    """Yield the exons of CDS features, under each of VERSION, ACCESSION and LOCUS."""
    names: list[str] = []
    feature, text = "", ""
    for line in [*lines, "LOCUS end"]:
        starts_feature = line.startswith("     ") and line[5:6].strip()
        if feature and (starts_feature or not line.startswith(" ")):
            for name in dict.fromkeys(names):
                for exon in _location_exons(path, text):
                    yield name, exon
            feature = ""
        if line.startswith("LOCUS"):
            names = [line.split()[1]]
        elif line.startswith(("ACCESSION", "VERSION")):
            names += line.split()[1:2]
        elif starts_feature and line.split()[0] == "CDS":
            feature, text = "CDS", line[21:].strip()
        elif feature:
            text += "\n" * line[21:].startswith("/") + line[21:].strip()


RANGE = re.compile(r"[<>]?(\d+)(?:\.\.[<>]?(\d+))?")


def _location_exons(path: Path, text: str) -> list[Exon]:
    """Return the exons of a CDS: its location, then a line for each qualifier."""
    location, *qualifiers = text.split("\n")
    location = location.replace(" ", "")
    if ":" in location:  # exons in other records: in which phase they end is unknown
        return []
    # complement() is around all or, in trans-splicing, around single exons
    whole = location.startswith("complement(") and "complement(" not in location[1:]
    exons: list[tuple[int, int, str]] = []
    for part in re.sub(r"\b(?:join|order)\(", "(", location).split(","):
        match = RANGE.fullmatch(part.replace("complement(", "").strip("()"))
        start, end = (int(match[1]) - 1, int(match[2] or match[1])) if match else (0, 0)
        if not 0 <= start < end:
            raise InputError(
                f"{path.name}: location {excerpt(location)} of a CDS is not understood. Fix it, or "
                "convert the file to GFF3."
            )
        exons.append((start, end, "-" if whole or "complement(" in part else "+"))
    if whole:
        exons.reverse()  # into the order of translation
    codon_start = next((q for q in qualifiers if q.startswith("/codon_start=")), "/codon_start=1")
    digit = codon_start.split("=")[1].strip(' "')
    if digit not in ("1", "2", "3"):
        raise InputError(
            f"{path.name}: {excerpt(codon_start)} of a CDS is not 1, 2 or 3. Fix the file."
        )
    left = int(digit) - 1
    placed = []
    for start, end, strand in exons:
        placed.append(Exon(start, end, strand, start + left if strand == "+" else end - left))
        left = (left - (end - start)) % CODON_BP
    return placed
