#!/usr/bin/env python3
"""Cut the sequences of one sample into chunks, in shards of about equal work.

Writes SAMPLE.00001.chunks.fna, ... , SAMPLE.shards.tsv, SAMPLE.records.tsv,
SAMPLE.warnings.txt and SAMPLE.split.sha256.
"""

import argparse
import logging
import sys
from pathlib import Path

from virnucpro.checksums import write_checksums
from virnucpro.sequences.length_range import LengthRange
from virnucpro.sequences.reader import InputFile
from virnucpro.sequences.split_task import split_sample
from virnucpro.task import run_task, task_parser


def split(args: argparse.Namespace) -> None:
    """Split the sample that the arguments name."""
    sources = [
        InputFile(path, f"/{end}" if end in "12" else "", args.rna, interleaved=end == "i")
        for path, end in zip(args.inputs, args.ends, strict=True)
    ]
    lengths = LengthRange(args.min_length, args.max_length)
    counts = split_sample(
        args.sample, sources, args.chunk_length, args.shard_tokens, Path(), lengths
    )
    write_checksums(Path(f"{args.sample}.split.sha256"), Path().glob(f"{args.sample}.*"))
    left_out = f", {counts.left_out} left out by length" if counts.left_out else ""
    logging.getLogger("vnp_split").info(
        "%s: %d sequences, %d chunks%s", args.sample, counts.records, counts.chunks, left_out
    )


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--sample", required=True)
    parser.add_argument("--inputs", required=True, nargs="+", type=Path, help="in sheet order")
    parser.add_argument(
        "--ends",
        required=True,
        help="a letter for each input: 0 single, 1 first mates, 2 second mates, i interleaved",
    )
    parser.add_argument("--chunk-length", required=True, type=int, metavar="BP")
    parser.add_argument("--rna", action="store_true", help="read U as T")
    parser.add_argument("--min-length", type=int, default=0, metavar="BP", help="to be called")
    parser.add_argument("--max-length", type=int, metavar="BP", help="to be called (default: any)")
    parser.add_argument(
        "--shard-tokens", type=int, default=0, help="ESM-2 tokens a shard aims at; 0: one shard"
    )
    args = parser.parse_args(argv)
    return run_task(split, args, versions=["dnaio", "pysam"])


if __name__ == "__main__":
    sys.exit(main())
