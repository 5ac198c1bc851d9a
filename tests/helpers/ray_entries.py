"""What workers of Ray call in tests, instead of a command."""

from __future__ import annotations


def trivial(_: object, task: int) -> dict[str, int]:
    return {"tasks": 1, "sum": task}
