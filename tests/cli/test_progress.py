"""Progress: plain lines in a log, a bar on a terminal."""

import contextlib
import io
import re
import time
from pathlib import Path

import pytest

from albert_fast.cli.progress import IN_PARTS, Progress, plain_line
from albert_fast.text import duration, epochs, quantity


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


def last_lines(stream: io.StringIO) -> list[str]:
    """What stays on the terminal: the rows as they were drawn last."""
    # Before they are drawn again, the cursor moves up to the first of them.
    drawn = re.split(r"\x1b\[1A|\r", stream.getvalue())[-1]
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).splitlines()
    return [" ".join(re.split("[━╸╺]+", line)[-1].split()) for line in lines if line.strip()]


def test_a_bar_shows_time_left_only_if_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    now = 0.0
    with Progress(stream, terminal=True, clock=lambda: now) as progress:
        progress("reading", "bytes", 0, 4_000_000)
        for second in range(1, 3):
            now = float(second)
            time.sleep(0.15)
            progress("reading", "bytes", 1_000_000 * second, 4_000_000)
            time.sleep(0.15)
    text = stream.getvalue()
    assert "-:--" not in text
    assert " left" in text


def test_a_stage_that_is_over_is_shown_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short stage only reports its beginning."""
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    with contextlib.suppress(KeyboardInterrupt), Progress(stream, terminal=True) as progress:
        progress("counting words", "lines", 0, 4000)
        progress("finding pieces", "bytes", 0, 0)
        progress("finding pieces", "pieces", 7, 30)
        progress("training", "pieces", 2, 20)
        raise KeyboardInterrupt
    shown = last_lines(stream)
    assert [line for line in shown if "100%" in line] == ["100% 4,000 lines", "100% 30 pieces"]
    assert shown[-1] == "10% 2 pieces"


@pytest.mark.parametrize(
    ("reports", "shown"),
    [
        # The first part of two is read.
        (2, ["40% 400 lines"]),
        (3, ["40% 400 lines", "0% 0 bytes"]),
        (4, ["40% 400 lines", "80% 40 bytes"]),
        # The second part.
        (5, ["43% 430 lines", "100% 50 bytes"]),
        (6, ["97% 970 lines", "100% 50 bytes"]),
        (8, ["97% 970 lines", "20% 10 bytes"]),
        # A third stage begins.
        (9, ["100% 1,000 lines", "100% 50 bytes", "0% 0 pieces"]),
    ],
)
def test_a_stage_of_many_parts_is_done_at_its_end(
    monkeypatch: pytest.MonkeyPatch, reports: int, shown: list[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    parts = [
        ("collecting words", "lines", 0, 1000),
        ("collecting words", "lines", 400, 1000),
        ("finding pieces", "bytes", 0, 50),
        ("finding pieces", "bytes", 40, 50),
        ("collecting words", "lines", 430, 1000),
        ("collecting words", "lines", 970, 1000),
        ("finding pieces", "bytes", 0, 50),
        ("finding pieces", "bytes", 10, 50),
        ("training", "pieces", 0, 20),
    ]
    with contextlib.suppress(KeyboardInterrupt), Progress(stream, terminal=True, clock=lambda: 0.0) as progress:
        for part in parts[:reports]:
            progress(*part)
        raise KeyboardInterrupt
    assert last_lines(stream) == shown


def test_stages_in_parts_have_the_names_that_the_core_reports() -> None:
    core = Path(__file__).parents[2] / "rust/core/src/tokens/training/seeds.rs"
    assert {name for name in IN_PARTS if f'name: "{name}"' in core.read_text()} == IN_PARTS != set()


def test_epochs() -> None:
    found = [epochs(count) for count in (12345.67, 1.0, 0.5, 0.064, 0.0041, 0.0001, 0.0)]
    assert found == [
        "12,345.7 epochs",
        "1.0 epochs",
        "0.5 epochs",
        "0.064 epochs",
        "0.0041 epochs",
        "less than 0.001 epochs",
        "less than 0.001 epochs",
    ]
