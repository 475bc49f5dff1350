"""virnucpro verify: check a finished result again from its own files.

Files are compared with the manifest of each sample, the tables with each other and with
summary.tsv; the work folder is not needed. Exit status: 0 complete and of one run, 1 not, 2 not a
result folder.
"""

import argparse
from pathlib import Path

from virnucpro.verification.result_folder import Finding, verify

EXIT_INCOMPLETE = 1
NAMED_FAULTS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("outdir", metavar="OUTDIR", type=Path, help="--outdir of a run")


def run(args: argparse.Namespace) -> int:
    """Print a line for each sample; return 0 or 1.

    Raises: InputError when the folder is not a result.
    """
    num_samples = num_faulty = 0
    for finding in verify(args.outdir):
        num_samples += bool(finding.summary)
        num_faulty += bool(finding.faults)
        if finding.summary or finding.faults:
            print(line_of(finding), flush=True)
    print(f"{_counted(num_samples, 'sample')}, {_counted(num_faulty, 'fault')}")
    return EXIT_INCOMPLETE if num_faulty else 0


def line_of(finding: Finding) -> str:
    """Return one line about a sample, or a file of the run."""
    if finding.faults:
        more = len(finding.faults) - NAMED_FAULTS
        faults = "; ".join(finding.faults[:NAMED_FAULTS])
        return f"FAULT {finding.name}: {faults}" + (f"; and {more} more" if more > 0 else "")
    row = finding.summary
    return (
        f"ok    {finding.name}: {row['sequences']} sequences, {row['chunks']} chunks, "
        f"{row['frames']} frames"
    )


def _counted(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
