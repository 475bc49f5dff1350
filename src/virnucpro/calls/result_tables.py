"""The result files of a sample, written row by row and named when all are complete."""

import functools
import os
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import numpy as np

from virnucpro.calls.regions import Region, bed_line, gff3_line
from virnucpro.calls.sample_files import ScoredSequence
from virnucpro.consensus.consensus import ChunkCall, FrameScore, SequenceCall, is_virus_frame
from virnucpro.scoring.scores_file import ScoreRow
from virnucpro.sequences.names import encode_cell
from virnucpro.sequences.sample_chunks import Chunk
from virnucpro.sequences.split_files import fasta_entry
from virnucpro.sequences.translation import DROPPED_STATES, FRAME_NAMES

FRAMES_FILE, CONSENSUS_FILE = "prediction_results.txt", "prediction_results_highestscore.csv"
CALLS = {True: "viral", False: "non-viral"}
SEQUENCE_COLUMNS = (
    "sequence_id", "name", "file", "length_bp", "chunks", "chunks_called", "frames",
    "frames_with_dropped_codons", "call", "reason",
)  # fmt: skip
CONTIG_COLUMNS = (
    "sequence_id", "length_bp", "call", "tier", "weighted_delta", "chunks_called",
    "confident_viral", "confident_nonviral", "ambiguous", "viral_proportion",
    "nonviral_proportion", "viral_chunks", "chunks_partial", "partial_frames", "p_virus", "fdr",
)  # fmt: skip
CHUNK_COLUMNS = (
    "chunk_id", "start", "end", "frames", "partial_frame", "partial_start", "partial_end",
    "score1", "score2", "p_virus", "call", "reason",
)  # fmt: skip


