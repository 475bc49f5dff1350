"""Write the tables of options in docs/migration.md from src/virnucpro/migration/options.py.

usage: write_migration_tables.py
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from virnucpro.migration.options import OPTIONS, VARIABLES, Option, Origin

DOCUMENT = Path(__file__).resolve().parents[1] / "docs/migration.md"
# Variables of the fork that the program itself or its test suite sets.
OTHER_VARIABLES = (
    (
        "CUDA_VISIBLE_DEVICES",
        "Supported: each embedding task leases one of the GPUs that it names; empty hides all.",
    ),
    ("PYTORCH_CUDA_ALLOC_CONF", "As in torch; not needed, since batches have one size."),
    ("TOKENIZERS_PARALLELISM", "As in the tokenizers library."),
    (
        "BENCHMARK_DATA_SIZE, BENCHMARK_GPUS, BENCHMARK_OUTPUT_DIR, BENCHMARK_VANILLA, "
        "BENCHMARK_QUICK",
        "None: the fork's tests never received them. Measurements are in bench/.",
    ),
)


def options_text() -> str:
    """Return a table of options for each origin."""
    parts = []
    for origin in Origin:
        rows = [_option_cells(option) for option in OPTIONS if option.origin is origin]
        table = "\n".join(_table(("option", "support", "here"), rows))
        parts.append(f"### {origin.value}\n\n{table}")
    return "\n\n".join(parts)


def variables_text() -> str:
    """Return the table of environment variables."""
    rows = [(f"`{v.name}`", v.here) for v in VARIABLES]
    rows += [(f"`{names.replace(', ', '`, `')}`", here) for names, here in OTHER_VARIABLES]
    return "\n".join(_table(("variable", "here"), rows))


def with_tables(document: str) -> str:
    """Return a document with the tables between its marks rewritten."""
    for mark, text in (("options", options_text()), ("variables", variables_text())):
        begin, end = f"<!-- {mark}: written by tools/write_migration_tables.py -->", "<!-- end -->"
        head, rest = document.split(begin)
        document = f"{head}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}"
    return document


def _option_cells(option: Option) -> tuple[str, ...]:
    flags = ", ".join(f"`{flag}`" for flag in option.flags)
    value = f" {option.value}" if option.value else ""
    return f"{flags}{value}", option.support, option.here


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(header)
    yield "|---" * len(header) + "|"
    for row in rows:
        yield _row(row)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main() -> int:
    """Write the document."""
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
