"""SUMMARISE: the shards of a sample, joined in order and by id, become its result files."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from virnucpro.calls.consensus import (
    ChunkCall,
    FrameScore,
    SequenceCall,
    call_chunk,
    call_sequence,
    is_virus_frame,
)
from virnucpro.calls.regions import Region, bed_line, gff3_line, viral_regions
from virnucpro.calls.scores_file import ScoreRow, read_scores
from virnucpro.errors import InputError
from virnucpro.sequences.chunking import chunk_coordinates, chunk_id
from virnucpro.sequences.split import RECORDS_HEADER, SHARDS_HEADER, fasta_entry
from virnucpro.sequences.translate import CHUNKS_HEADER, read_chunks
from virnucpro.sequences.translation import FRAME_NAMES

FRAMES_FILE, CHUNKS_FILE = "prediction_results.txt", "prediction_results_highestscore.csv"
CALLS = {True: "viral", False: "non-viral"}
REASONS = ("empty", "too_short", "no_codon", "no_open_frame")
CODON_BP = 3
SEQUENCE_COLUMNS = (
    "sequence_id", "name", "file", "length_bp", "chunks", "chunks_called", "frames",
    "frames_with_dropped_codons", "call", "reason",
)  # fmt: skip
CONTIG_COLUMNS = (
    "sequence_id", "length_bp", "call", "tier", "weighted_delta", "chunks_called",
    "confident_viral", "confident_nonviral", "ambiguous", "viral_proportion",
    "nonviral_proportion", "viral_chunks",
)  # fmt: skip


@dataclass(frozen=True)
class SampleFiles:
    """What SUMMARISE gets. Tables of a shard are named after it.

    Attributes:
        records, shards: from SPLIT; shards is the list of those to expect.
        chunk_files: `<shard>.chunks.fna`; chunk_tables: `<shard>.chunks.tsv`, for every shard.
        score_tables: `<shard>.scores.tsv`, for every shard that has a frame.
    """

    sample: str
    records: Path
    shards: Path
    chunk_files: list[Path]
    chunk_tables: list[Path]
    score_tables: list[Path]


class Chunk(NamedTuple):
    """A chunk with its frames' states and scores; `scores` is empty without an open frame."""

    id: str
    sequence: str
    states: str
    scores: list[ScoreRow]


def summarise_sample(files: SampleFiles, chunk_bp: int, out: Path) -> dict[str, int]:
    """Write the result files of a sample into `out`, all or none; return its counts.

    Raises: InputError when a shard is missing or there is one too many, or when ids or counts of
        the tables do not fit together.
    """
    counts: Counter[str] = Counter()
    chunks = _read_shards(files)
    with ExitStack() as stack:
        tables = _ResultTables(out, stack)
        for sequence_id, name, file, length_bp, num_chunks in _read_records(files.records):
            own = list(islice(chunks, num_chunks))
            expected = [chunk_id(sequence_id, k) for k in range(num_chunks)]
            if [chunk.id for chunk in own] != expected:
                raise InputError(
                    f"sample {files.sample}: {files.records.name} has {sequence_id} with "
                    f"{num_chunks} chunks, the shards have "
                    f"{', '.join(chunk.id for chunk in own[:3]) or 'none left'}. Run it again."
                )
            coordinates = chunk_coordinates(length_bp, chunk_bp)
            lengths_bp = [end - start for start, end in coordinates]
            if [len(chunk.sequence) for chunk in own] != lengths_bp:
                raise InputError(
                    f"sample {files.sample}: {sequence_id}, {length_bp} bp, was not cut into "
                    f"chunks of {chunk_bp} bp. Give --chunk-length as SPLIT had it."
                )
            _write_sequence(tables, counts, coordinates, sequence_id, name, file, length_bp, own)
        if (left := next(chunks, None)) is not None:
            raise InputError(
                f"sample {files.sample}: chunk {left.id} is of no sequence in {files.records.name}."
            )
    called = counts["viral"] + counts["non-viral"]
    assert called + sum(counts[reason] for reason in REASONS) == counts["sequences"], counts
    tables.publish()
    return dict(counts)


