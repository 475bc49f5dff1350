"""The tables of a sample, read side by side: every sequence, chunk and frame must be in each.

One pass; memory is that of one sequence. sequences.tsv, contigs.tsv, chunks.tsv,
prediction_results.txt, viral.fasta and the regions have the order of the input. The per-chunk
table is sorted, so its rows are compared by a sum of their digests.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from virnucpro.calls.regions import bed_line, gff3_line, viral_regions
from virnucpro.calls.result_tables import (
    CALLS,
    CHUNK_COLUMNS,
    CONSENSUS_FILE,
    CONTIG_COLUMNS,
    FRAMES_FILE,
    SEQUENCE_COLUMNS,
)
from virnucpro.consensus.calibrator import Verdict
from virnucpro.consensus.consensus import ChunkCall, FrameScore, is_virus_frame
from virnucpro.errors import InputError
from virnucpro.sequences.chunking import chunk_coordinates, chunk_id
from virnucpro.sequences.no_vector import NO_VECTOR_REASONS
from virnucpro.sequences.sample_chunks import embedded_frames
from virnucpro.sequences.split_files import read_chunks, read_rows
from virnucpro.sequences.translation import DROPPED_STATES, FRAME_NAMES

Row = dict[str, str]
FRAME_COLUMNS = ("Sequence_ID", "Prediction", "score1", "score2")
CONSENSUS_COLUMNS = ("Modified_ID", "Is_Virus")
LABELS = {True: "virus", False: "others"}
NO_CALL = "none"
UNSCORED = "frames without a score"  # a count which summary.tsv does not have
DIGEST_BYTES = 16


class RowsDigest:
    """A digest of rows that does not depend on their order."""

    def __init__(self) -> None:
        """Start without a row."""
        self.num_rows = 0
        self._sum = 0

    def add(self, *cells: str) -> None:
        """Add a row."""
        digest = hashlib.blake2b("\t".join(cells).encode(), digest_size=DIGEST_BYTES).digest()
        self._sum += int.from_bytes(digest, "big")
        self.num_rows += 1

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same rows."""
        if not isinstance(other, RowsDigest):
            return NotImplemented
        return (self.num_rows, self._sum) == (other.num_rows, other._sum)

    __hash__ = None  # type: ignore[assignment]


