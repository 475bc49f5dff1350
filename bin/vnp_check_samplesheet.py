#!/usr/bin/env python3
"""Check --input, before any other task: a samplesheet, a training sheet, or files.

Reads the pipeline's request, JSON, from stdin. Writes samples.json and, for training, genomes.tsv;
or an error with everything that is wrong.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from virnucpro.files import write_json, write_text
from virnucpro.input_checks.check_samplesheet_task import InputRequest, check_samples
from virnucpro.input_checks.genomes_sheet import check_genomes, genomes_table
from virnucpro.task import run_task, task_parser


def check(args: argparse.Namespace) -> None:
    """Check what stdin asks for."""
    request = InputRequest(**json.load(sys.stdin))
    schema = json.loads(args.schema.read_text())
    if request.training_frames is None:
        samples = [asdict(sample) for sample in check_samples(request, args.sheet, schema)]
    else:
        genomes = check_genomes(request, args.sheet, schema)
        samples = [asdict(sample) | {"annotation": path} for sample, _, path in genomes]
        write_text(Path("genomes.tsv"), genomes_table(genome for _, genome, _ in genomes))
    write_json(Path("samples.json"), samples)


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--schema", required=True, type=Path, help="of a row, JSON schema")
    parser.add_argument("--sheet", type=Path, help="when --input is a sheet")
    args = parser.parse_args(argv)
    return run_task(check, args)


if __name__ == "__main__":
    sys.exit(main())
