"""TRANSLATE: one shard of chunks becomes its open frames, as DNA and as protein."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import dnaio

from virnucpro.sequences.translation import translate_chunks

BATCH_CHUNKS = 2000  # about 1 MB of sequence at a time
CHUNKS_HEADER = "chunk_id\tlength_bp\tframes\n"


def read_chunks(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, sequence) of a chunk shard."""
    with path.open("rb") as stream:
        for record in dnaio.FastaReader(stream):
            yield record.name, record.sequence


def translate_shard(chunks: Path, fna: Path, faa: Path, table: Path) -> int:
    """Write the open frames of a shard and a row per chunk; return the number of frames.

    Args:
        fna, faa: frames as DNA and as protein, same ids in the same order, unwrapped.
        table: chunk_id, length_bp, and frames: a letter for each of F1 F2 F3 R1 R2 R3 (o open,
            d open with dropped codons, s stop, n no codon that translates).
    """
    num_frames = 0
    records = read_chunks(chunks)
    with fna.open("w") as dna_out, faa.open("w") as protein_out, table.open("w") as table_out:
        table_out.write(CHUNKS_HEADER)
        while batch := list(islice(records, BATCH_CHUNKS)):
            ids, sequences = zip(*batch, strict=True)
            for (chunk_id, sequence), (states, frames) in zip(
                batch, translate_chunks(ids, sequences), strict=True
            ):
                table_out.write(f"{chunk_id}\t{len(sequence)}\t{states}\n")
                for frame in frames:
                    dna_out.write(f">{frame.id}\n{frame.dna}\n")
                    protein_out.write(f">{frame.id}\n{frame.protein}\n")
                num_frames += len(frames)
    return num_frames
