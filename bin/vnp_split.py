#!/usr/bin/env python3
"""Cut the sequences of one sample into chunks, in shards of about equal work.

Writes SAMPLE.00001.chunks.fna, ... , SAMPLE.shards.tsv, SAMPLE.records.tsv and SAMPLE.split.sha256.
"""

import argparse
import logging
import sys
from pathlib import Path

from virnucpro.checksums import write_checksums
from virnucpro.sequences.reader import InputFile
from virnucpro.sequences.split_task import split_sample
from virnucpro.task import run_task, task_parser


def split(args: argparse.Namespace) -> None:
    """Split the sample that the arguments name."""
    mates = [f"/{end}" if end in "12" else "" for end in args.ends]
    sources = [
        InputFile(path, mate, args.rna) for path, mate in zip(args.inputs, mates, strict=True)
    ]
    counts = split_sample(args.sample, sources, args.chunk_length, args.shard_tokens, Path())
    write_checksums(Path(f"{args.sample}.split.sha256"), Path().glob(f"{args.sample}.*"))
    logging.getLogger("vnp_split").info(
        "%s: %d sequences, %d chunks", args.sample, counts.records, counts.chunks
    )


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--sample", required=True)
    parser.add_argument("--inputs", required=True, nargs="+", type=Path, help="in sheet order")
    parser.add_argument(
        "--ends", required=True, help="a letter for each input: 0 single, 1 first mate, 2 second"
    )
    parser.add_argument("--chunk-length", required=True, type=int, metavar="BP")
    parser.add_argument("--rna", action="store_true", help="read U as T")
    parser.add_argument(
        "--shard-tokens", type=int, default=0, help="ESM-2 tokens a shard aims at; 0: one shard"
    )
    args = parser.parse_args(argv)
    return run_task(split, args, versions=["dnaio", "pysam"])


if __name__ == "__main__":
    sys.exit(main())
