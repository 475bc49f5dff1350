#!/usr/bin/env python3
"""Translate a shard of chunks in six frames and keep those to embed.

Writes SHARD.frames.fna, SHARD.frames.faa, SHARD.chunks.tsv and SHARD.translate.sha256.
"""

import argparse
import logging
import sys
from pathlib import Path

from virnucpro.checksums import read_checksums, write_checksums
from virnucpro.sequences.translate_task import translate_shard
from virnucpro.sequences.translation import LONGEST_OPEN_RULE, MIN_RESIDUES, OPEN_RULE
from virnucpro.task import run_task, task_parser


def translate(args: argparse.Namespace) -> None:
    """Translate the shard that the arguments name."""
    fna, faa = Path(f"{args.shard}.frames.fna"), Path(f"{args.shard}.frames.faa")
    table = Path(f"{args.shard}.chunks.tsv")
    min_residues = None if args.frame_rule == OPEN_RULE else args.min_residues
    chunks = read_checksums(args.checksums).checked(args.chunks)
    frames = translate_shard(chunks, fna, faa, table, min_residues)
    write_checksums(Path(f"{args.shard}.translate.sha256"), [fna, faa, table])
    logging.getLogger("vnp_translate").info("%s: %d frames", args.shard, frames)


def residues(text: str) -> int:
    """Return a number of residues, at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--shard", required=True, help="id of the shard")
    parser.add_argument("--chunks", required=True, type=Path)
    parser.add_argument(
        "--frame-rule",
        choices=(OPEN_RULE, LONGEST_OPEN_RULE),
        default=OPEN_RULE,
        help="open: frames without a stop codon (default); longest_open: of a chunk without one "
        "its longest stretch between stops",
    )
    parser.add_argument(
        "--min-residues",
        type=residues,
        default=MIN_RESIDUES,
        help=f"of such a stretch (default: {MIN_RESIDUES})",
    )
    args = parser.parse_args(argv)
    return run_task(translate, args, versions=["dnaio", "numpy"])


if __name__ == "__main__":
    sys.exit(main())
