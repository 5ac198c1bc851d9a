"""Progress: plain lines in a log, a bar on a terminal."""

import io

import pytest

from albert_fast.cli.progress import Progress, plain_line
from albert_fast.text import duration, quantity


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (999, "bytes", "999 bytes"),
        (1500, "bytes", "1.5 kB"),
        (2.5e9, "bytes", "2.5 GB"),
        (12345, "records", "12,345 records"),
    ],
)
def test_quantities(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0s"),
        (59.4, "59s"),
        (185, "3m 05s"),
        (7625, "2h 07m"),
        (47 * 3600, "47h 00m"),
        (3 * 86400 + 4 * 3600, "3 days 4h"),
        (45.3 * 86400, "45 days"),
        (700 * 86400, "700 days"),
        (516_041 * 3600, "59 years"),
        (1e12, "31,688 years"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_has_rate_and_time_left() -> None:
    line = plain_line("tokenizing", "bytes", 25_000_000, 100_000_000, 5.0)
    assert line == "tokenizing: 25.0 MB of 100.0 MB (25%), 5.0 MB/s, 15s left"
    assert plain_line("reading", "lines", 10, 0, 2.0) == "reading: 10 lines, 5 lines/s"
    resumed = plain_line("writing", "records", 900, 1000, 10.0, done_before=800)
    assert resumed == "writing: 900 of 1,000 records (90%), 10 records/s, 10s left"


def test_a_log_gets_a_line_every_five_seconds() -> None:
    now = 0.0
    stream = io.StringIO()
    with Progress(stream, clock=lambda: now) as progress:
        for second in range(60):
            now = second / 2
            progress("writing", "records", second, 60)
    assert stream.getvalue().count("\n") == 5
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    with Progress(stream, terminal=True) as progress:
        for done in range(0, 101, 10):
            progress("writing", "records", done, 100)
        progress("syncing", "records", 0, 0)
    assert "writing" in stream.getvalue()
    assert "syncing" in stream.getvalue()