def _write_sequence(
    tables: "_ResultTables",
    counts: Counter[str],
    coordinates: list[tuple[int, int]],
    sequence_id: str,
    name: str,
    file: str,
    length_bp: int,
    chunks: list[Chunk],
) -> None:
    calls: dict[int, ChunkCall] = {}
    for k, chunk in enumerate(chunks):
        if chunk.scores:
            scores = [FrameScore(float(s.other_text), float(s.virus_text)) for s in chunk.scores]
            calls[k] = call_chunk(scores)
            tables.add_chunk(chunk, scores, calls[k])
    frames = sum(len(chunk.scores) for chunk in chunks)
    call = call_sequence(list(calls.values())) if calls else None
    verdict = CALLS[call.is_virus] if call else "none"
    reason = "" if call else _reason(length_bp, chunks)
    tables.sequences.write(
        f"{sequence_id}\t{name}\t{file}\t{length_bp}\t{len(chunks)}\t{len(calls)}\t{frames}\t"
        f"{sum(chunk.states.count('d') for chunk in chunks)}\t{verdict}\t{reason}\n"
    )
    counts.update({"sequences": 1, "chunks": len(chunks), "frames": frames})
    counts[reason or verdict] += 1
    counts["chunks_viral"] += sum(c.is_virus for c in calls.values())
    counts["chunks_nonviral"] += sum(not c.is_virus for c in calls.values())
    viral = [coordinates[k] for k, c in calls.items() if c.is_virus]
    tables.add_call(sequence_id, length_bp, call, viral)
    if len(chunks) > 1:
        tables.add_regions(sequence_id, viral_regions(calls, coordinates))
    if call and call.is_virus:
        tables.add_fasta(sequence_id, _join_chunks(chunks, coordinates))


def _reason(length_bp: int, chunks: list[Chunk]) -> str:
    """Return why a sequence has no call."""
    if length_bp == 0:
        return "empty"
    if length_bp < CODON_BP:
        return "too_short"
    return "no_open_frame" if any("s" in chunk.states for chunk in chunks) else "no_codon"


def _join_chunks(chunks: list[Chunk], coordinates: list[tuple[int, int]]) -> str:
    """Return the sequence that overlapping chunks were cut from."""
    parts, done = [], 0
    for chunk, (start, end) in zip(chunks, coordinates, strict=True):
        parts.append(chunk.sequence[done - start :])
        done = end
    return "".join(parts)


class _ResultTables:
    """The open result files; they get their names when all are complete."""

    def __init__(self, out: Path, stack: ExitStack) -> None:
        self._out, self._stack = out, stack
        self._files: dict[str, TextIO] = {}
        self.frames = self._open(FRAMES_FILE, ("Sequence_ID", "Prediction", "score1", "score2"))
        self.consensus = self._open(CHUNKS_FILE, ())  # its header comes with sorting
        self.sequences = self._open("sequences.tsv", SEQUENCE_COLUMNS)
        self.contigs = self._open("contigs.tsv", CONTIG_COLUMNS)
        self.bed = self._open("regions.bed", ())
        self.gff3 = self._open("regions.gff3", ("##gff-version 3",))
        self.fasta = self._open("viral.fasta", ())

    def _open(self, name: str, columns: Iterable[str]) -> TextIO:
        file = self._stack.enter_context((self._out / f".{name}.tmp").open("w"))
        self._files[name] = file
        if columns:
            file.write("\t".join(columns) + "\n")
        return file

    def add_chunk(self, chunk: Chunk, scores: list[FrameScore], call: ChunkCall) -> None:
        """Add the original's rows; score1 is other and score2 is virus."""
        for row, score in zip(chunk.scores, scores, strict=True):
            label = "virus" if is_virus_frame(score) else "others"
            self.frames.write(f"{row.frame_id}\t{label}\t{row.other_text}\t{row.virus_text}\n")
        self.consensus.write(f"{chunk.id}\t{call.is_virus}\n")

    def add_call(
        self,
        sequence_id: str,
        length_bp: int,
        call: SequenceCall | None,
        viral: list[tuple[int, int]],
    ) -> None:
        """Add the row of a sequence; viral chunks are written 1-based, inclusive."""
        if call is None:
            empty = "\t" * (len(CONTIG_COLUMNS) - 3)
            self.contigs.write(f"{sequence_id}\t{length_bp}\tnone{empty}\n")
            return
        spans = ",".join(f"{start + 1}-{end}" for start, end in viral)
        numbers = (call.weighted_delta, call.viral_proportion, call.nonviral_proportion)
        delta, viral_share, nonviral_share = (str(np.float32(number)) for number in numbers)
        self.contigs.write(
            f"{sequence_id}\t{length_bp}\t{CALLS[call.is_virus]}\t{call.tier}\t{delta}\t"
            f"{call.num_chunks}\t{call.num_confident_viral}\t{call.num_confident_nonviral}\t"
            f"{call.num_ambiguous}\t{viral_share}\t{nonviral_share}\t{spans}\n"
        )

    def add_regions(self, sequence_id: str, regions: list[Region]) -> None:
        """Add the viral regions of a sequence."""
        for number, region in enumerate(regions, start=1):
            self.bed.write(bed_line(sequence_id, number, region))
            self.gff3.write(gff3_line(sequence_id, number, region))

    def add_fasta(self, sequence_id: str, sequence: str) -> None:
        """Add a sequence that was called viral."""
        self.fasta.write(fasta_entry(sequence_id, sequence))

    def publish(self) -> None:
        """Sort the consensus as the original's groupby does, then rename all files."""
        consensus = Path(self._files[CHUNKS_FILE].name)
        sort_consensus(consensus)
        for name, file in self._files.items():
            Path(file.name).replace(self._out / name)


