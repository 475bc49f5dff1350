"""How far a long job over bytes is: a bar on a terminal, nothing in a log."""

import sys
import time

REDRAW_INTERVAL_S = 0.2
BAR_WIDTH = 30


class Progress:
    """A context that shows a bar on stderr while it is open."""

    def __init__(self, label: str, total_bytes: int) -> None:
        """Take what is done, and how much of it there is."""
        self._label, self._total = label, total_bytes
        self._done = 0
        self._start = self._drawn = time.monotonic()
        self._on_terminal = sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        if self._on_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def add(self, num_bytes: int) -> None:
        """Count what was done."""
        self._done += num_bytes
        now = time.monotonic()
        if self._on_terminal and now - self._drawn >= REDRAW_INTERVAL_S:
            self._drawn = now
            print(f"\r\x1b[K{self._line(now)}", end="", file=sys.stderr, flush=True)

    def _line(self, now: float) -> str:
        share = self._done / max(self._total, 1)
        rate = self._done / max(now - self._start, 1e-9)
        filled = round(BAR_WIDTH * min(share, 1))
        left_s = (self._total - self._done) / max(rate, 1)
        return (
            f"{self._label} [{'#' * filled:{BAR_WIDTH}}] {self._done / 1e9:.2f} of "
            f"{self._total / 1e9:.2f} GB, {rate / 1e6:.0f} MB/s, {left_s:.0f} s left"
        )
