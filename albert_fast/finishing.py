"""`finish`: the command of this name as a function."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from albert_fast import _native
from albert_fast.options import Finish
from albert_fast.records import Records, records_of

if TYPE_CHECKING:
    import os
    from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A token store that the tasks of `tokenize` have made."""

    output_dir: Path
    documents: int
    sentences: int
    tokens: int
    already_complete: bool
    """Whether the store was already complete, so that nothing was written."""


def finish(directory: str | os.PathLike[str], num_tasks: int | None = None) -> Records | Tokens | dict[str, Any]:
    """Completes what the tasks of `prepare_text`, `tokenize` or `make_records` have written.

    The last task does so by itself. Call this if it was killed in between, and to find out whether anything is missing.

    Args:
        directory: the `output_dir` of the tasks, or the `output` of those of `prepare_text`.
        num_tasks: the number of tasks. If anything is missing, the error then says which tasks to run again.

    Returns:
        The records or the token store, or, for a corpus, what `prepare_text` returns.

    Raises:
        AlbertFastError: something is missing; the directory holds something else.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    chosen = Finish(directory=directory, num_tasks=num_tasks)  # type: ignore[arg-type]
    made = _native.finish(chosen.directory, num_tasks=chosen.num_tasks)
    kind = made.pop("kind")
    if kind == "corpus":
        return made
    if kind == "records":
        return records_of(chosen.directory, made)
    counts = {name: made[name] for name in ("documents", "sentences", "tokens", "already_complete")}
    return Tokens(output_dir=chosen.directory, **counts)
