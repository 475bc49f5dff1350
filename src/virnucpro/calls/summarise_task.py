"""SUMMARISE: the shards of a sample, joined in order and by id, become its result files."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from virnucpro.calls.regions import viral_regions
from virnucpro.calls.result_tables import CALLS, ResultTables
from virnucpro.calls.sample_files import SampleFiles, ScoredSequence, read_sample
from virnucpro.calls.unscored_frames import UnscoredFrames
from virnucpro.consensus.calibrator import Calibrator
from virnucpro.consensus.consensus import ChunkCall, FrameScore, call_chunk, call_sequence
from virnucpro.scoring.scores_file import ScoreRow
from virnucpro.sequences.length_range import LENGTH_REASONS
from virnucpro.sequences.no_vector import NO_VECTOR_REASONS
from virnucpro.sequences.sample_chunks import Chunk
from virnucpro.sequences.translation import HAS_STOP

REASONS = (
    "empty", "too_short", "no_codon", "no_open_frame", *LENGTH_REASONS, *NO_VECTOR_REASONS[1:],
)  # fmt: skip
SUMMARY_COLUMNS = (
    "sequences", "viral", "non-viral", *REASONS,
    "chunks", "chunks_viral", "chunks_nonviral", "chunks_partial", "frames",
)  # fmt: skip
CODON_BP = 3


def summarise_sample(
    files: SampleFiles,
    chunk_bp: int,
    out: Path,
    calibrator: Calibrator | None = None,
    warnings: list[str] | None = None,
) -> dict[str, int]:
    """Write the result files of a sample into `out`, all or none; return its counts.

    Args:
        files: the sample's.
        chunk_bp: as SPLIT had it.
        out: folder.
        calibrator: of the model set; None: scores are taken as they are.
        warnings: gets a line for each reason why frames have no score.
    Raises: InputError as read_sample.
    """
    counts: Counter[str] = Counter()
    unscored = UnscoredFrames()
    with ExitStack() as stack:
        tables = ResultTables(out, stack)
        for sequence in read_sample(files, chunk_bp):
            _write_sequence(tables, sequence, calibrator, counts)
            unscored.add_sequence(sequence.scores)
    called = counts["viral"] + counts["non-viral"]
    assert called + sum(counts[reason] for reason in REASONS) == counts["sequences"], counts
    tables.publish()
    if warnings is not None:
        warnings += unscored.warnings()
    return dict(counts)


def _write_sequence(
    tables: ResultTables,
    sequence: ScoredSequence,
    calibrator: Calibrator | None,
    counts: Counter[str],
) -> None:
    """Add the rows of one sequence to all tables, and its counts to those of the sample."""
    record, coordinates, chunks, _ = sequence
    calls: dict[int, ChunkCall] = {}
    for k, (chunk, all_rows) in enumerate(zip(chunks, sequence.scores, strict=True)):
        if rows := [row for row in all_rows if not row.reason]:
            scores = [FrameScore(float(row.other_text), float(row.virus_text)) for row in rows]
            calls[k] = call_chunk(scores, calibrator)
            tables.add_scores(chunk.id, rows, scores, calls[k])
        reason = "" if k in calls else _reason(len(chunk.sequence), [chunk], [all_rows])
        tables.add_chunk(chunk, all_rows, coordinates[k], calls.get(k), reason)
    call = call_sequence(list(calls.values()), calibrator) if calls else None
    reason = "" if call else record.reason or _reason(record.length_bp, chunks, sequence.scores)
    tables.add_sequence(sequence, call, reason)
    tables.add_contig(sequence, calls, call)
    if len(chunks) > 1:
        tables.add_regions(record.sequence_id, viral_regions(calls, coordinates))
    if call and call.is_virus:
        tables.add_fasta(record.sequence_id, _join_chunks(chunks, coordinates))
    num_viral = sum(c.is_virus for c in calls.values())
    counts["sequences"] += 1
    counts[CALLS[call.is_virus] if call else reason] += 1
    counts["chunks"] += len(chunks)
    counts["chunks_viral"] += num_viral
    counts["chunks_nonviral"] += len(calls) - num_viral
    counts["chunks_partial"] += sum(chunks[k].partial is not None for k in calls)
    counts["frames"] += sequence.num_frames


def _reason(length_bp: int, chunks: list[Chunk], scores: list[list[ScoreRow]]) -> str:
    """Return why a sequence, or a chunk, has no call: of frames without a score, the first's."""
    if reason := next((row.reason for rows in scores for row in rows), ""):
        return reason
    if length_bp == 0:
        return "empty"
    if length_bp < CODON_BP:
        return "too_short"
    return "no_open_frame" if any(HAS_STOP in chunk.states for chunk in chunks) else "no_codon"


def _join_chunks(chunks: list[Chunk], coordinates: list[tuple[int, int]]) -> str:
    """Return the sequence that overlapping chunks were cut from."""
    parts, done = [], 0
    for chunk, (start, end) in zip(chunks, coordinates, strict=True):
        parts.append(chunk.sequence[done - start :])
        done = end
    return "".join(parts)
