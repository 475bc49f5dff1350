#!/usr/bin/env python3
"""Give the chunks of all genomes a label, a side of the split and their coding frames.

Reads the genomes (a table) from stdin. Writes training_chunks.tsv, split.tsv and
prepare_training.sha256.
"""

import argparse
import sys
from pathlib import Path

from virnucpro.checksums import SUFFIX, read_checksums, write_checksums
from virnucpro.task import run_task, task_parser
from virnucpro.training.genomes import MIN_CALIBRATION_CHUNKS, read_genomes
from virnucpro.training.prepare_task import PreparationInputs, prepare


def prepare_training(args: argparse.Namespace) -> None:
    """Prepare the genomes that stdin names."""
    checksums = read_checksums(args.checksums)
    for path in sorted(args.chunks.iterdir()):
        if path.suffix != SUFFIX:
            checksums.checked(path)
    inputs = PreparationInputs(
        read_genomes(sys.stdin),
        args.chunks,
        args.annotations,
        args.chunk_length,
        args.seed,
        MIN_CALIBRATION_CHUNKS if args.calibrate else 0,
    )
    table, split = Path("training_chunks.tsv"), Path("split.tsv")
    prepare(inputs, table, split)
    write_checksums(Path("prepare_training.sha256"), [table, split])


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--chunks", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--annotations", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--chunk-length", required=True, type=int, metavar="BP")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument(
        "--calibrate", action="store_true", help="refuse a val part too small to calibrate with"
    )
    args = parser.parse_args(argv)
    return run_task(prepare_training, args, versions=["dnaio", "numpy"])


if __name__ == "__main__":
    sys.exit(main())
