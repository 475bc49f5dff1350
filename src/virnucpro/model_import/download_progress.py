"""How far a long transfer is: a bar on a terminal, else a line now and then."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

LINE_EVERY_S = 30.0
MIB = 1 << 20

log = logging.getLogger(__name__)


class Progress(Protocol):
    """What a transfer tells: how much there is, what is there, what comes."""

    def start(self, have: int, total: int | None) -> None:
        """Begin, or begin again, with `have` of `total` bytes."""

    def advance(self, num_bytes: int) -> None:
        """Count bytes that came."""


class Bar:
    """tqdm's bar, on a terminal."""

    def __init__(self, name: str) -> None:
        """Prepare a bar; it shows at the first start."""
        from tqdm import tqdm

        self._bar = tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024)

    def start(self, have: int, total: int | None) -> None:
        """Set the bar."""
        self._bar.reset(total)
        self._bar.initial = have
        self._bar.update(have)

    def advance(self, num_bytes: int) -> None:
        """Move the bar."""
        self._bar.update(num_bytes)

    def close(self) -> None:
        """Leave the bar where it is."""
        self._bar.close()


class Lines:
    """A line every half a minute, in a log file."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Name the file that the lines are about."""
        self._name, self._clock = name, clock
        self._done, self._total, self._told_at = 0, 0, clock()
        self._began_at, self._began_with = clock(), 0

    def start(self, have: int, total: int | None) -> None:
        """Tell the size once."""
        self._done, self._total = have, total or 0
        self._told_at = self._began_at = self._clock()
        self._began_with = have
        size = f"{total / MIB:.1f} MiB" if total else "unknown size"
        held = f", {have / MIB:.1f} MiB are here" if have else ""
        log.info("%s: %s%s", self._name, size, held)

    def advance(self, num_bytes: int) -> None:
        """Tell done, total, rate and time left when the last line is old enough."""
        self._done += num_bytes
        now = self._clock()
        if now - self._told_at < LINE_EVERY_S:
            return
        self._told_at = now
        rate = (self._done - self._began_with) / max(now - self._began_at, 1e-9)
        text = f"{self._done / MIB:.1f} MiB, {rate / MIB:.1f} MiB/s"
        if self._total and rate:
            left_s = (self._total - self._done) / rate
            text = f"{text}, {self._total / MIB:.1f} MiB in all, {left_s:.0f} s left"
        log.info("%s: %s", self._name, text)

    def close(self) -> None:
        """Say nothing more."""


@contextmanager
def shown(name: str) -> Iterator[Progress]:
    """Yield a bar on a terminal, else lines."""
    progress: Bar | Lines = Bar(name) if sys.stderr.isatty() else Lines(name)
    try:
        yield progress
    finally:
        progress.close()
