"""Checks arguments. Errors name the argument, the rule and the value."""

from __future__ import annotations

import operator
from typing import TypeVar

from albert_fast.errors import option_error
from albert_fast.options import MAX_THREADS
from albert_fast.options.base import as_number, is_bool

T = TypeVar("T")


def instance(name: str, value: T, kind: type, rule: str) -> T:
    """Returns `value` if it is an instance of a class, which `rule` names.

    Raises:
        AlbertFastError: it is something else.
    """
    if not isinstance(value, kind):
        raise option_error(name, rule, value)
    return value


def integer(name: str, value: object, low: int, high: int = 2**63 - 1) -> int:
    """Returns an integer of Python or NumPy from `low` to `high`.

    Raises:
        AlbertFastError: it is not an integer, or is out of range.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what is none raises TypeError
    except TypeError:
        number = None
    if number is None or is_bool(value) or not low <= number <= high:
        limits = f"from {low} to {high}" if high < 2**32 else f"from {low} to 2**{high.bit_length()} - 1"
        raise option_error(name, f"a whole number {limits}", value)
    return number


def number(name: str, value: object) -> float:
    """Returns a finite number of Python or NumPy.

    Raises:
        AlbertFastError: it is something else.
    """
    found = as_number(value)
    if found is None:
        raise option_error(name, "a number", value)
    return found


def seed(value: object) -> int:
    """Returns an integer from 0 to 2**64 - 1.

    Raises:
        AlbertFastError: it is not an integer, or is out of range.
    """
    return integer("seed", value, 0, 2**64 - 1)


def threads(value: object) -> int | None:
    """Returns a number of threads, or None.

    Raises:
        AlbertFastError: it is neither, or out of range.
    """
    return None if value is None else integer("num_threads", value, 1, MAX_THREADS)


def flag(name: str, value: object) -> bool:
    """Returns a bool of Python or NumPy.

    Raises:
        AlbertFastError: it is not a bool.
    """
    if not is_bool(value):
        raise option_error(name, "true or false", value)
    return bool(value)


def choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Returns one of some names.

    Raises:
        AlbertFastError: it is another name.
    """
    if not isinstance(value, str) or value not in choices:
        raise option_error(name, f"one of {', '.join(choices)}", value)
    return value
