"""How many instances a run has drawn from each token store, from its metrics log. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from albert_fast.text import number as number_of
from albert_fast.text import percentages
from trainer.report import page
from trainer.report.data import number

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
            phase, known = line.get("phase"), number(count)
            if known is None:
                continue  # a value that no version writes
            key = (phase if isinstance(phase, int) else None, str(store))
            found[key] = found.get(key, 0) + round(known)
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


def planned(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what run.json says about the data, with each phase in words: "12 steps, 30% to 15% masked, ..."."""
    return {
        key: _words(value) if isinstance(value, dict) and (key == "mixture" or key.startswith("phase ")) else value
        for key, value in data.items()
    }


def several(data: Mapping[str, Any]) -> bool:
    """Return whether the run has several phases."""
    return isinstance(data.get("phase 2"), dict)


def _words(phase: Mapping[str, Any]) -> str:
    """Return one line about a phase, as `trainer.run.phases.described` returns it."""
    parts = []
    if (steps := number(phase.get("steps"))) is not None:
        parts.append(number_of(round(steps), "step"))
    if (length := number(phase.get("max_seq_length"))) is not None:
        parts.append(f"up to {length:,.0f} tokens")
    if (masked := phase.get("masked_lm_prob")) is not None:
        parts.append(f"{percentages(masked)} masked")
    planned = phase.get("stores")
    stores = [f"{value} from {name}" for name, value in (planned if isinstance(planned, dict) else {}).items()]
    return "; ".join([", ".join(parts), *stores]) if parts else "; ".join(stores)
