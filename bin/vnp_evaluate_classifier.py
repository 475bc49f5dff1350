#!/usr/bin/env python3
"""Calibrate a trained classifier on val, measure it on test, write it as a model set: SET/."""

import argparse
import json
import sys
from pathlib import Path

from virnucpro.checksums import read_checksums
from virnucpro.task import run_task, task_parser
from virnucpro.training.evaluate_task import evaluate
from virnucpro.training.examples import Vectors


def evaluate_classifier(args: argparse.Namespace) -> None:
    """Evaluate the classifier that the arguments name."""
    checksums = read_checksums(args.checksums)
    digests = (args.dnabert_s_sha256, args.tokenizer_sha256, args.esm2_sha256)
    evaluate(
        checksums.checked(args.table),
        checksums.checked(args.split),
        Vectors(args.vectors, *digests, checksums),
        checksums.checked(args.classifier),
        checksums.checked(args.history),
        checksums.checked(args.training),
        json.load(args.base),
        None if args.calibrate == "none" else args.calibrate,
    )


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="training_chunks.tsv")
    parser.add_argument("--split", required=True, type=Path, help="split.tsv")
    parser.add_argument("--vectors", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--dnabert-s-sha256", help="digest of the encoder they must come from")
    parser.add_argument("--tokenizer-sha256", help="digest of the DNA tokenizer")
    parser.add_argument("--esm2-sha256", help="digest of the protein encoder")
    parser.add_argument("--classifier", required=True, type=Path)
    parser.add_argument("--history", required=True, type=Path, help="history.tsv")
    parser.add_argument("--training", required=True, type=Path, help="training.json")
    parser.add_argument(
        "--base",
        required=True,
        type=argparse.FileType(),
        metavar="JSON",
        help="what the new set says of itself (-: stdin)",
    )
    parser.add_argument("--calibrate", choices=("temperature", "isotonic", "none"), required=True)
    args = parser.parse_args(argv)
    return run_task(evaluate_classifier, args, versions=["numpy", "h5py", "safetensors"])


if __name__ == "__main__":
    sys.exit(main())
