#!/usr/bin/env python3
"""Check --input, before any other task: a samplesheet, a training sheet, or files.

Reads the pipeline's request, JSON, from stdin. Writes samples.json, for training genomes.tsv, and
warning.txt if there is one; or an error with everything that is wrong.
"""

import argparse
import json
import sys
from pathlib import Path

from virnucpro.files import write_json, write_text
from virnucpro.input_checks.check_samplesheet_task import check_input
from virnucpro.input_checks.file_pairs import unpaired_warning
from virnucpro.input_checks.sheet import InputRequest
from virnucpro.task import run_task, task_parser


def check(args: argparse.Namespace) -> None:
    """Check what stdin asks for."""
    request = InputRequest(**json.load(sys.stdin))
    samples, genomes = check_input(request, args.sheet, json.loads(args.schema.read_text()))
    write_json(Path("samples.json"), samples)
    if genomes is not None:
        write_text(Path("genomes.tsv"), genomes)
    elif warning := unpaired_warning(request.input, request.matches):
        write_text(Path("warning.txt"), warning)


def main(argv: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = task_parser(__doc__)
    parser.add_argument("--schema", required=True, type=Path, help="of a row, JSON schema")
    parser.add_argument("--sheet", type=Path, help="when --input is a sheet")
    args = parser.parse_args(argv)
    return run_task(check, args)


if __name__ == "__main__":
    sys.exit(main())
