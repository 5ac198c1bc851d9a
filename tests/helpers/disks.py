"""A disk on which renaming files fails, for tests of what is written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


class Killed(BaseException):
    """Nothing more happens to the disk."""


def fail_at(number: int, error: BaseException, monkeypatch: pytest.MonkeyPatch, *, after: bool, ever: bool) -> None:
    """Renaming fails at its call of this number: before the file is renamed, or after; and in all later calls."""
    replace, unlink = Path.replace, Path.unlink
    calls = 0

    def failing(path: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls < number or (calls > number and not ever):
            replace(path, target)
            return
        if after and calls == number:
            replace(path, target)
        raise error

    def unlinking(path: Path, **how: bool) -> None:
        if calls >= number and isinstance(error, Killed):
            raise error
        unlink(path, **how)

    monkeypatch.setattr(Path, "replace", failing)
    monkeypatch.setattr(Path, "unlink", unlinking)
