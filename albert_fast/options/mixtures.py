"""Mixtures of token stores: what STORE=WEIGHT means, and which weights a temperature gives."""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from albert_fast.errors import AlbertFastError
from albert_fast.paths import is_remote

if TYPE_CHECKING:
    from collections.abc import Sequence


class Weighted(NamedTuple):
    """A token store of a mixture."""

    store: str
    weight: float | None
    """None if it has none of its own, so that sizes decide."""


_NUMBER = re.compile(r"(\d+(?:[.,]\d+)?)(%?)")
"""A weight in a form that is refused: 70%, or 0,7 with a decimal comma."""


def weighted(text: str) -> Weighted:
    """Returns the store and the weight in STORE=WEIGHT. What follows the last "=" is a weight if it is a number.

    A directory whose own name ends like this, such as year=2020, is taken as a store without a weight.

    Raises:
        AlbertFastError: the weight is a percentage, or has a decimal comma.
    """
    store, equals, number = text.rpartition("=")
    if not (store and equals) or (not is_remote(text) and os.path.exists(text)):  # noqa: PTH110 - raises no error
        return Weighted(text, None)
    try:
        return Weighted(store, float(number))
    except ValueError:
        if (meant := _NUMBER.fullmatch(number)) is not None:
            value = float(meant[1].replace(",", ".")) / (100 if meant[2] else 1)
            raise _error(f"the weight of {store} must be a number, got {number}; pass {store}={value:g}") from None
        return Weighted(text, None)


def mixture(stores: Sequence[str], temperature: float | None) -> list[Weighted]:
    """Returns the stores of a mixture with their weights, checked.

    Args:
        stores: STORE or STORE=WEIGHT.
        temperature: the temperature, if one is given.

    Raises:
        AlbertFastError: a weight is not above 0, only some stores have one, a store is named twice, or the temperature
            would have no effect.
    """
    found = [weighted(text) for text in stores]
    for store, weight in found:
        if weight is not None and not (math.isfinite(weight) and weight > 0):
            raise _error(refused(store, f"{weight:g}"))
    without = [store for store, weight in found if weight is None]
    if without and len(without) < len(found):
        message = f"the store {without[0]} has no weight, and others have; give each a weight (STORE=WEIGHT), or none"
        raise _error(message)
    seen: set[str] = set()
    for store, _ in found:
        if (place := real(store)) in seen:
            raise _error(f"the store {store} is given twice; remove one, or pass one with the sum of their weights")
        seen.add(place)
    if temperature is not None and not without and found:
        message = "stores with weights have no temperature; remove `mixture_temperature`, or the weights"
        raise _error(message, "mixture_temperature")
    return found


def real(store: str) -> str:
    """Returns what all spellings of a store have in common: its path without links. Remote paths have none."""
    return store if is_remote(store) else os.path.realpath(store)


def refused(store: str, weight: str) -> str:
    """Returns the message about a weight that is not above 0, or is no finite number."""
    advice = f"to draw nothing from {store}, remove it" if weight == "0" else "pass a number such as 0.3"
    return f"the weight of {store} must be a number above 0, got {weight}; {advice}"


def _error(message: str, option: str = "tokens") -> AlbertFastError:
    return AlbertFastError(message, kind="option", option=option)


def by_size(sizes: Sequence[int], temperature: float) -> list[float]:
    """Returns the weights of stores with these numbers of tokens: size ** (1 / temperature), the largest being 1.

    They are those of multilingual BERT, XLM-R, mT5 and mmBERT, whose exponents are the inverse of the temperature.
    """
    largest = max([*sizes, 1])
    return [(max(size, 1) / largest) ** (1 / temperature) for size in sizes]
