"""What SPLIT, TRANSLATE and CLASSIFY made of a sample, read back in order and checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice, tee
from pathlib import Path
from typing import NamedTuple

from virnucpro.checksums import UNCHECKED, Checksums
from virnucpro.errors import InputError, excerpt
from virnucpro.scoring.scores_file import ScoreRow, read_scores
from virnucpro.sequences.sample_chunks import Chunk, read_sequences, read_shard
from virnucpro.sequences.split_files import SplitRecord, read_shard_list


@dataclass(frozen=True)
class SampleFiles:
    """What SUMMARISE gets. Tables of a shard are named after it.

    Attributes:
        records, shards: from SPLIT; shards is the list of those to expect.
        chunk_files: `<shard>.chunks.fna`; chunk_tables: `<shard>.chunks.tsv`, for every shard.
        score_tables: `<shard>.scores.tsv`, for every shard that has a frame.
        checksums: of all of them.
    """

    sample: str
    records: Path
    shards: Path
    chunk_files: list[Path]
    chunk_tables: list[Path]
    score_tables: list[Path]
    checksums: Checksums = UNCHECKED


class ScoredSequence(NamedTuple):
    """A sequence with its chunks, and the scores of their frames.

    Attributes:
        coordinates: of each chunk, 0-based half-open.
        scores: for each chunk, of its frames to embed in their order; may be empty.
    """

    record: SplitRecord
    coordinates: list[tuple[int, int]]
    chunks: list[Chunk]
    scores: list[list[ScoreRow]]

    @property
    def num_frames(self) -> int:
        """Number of scored frames."""
        return sum(not row.reason for rows in self.scores for row in rows)


def read_sample(files: SampleFiles, chunk_bp: int) -> Iterator[ScoredSequence]:
    """Yield the sequences of a sample in the order of records.tsv.

    Each file is checked just before it is read, when one reading brings it into memory for both.

    Raises: InputError when a shard is missing or there is one too many, or when ids or counts of
        the tables do not fit together; DamagedFileError for a file that its checksum does not fit.
    """
    checked = files.checksums.checked
    shards = read_shard_list(checked(files.shards))
    fasta = _by_shard(files.sample, shards, files.chunk_files, ".chunks.fna")
    tables = _by_shard(files.sample, shards, files.chunk_tables, ".chunks.tsv")
    score_tables = _by_shard(
        files.sample, shards, files.score_tables, ".scores.tsv", complete=False
    )
    # the second serves the scores, a sequence behind the first
    chunks, scored_chunks = tee(chain.from_iterable(
        read_shard(shard, num_chunks, checked(fasta[shard]), checked(tables[shard]))
        for shard, num_chunks in shards.items()
    ))  # fmt: skip
    scores = _read_scores(files.sample, scored_chunks, score_tables, files.checksums)
    for sequence in read_sequences(files.sample, checked(files.records), chunks, chunk_bp):
        yield ScoredSequence(*sequence, list(islice(scores, len(sequence.chunks))))
    surplus = next(scores, None)  # checks the end of the last shard
    assert surplus is None, "every chunk is of a sequence"


def _read_scores(
    sample: str, chunks: Iterator[Chunk], tables: dict[str, Path], checksums: Checksums
) -> Iterator[list[ScoreRow]]:
    """Yield the scores of each chunk's frames; the table of a shard ends where its chunks do."""
    for shard, shard_chunks in groupby(chunks, lambda chunk: chunk.shard):
        scores = read_scores(checksums.checked(tables[shard])) if shard in tables else iter(())
        for chunk in shard_chunks:
            frame_ids = chunk.frame_ids
            if frame_ids and shard not in tables:
                raise InputError(
                    f"sample {sample}: the scores of shard {shard} are missing, though it has "
                    f"frames to score (first: {excerpt(frame_ids[0])}). No table is written."
                )
            rows = list(islice(scores, len(frame_ids)))
            if [row.frame_id for row in rows] != frame_ids:
                raise InputError(
                    f"shard {shard}, chunk {excerpt(chunk.id)}: frames are "
                    f"{excerpt(', '.join(frame_ids) or 'none', 200)}, scores are of "
                    f"{excerpt(', '.join(row.frame_id for row in rows) or 'none', 200)}."
                )
            yield rows
        if (left := next(scores, None)) is not None:
            raise InputError(
                f"shard {shard}: score of {excerpt(left.frame_id)}, which is not a frame of it or "
                "has one already."
            )


def _by_shard(
    sample: str, shards: dict[str, int], paths: list[Path], suffix: str, *, complete: bool = True
) -> dict[str, Path]:
    """Return the files by shard.

    Raises: InputError naming the shards that are missing, unless not `complete`, or not expected.
    """
    files = {path.name.removesuffix(suffix): path for path in paths}
    missing = [shard for shard in shards if shard not in files] if complete else []
    extra = sorted(set(files) - set(shards))
    if missing or extra or len(files) != len(paths):
        raise InputError(
            f"sample {sample}: {len(shards)} shards expected, {len(paths)} {suffix} files came. "
            f"Missing: {', '.join(missing[:5]) or 'none'}; not expected: "
            f"{', '.join(extra[:5]) or 'none'}. No table is written; resume the run."
        )
    return files
