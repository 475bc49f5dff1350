"""What SPLIT, TRANSLATE and CLASSIFY made of a sample, read back in order and checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from virnucpro.errors import InputError
from virnucpro.scoring.scores_file import ScoreRow, read_scores
from virnucpro.sequences.split_task import RECORDS_HEADER, SHARDS_HEADER
from virnucpro.sequences.translate_task import CHUNKS_HEADER, read_chunks
from virnucpro.sequences.translation import EMBEDDED_STATES, FRAME_NAMES, PARTIAL_STATES, Span


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
    """A chunk with the states and scores of its frames (virnucpro.sequences.translation).

    Attributes:
        partial: where its partial frame lies in the chunk; None without one.
        scores: of the frames that were embedded, in their order; may be empty.
    """

    id: str
    sequence: str
    states: str
    partial: Span | None
    scores: list[ScoreRow]

    @property
    def partial_frame(self) -> str:
        """Name of its partial frame, "" without one."""
        return next(
            (f for f, s in zip(FRAME_NAMES, self.states, strict=True) if s in PARTIAL_STATES), ""
        )


class SplitRecord(NamedTuple):
    """A row of records.tsv."""

    sequence_id: str
    name: str
    file: str
    length_bp: int
    num_chunks: int


def read_rows(path: Path, header: str) -> Iterator[list[str]]:
    """Yield the fields of each row of a tab-separated table of ours.

    Raises: InputError for another header and for a row that is cut short.
    """
    with path.open() as table:
        if table.readline() != header:
            raise InputError(f"{path.name}: first line is not {header.rstrip()!r}.")
        for number, line in enumerate(table, start=2):
            fields = line.removesuffix("\n").split("\t")
            if len(fields) != header.count("\t") + 1 or not line.endswith("\n"):
                raise InputError(f"{path.name}, line {number}: is cut short. Run its task again.")
            yield fields


def read_records(path: Path) -> Iterator[SplitRecord]:
    """Yield the sequences that SPLIT found."""
    for sequence_id, name, file, length_bp, num_chunks in read_rows(path, RECORDS_HEADER):
        yield SplitRecord(sequence_id, name, file, int(length_bp), int(num_chunks))


def read_shards(files: SampleFiles) -> Iterator[Chunk]:
    """Yield the chunks of all shards in the order of SPLIT's list, each with its scores."""
    expected = {row[0]: int(row[1]) for row in read_rows(files.shards, SHARDS_HEADER)}
    fasta = _by_shard(files.sample, expected, files.chunk_files, ".chunks.fna")
    tables = _by_shard(files.sample, expected, files.chunk_tables, ".chunks.tsv")
    scores = _by_shard(files.sample, expected, files.score_tables, ".scores.tsv", complete=False)
    for shard, num_chunks in expected.items():
        rows = read_scores(scores[shard]) if shard in scores else iter(())
        found = 0
        for chunk, row in zip_longest(
            read_chunks(fasta[shard]), read_rows(tables[shard], CHUNKS_HEADER)
        ):
            name, sequence = chunk or ("none", "")
            table_name, length_text, states, *span = row or ("none", "", "", "", "")
            if name != table_name:
                raise InputError(
                    f"shard {shard}: chunk {name} stands beside {table_name} in its table."
                )
            is_partial = any(state in PARTIAL_STATES for state in states)
            if (
                length_text != str(len(sequence))
                or len(states) != len(FRAME_NAMES)
                or [text.isdigit() for text in span] != [is_partial, is_partial]
            ):
                raise InputError(
                    f"shard {shard}, chunk {name}: {len(sequence)} bp, but its table has "
                    f"{length_text} bp, frames {states!r} and a partial one at "
                    f"{'-'.join(span)!r}. Run the shard again."
                )
            frames = embedded_frames(name, states)
            if frames and shard not in scores:
                raise InputError(
                    f"sample {files.sample}: the scores of shard {shard} are missing, though it "
                    f"has frames to score (first: {frames[0]}). No table is written."
                )
            own = list(islice(rows, len(frames)))
            if [row.frame_id for row in own] != frames:
                raise InputError(
                    f"shard {shard}, chunk {name}: frames are {', '.join(frames) or 'none'}, "
                    f"scores are of {', '.join(row.frame_id for row in own) or 'none'}."
                )
            partial = Span(*map(int, span)) if is_partial else None
            found += 1
            yield Chunk(name, sequence, states, partial, own)
        if found != num_chunks:
            raise InputError(f"shard {shard}: {found} chunks, SPLIT wrote {num_chunks}.")
        if (left := next(rows, None)) is not None:
            raise InputError(f"shard {shard}: score of {left.frame_id}, which is no frame of it.")


def embedded_frames(name: str, states: str) -> list[str]:
    """Return the ids of the frames of a chunk that have an embedding."""
    return [
        name + frame
        for frame, state in zip(FRAME_NAMES, states, strict=True)
        if state in EMBEDDED_STATES
    ]


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
