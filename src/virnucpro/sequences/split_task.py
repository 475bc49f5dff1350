"""SPLIT: the sequences of one sample become shards of chunks, and a row each in records.tsv."""

import logging
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from virnucpro.errors import InputError, excerpt
from virnucpro.sequences.chunking import chunk_coordinates, chunk_id
from virnucpro.sequences.length_range import ALL_LENGTHS, LengthRange
from virnucpro.sequences.mates import check_first_pair, check_pairs, read_interleaved
from virnucpro.sequences.names import name_fault, safe_id
from virnucpro.sequences.reader import InputFile, read_records
from virnucpro.sequences.sample_warnings import SampleWarnings, write_warnings
from virnucpro.sequences.split_files import (
    RECORDS_HEADER,
    SHARDS_HEADER,
    SplitRecord,
    fasta_entry,
    read_split_records,
    record_row,
)

logger = logging.getLogger(__name__)

# ESM-2 tokens of the frames per base pair, for cutting shards of about equal work.
# bench/results/tokens_per_bp.json: 0.24 (500 bp chunks), 0.33 (300 bp), 0.55 (150 bp reads); with
# the frame rule longest_open 0.33, 0.40, 0.59.
TOKENS_PER_BP = 0.3


@dataclass
class SplitCounts:
    """What one sample was cut into, and what was odd about it.

    Attributes:
        renamed: sequences whose name repeats; left_out: of other lengths than asked for.
        warnings: for the user, a sentence or two each.
    """

    records: int = 0
    chunks: int = 0
    renamed: int = 0
    left_out: int = 0
    warnings: SampleWarnings = field(default_factory=SampleWarnings)


@dataclass
class Noted:
    """Sequences with something in common: how many, and the id of the first."""

    count: int = 0
    first: str = ""

    def add(self, sequence_id: str) -> None:
        """Count one."""
        self.count += 1
        self.first = self.first or sequence_id


def split_sample(
    sample: str,
    sources: Sequence[InputFile],
    chunk_bp: int,
    shard_tokens: int,
    out: Path,
    lengths: LengthRange = ALL_LENGTHS,
) -> SplitCounts:
    """Write the chunk shards, `<sample>.shards.tsv`, `.records.tsv` and `.warnings.txt`.

    Args:
        sources: the files in the order of the samplesheet.
        shard_tokens: ESM-2 tokens that a shard aims at; 0 keeps the sample in one shard.
        out: folder for the files.
        lengths: sequences of others have a row, and no chunks.
    Raises: InputError for a file that cannot be read, a name that no table can have, and names that
        stay ambiguous.
    """
    counts = _write_unique(sample, sources, chunk_bp, shard_tokens, out, lengths)
    write_warnings(out / f"{sample}.warnings.txt", counts.warnings)
    for line in counts.warnings:
        logger.warning("%s: warning: %s", sample, line)
    return counts


def _write_unique(
    sample: str,
    sources: Sequence[InputFile],
    chunk_bp: int,
    shard_tokens: int,
    out: Path,
    lengths: LengthRange,
) -> SplitCounts:
    """Write shards and tables with ids that are unique in the sample."""
    asked = (sample, sources, chunk_bp, shard_tokens, out, lengths)
    counts = _write_sample(*asked, repeated=frozenset())
    repeated = repeated_ids(out / f"{sample}.records.tsv")
    if not repeated:
        return counts
    # Rare: names repeat. Read again, now knowing which, so that the first pass needs no memory.
    for path in out.glob(f"{sample}.*.chunks.fna"):
        path.unlink()
    counts = _write_sample(*asked, repeated)
    if still_repeated := repeated_ids(out / f"{sample}.records.tsv"):
        raise InputError(_clash(out / f"{sample}.records.tsv", sample, min(still_repeated)))
    counts.warnings.append(
        f"{counts.renamed} sequences shared a name with an earlier one and were renamed NAME_dupN "
        f"(first: {excerpt(min(repeated))}). sequences.tsv has both names."
    )
    return counts


def _write_sample(
    sample: str,
    sources: Sequence[InputFile],
    chunk_bp: int,
    shard_tokens: int,
    out: Path,
    lengths: LengthRange,
    repeated: frozenset[str],
) -> SplitCounts:
    counts = SplitCounts()
    unsafe, with_u, with_t_and_u = Noted(), Noted(), Noted()
    with (
        (out / f"{sample}.records.tsv").open("w") as records,
        ShardWriter(sample, shard_tokens, out) as shards,
    ):
        records.write(RECORDS_HEADER)
        for sequence_id, name, file, sequence in _named_records(sources, repeated, counts.warnings):
            length_bp = len(sequence)
            reason = lengths.reason(length_bp)
            coordinates = [] if reason else chunk_coordinates(length_bp, chunk_bp)
            row = SplitRecord(sequence_id, name, file, length_bp, len(coordinates), reason)
            records.write(record_row(row))
            for k, (start, end) in enumerate(coordinates):
                shards.write(chunk_id(sequence_id, k), sequence[start:end])
            counts.records += 1
            counts.chunks += len(coordinates)
            counts.left_out += bool(reason)
            if name not in ("", sequence_id):
                safe = safe_id(name)
                counts.renamed += safe != sequence_id
                if safe != name:
                    unsafe.add(sequence_id)
            if "U" in sequence or "u" in sequence:  # none is left of RNA that is known as such
                with_u.add(sequence_id)
                if "T" in sequence or "t" in sequence:
                    with_t_and_u.add(sequence_id)
    counts.warnings += _warnings(counts, unsafe, with_u, with_t_and_u)
    return counts


