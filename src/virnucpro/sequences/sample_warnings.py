"""What SPLIT found odd about a sample but could read: a line each, for the user.

The lines go to the task's log and to SAMPLE.warnings.txt, from there to the screen, to
summary.tsv and to provenance.json.
"""

from collections import Counter
from pathlib import Path

from virnucpro.errors import printable

MAX_LINES = 20  # of a kind; a million odd records are one fault


class SampleWarnings(list[str]):
    """The lines: file, record or count; what was done; remedy."""

    def __init__(self) -> None:
        """Start without a line."""
        super().__init__()
        self._counts: Counter[str] = Counter()
        self._last: dict[str, int] = {}

    def add(self, kind: str, line: str) -> None:
        """Append a line; after the 20 first of its kind, only count it in a last one.

        Args:
            kind: what lines of this kind have in common, in words that the last line shows.
        """
        self._counts[kind] += 1
        further = self._counts[kind] - MAX_LINES
        if further <= 0:
            self.append(line)
            return
        if further == 1:
            self._last[kind] = len(self)
            self.append("")
        self[self._last[kind]] = f"{kind}: {further} more, not listed"


def write_warnings(path: Path, lines: list[str]) -> None:
    """Write the lines; names of files and records in them stay on their line."""
    text = "".join(f"{printable(line)}\n" for line in lines)
    path.write_text(text, encoding="utf-8")


def read_warnings(path: Path) -> list[str]:
    """Return the lines that write_warnings wrote."""
    return path.read_text(encoding="utf-8").splitlines()
