"""What a long transfer tells, on a terminal and in a log."""

import io
import sys

import pytest

from virnucpro.model_import.download_progress import MIB, Lines, shown


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_gets_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    lines = Lines("x.pt", clock)
    lines.start(10 * MIB, 100 * MIB)
    for _ in range(10):  # 1 MiB in 10 s, ten times
        clock.now += 10
        lines.advance(MIB)
    assert caplog.messages == [
        "x.pt: 100.0 MiB, 10.0 MiB are here",
        "x.pt: 13.0 MiB, 0.1 MiB/s, 100.0 MiB in all, 870 s left",
        "x.pt: 16.0 MiB, 0.1 MiB/s, 100.0 MiB in all, 840 s left",
        "x.pt: 19.0 MiB, 0.1 MiB/s, 100.0 MiB in all, 810 s left",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    with shown("x.pt") as progress:
        progress.start(MIB, 4 * MIB)
        progress.advance(MIB)
        progress.start(0, 4 * MIB)  # begun again
        progress.advance(3 * MIB)
    text = terminal.getvalue()
    assert "x.pt" in text
    assert "3.00M/4.00M" in text.rsplit("\r", 1)[-1]
