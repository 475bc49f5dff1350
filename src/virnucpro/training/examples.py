"""The embeddings of frames to train on, shard by shard, with what is known of their chunks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from virnucpro.checksums import UNCHECKED, Checksums
from virnucpro.errors import InputError
from virnucpro.scoring.joined_embeddings import EmbeddingsFile, join_embeddings
from virnucpro.training.chunk_table import ChunkRow, read_chunk_table
from virnucpro.training.genomes import LABELS

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Vectors:
    """Where the embeddings of shards are, and what must have made them.

    Attributes:
        folder: of SHARD.frames.faa, SHARD.dnabert_s.h5 and SHARD.esm2.h5.
        dnabert_s_sha256, tokenizer_sha256, esm2_sha256: of the model set's components; None: any.
        checksums: of the frame files.
    """

    folder: Path
    dnabert_s_sha256: str | None = None
    tokenizer_sha256: str | None = None
    esm2_sha256: str | None = None
    checksums: Checksums = UNCHECKED


@dataclass(frozen=True)
class Examples:
    """Frames to learn from, or to measure the learning with.

    Attributes:
        features: float32 [frames, d], DNABERT-S first.
        chunk: int64 [frames], ascending without gaps: an index into `rows`.
        rows: the chunks that have one of these frames.
    """

    features: Floats
    chunk: NDArray[np.int64]
    rows: list[ChunkRow]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return int64 [chunks], 1 viral."""
        return np.array([LABELS[row.label] for row in self.rows], np.int64)


def read_labelled_shards(
    table: Path, vectors: Vectors, parts: Sequence[str]
) -> Iterator[tuple[list[ChunkRow], Floats, Floats]]:
    """Yield for each shard the chunks on these sides, and both embeddings of their frames in order.

    Args:
        table: of the chunks (chunk_table.py).
        vectors: at least those of the shards with a frame on these sides.
        parts: any of "train", "val", "test".
    Raises: InputError for a shard without its vectors, or whose frames are not those of its chunks;
        for a frame without a vector, also one of another side.
    """
    checksums = vectors.checksums
    for shard, shard_rows in groupby(read_chunk_table(table), lambda row: row.shard):
        rows = list(shard_rows)
        ids = [frame for row in rows for frame in row.frames]
        part_rows = [row for row in rows if row.part in parts]
        if not part_rows:
            continue
        if not any(row.frames for row in part_rows):
            yield part_rows, np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)
            continue
        frames = vectors.folder / f"{shard}.frames.faa"
        dna = vectors.folder / f"{shard}.dnabert_s.h5"
        protein = vectors.folder / f"{shard}.esm2.h5"
        if missing := [path.name for path in (frames, dna, protein) if not path.exists()]:
            raise InputError(f"shard {shard}: {', '.join(missing)} is missing. Resume the run.")
        joined = join_embeddings(
            checksums.checked(frames),
            EmbeddingsFile(
                dna,
                vectors.dnabert_s_sha256,
                vectors.tokenizer_sha256,
                checksums.expected(f"{shard}.frames.fna"),
            ),
            EmbeddingsFile(protein, vectors.esm2_sha256, None, checksums.expected(frames.name)),
        )
        joined.refuse_missing("Omit its sequence from the genomes.")
        if joined.ids != ids:
            raise InputError(
                f"shard {shard}: {frames.name} has {len(joined.ids)} frames, its chunks have "
                f"{len(ids)}, or different ones. Run the shard again."
            )
        keep = np.repeat([row.part in parts for row in rows], [len(row.frames) for row in rows])
        yield part_rows, joined.dna[keep], joined.protein[keep]


def read_examples(
    table: Path, vectors: Vectors, part: str, *, coding_only: bool = False
) -> Examples:
    """Return the frames of one side.

    Args:
        table, vectors: as read_labelled_shards.
        part: "train" or "val".
        coding_only: omit frames that are not coding.
    Raises: InputError as read_labelled_shards, and when a label is left without a frame.
    """
    features: list[Floats] = []
    chunk: list[int] = []
    kept_rows: list[ChunkRow] = []
    for rows, dna, protein in read_labelled_shards(table, vectors, [part]):
        keep = []
        for row in rows:
            coding = {row.chunk_id + name for name in row.coding.split(",")}
            keep_of_row = [not coding_only or frame in coding for frame in row.frames]
            if any(keep_of_row):
                chunk += [len(kept_rows)] * sum(keep_of_row)
                kept_rows.append(row)
            keep += keep_of_row
        if any(keep):
            features.append(np.concatenate((dna[keep], protein[keep]), axis=1))
    if missing := sorted(LABELS.keys() - {row.label for row in kept_rows}):
        which = "coding frame" if coding_only else "frame"
        raise InputError(
            f"{part}: no {' and no '.join(missing)} {which}. Give more genomes"
            + (", annotations that fit them, or --training_frames all." if coding_only else ".")
        )
    return Examples(np.concatenate(features), np.array(chunk, np.int64), kept_rows)