def sort_consensus(path: Path) -> None:
    """Sort rows by id in code point order, in place, and put the header on top.

    Outside the process, since 10^8 reads have more chunks than memory.
    """
    temporary = path.with_name(path.name + ".sorted")
    with temporary.open("w") as out:
        out.write("Modified_ID\tIs_Virus\n")
        out.flush()
        subprocess.run(
            ["sort", "--field-separator=\t", "--key=1,1", "--buffer-size=256M",
             "--temporary-directory", str(path.parent), str(path)],
            stdout=out, check=True, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    temporary.replace(path)


def _read_rows(path: Path, header: str) -> Iterator[list[str]]:
    with path.open() as table:
        if table.readline() != header:
            raise InputError(f"{path.name}: first line is not {header.rstrip()!r}.")
        for number, line in enumerate(table, start=2):
            fields = line.removesuffix("\n").split("\t")
            if len(fields) != header.count("\t") + 1 or not line.endswith("\n"):
                raise InputError(f"{path.name}, line {number}: is cut short. Run its task again.")
            yield fields


def _read_records(path: Path) -> Iterator[tuple[str, str, str, int, int]]:
    for sequence_id, name, file, length_bp, chunks in _read_rows(path, RECORDS_HEADER):
        yield sequence_id, name, file, int(length_bp), int(chunks)


def _read_shards(files: SampleFiles) -> Iterator[Chunk]:
    """Yield the chunks of all shards in the order of SPLIT's list, each with its scores."""
    expected = {row[0]: int(row[1]) for row in _read_rows(files.shards, SHARDS_HEADER)}
    fasta = _by_shard(files.sample, expected, files.chunk_files, ".chunks.fna")
    tables = _by_shard(files.sample, expected, files.chunk_tables, ".chunks.tsv")
    scores = _by_shard(files.sample, expected, files.score_tables, ".scores.tsv", complete=False)
    for shard, num_chunks in expected.items():
        rows = read_scores(scores[shard]) if shard in scores else iter(())
        found = 0
        for chunk, row in zip_longest(
            read_chunks(fasta[shard]), _read_rows(tables[shard], CHUNKS_HEADER)
        ):
            name, sequence = chunk or ("none", "")
            table_name, length_text, states = row or ("none", "", "")
            if name != table_name:
                raise InputError(
                    f"shard {shard}: chunk {name} stands beside {table_name} in its table."
                )
            if length_text != str(len(sequence)) or len(states) != len(FRAME_NAMES):
                raise InputError(
                    f"shard {shard}, chunk {name}: {len(sequence)} bp, but its table has "
                    f"{length_text} bp and frames {states!r}. Run the shard again."
                )
            open_frames = [
                name + frame for frame, s in zip(FRAME_NAMES, states, strict=True) if s in "od"
            ]
            if open_frames and shard not in scores:
                raise InputError(
                    f"sample {files.sample}: the scores of shard {shard} are missing, though it "
                    f"has open frames (first: {open_frames[0]}). No table is written."
                )
            own = list(islice(rows, len(open_frames)))
            if [row.frame_id for row in own] != open_frames:
                raise InputError(
                    f"shard {shard}, chunk {name}: open frames are {', '.join(open_frames)}, "
                    f"scores are of {', '.join(row.frame_id for row in own) or 'none'}."
                )
            found += 1
            yield Chunk(name, sequence, states, own)
        if found != num_chunks:
            raise InputError(f"shard {shard}: {found} chunks, SPLIT wrote {num_chunks}.")
        if (left := next(rows, None)) is not None:
            raise InputError(f"shard {shard}: score of {left.frame_id}, which is no open frame.")


def _by_shard(
    sample: str, expected: dict[str, int], paths: list[Path], suffix: str, *, complete: bool = True
) -> dict[str, Path]:
    """Return the files by shard.

    Raises: InputError naming the shards that are missing, unless not `complete`, or not expected.
    """
    found = {path.name.removesuffix(suffix): path for path in paths}
    missing = [shard for shard in expected if shard not in found] if complete else []
    extra = sorted(set(found) - set(expected))
    if missing or extra or len(found) != len(paths):
        raise InputError(
            f"sample {sample}: {len(expected)} shards expected, {len(paths)} {suffix} files came. "
            f"Missing: {', '.join(missing[:5]) or 'none'}; not expected: "
            f"{', '.join(extra[:5]) or 'none'}. No table is written; resume the run."
        )
    return found
