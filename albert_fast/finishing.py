"""`finish`: the command of this name as a function."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

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


def finish(directory: str | os.PathLike[str], num_tasks: int | None = None) -> Records | Tokens:
    """Completes the records or the token store that the tasks of `make_records` or `tokenize` have written.

    The last task does so by itself. Call this if it was killed in between, and to find out whether anything is missing.

    Args:
        directory: the `output_dir` of the tasks.
        num_tasks: the number of tasks. If anything is missing, the error then says which tasks to run again.

    Raises:
        AlbertFastError: shards or portions are missing; the directory holds something else.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    chosen = Finish(directory=directory, num_tasks=num_tasks)  # type: ignore[arg-type]
    made = _native.finish(chosen.directory, num_tasks=chosen.num_tasks)
    if made.pop("kind") == "records":
        return records_of(chosen.directory, made)
    counts = {name: made[name] for name in ("documents", "sentences", "tokens", "already_complete")}
    return Tokens(output_dir=chosen.directory, **counts)
