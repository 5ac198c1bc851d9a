"""Rates, tables and files that the GPU kit's runners make from times. It needs no library and is part of the kit."""

from __future__ import annotations

import json
import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from gpu_kit import Case

GIB = 1 << 30
SAMPLES = 7
COLUMNS = (
    "model",
    "attention",
    "width",
    "rows",
    "ms",
    "sequences/s",
    "real tokens/s",
    "TFLOP/s",
    "of peak",
    "real of peak",
    "GB/s",
    "GiB",
    "compile s",
    "values",
)
"""Columns of the table. "of peak" counts padding like tokens, and "real of peak" does not."""
WORDS = ("model", "attention", "values")
"""The columns that contain words, which are aligned to the left."""


@dataclass(frozen=True)
class Rates:
    """The rates that follow from a time."""

    sequences: float
    """Instances per second."""
    tokens: float
    """Real tokens per second."""
    tflops: float
    """10^12 operations per second, padding counted."""
    share: float | None
    """Fraction of the peak; None if the peak is unknown."""
    real_share: float | None
    """Fraction of the peak without operations on padding."""


def rates(case: Case, seconds: float, peak: float | None) -> Rates:
    """Return the rates of a case that takes `seconds`, on a device with a peak of `peak` TFLOP/s."""
    tflops, real = case.flops / seconds / 1e12, case.real_flops / seconds / 1e12
    return Rates(
        case.rows / seconds,
        case.real_tokens / seconds,
        tflops,
        tflops / peak if peak else None,
        real / peak if peak else None,
    )


def measure(call: Callable[[], Any], wait: Callable[[Any], Any], seconds: float = 1.0) -> tuple[float, list[float]]:
    """Time a call on a device that works asynchronously.

    Args:
        call: starts the work.
        wait: takes the result of the work, and returns when the work is done.
        seconds: approximate time for all samples together.

    Returns:
        The median of the samples, in seconds per call, and the samples. Three earlier calls warm up the device.
    """
    once = math.inf
    for _ in range(3):
        start = time.perf_counter()
        wait(call())
        once = min(once, time.perf_counter() - start)
    calls = max(1, round(seconds / SAMPLES / max(once, 1e-6)))
    samples = []
    for _ in range(SAMPLES if once < seconds else 3):
        start = time.perf_counter()
        for _ in range(calls):
            last = call()
        wait(last)
        samples.append((time.perf_counter() - start) / calls)
    return statistics.median(samples), samples


def described(case: Case) -> dict[str, Any]:
    """Return what a result says about its case."""
    kept = ("name", "kind", "model", "attention", "recompute", "width", "rows", "predictions", "real_tokens", "flops")
    return {key: getattr(case, key) for key in kept}


def ordered(cases: Iterable[Case]) -> list[Case]:
    """Return the cases in the order of the table: wide before narrow, and updates last."""
    return sorted(
        cases, key=lambda case: (case.kind, case.model, -case.width, case.attention, case.recompute, case.rows)
    )


def best(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the fastest correct result of each model and width, by instances per second, wide before narrow."""
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    for result in results:
        if result["status"] == "ok" and result["kind"] == "gradient":
            key = result["model"], result["width"]
            if key not in found or result["sequences"] > found[key]["sequences"]:
                found[key] = result
    return [found[key] for key in sorted(found, key=lambda key: (key[0], -key[1]))]


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    rows = [[_cells(result)[column] for column in COLUMNS] for result in results]
    sizes = [max(len(row[place]) for row in [list(COLUMNS), *rows]) for place in range(len(COLUMNS))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(size) if column in WORDS else cell.rjust(size)
            for cell, size, column in zip(cells, sizes, COLUMNS, strict=True)
        ]
        return "| " + " | ".join(padded) + " |"

    rule = [
        "-" * size if column in WORDS else "-" * (size - 1) + ":" for size, column in zip(sizes, COLUMNS, strict=True)
    ]
    return "\n".join([line(COLUMNS), line(rule), *(line(row) for row in rows)]) + "\n"


def _cells(result: Mapping[str, Any]) -> dict[str, str]:
    def number(key: str, digits: int, scale: float = 1) -> str:
        value = result.get(key)
        return "" if value is None else f"{value * scale:,.{digits}f}"

    def percent(key: str) -> str:
        value = result.get(key)
        return "" if value is None else f"{value:.1%}"

    moved, seconds = result.get("bytes_accessed"), result.get("seconds")
    attention = result["attention"] + (", recomputed" if result["recompute"] else "")
    cells = (
        result["model"],
        attention if result["kind"] == "gradient" else "(update)",
        str(result["width"] or ""),
        str(result["rows"] or ""),
        number("seconds", 2, 1000),
        number("sequences", 0),
        number("tokens", 0),
        number("tflops", 1),
        percent("share"),
        percent("real_share"),
        f"{moved / seconds / 1e9:,.0f}" if moved and seconds else "",
        number("bytes", 2, 1 / GIB),
        number("compile_seconds", 1),
        result["status"],
    )
    return dict(zip(COLUMNS, cells, strict=True))


def write(report: Mapping[str, Any], directory: Path) -> str:
    """Write results.json and results.md.

    Args:
        report: `about` (device, peak_tflops, versions), `seconds`, and `results`, each a `described` case with its
            figures.
        directory: an existing directory.

    Returns:
        The content of results.md.
    """
    (directory / "results.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    about, results = report["about"], report["results"]
    peak = about.get("peak_tflops")
    versions = ", ".join(f"{name} {value}" for name, value in about.get("versions", {}).items())
    skipped = sum(result["status"].startswith("skipped") for result in results)
    text = (
        f"# The GPU kit on {about.get('device', 'no device')}\n\n"
        f"{versions}. The peak is {f'{peak:,.0f} TFLOP/s' if peak else 'unknown'}. "
        f"{len(results)} cases, {skipped} of them skipped, took {report['seconds']:,.0f} s.\n\n"
        f"## The fastest of each width\n\n{table(best(results))}\n## All\n\n{table(results)}"
    )
    (directory / "results.md").write_text(text, encoding="utf-8")
    return text