def _warnings(
    counts: SplitCounts, unsafe: Noted, with_u: Noted, with_t_and_u: Noted
) -> Iterator[str]:
    """Yield what the user should know of the sequences."""
    if unsafe.count:
        yield (
            f"{unsafe.count} of {counts.records} sequences were renamed (first: "
            f"{excerpt(unsafe.first)}), since CSV, BED or spreadsheet programs would misread their "
            "names; sequences.tsv has both names"
        )
    if with_u.count:
        yield (
            f"{with_u.count} of {counts.records} sequences contain U (first: "
            f"{excerpt(with_u.first)}), and codons with U are dropped, so that calls of RNA are "
            "meaningless. If they are RNA, use --rna, which reads U as T"
        )
    if with_t_and_u.count:
        yield (
            f"{with_t_and_u.count} of {counts.records} sequences contain both T and U (first: "
            f"{excerpt(with_t_and_u.first)}), which is suspicious: DNA has no U, and RNA no T. "
            "Check the file"
        )
    if counts.left_out == counts.records > 0:
        yield f"none of {counts.records} sequences is within --min_length and --max_length"


def _named_records(
    sources: Iterable[InputFile], repeated: frozenset[str], warnings: SampleWarnings
) -> Iterator[tuple[str, str, str, str]]:
    """Yield (id, name in the file, file name, sequence); ids are names made safe and unique.

    Raises: InputError for a name that cannot be used, and where two files of mates have different
        numbers of reads, or other reads.
    """
    position = 0
    seen: Counter[str] = Counter()
    num_mates, mates_file, mates_names = 0, "", 0
    mates = None
    for source in sources:
        file_name = source.path.name
        before = position
        names = 0  # a hash of all, since the names of 10^8 reads do not fit into memory
        if source.mate == "/2" and mates:
            check_first_pair(mates, source)
        read = read_interleaved if source.interleaved else read_records
        for name, sequence in read(source, warnings):
            position += 1
            if source.mate:
                names = hash((names, name[:-2]))
            sequence_id = safe_id(name) if name else f"unnamed_{position}"
            if sequence_id != name and (fault := name_fault(name)):
                raise InputError(f"{file_name}, record {position - before}: {fault}")
            if sequence_id in repeated:
                seen[sequence_id] += 1
                if seen[sequence_id] > 1:
                    sequence_id += f"_dup{seen[sequence_id]}"
            yield sequence_id, name, file_name, sequence
        if source.mate == "/2" and position - before != num_mates:
            raise InputError(
                f"{file_name}: {position - before} reads, but {num_mates} in the file of their "
                f"mates, {mates_file}. One is cut short or belongs to another: copy it again, or "
                "give both in rows of their own, without input_2."
            )
        if source.mate == "/2" and mates and names != mates_names:
            check_pairs(mates, source)
        num_mates, mates_file, mates_names, mates = position - before, file_name, names, source


def _clash(records: Path, sample: str, sequence_id: str) -> str:
    """Return the message about sequences that would have the same id, numbered or not."""
    rows = [row for row in read_split_records(records) if row.sequence_id == sequence_id]
    names = " and ".join(
        f"{excerpt(row.name) or 'one without a name'} in {row.file}" for row in rows
    )
    return (
        f"sample {sample}: two sequences would be called {excerpt(sequence_id)}: {names}. A "
        "repeated name gets NAME_dupN: rename one of them."
    )


class ShardWriter:
    """Writes chunks to `<sample>.<number>.chunks.fna`, a new file for so many tokens."""

    def __init__(self, sample: str, shard_tokens: int, out: Path) -> None:
        """Start `<sample>.shards.tsv`; the first shard begins with the first chunk."""
        self._sample, self._out = sample, out
        self._aim_bp = shard_tokens / TOKENS_PER_BP if shard_tokens else float("inf")
        self._manifest = (out / f"{sample}.shards.tsv").open("w")
        self._manifest.write(SHARDS_HEADER)
        self._shard: TextIO | None = None
        self._number = self._chunks = self._bp = 0

    def write(self, name: str, chunk: str) -> None:
        """Append one chunk."""
        if self._shard is None:
            self._number += 1
            self._shard = (self._out / f"{self._shard_id()}.chunks.fna").open("w")
        self._shard.write(fasta_entry(name, chunk))
        self._chunks += 1
        self._bp += len(chunk)
        if self._bp >= self._aim_bp:
            self._end_shard()

    def _shard_id(self) -> str:
        return f"{self._sample}.{self._number:05d}"

    def _end_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._manifest.write(f"{self._shard_id()}\t{self._chunks}\t{self._bp}\n")
            logger.info("%s: %d chunks, %d bp", self._shard_id(), self._chunks, self._bp)
        self._shard, self._chunks, self._bp = None, 0, 0

    def __enter__(self) -> "ShardWriter":
        """Return the writer."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the files."""
        self._end_shard()
        self._manifest.close()


def repeated_ids(records: Path) -> frozenset[str]:
    """Return the ids that are in records.tsv more than once.

    Sorts outside the process: 10^8 reads have more names than memory.
    """
    # without the header, since a sequence may be named like its column
    command = """
        sed '1d;s/\t.*//' "$1" | sort --buffer-size=256M --temporary-directory "$2" | uniq -d
    """
    repeated = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, "bash", records, records.parent],
        stdout=subprocess.PIPE, check=True, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    return frozenset(repeated.stdout.decode().split("\n")[:-1])  # splitlines knows more breaks
