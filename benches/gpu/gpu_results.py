"""What the GPU kit's runners make of times: rates, tables and files. Needs no library. It travels with the kit."""

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
"""Of the table. "of peak" counts padding like tokens, "real of peak" does not."""
WORDS = ("model", "attention", "values")
"""The columns that are words: aligned to the left."""


@dataclass(frozen=True)
class Rates:
    """What a time is worth."""

    sequences: float
    """Per second."""
    tokens: float
    """Real ones, per second."""
    tflops: float
    """10^12 operations a second, padding counted."""
    share: float | None
    """Of the peak; None if that is unknown."""
    real_share: float | None
    """Of the peak, operations on padding not counted."""


def rates(case: Case, seconds: float, peak: float | None) -> Rates:
    """The rates of a case that takes so many seconds, on a device with a peak of so many TFLOP/s."""
    tflops, real = case.flops / seconds / 1e12, case.real_flops / seconds / 1e12
    return Rates(
        case.rows / seconds,
        case.real_tokens / seconds,
        tflops,
        tflops / peak if peak else None,
        real / peak if peak else None,
    )


def measure(call: Callable[[], Any], wait: Callable[[Any], Any], seconds: float = 1.0) -> tuple[float, list[float]]:
    """Times a call on a device that works asynchronously.

    Args:
        call: starts the work.
        wait: returns when the work whose result it is given is done.
        seconds: for all samples together, about.

    Returns:
        The median of the samples, in seconds a call, and the samples. Three calls before them warm the device up.
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
    """What a result says of its case."""
    kept = ("name", "kind", "model", "attention", "recompute", "width", "rows", "predictions", "real_tokens", "flops")
    return {key: getattr(case, key) for key in kept}


def ordered(cases: Iterable[Case]) -> list[Case]:
    """The cases as the table has them: the wide before the narrow, the updates last."""
    return sorted(
        cases, key=lambda case: (case.kind, case.model, -case.width, case.attention, case.recompute, case.rows)
    )


def best(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The fastest right result of each model and width, by sequences per second; the wide before the narrow."""
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    for result in results:
        if result["status"] == "ok" and result["kind"] == "gradient":
            key = result["model"], result["width"]
            if key not in found or result["sequences"] > found[key]["sequences"]:
                found[key] = result
    return [found[key] for key in sorted(found, key=lambda key: (key[0], -key[1]))]


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """The results as a Markdown table."""
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


def write(report: Mapping[str, Any], folder: Path) -> str:
    """Writes results.json and results.md.

    Args:
        report: `about` (device, peak_tflops, versions), `seconds`, and `results`, each a `described` case with what was
            found of it.
        folder: exists.

    Returns:
        What results.md holds.
    """
    (folder / "results.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
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
    (folder / "results.md").write_text(text, encoding="utf-8")
    return text
