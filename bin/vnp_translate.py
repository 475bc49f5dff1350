#!/usr/bin/env python3
"""Translate a shard of chunks in six frames and keep the open ones.

Writes SHARD.frames.fna, SHARD.frames.faa and SHARD.chunks.tsv.
"""

import argparse
import logging
import sys
from pathlib import Path

from virnucpro.sequences.translate import translate_shard
from virnucpro.task import run_task, task_parser


def translate(args: argparse.Namespace) -> None:
    """Translate the shard that the arguments name."""
    fna, faa = Path(f"{args.shard}.frames.fna"), Path(f"{args.shard}.frames.faa")
    frames = translate_shard(args.chunks, fna, faa, Path(f"{args.shard}.chunks.tsv"))
    logging.getLogger("vnp_translate").info("%s: %d open frames", args.shard, frames)


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--shard", required=True, help="id of the shard")
    parser.add_argument("--chunks", required=True, type=Path)
    args = parser.parse_args(argv)
    return run_task(translate, args, library=["sequences"], versions=["dnaio", "numpy"])


if __name__ == "__main__":
    sys.exit(main())
