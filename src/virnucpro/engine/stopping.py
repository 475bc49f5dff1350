"""What a task does when it is told to stop: save what it has, and end with a status of its own.

Signals: SIGTERM (a scheduler, Nextflow), SIGUSR1 and SIGUSR2 (SLURM, before the time limit).

No torch here: the executables listen before they import it, which takes seconds.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

EXIT_STOPPED = 143  # the pipeline tries again
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
SAME_STOP_S = 1.0  # signals within this time are one: a scheduler and Nextflow's wrapper both send

log = logging.getLogger(__name__)


class StopSignals:
    """Ends the process at a signal, whatever its main thread does; at a second one at once.

    Python runs handlers in the main thread between two bytecodes, so not while a model is read or
    a kernel is waited for. A thread of our own reads the numbers of signals, which Python writes to
    a pipe at once.
    """

    def __init__(self) -> None:
        """Listen to nothing yet."""
        self._flush: Callable[[], None] | None = None

    def listen(self) -> None:
        """Start; to be called from the main thread of a process of our own."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        threading.Thread(target=self._watch, args=(reader,), name="stop", daemon=True).start()

    def before_exit(self, flush: Callable[[], None] | None) -> None:
        """Set what is called, in a thread of its own, before the process ends."""
        self._flush = flush

    def _watch(self, reader: int) -> None:
        """End the process after the first signal, and at a later one at once."""
        stopped_at = 0.0
        while True:
            number = os.read(reader, 1)[0]
            if number not in SIGNALS:  # Ctrl-C has a handler, too
                continue
            now = time.monotonic()
            if not stopped_at:
                stopped_at = now
                threading.Thread(target=self._stop, args=(number,), daemon=True).start()
            elif now - stopped_at > SAME_STOP_S:
                os._exit(EXIT_STOPPED)

    def _stop(self, number: int) -> None:
        try:
            if self._flush:
                self._flush()
            log.info("stopped by %s", signal.Signals(number).name)
        except Exception:
            log.exception("the last part could not be saved")
        finally:
            # not sys.exit: the main thread may compute for long, and stderr may be closed already
            os._exit(EXIT_STOPPED)


STOP = StopSignals()  # signals are the process's, and so is this
