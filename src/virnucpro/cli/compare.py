"""virnucpro compare: compare two result folders or tables by id.

Each may be of this pipeline, the original or the fork.

Exit status: 0 equal (same ids and labels, scores within the tolerance), 1 different, 2 cannot
compare. Embeddings (of this pipeline) are described, but do not count. Tables in the same
order are read side by side; others are sorted in the folder for temporary files (TMPDIR).
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from virnucpro.comparison.compare import SampleResult, compare_samples, open_differing_rows
from virnucpro.comparison.folders import Sample, find_samples
from virnucpro.comparison.report import sample_lines
from virnucpro.comparison.tables import LEVELS
from virnucpro.comparison.vectors import compare_embeddings
from virnucpro.errors import InputError

EXIT_DIFFERENT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
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


def run(args: argparse.Namespace) -> int:
    """Print the comparison; return 0 or 1.

    Raises: InputError when there is nothing to compare.
    """
    if not args.tolerance >= 0:
        raise InputError(f"--tolerance {args.tolerance}: must be >= 0.")
    a, b = find_samples(args.a), find_samples(args.b)
    equal = True
    with ExitStack() as stack:
        rows = None
        if args.export_csv:
            rows = stack.enter_context(open_differing_rows(args.export_csv))
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


def check_levels(result: SampleResult, requested: list[str] | None) -> None:
    """Raise InputError unless both sides have every requested level, or at least one."""
    compared = {level.level for level in result.levels}
    missing = [level for level in requested or [] if level not in compared]
    if missing or not compared:
        raise InputError(
            f"sample {result.name}: A and B do not both have a table per "
            f"{' or '.join(missing or LEVELS)}. Give folders that do, or other levels as --per."
        )


def print_embeddings(a: Sample, b: Sample) -> None:
    """Print how far apart the embeddings are, where both sides have them."""
    for result in compare_embeddings(a.embeddings, b.embeddings):
        print(
            f"  embeddings {result.encoder}: {result.num_common} in both, {result.only_a} only in "
            f"A, {result.only_b} only in B; max difference {result.max_gap:.2g}; cosine min "
            f"{result.cosine_min:.9f} mean {result.cosine_mean:.9f}, less the mean of A: min "
            f"{result.centred_min:.9f} mean {result.centred_mean:.9f}"
        )