class SampleTables:
    """The tables of one folder while they are read."""

    def __init__(self, folder: Path, chunk_bp: int) -> None:
        """Open them.

        Args:
            folder: of the sample.
            chunk_bp: as SPLIT had it.
        """
        self._folder, self._chunk_bp = folder, chunk_bp
        self._contigs = _table(folder / "contigs.tsv", CONTIG_COLUMNS)
        self._chunks = _table(folder / "chunks.tsv", CHUNK_COLUMNS)
        self._frames = _table(folder / FRAMES_FILE, FRAME_COLUMNS)
        self._viral = read_chunks(folder / "viral.fasta")
        self._bed = _lines(folder / "regions.bed")
        self._gff3 = _lines(folder / "regions.gff3")
        self._consensus = RowsDigest()
        self._counts: Counter[str] = Counter()

    def count(self) -> dict[str, int]:
        """Return the counts of the sample, by the columns of its summary, and of UNSCORED frames.

        Raises: InputError with file and record where the tables do not fit together.
        """
        _expect("regions.gff3", "first line", next(self._gff3, NO_CALL), "##gff-version 3\n")
        for sequence in _table(self._folder / "sequences.tsv", SEQUENCE_COLUMNS):
            self._check_sequence(sequence)
        for name, rows in (
            ("contigs.tsv", self._contigs),
            ("chunks.tsv", self._chunks),
            (FRAMES_FILE, self._frames),
            ("viral.fasta", self._viral),
            ("regions.bed", self._bed),
            ("regions.gff3", self._gff3),
        ):
            if (surplus := next(rows, None)) is not None:
                text = next(iter(surplus.values())) if isinstance(surplus, dict) else surplus
                raise InputError(f"{name}: {_short(text)} is of no sequence in sequences.tsv")
        self._check_consensus()
        return dict(self._counts)

    def _check_sequence(self, sequence: Row) -> None:
        """Take the rows of one sequence from all tables."""
        name = sequence["sequence_id"]
        contig = next(self._contigs, None) or dict.fromkeys(CONTIG_COLUMNS, NO_CALL)
        for column in ("sequence_id", "length_bp", "call"):
            _expect("contigs.tsv", f"{column} of {name}", contig[column], sequence[column])
        try:
            length_bp, num_chunks = int(sequence["length_bp"]), int(sequence["chunks"])
        except ValueError as error:
            raise InputError(f"sequences.tsv: {name} has a malformed number") from error
        coordinates = chunk_coordinates(length_bp, self._chunk_bp)
        _expect("sequences.tsv", f"chunks of {name}", num_chunks, len(coordinates))
        chunks = list(islice(self._chunks, num_chunks))
        calls: dict[int, ChunkCall] = {}
        num_frames = 0
        for k, span in enumerate(coordinates):
            chunk = chunks[k] if k < len(chunks) else dict.fromkeys(CHUNK_COLUMNS, NO_CALL)
            _expect("chunks.tsv", f"chunk {k + 1} of {name}", chunk["chunk_id"], chunk_id(name, k))
            call, frames = self._check_chunk(chunk, span)
            num_frames += frames
            if call:
                calls[k] = call
        letters = "".join(chunk["frames"] for chunk in chunks)
        dropped = sum(letters.lower().count(state) for state in DROPPED_STATES)
        for column, number in (
            ("chunks_called", len(calls)), ("frames", num_frames),
            ("frames_with_dropped_codons", dropped),
        ):  # fmt: skip
            _expect("sequences.tsv", f"{column} of {name}", sequence[column], str(number))
        partial = sum(bool(chunks[k]["partial_frame"]) for k in calls)
        viral = [coordinates[k] for k, call in calls.items() if call.is_virus]
        if calls:
            spans = ",".join(f"{start + 1}-{end}" for start, end in viral)
            for column, text in (
                ("chunks_called", str(len(calls))), ("chunks_partial", str(partial)),
                ("viral_chunks", spans),
            ):  # fmt: skip
                _expect("contigs.tsv", f"{column} of {name}", contig[column], text)
        self._check_call(sequence, calls, coordinates)
        self._counts.update({
            "sequences": 1, sequence["reason"] or sequence["call"]: 1, "chunks": num_chunks,
            "chunks_viral": len(viral), "chunks_nonviral": len(calls) - len(viral),
            "chunks_partial": partial, "frames": num_frames,
            UNSCORED: sum(letter.isupper() for letter in letters),
        })  # fmt: skip

    def _check_chunk(self, chunk: Row, span: tuple[int, int]) -> tuple[ChunkCall | None, int]:
        """Return the call of a chunk, None without one, and its number of frames."""
        name, states = chunk["chunk_id"], chunk["frames"]
        _expect("chunks.tsv", f"start and end of {name}",
            f"{chunk['start']}-{chunk['end']}", f"{span[0] + 1}-{span[1]}")  # fmt: skip
        _expect("chunks.tsv", f"number of frames of {name}", len(states), len(FRAME_NAMES))
        expected = embedded_frames(name, states)
        rows = list(islice(self._frames, len(expected)))
        ids = [row["Sequence_ID"] for row in rows]
        _expect(FRAMES_FILE, f"frames of {name}", ", ".join(ids), ", ".join(expected))
        if not rows:
            has_unscored = any(letter.isupper() for letter in states)
            is_unscored = chunk["reason"] in NO_VECTOR_REASONS[1:]
            _expect("chunks.tsv", f"{name} has frames without a score", has_unscored, is_unscored)
        has_call = chunk["call"] in CALLS.values()
        _expect("chunks.tsv", f"call of {name}", has_call or chunk["call"], bool(rows) or NO_CALL)
        _expect("chunks.tsv", f"{name} has a reason", bool(chunk["reason"]), not rows)
        if not rows:
            return None, 0
        scores = []
        for row in rows:
            score = FrameScore(_number(row["score1"]), _number(row["score2"]))
            label = LABELS[is_virus_frame(score)]
            _expect(FRAMES_FILE, f"label of {row['Sequence_ID']}", row["Prediction"], label)
            scores.append(score)
        verdict = Verdict(chunk["call"] == CALLS[True], _number(chunk["p_virus"] or "0"), None)
        other, virus = (max(side) for side in zip(*scores, strict=True))
        call = ChunkCall(other, virus, verdict)
        written = (_number(chunk["score1"]), _number(chunk["score2"]))
        _expect("chunks.tsv", f"scores of {name}", written, (other, virus))
        if not chunk["p_virus"]:  # not calibrated: the scores decide
            _expect("chunks.tsv", f"call of {name}", call.is_virus, call.is_virus_uncalibrated)
        self._consensus.add(name, str(call.is_virus_uncalibrated))
        return call, len(rows)

    def _check_call(
        self, sequence: Row, calls: dict[int, ChunkCall], coordinates: list[tuple[int, int]]
    ) -> None:
        """Check the call of a sequence, and take its entry of viral.fasta and its regions."""
        name, call = sequence["sequence_id"], sequence["call"]
        has_call = call in CALLS.values()
        _expect("sequences.tsv", f"call of {name}", has_call or call, bool(calls) or NO_CALL)
        _expect("sequences.tsv", f"{name} has a reason", bool(sequence["reason"]), not calls)
        if call == CALLS[True]:
            entry, letters = next(self._viral, (NO_CALL, ""))
            _expect("viral.fasta", "entry", entry, name)
            # the last chunk, and so the sequence, may end early
            _expect("viral.fasta", f"length of {name} in bp", len(letters), coordinates[-1][1])
        regions = viral_regions(calls, coordinates) if len(coordinates) > 1 else []
        for number, region in enumerate(regions, start=1):
            for file, lines, line in (
                ("regions.bed", self._bed, bed_line(name, number, region)),
                ("regions.gff3", self._gff3, gff3_line(name, number, region)),
            ):
                _expect(file, f"region {number} of {name}", next(lines, NO_CALL), line)

    def _check_consensus(self) -> None:
        """Compare the per-chunk table, which is sorted by id, with the called chunks."""
        rows = RowsDigest()
        previous = b""
        for row in _table(self._folder / CONSENSUS_FILE, CONSENSUS_COLUMNS):
            key = row["Modified_ID"].encode()
            if key <= previous:
                raise InputError(f"{CONSENSUS_FILE}: {_short(row['Modified_ID'])} is not in order")
            previous = key
            rows.add(*row.values())
        if rows != self._consensus:
            raise InputError(
                f"{CONSENSUS_FILE}: its {rows.num_rows} rows are not those of the "
                f"{self._consensus.num_rows} called chunks in chunks.tsv"
            )


def _table(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """Yield the rows of a table of ours."""
    try:
        for cells in read_rows(path, "\t".join(columns) + "\n"):
            yield dict(zip(columns, cells, strict=True))
    except InputError as error:
        raise InputError(str(error).replace(" Run its task again.", "").rstrip(".")) from error


def _lines(path: Path) -> Iterator[str]:
    with path.open() as lines:
        yield from lines


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a score") from error


def _expect(file: str, what: str, actual: object, expected: object) -> None:
    """Raise an InputError unless both are equal."""
    if actual != expected:
        raise InputError(f"{file}: {what}: {_short(actual)}, expected {_short(expected)}")


def _short(value: object) -> str:
    text = " ".join(str(value).split()) or "nothing"
    return text if len(text) <= 80 else f"{text[:77]}..."
