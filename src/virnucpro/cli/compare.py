"""virnucpro compare: two result folders or tables, row by row; ours, the original's, the fork's."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from virnucpro.comparison.compare import DifferingRows, SampleResult, compare_samples
from virnucpro.comparison.folders import Sample, find_samples
from virnucpro.comparison.report import sample_lines
from virnucpro.comparison.tables import LEVELS
from virnucpro.comparison.vectors import compare_embeddings
from virnucpro.errors import InputError

EXIT_DIFFERENT = 1
DESCRIPTION = """\
Compare two result folders or tables by id: ours, the original's and the fork's, in any mixture.

Exit status: 0 equal (same ids and labels, scores within the tolerance), 1 different, 2 cannot
compare. Embeddings (ours, where both have them) are described and do not count. Tables in the same
order are read side by side; others are sorted in the folder for temporary files (TMPDIR).
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help=__doc__.split(": ", 1)[1],
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", type=Path, help="folder of results, or one table")
    parser.add_argument("b", metavar="B", type=Path, help="what to compare with it")
    parser.add_argument(
        "--tolerance", type=float, default=1e-5, help="largest score difference (default: 1e-5)"
    )
    parser.add_argument(
        "--per", nargs="+", choices=LEVELS, help="levels (default: all that both have)"
    )
    parser.add_argument("--export-csv", type=Path, metavar="FILE", help="every row that differs")
    parser.add_argument(
        "--mismatch-limit", type=int, default=20, metavar="N",
        help="ids and flips to name in the report (default: 20)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the comparison; return 0 or 1.

    Raises: InputError when there is nothing to compare.
    """
    if not args.tolerance >= 0:
        raise InputError(f"--tolerance {args.tolerance}: give 0 or more.")
    a, b = find_samples(args.a), find_samples(args.b)
    equal = True
    with ExitStack() as stack:
        rows = stack.enter_context(DifferingRows(args.export_csv)) if args.export_csv else None
        for name, side_a, side_b in pair_samples(a, b):
            if side_a is None or side_b is None:
                print(f"sample {name}: only in {'A' if side_b is None else 'B'}")
                equal = False
                continue
            result = compare_samples(
                name, side_a, side_b, args.per or LEVELS, args.tolerance, args.mismatch_limit, rows
            )
            check_levels(result, args.per)
            for line in sample_lines(result):
                print(line)
            print_embeddings(side_a, side_b)
            equal &= all(level.differences.is_equal for level in result.levels)
    print(f"equal within {args.tolerance:g}" if equal else "different")
    return 0 if equal else EXIT_DIFFERENT


def pair_samples(
    a: dict[str, Sample], b: dict[str, Sample]
) -> Iterator[tuple[str, Sample | None, Sample | None]]:
    """Yield samples of the same name; one sample on either side is a pair whatever its name.

    Raises: InputError when no sample is in both.
    """
    if len(a) == len(b) == 1:
        (name_a, side_a), (name_b, side_b) = *a.items(), *b.items()
        yield name_a if name_a == name_b else f"{name_a} (A), {name_b} (B)", side_a, side_b
        return
    if not a.keys() & b.keys():
        raise InputError(
            f"no sample is in both: A has {', '.join(list(a)[:5])}, B has "
            f"{', '.join(list(b)[:5])}. Give the folders of single samples."
        )
    for name in sorted(a.keys() | b.keys()):
        yield name, a.get(name), b.get(name)


def check_levels(result: SampleResult, wanted: list[str] | None) -> None:
    """Refuse to call a sample equal when a level that was asked for, or any, is not in both."""
    found = {level.level for level in result.levels}
    missing = [level for level in wanted or [] if level not in found]
    if missing or not found:
        raise InputError(
            f"sample {result.name}: A and B do not both have a table per "
            f"{' or '.join(missing or LEVELS)}. Give folders that do, or other levels as --per."
        )


def print_embeddings(a: Sample, b: Sample) -> None:
    """Print how far the embeddings lie apart, where both have them."""
    for found in compare_embeddings(a.embeddings, b.embeddings):
        print(
            f"  embeddings {found.encoder}: {found.num_common} in both, {found.only_a} only in A, "
            f"{found.only_b} only in B; max difference {found.max_gap:.2g}; cosine min "
            f"{found.cosine_min:.9f} mean {found.cosine_mean:.9f}, less the mean of A: min "
            f"{found.centred_min:.9f} mean {found.centred_mean:.9f}"
        )
