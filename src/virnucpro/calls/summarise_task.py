"""SUMMARISE: the shards of a sample, joined in order and by id, become its result files."""

from collections import Counter
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from virnucpro.calls.regions import viral_regions
from virnucpro.calls.result_tables import CALLS, ResultTables
from virnucpro.calls.sample_files import Chunk, SampleFiles, SplitRecord, read_records, read_shards
from virnucpro.consensus.calibrator import Calibrator
from virnucpro.consensus.consensus import ChunkCall, FrameScore, call_chunk, call_sequence
from virnucpro.errors import InputError
from virnucpro.sequences.chunking import chunk_coordinates, chunk_id
from virnucpro.sequences.translation import HAS_STOP

REASONS = ("empty", "too_short", "no_codon", "no_open_frame")
CODON_BP = 3


def summarise_sample(
    files: SampleFiles, chunk_bp: int, out: Path, calibrator: Calibrator | None = None
) -> dict[str, int]:
    """Write the result files of a sample into `out`, all or none; return its counts.

    Args:
        files: the sample's.
        chunk_bp: as SPLIT had it.
        out: folder.
        calibrator: of the model set; None: scores are taken as they are.
    Raises: InputError when a shard is missing or there is one too many, or when ids or counts of
        the tables do not fit together.
    """
    counts: Counter[str] = Counter()
    chunks = read_shards(files)
    with ExitStack() as stack:
        tables = ResultTables(out, stack)
        for record in read_records(files.records):
            own = list(islice(chunks, record.num_chunks))
            expected = [chunk_id(record.sequence_id, k) for k in range(record.num_chunks)]
            if [chunk.id for chunk in own] != expected:
                raise InputError(
                    f"sample {files.sample}: {files.records.name} has {record.sequence_id} with "
                    f"{record.num_chunks} chunks, the shards have "
                    f"{', '.join(chunk.id for chunk in own[:3]) or 'none left'}. Run it again."
                )
            coordinates = chunk_coordinates(record.length_bp, chunk_bp)
            lengths_bp = [end - start for start, end in coordinates]
            if [len(chunk.sequence) for chunk in own] != lengths_bp:
                raise InputError(
                    f"sample {files.sample}: {record.sequence_id}, {record.length_bp} bp, was not "
                    f"cut into chunks of {chunk_bp} bp. Give --chunk-length as SPLIT had it."
                )
            _write_sequence(tables, record, own, coordinates, calibrator, counts)
        if (left := next(chunks, None)) is not None:
            raise InputError(
                f"sample {files.sample}: chunk {left.id} is of no sequence in {files.records.name}."
            )
    called = counts["viral"] + counts["non-viral"]
    assert called + sum(counts[reason] for reason in REASONS) == counts["sequences"], counts
    tables.publish()
    return dict(counts)


def _write_sequence(
    tables: ResultTables,
    record: SplitRecord,
    chunks: list[Chunk],
    coordinates: list[tuple[int, int]],
    calibrator: Calibrator | None,
    counts: Counter[str],
) -> None:
    """Add the rows of one sequence to all tables, and its counts to those of the sample."""
    calls: dict[int, ChunkCall] = {}
    for k, chunk in enumerate(chunks):
        if chunk.scores:
            scores = [FrameScore(float(s.other_text), float(s.virus_text)) for s in chunk.scores]
            calls[k] = call_chunk(scores, calibrator)
            tables.add_scores(chunk, scores, calls[k])
        reason = "" if k in calls else _reason(len(chunk.sequence), [chunk])
        tables.add_chunk(chunk, coordinates[k], calls.get(k), reason)
    call = call_sequence(list(calls.values()), calibrator) if calls else None
    reason = "" if call else _reason(record.length_bp, chunks)
    tables.add_sequence(record, chunks, call, reason)
    tables.add_contig(record, chunks, coordinates, calls, call)
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
    counts["chunks_partial"] += sum(chunk.partial is not None for chunk in chunks)
    counts["frames"] += sum(len(chunk.scores) for chunk in chunks)


def _reason(length_bp: int, chunks: list[Chunk]) -> str:
    """Return why a sequence, or a chunk, has no call."""
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
