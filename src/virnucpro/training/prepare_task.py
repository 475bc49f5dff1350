"""PREPARE_TRAINING: the chunks of all genomes get a label, a side and their coding frames."""

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from virnucpro.errors import InputError
from virnucpro.sequences.translation import COMPLEMENT, EMBEDDED_STATES
from virnucpro.training.chunk_table import DROPPED, ChunkRow, write_chunk_table, write_table
from virnucpro.training.coding import (
    Exons,
    annotated_records,
    coding_frames,
    exons_near,
    read_exons,
)
from virnucpro.training.genomes import (
    PARTS,
    Genome,
    GenomeChunk,
    read_genome_chunks,
    read_genome_records,
)
from virnucpro.training.group_split import split_genomes

CLEANEST_FIRST = ("test", "val", "train")
SPLIT_HEADER = (
    "genome", "label", "class", "group", "split", "chunks", "chunks_with_frames", "dropped",
    "frames", "coding_frames",
)  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to prepare.

    Attributes:
        genomes: of the sheet, in its order.
        folder: what SPLIT and TRANSLATE made of them; annotations: their files of coding regions.
        chunk_bp: as SPLIT had it; seed: of the split.
        min_val_chunks: chunks with a frame that val needs of each label, for the calibration.
    """

    genomes: list[Genome]
    folder: Path
    annotations: Path
    chunk_bp: int
    seed: int
    min_val_chunks: int = 0


def prepare(request: Request, chunk_table: Path, split_table: Path) -> dict[str, str]:
    """Write the table of chunks and that of genomes; return genome id -> part.

    A chunk whose sequence, on either strand, is on a cleaner side too (test before val before
    train) is dropped from the other one. Rows come in the order of the sheet, then of the files.

    Raises: InputError for a genome without its files, an annotation of other sequences, a split
        that leaves a side without a label, and a val part too small to calibrate with.
    """
    genomes = request.genomes
    digests, num_with_frame = {}, {}
    for genome in genomes:
        chunks = [(strandless_digest(c.sequence), _has_frame(c)) for c in _chunks(request, genome)]
        digests[genome.id] = [digest for digest, _ in chunks]
        num_with_frame[genome.id] = sum(has_frame for _, has_frame in chunks)
    parts = split_genomes(genomes, num_with_frame, request.seed)
    side_of = _sides(digests, parts)
    counts: dict[str, Counter[str]] = {g.id: Counter() for g in genomes}
    write_chunk_table(chunk_table, _rows(request, digests, parts, side_of, counts))
    _check_val(genomes, parts, counts, request.min_val_chunks)
    write_table(split_table, SPLIT_HEADER, (
        (g.id, g.label, g.kind, g.group, parts[g.id], *(counts[g.id][key] for key in
         ("chunks", "with_frames", "dropped", "frames", "coding")))
        for g in genomes
    ))  # fmt: skip
    _tell(genomes, parts, counts)
    return parts


def _chunks(request: Request, genome: Genome) -> Iterator[GenomeChunk]:
    return read_genome_chunks(genome.id, request.folder, request.chunk_bp)


def _has_frame(chunk: GenomeChunk) -> bool:
    return any(state in EMBEDDED_STATES for state in chunk.states)


def _sides(digests: Mapping[str, list[bytes]], parts: Mapping[str, str]) -> dict[bytes, str]:
    """Return digest of a sequence -> the side that keeps it, for those of test and val."""
    side_of: dict[bytes, str] = {}
    for part in CLEANEST_FIRST[:-1]:
        for genome_id, own in digests.items():
            if parts[genome_id] == part:
                for digest in own:
                    side_of.setdefault(digest, part)
    return side_of


def strandless_digest(sequence: str) -> bytes:
    """Return a digest that a sequence shares with its reverse complement, whatever the case."""
    forward = sequence.upper()
    reverse = forward.translate(COMPLEMENT)[::-1]
    return hashlib.blake2b(min(forward, reverse).encode(), digest_size=16).digest()


def _rows(
    request: Request,
    digests: Mapping[str, list[bytes]],
    parts: Mapping[str, str],
    side_of: Mapping[bytes, str],
    counts: Mapping[str, Counter[str]],
) -> Iterator[ChunkRow]:
    """Yield the rows of the chunk table, and count what they hold."""
    for genome in request.genomes:
        exons = genome_exons(request, genome)
        part, own = parts[genome.id], counts[genome.id]
        for chunk, digest in zip(_chunks(request, genome), digests[genome.id], strict=True):
            coding = _coding(chunk, exons)
            kept = side_of.get(digest, part) == part
            row = ChunkRow(
                genome.id, chunk.sequence_id, chunk.id, chunk.shard, len(chunk.sequence),
                chunk.states, ",".join(coding), genome.label, genome.kind, genome.group,
                part if kept else DROPPED,
            )  # fmt: skip
            own["chunks"] += 1
            own["dropped"] += not kept
            if kept:
                own["with_frames"] += _has_frame(chunk)
                own["frames"] += len(row.frames)
                own["coding"] += len(coding)
            yield row


def genome_exons(request: Request, genome: Genome) -> Exons:
    """Return the exons of a genome; {} without an annotation."""
    if not genome.annotation:
        return {}
    exons = read_exons(request.annotations / genome.annotation)
    last_ends = annotated_records(exons)
    records = list(read_genome_records(genome.id, request.folder))
    names = Counter(record.name for record in records)
    if not last_ends.keys() & names.keys():
        raise InputError(
            f"genome {genome.id}: {genome.annotation} is of {_some(last_ends)}, its FASTA file has "
            f"{_some(names)}. Give the annotation of these sequences, under the same names."
        )
    for record in records:
        end = last_ends.get(record.name, 0)
        if end > record.length_bp:
            raise InputError(
                f"genome {genome.id}: {genome.annotation} has a CDS up to {end} of {record.name}, "
                f"which is {record.length_bp} bp. Give the annotation of this very sequence (a CDS "
                "across the origin: GFF3 with Is_circular=true, or GenBank with join())."
            )
        if end and names[record.name] > 1:
            raise InputError(
                f"genome {genome.id}: {names[record.name]} of its sequences are named "
                f"{record.name}, so that {genome.annotation} does not tell which has the CDS. "
                "Give each its own name, in both files."
            )
    if without := [name for name in names if name not in last_ends]:
        log.info("genome %s: no CDS in %s", genome.id, _some(without))
    return exons


def _coding(chunk: GenomeChunk, exons: Exons) -> Sequence[str]:
    near = exons_near(chunk.record, chunk.span, exons)
    return coding_frames(chunk.span, chunk.states, chunk.partial, near) if near else ()


def _check_val(
    genomes: Sequence[Genome],
    parts: Mapping[str, str],
    counts: Mapping[str, Counter[str]],
    least: int,
) -> None:
    """Refuse a val part that no calibration can be fitted to, before anything is trained."""
    val = [g for g in genomes if parts[g.id] == "val" and counts[g.id]["with_frames"]]
    for label in ("viral", "nonviral"):
        own = [g for g in val if g.label == label]
        chunks = sum(counts[g.id]["with_frames"] for g in own)
        groups = len({g.group for g in own})
        if least and (chunks < least or groups < 2):
            raise InputError(
                f"the val part has {chunks} {label} chunks with a frame, of {groups} groups; a "
                f"calibration needs {least}, of two groups. Give more genomes, put more into val "
                "by the column split, or use --calibrate none."
            )


def _tell(
    genomes: Sequence[Genome], parts: Mapping[str, str], counts: Mapping[str, Counter[str]]
) -> None:
    for part in PARTS:
        own = [g for g in genomes if parts[g.id] == part]
        total = sum((counts[g.id] for g in own), Counter[str]())
        log.info(
            "%s: %d genomes of %d groups, %d chunks, %d of them with a frame, %d dropped since "
            "val or test has them",
            part, len(own), len({g.group for g in own}), total["chunks"], total["with_frames"],
            total["dropped"],
        )  # fmt: skip


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
