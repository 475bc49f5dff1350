#!/usr/bin/env python3
"""Join the shards of a sample into its result files, in the folder SAMPLE.

Writes prediction_results.txt, prediction_results_highestscore.csv, chunks.tsv, sequences.tsv,
contigs.tsv, regions.bed, regions.gff3, viral.fasta and SAMPLE.summary.tsv; or an error and none.
SAMPLE.summarise_warnings.txt has the warnings that SPLIT does not have.
With --provenance, provenance.json too. Last comes manifest.json, with the sha256 of each.
"""

import argparse
import json
import sys
from pathlib import Path

from virnucpro.calls.manifest import write_manifest
from virnucpro.calls.sample_files import SampleFiles
from virnucpro.calls.summarise_task import SUMMARY_COLUMNS, summarise_sample
from virnucpro.checksums import read_checksums
from virnucpro.consensus.calibration_file import load_calibration
from virnucpro.consensus.calibrator import Calibrator
from virnucpro.errors import InputError
from virnucpro.files import write_text
from virnucpro.sequences.sample_warnings import read_warnings, write_warnings
from virnucpro.task import run_task, task_parser


def summarise(args: argparse.Namespace) -> None:
    """Summarise the sample that the arguments name."""
    files = SampleFiles(
        args.sample,
        args.records,
        args.shards,
        args.chunks,
        args.chunk_tables,
        args.scores,
        read_checksums(args.checksums),
    )
    calibrator = None
    if args.calibration:
        calibration = load_calibration(args.calibration, args.calibration_sha256)
        calibrator = Calibrator(calibration, args.viral_prior)
    elif args.viral_prior is not None:
        raise InputError("--viral-prior needs --calibration: raw scores are not probabilities.")
    out = Path(args.sample)
    out.mkdir(exist_ok=True)
    warnings: list[str] = []
    counts = summarise_sample(files, args.chunk_length, out, calibrator, warnings)
    write_warnings(Path(f"{args.sample}.summarise_warnings.txt"), warnings)
    warnings = read_warnings(args.warnings) + warnings
    if args.provenance:
        models = json.load(args.provenance)  # model set, digests of its components, rules, version
        note = {
            **models, "sample": args.sample, "chunk_bp": args.chunk_length, "warnings": warnings,
        }  # fmt: skip
        write_text(out / "provenance.json", json.dumps(note, indent=2, sort_keys=True) + "\n")
    write_manifest(out)
    values = [str(counts.get(column, 0)) for column in SUMMARY_COLUMNS]
    header = ("sample", *SUMMARY_COLUMNS, "warnings")
    row = (args.sample, *values, "; ".join(warnings))
    Path(f"{args.sample}.summary.tsv").write_text(
        "\t".join(header) + "\n" + "\t".join(row) + "\n", encoding="utf-8"
    )


def probability(text: str) -> float:
    """Return a number between 0 and 1, both excluded."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1, both excluded")
    return value


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--sample", required=True)
    parser.add_argument("--chunk-length", required=True, type=int, metavar="BP")
    parser.add_argument("--records", required=True, type=Path)
    parser.add_argument("--shards", required=True, type=Path, help="the shards to expect")
    parser.add_argument("--warnings", required=True, type=Path, help="of SPLIT")
    parser.add_argument("--chunks", nargs="*", default=[], type=Path, help="SHARD.chunks.fna")
    parser.add_argument("--chunk-tables", nargs="*", default=[], type=Path, help="SHARD.chunks.tsv")
    parser.add_argument("--scores", nargs="*", default=[], type=Path, help="SHARD.scores.tsv")
    parser.add_argument(
        "--provenance", type=argparse.FileType(), metavar="JSON", help="of the models (-: stdin)"
    )
    parser.add_argument("--calibration", type=Path, help="of the model set (default: none)")
    parser.add_argument("--calibration-sha256", help="digest that it must have")
    parser.add_argument(
        "--viral-prior",
        type=probability,
        help="share of viral sequences to expect (default: the calibration's)",
    )
    args = parser.parse_args(argv)
    return run_task(summarise, args, versions=["numpy"])


if __name__ == "__main__":
    sys.exit(main())
