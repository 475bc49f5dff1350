"""What a reader may cost, and how it may fail, whatever the file."""

import faulthandler
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from virnucpro.errors import InputError

# For files of some kilobytes. CPU time, since other programs may slow the machine.
MAX_CPU_S = 10
MAX_MEMORY = 2 << 30  # bytes, on top of what the process has
HANG_S = 120  # wall time; then a C library is stuck, which no signal handler interrupts
REFUSED = object()


def read_or_refuse(read: Callable[[], Any]) -> Any:
    """Return what `read` returns, or REFUSED for an InputError with a message.

    Any other exception is a failure; so are MAX_CPU_S, MAX_MEMORY and HANG_S.
    """
    try:
        with _limits():
            return read()
    except InputError as error:
        text = str(error)
        assert text.strip(), "an error without a message"
        assert text.replace("\n", "").isprintable(), f"control characters of the file: {text!a}"
        return REFUSED


@contextmanager
def _limits() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise AssertionError(f"takes more than {MAX_CPU_S} s")

    size_pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = size_pages * resource.getpagesize() + MAX_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MAX_CPU_S)
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
