"""How many ESM-2 tokens does a base pair of input give? SPLIT cuts its shards by that estimate.

usage: bench/tokens_per_bp.py --data FOLDER_OF_LABELLED_CHUNKS
Writes bench/results/tokens_per_bp.json; protocol: all validation chunks and the contigs of the
demo, both frame rules, BOS and EOS counted; 150 bp are the starts of the 300 bp chunks.
"""

import argparse
import json
from pathlib import Path

import dnaio

from virnucpro.sequences.chunking import chunk_coordinates
from virnucpro.sequences.translation import MIN_RESIDUES, translate_chunks

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "bench" / "results" / "tokens_per_bp.json"
SETS = {"500 bp": ("500bp", 500), "300 bp": ("300bp", 300), "150 bp": ("300bp", 150)}
DEMO_CHUNK_BP = 500


def measure(chunks: list[str]) -> dict[str, float]:
    """Return frames, tokens and called chunks by either rule."""
    num_bp = sum(map(len, chunks))
    row: dict[str, float] = {"chunks": len(chunks)}
    tokens = []
    for suffix, min_residues in (("", None), ("_longest_open", MIN_RESIDUES)):
        translated = translate_chunks([""] * len(chunks), chunks, min_residues)
        frames = [frame for chunk in translated for frame in chunk.frames]
        tokens.append(sum(len(frame.protein) + 2 for frame in frames))
        row["called_share" + suffix] = round(
            sum(bool(c.frames) for c in translated) / len(chunks), 4
        )
        row["frames_per_chunk" + suffix] = round(len(frames) / len(chunks), 4)
        row["tokens_per_bp" + suffix] = round(tokens[-1] / num_bp, 4)
    row["tokens_longest_open_to_open"] = round(tokens[1] / tokens[0], 3)
    return row


def labelled_chunks(files: list[Path], length_bp: int) -> list[str]:
    """Return the chunks of some files, cut to a length."""
    return [record.sequence[:length_bp] for file in files for record in dnaio.open(file)]


def demo_chunks() -> list[str]:
    """Return the chunks of the demo's contigs."""
    contigs = [
        record.sequence
        for file in sorted((PROJECT / "assets" / "demo").glob("contigs_?.fa.gz"))
        for record in dnaio.open(file)
    ]
    return [c[a:b] for c in contigs for a, b in chunk_coordinates(len(c), DEMO_CHUNK_BP)]


def main() -> None:
    """Print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    results: dict[str, object] = {"min_residues": MIN_RESIDUES}
    for name, (folder, length_bp) in SETS.items():
        files = sorted((data / folder).glob("val.*.fa.gz"))
        results[name] = measure(labelled_chunks(files, length_bp))
        for file in files:
            kind = file.name.split(".")[1]
            results[f"{name}, {kind}"] = measure(labelled_chunks([file], length_bp))
    results[f"demo contigs, {DEMO_CHUNK_BP} bp"] = measure(demo_chunks())
    for name, row in results.items():
        print(name, row, sep="\t")
    RESULT.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
