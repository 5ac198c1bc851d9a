"""How many instances a run has drawn from each token store, from its metrics log. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.report import page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def drawn(lines: Iterable[Mapping[str, Any]]) -> dict[tuple[int | None, str], int]:
    """Return the number of instances by phase and store, in the order in which they are first drawn from.

    Args:
        lines: training lines. Those of runs with one store do not say what was drawn.
    """
    found: dict[tuple[int | None, str], int] = {}
    for line in lines:
        counts = line.get("drawn")
        for store, count in counts.items() if isinstance(counts, dict) else ():
            phase = line.get("phase")
            key = (phase if isinstance(phase, int) else None, str(store))
            found[key] = found.get(key, 0) + int(count)
    return found


def section(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return the section of the report about the stores of a mixture or of phases; "" for a run with one store."""
    found = drawn(lines)
    if not found:
        return ""
    totals: dict[int | None, int] = {}
    for (phase, _), count in found.items():
        totals[phase] = totals.get(phase, 0) + count
    rows = []
    for (phase, store), count in found.items():
        fraction = f"{100 * count / totals[phase]:.2f}%" if totals[phase] else ""
        rows.append([*([] if phase is None else [str(phase)]), f"{count:,}", fraction, store])
    head = [*([] if None in totals else ["phase"]), "instances", "fraction", "store"]
    return page.section("Instances from each store", page.number_table(head, rows))
