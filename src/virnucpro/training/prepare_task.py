"""PREPARE_TRAINING: the chunks of all genomes get a label, a side and their coding frames."""

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from virnucpro.errors import InputError, excerpt
from virnucpro.sequences.sample_chunks import SplitSequence
from virnucpro.sequences.translation import COMPLEMENT, Span
from virnucpro.training.chunk_table import DROPPED, ChunkRow, write_chunk_table, write_table
from virnucpro.training.coding import (
    Exons,
    annotated_records,
    coding_frames,
    exons_near,
    read_exons,
)
from virnucpro.training.genomes import (
    LABELS,
    PARTS,
    Genome,
    read_genome_records,
    read_genome_sequences,
)
from virnucpro.training.group_split import split_genomes

CLEANEST_FIRST = ("test", "val", "train")
SPLIT_HEADER = (
    "genome", "label", "class", "group", "split", "chunks", "chunks_with_frames", "dropped",
    "frames", "coding_frames",
)  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparationInputs:
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


def prepare(inputs: PreparationInputs, chunk_table: Path, split_table: Path) -> None:
    """Write the table of chunks and that of genomes.

    A chunk whose sequence, on either strand, is on a cleaner side too (test before val before
    train) is dropped from the other one. Rows come in the order of the sheet, then of the files.

    Raises: InputError for a genome without its files, an annotation of other sequences, a split
        that leaves a side without a label, and a val part too small to calibrate with.
    """
    genomes = inputs.genomes
    digests, num_with_frame = {}, {}
    for genome in genomes:
        chunks = [
            (strandless_digest(chunk.sequence), bool(chunk.frame_ids))
            for sequence in _sequences(inputs, genome)
            for chunk in sequence.chunks
        ]
        digests[genome.id] = [digest for digest, _ in chunks]
        num_with_frame[genome.id] = sum(has_frame for _, has_frame in chunks)
    parts = split_genomes(genomes, num_with_frame, inputs.seed)
    side_of = _sides(digests, parts)
    counts: dict[str, Counter[str]] = {g.id: Counter() for g in genomes}
    write_chunk_table(chunk_table, _rows(inputs, digests, parts, side_of, counts))
    _check_val(genomes, parts, counts, inputs.min_val_chunks)
    write_table(split_table, SPLIT_HEADER, (
        (g.id, g.label, g.kind, g.group, parts[g.id], *(counts[g.id][key] for key in
         ("chunks", "with_frames", "dropped", "frames", "coding")))
        for g in genomes
    ))  # fmt: skip
    _log_parts(genomes, parts, counts)


def _sequences(inputs: PreparationInputs, genome: Genome) -> Iterator[SplitSequence]:
    return read_genome_sequences(genome.id, inputs.folder, inputs.chunk_bp)


def _sides(digests: Mapping[str, list[bytes]], parts: Mapping[str, str]) -> dict[bytes, str]:
    """Return digest of a sequence -> the side that keeps it, for those of test and val."""
    side_of: dict[bytes, str] = {}
    for part in CLEANEST_FIRST[:-1]:
        for genome_id, genome_digests in digests.items():
            if parts[genome_id] == part:
                for digest in genome_digests:
                    side_of.setdefault(digest, part)
    return side_of


def strandless_digest(sequence: str) -> bytes:
    """Return a digest that a sequence shares with its reverse complement, whatever the case."""
    forward = sequence.upper()
    reverse = forward.translate(COMPLEMENT)[::-1]
    return hashlib.blake2b(min(forward, reverse).encode(), digest_size=16).digest()


def _rows(
    inputs: PreparationInputs,
    digests: Mapping[str, list[bytes]],
    parts: Mapping[str, str],
    side_of: Mapping[bytes, str],
    counts: Mapping[str, Counter[str]],
) -> Iterator[ChunkRow]:
    """Yield the rows of the chunk table, and count what they contain."""
    for genome in inputs.genomes:
        exons = genome_exons(inputs, genome)
        part, genome_counts = parts[genome.id], counts[genome.id]
        chunks = (
            (sequence.record, chunk, Span(*place))
            for sequence in _sequences(inputs, genome)
            for chunk, place in zip(sequence.chunks, sequence.coordinates, strict=True)
        )
        for (record, chunk, span), digest in zip(chunks, digests[genome.id], strict=True):
            near = exons_near(record.name, span, exons)
            coding = coding_frames(span, chunk.states, chunk.partial, near)
            kept = side_of.get(digest, part) == part
            row = ChunkRow(
                genome.id, record.sequence_id, chunk.id, chunk.shard, len(chunk.sequence),
                chunk.states, ",".join(coding), genome.label, genome.kind, genome.group,
                part if kept else DROPPED,
            )  # fmt: skip
            genome_counts["chunks"] += 1
            genome_counts["dropped"] += not kept
            if kept:
                genome_counts["with_frames"] += bool(row.frames)
                genome_counts["frames"] += len(row.frames)
                genome_counts["coding"] += len(coding)
            yield row


def genome_exons(inputs: PreparationInputs, genome: Genome) -> Exons:
    """Return the exons of a genome; {} without an annotation."""
    if not genome.annotation:
        return {}
    exons = read_exons(inputs.annotations / genome.annotation)
    last_ends = annotated_records(exons)
    records = list(read_genome_records(genome.id, inputs.folder))
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
                f"genome {genome.id}: {genome.annotation} has a CDS up to {end} of "
                f"{excerpt(record.name)}, which is {record.length_bp} bp. Give the annotation of "
                "this very sequence (a CDS across the origin: GFF3 with Is_circular=true, or "
                "GenBank with join())."
            )
        if end and names[record.name] > 1:
            raise InputError(
                f"genome {genome.id}: {names[record.name]} of its sequences are named "
                f"{excerpt(record.name)}, so that {genome.annotation} does not say which has the "
                "CDS. Give each its own name, in both files."
            )
    if without := [name for name in names if name not in last_ends]:
        log.info("genome %s: no CDS in %s", genome.id, _some(without))
    return exons


def _check_val(
    genomes: Sequence[Genome],
    parts: Mapping[str, str],
    counts: Mapping[str, Counter[str]],
    min_chunks: int,
) -> None:
    """Refuse a val part that no calibration can be fitted to, before anything is trained."""
    val = [g for g in genomes if parts[g.id] == "val" and counts[g.id]["with_frames"]]
    for label in sorted(LABELS, reverse=True):
        of_label = [g for g in val if g.label == label]
        num_chunks = sum(counts[g.id]["with_frames"] for g in of_label)
        num_groups = len({g.group for g in of_label})
        if min_chunks and (num_chunks < min_chunks or num_groups < 2):
            raise InputError(
                f"the val part has {num_chunks} {label} chunks with a frame, of {num_groups} "
                f"groups; a calibration needs {min_chunks}, of two groups. Give more genomes, put "
                "more into val by the column split, or use --calibrate none."
            )


def _log_parts(
    genomes: Sequence[Genome], parts: Mapping[str, str], counts: Mapping[str, Counter[str]]
) -> None:
    for part in PARTS:
        members = [g for g in genomes if parts[g.id] == part]
        total = sum((counts[g.id] for g in members), Counter[str]())
        log.info(
            "%s: %d genomes of %d groups, %d chunks, %d of them with a frame, %d dropped since "
            "val or test has them",
            part, len(members), len({g.group for g in members}), total["chunks"],
            total["with_frames"], total["dropped"],
        )  # fmt: skip


def _some(names: Collection[str]) -> str:
    return ", ".join(map(excerpt, sorted(names)[:3])) + (", …" if len(names) > 3 else "")
