"""Text for readers: quantities with units, durations, errors of the operating system, and text on one line."""

from __future__ import annotations

HOUR, DAY, YEAR = 3600, 86_400, 31_557_600
"""The number of seconds in each. A year has 365.25 days."""


def one_line(text: str) -> str:
    """Returns `text` with every run of whitespace, line ends included, as one space."""
    return " ".join(text.split())


def describe_os_error(error: OSError) -> str:
    """Returns `error` as "FILE: reason", without Python's error number."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def quantity(value: float, unit: str) -> str:
    """Returns `value` with its unit, in a readable form: "12.3 MB", "45,678 records"."""
    if unit != "bytes":
        return f"{value:,.0f} {unit}"
    for prefix, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.1f} {prefix}"
    return f"{value:.0f} bytes"


def number(count: int, one: str, several: str = "") -> str:
    """Returns a count with its noun: "1 shard", "1,234 shards". The plural has an s unless `several` is given."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def epochs(count: float) -> str:
    """Returns a number of epochs: "1,234.5 epochs", "1.0 epochs", "0.064 epochs", "less than 0.001 epochs"."""
    if count < 0.001:
        return "less than 0.001 epochs"
    return f"{count:,.1f} epochs" if count >= 0.1 else f"{count:.2g} epochs"


def percentages(masked_lm_prob: object) -> str:
    """Returns a fraction, or FIRST:LAST, as percentages: "15%", "30% to 15%". Anything else is unchanged."""
    try:
        return " to ".join(f"{100 * float(part):.4g}%" for part in str(masked_lm_prob).split(":"))
    except ValueError:
        return str(masked_lm_prob)


def duration(seconds: float) -> str:
    """Returns `seconds` as "45s", "3m 05s", "2h 07m", "3 days 4h", "45 days" or "59 years"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 2 * DAY:
        return f"{whole // HOUR}h {whole % HOUR // 60:02}m"
    if whole < 10 * DAY:
        return f"{whole // DAY} days {whole % DAY // HOUR}h"
    if whole < 2 * YEAR:
        return f"{round(whole / DAY)} days"
    return f"{round(whole / YEAR):,} years"
