"""Progress of a long job over bytes: tqdm's bar on a terminal, a line now and then in a log."""

import logging
import sys

from tqdm import tqdm

LINE_INTERVAL_S = 30.0
LINE_FORMAT = "{desc}: {n_fmt}B of {total_fmt}B, {rate_fmt}, {remaining} left"

log = logging.getLogger(__name__)


class LogLines(tqdm):
    """A bar that is a line of the log each time that tqdm would draw it."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Log the bar; tqdm gives "" to clear it."""
        if msg is None:
            log.info("%s", str(self))  # now: the bar moves on


def byte_progress(
    label: str, total: int | None, done: int = 0, *, first_line_s: float = LINE_INTERVAL_S
) -> tqdm:
    """Return a context that shows a bar while it is open; its `update(num_bytes)` moves the bar.

    Args:
        label: of the bar; total: in bytes, None if unknown.
        done: bytes that were there before, which the rate does not count.
        first_line_s: when a log gets its first line; by default a short job has none.
    """
    options = {
        "desc": label,
        "total": total,
        "initial": done,
        "unit": "B",
        "unit_scale": True,
        "smoothing": 0,  # the mean rate
        "leave": False,
    }
    if sys.stderr.isatty():
        return tqdm(**options)
    return LogLines(
        **options,
        bar_format=LINE_FORMAT if total else None,
        mininterval=LINE_INTERVAL_S,
        miniters=1,
        delay=first_line_s,
    )
