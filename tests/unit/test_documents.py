"""README.md and docs/ stay readable: short table cells, a short README."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


@pytest.mark.parametrize(
    "path", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_long_table_cells_are_prose_instead(path):
    rows = [line for line in path.read_text().splitlines() if line.startswith("|")]
    cells = [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row)]
    assert [cell for cell in cells if len(cell) > 200] == []


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 150
