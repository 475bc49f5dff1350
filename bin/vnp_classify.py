#!/usr/bin/env python3
"""Score the frames of a shard from both embeddings.

Writes SHARD.scores.tsv and SHARD.classify.sha256.
"""

import argparse
import sys
from pathlib import Path

from virnucpro.checksums import read_checksums, write_checksums
from virnucpro.scoring.classify_task import classify_shard
from virnucpro.scoring.joined_embeddings import EmbeddingsFile
from virnucpro.task import run_task, task_parser


def classify(args: argparse.Namespace) -> None:
    """Score the shard that the arguments name."""
    faa, fna = args.frames
    scores = Path(f"{args.shard}.scores.tsv")
    classify_shard(
        faa,
        fna,
        EmbeddingsFile(args.dnabert_s, args.dnabert_s_sha256, args.tokenizer_sha256),
        EmbeddingsFile(args.esm2, args.esm2_sha256),
        args.classifier,
        args.classifier_sha256,
        scores,
        read_checksums(args.checksums),
        strict=args.strict,
    )
    write_checksums(Path(f"{args.shard}.classify.sha256"), [scores])


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--shard", required=True, help="id of the shard")
    parser.add_argument(
        "--frames", required=True, nargs=2, type=Path, metavar=("FAA", "FNA"), help="SHARD.frames.*"
    )
    parser.add_argument("--dnabert-s", required=True, type=Path, metavar="H5")
    parser.add_argument("--dnabert-s-sha256", help="digest of the encoder it must come from")
    parser.add_argument("--tokenizer-sha256", help="digest of the DNA tokenizer it must come from")
    parser.add_argument("--esm2", required=True, type=Path, metavar="H5")
    parser.add_argument("--esm2-sha256", help="digest of the encoder it must come from")
    parser.add_argument("--classifier", required=True, type=Path)
    parser.add_argument("--classifier-sha256", help="digest that the classifier must have")
    parser.add_argument("--strict", action="store_true", help="refuse a frame without a vector")
    args = parser.parse_args(argv)
    return run_task(classify, args, versions=["numpy", "h5py", "safetensors"])


if __name__ == "__main__":
    sys.exit(main())
