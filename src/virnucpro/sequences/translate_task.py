"""TRANSLATE: one shard of chunks becomes the frames to embed, as DNA and as protein."""

from itertools import islice
from pathlib import Path

from virnucpro.sequences.sample_chunks import CHUNKS_HEADER
from virnucpro.sequences.split_files import read_chunks
from virnucpro.sequences.translation import ChunkFrames, translate_chunks

BATCH_CHUNKS = 500  # stays in the processor's cache: 2000 took a fifth longer


def translate_shard(
    chunks: Path, fna: Path, faa: Path, table: Path, min_residues: int | None = None
) -> int:
    """Write the frames of a shard and a row per chunk; return the number of frames.

    Args:
        chunks: the shard.
        fna, faa: frames as DNA and as protein, same ids in the same order, unwrapped.
        table: chunk_id, length_bp, the letters of its six frames (ChunkFrames.states), and where a
            partial frame lies in the chunk, 0-based half-open, or nothing.
        min_residues: None: open frames only; else of the longest stretch of chunks without one.
    """
    num_frames = 0
    records = read_chunks(chunks)
    with fna.open("w") as dna_out, faa.open("w") as protein_out, table.open("w") as table_out:
        table_out.write(CHUNKS_HEADER)
        while batch := list(islice(records, BATCH_CHUNKS)):
            ids, sequences = zip(*batch, strict=True)
            chunk_frames = translate_chunks(ids, sequences, min_residues)
            frames = [frame for chunk in chunk_frames for frame in chunk.frames]
            table_out.writelines(map(_chunk_row, ids, sequences, chunk_frames))
            dna_out.writelines([f">{frame.id}\n{frame.dna}\n" for frame in frames])
            protein_out.writelines([f">{frame.id}\n{frame.protein}\n" for frame in frames])
            num_frames += len(frames)
    return num_frames


def _chunk_row(chunk_id: str, sequence: str, frames: ChunkFrames) -> str:
    start, end = frames.partial or ("", "")
    return f"{chunk_id}\t{len(sequence)}\t{frames.states}\t{start}\t{end}\n"
