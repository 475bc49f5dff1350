"""How many ESM-2 tokens does a base pair of input give? SPLIT cuts its shards by that estimate.

usage: bench/tokens_per_bp.py --data FOLDER_OF_LABELLED_CHUNKS
Writes bench/results/tokens_per_bp.json; protocol: all validation chunks, open frames, BOS and EOS
counted; 150 bp are the starts of the 300 bp chunks.
"""

import argparse
import json
from pathlib import Path

import dnaio

from virnucpro.sequences.translation import translate_chunks

RESULT = Path(__file__).parent / "results" / "tokens_per_bp.json"
SETS = {"500 bp": ("500bp", 500), "300 bp": ("300bp", 300), "150 bp": ("300bp", 150)}


def measure(files: list[Path], length_bp: int) -> dict[str, float]:
    """Return frames per chunk and tokens per base pair of chunks cut to a length."""
    chunks = [record.sequence[:length_bp] for file in files for record in dnaio.open(file)]
    found = translate_chunks([""] * len(chunks), chunks)
    frames = [frame for chunk in found for frame in chunk.frames]
    tokens = sum(len(frame.protein) + 2 for frame in frames)
    return {
        "chunks": len(chunks),
        "frames_per_chunk": round(len(frames) / len(chunks), 4),
        "tokens_per_bp": round(tokens / sum(map(len, chunks)), 4),
    }


def main() -> None:
    """Print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    results = {
        name: measure(sorted((data / folder).glob("val.*.fa.gz")), length)
        for name, (folder, length) in SETS.items()
    }
    for name, row in results.items():
        print(name, *(f"{key} {value}" for key, value in row.items()), sep="\t")
    RESULT.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
