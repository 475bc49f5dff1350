"""Write the tables of options in docs/migration.md from src/virnucpro/migration/options.py.

usage: write_migration_tables.py
"""

import sys
from pathlib import Path

from virnucpro.migration.table import with_tables

DOCUMENT = Path(__file__).resolve().parents[1] / "docs/migration.md"


def main() -> int:
    """Write the document."""
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