class ResultTables:
    """The open result files; they get their names when all are complete."""

    def __init__(self, out: Path, stack: ExitStack) -> None:
        """Open them in `out` under temporary names; `stack` closes them."""
        self._out, self._stack = out, stack
        self._files: dict[str, TextIO] = {}
        self._frames = self._open(FRAMES_FILE, ("Sequence_ID", "Prediction", "score1", "score2"))
        self._consensus = self._open(CONSENSUS_FILE, ())  # its header comes with sorting
        self._chunks = self._open("chunks.tsv", CHUNK_COLUMNS)
        self._sequences = self._open("sequences.tsv", SEQUENCE_COLUMNS)
        self._contigs = self._open("contigs.tsv", CONTIG_COLUMNS)
        self._bed = self._open("regions.bed", ())
        self._gff3 = self._open("regions.gff3", ("##gff-version 3",))
        self._fasta = self._open("viral.fasta", ())

    def _open(self, name: str, columns: Iterable[str]) -> TextIO:
        file = self._stack.enter_context((self._out / f".{name}.tmp").open("w"))
        self._files[name] = file
        if columns:
            file.write("\t".join(columns) + "\n")
        return file

    def add_scores(
        self, chunk_id: str, rows: list[ScoreRow], scores: list[FrameScore], call: ChunkCall
    ) -> None:
        """Add the original's rows, by the original's rules; score1 is other, score2 is virus."""
        for row, score in zip(rows, scores, strict=True):
            label = "virus" if is_virus_frame(score) else "others"
            self._frames.write(f"{row.frame_id}\t{label}\t{row.other_text}\t{row.virus_text}\n")
        self._consensus.write(f"{chunk_id}\t{call.is_virus_uncalibrated}\n")

    def add_chunk(
        self,
        chunk: Chunk,
        rows: list[ScoreRow],
        coordinates: tuple[int, int],
        call: ChunkCall | None,
        reason: str,
    ) -> None:
        """Add the row of a chunk, called or not; positions are those of the sequence, from 1.

        The letter of a frame without a score is a capital one.
        """
        start, end = coordinates
        frame, partial_start, partial_end = chunk.partial_frame, "", ""
        if chunk.partial:
            partial_start = str(start + chunk.partial.start + 1)
            partial_end = str(start + chunk.partial.end)
        word, cells = "none", "\t\t"
        if call:
            word = CALLS[call.is_virus]
            p_virus = _number(call.verdict.p_virus) if call.verdict else ""
            cells = f"{_number(call.max_other)}\t{_number(call.max_virus)}\t{p_virus}"
        self._chunks.write(
            f"{chunk.id}\t{start + 1}\t{end}\t{_letters(chunk, rows)}\t{frame}\t{partial_start}\t"
            f"{partial_end}\t{cells}\t{word}\t{reason}\n"
        )

    def add_sequence(
        self, sequence: ScoredSequence, call: SequenceCall | None, reason: str
    ) -> None:
        """Add the row of a sequence, called or not."""
        record, chunks = sequence.record, sequence.chunks
        dropped = sum(chunk.states.count(state) for chunk in chunks for state in DROPPED_STATES)
        self._sequences.write(
            f"{record.sequence_id}\t{encode_cell(record.name)}\t{encode_cell(record.file)}\t"
            f"{record.length_bp}\t{len(chunks)}\t{call.num_chunks if call else 0}\t"
            f"{sequence.num_frames}\t{dropped}\t"
            f"{CALLS[call.is_virus] if call else 'none'}\t{reason}\n"
        )

    def add_contig(
        self, sequence: ScoredSequence, calls: Mapping[int, ChunkCall], call: SequenceCall | None
    ) -> None:
        """Add the call of a sequence, and of its chunks by number; positions are written from 1."""
        record, coordinates, chunks, _ = sequence
        if call is None:
            empty = "\t" * (len(CONTIG_COLUMNS) - 3)
            self._contigs.write(f"{record.sequence_id}\t{record.length_bp}\tnone{empty}\n")
            return
        viral = [coordinates[k] for k, chunk_call in calls.items() if chunk_call.is_virus]
        partial = [
            f"{chunk.partial_frame}:{offset + chunk.partial.start + 1}-{offset + chunk.partial.end}"
            for k, (chunk, (offset, _)) in enumerate(zip(chunks, coordinates, strict=True))
            if chunk.partial and k in calls
        ]
        p_virus, fdr = "", ""
        if call.verdict:
            p_virus = _number(call.verdict.p_virus)
            fdr = "" if call.verdict.fdr is None else _number(call.verdict.fdr)
        cells = (
            record.sequence_id, str(record.length_bp), CALLS[call.is_virus], call.tier,
            _number(call.weighted_delta), str(call.num_chunks), str(call.num_confident_viral),
            str(call.num_confident_nonviral), str(call.num_ambiguous),
            _number(call.viral_proportion), _number(call.nonviral_proportion),
            ",".join(f"{start + 1}-{end}" for start, end in viral),
            str(len(partial)), ",".join(partial), p_virus, fdr,
        )  # fmt: skip
        self._contigs.write("\t".join(cells) + "\n")

    def add_regions(self, sequence_id: str, regions: list[Region]) -> None:
        """Add the viral regions of a sequence."""
        for number, region in enumerate(regions, start=1):
            self._bed.write(bed_line(sequence_id, number, region))
            self._gff3.write(gff3_line(sequence_id, number, region))

    def add_fasta(self, sequence_id: str, sequence: str) -> None:
        """Add a sequence that was called viral."""
        self._fasta.write(fasta_entry(sequence_id, sequence))

    def publish(self) -> None:
        """Sort the consensus as the original's groupby does, then rename all files."""
        consensus = Path(self._files[CONSENSUS_FILE].name)
        sort_consensus(consensus)
        for name, file in self._files.items():
            Path(file.name).replace(self._out / name)


def _letters(chunk: Chunk, rows: list[ScoreRow]) -> str:
    """Return the letters of a chunk's frames."""
    unscored = {row.frame_id for row in rows if row.reason}
    if not unscored:
        return chunk.states
    return "".join(
        state.upper() if chunk.id + frame in unscored else state
        for frame, state in zip(FRAME_NAMES, chunk.states, strict=True)
    )


@functools.lru_cache(maxsize=4096)  # of a read, scores and call are the same few numbers
def _number(value: float) -> str:
    """Return the shortest text of a number as float32; of -0.0 that of 0.0, which equals it."""
    return str(np.float32(value + 0.0))


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
