"""What a long job shows, on a terminal and in a log."""

import io
import sys

import pytest

from virnucpro.model_import.progress import byte_progress

MB = 10**6


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with byte_progress("x.pt", 100 * MB, 10 * MB, first_line_s=0) as progress:
        for _ in range(10):  # 1 MB in 10 s, ten times
            clock[0] += 10
            progress.update(MB)
    assert caplog.messages == [
        "x.pt: 10.0MB of 100MB, ?B/s, ? left",
        "x.pt: 13.0MB of 100MB, 100kB/s, 14:30 left",
        "x.pt: 16.0MB of 100MB, 100kB/s, 14:00 left",
        "x.pt: 19.0MB of 100MB, 100kB/s, 13:30 left",
    ]


def test_a_short_job_leaves_no_line(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with byte_progress("hashing", 100 * MB) as progress:
        clock[0] += 29
        progress.update(50 * MB)
        assert not caplog.messages
        clock[0] += 1
        progress.update(MB)
    assert caplog.messages == ["hashing: 51.0MB of 100MB, 1.70MB/s, 00:28 left"]


def test_the_size_may_be_unknown(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with byte_progress("x.pt", None, first_line_s=0) as progress:
        clock[0] += 30
        progress.update(3 * MB)
    assert caplog.messages[1] == "x.pt: 3.00MB [00:30, 100kB/s]"


def test_a_terminal_gets_a_bar(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    with byte_progress("x.pt", 4 * MB, MB) as progress:
        clock[0] += 1
        progress.update(2 * MB)
    text = terminal.getvalue()
    assert "x.pt" in text and "3.00M/4.00M" in text
