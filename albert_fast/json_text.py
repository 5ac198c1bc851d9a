"""Reads JSON for every command. The last value of a repeated key counts, as in Python, and a warning names the key."""

from __future__ import annotations

import json
from typing import Any


def parse(text: str | bytes) -> tuple[Any, list[str]]:
    """Returns the value of a JSON text, and the keys that an object in it repeats, each once.

    Raises:
        ValueError: it is not JSON (a `json.JSONDecodeError`), has a number of thousands of digits, or is nested
            thousands of levels deep.
    """
    repeated: dict[str, None] = {}

    def as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            repeated.update(dict.fromkeys(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
        return found

    try:
        value = json.loads(text, object_pairs_hook=as_dict)
    except RecursionError:
        raise ValueError("lists or objects are nested thousands of levels deep") from None
    return value, [*repeated]


def remark(repeated: list[str]) -> list[str]:
    """Returns the line that names the repeated keys, or no line if there is no such key."""
    if not repeated:
        return []
    what, its = ("key", "its") if len(repeated) == 1 else ("keys", "their")
    shown = ", ".join(f"{key!r:.80}" for key in repeated[:3]) + (" and others" if len(repeated) > 3 else "")
    return [f"repeated {what} {shown}: {its} last value counts"]
