#!/usr/bin/env python3
"""Train the classifier.

Writes classifier.safetensors, history.tsv, training.json and train_classifier.sha256.
"""

import argparse
import sys
from pathlib import Path

from virnucpro.checksums import read_checksums, write_checksums
from virnucpro.task import run_task, task_parser
from virnucpro.training.classifier_training import RECIPES
from virnucpro.training.examples import Vectors
from virnucpro.training.train_task import train


def train_classifier(args: argparse.Namespace) -> None:
    """Train as the arguments say."""
    checksums = read_checksums(args.checksums)
    digests = (args.dnabert_s_sha256, args.tokenizer_sha256, args.esm2_sha256)
    train(
        checksums.checked(args.table),
        Vectors(args.vectors, *digests, checksums),
        args.trainer,
        args.seed,
        args.threads,
        args.class_balance,
        args.training_frames,
        args.max_epochs,
        Path(),
    )
    names = ("classifier.safetensors", "history.tsv", "training.json")
    write_checksums(Path("train_classifier.sha256"), map(Path, names))


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="training_chunks.tsv")
    parser.add_argument("--vectors", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--dnabert-s-sha256", help="digest of the encoder they must come from")
    parser.add_argument("--tokenizer-sha256", help="digest of the DNA tokenizer")
    parser.add_argument("--esm2-sha256", help="digest of the protein encoder")
    parser.add_argument("--trainer", choices=sorted(RECIPES), required=True)
    parser.add_argument("--class-balance", choices=("label", "class"), required=True)
    parser.add_argument("--training-frames", choices=("all", "coding"), required=True)
    parser.add_argument("--max-epochs", type=int, help="(default: the trainer's)")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--threads", required=True, type=int)
    args = parser.parse_args(argv)
    return run_task(train_classifier, args, versions=["numpy", "h5py", "torch"])


if __name__ == "__main__":
    sys.exit(main())
