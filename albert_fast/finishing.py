"""`finish`: the command of this name as a function."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from albert_fast import _native
from albert_fast._native import Tokenizer
from albert_fast.options import Finish
from albert_fast.records import Records, records_of
from albert_fast.tokenizers.completing import MODEL, complete

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
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


def finish(
    directory: str | os.PathLike[str], num_tasks: int | None = None
) -> Records | Tokens | Tokenizer | dict[str, Any]:
    """Completes what the tasks of `prepare_text`, `train_tokenizer`, `tokenize` or `make_records` have written.

    The last task does so by itself. Call this if it was killed in between, and to find out whether anything is missing.
    Completing a tokenizer means to train it.

    Args:
        directory: the `output_dir` of the tasks, or the `output` of those of `prepare_text`.
        num_tasks: the number of tasks. If anything is missing, the error then says which tasks to run again, and
            has them in `.tasks`.

    Returns:
        The records, the token store or the tokenizer, or, for a corpus, what `prepare_text` returns.

    Raises:
        AlbertFastError: something is missing; the directory holds something else.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    chosen = Finish(directory=directory, num_tasks=num_tasks)  # type: ignore[arg-type]
    made = finish_tasks(chosen.directory, chosen.num_tasks)
    kind = made.pop("kind")
    if kind == "tokenizer":
        return Tokenizer.from_file(chosen.directory / MODEL)
    if kind == "corpus":
        return made
    if kind == "records":
        return records_of(chosen.directory, made)
    counts = {name: made[name] for name in ("documents", "sentences", "tokens", "already_complete")}
    return Tokens(output_dir=chosen.directory, **counts)


def finish_tasks(
    directory: Path,
    num_tasks: int | None = None,
    *,
    num_threads: int | None = None,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Completes the output of tasks, whatever it is.

    Returns:
        What `_native.finish` returns. Of a tokenizer, there is `"made"` instead of the model, which
        `albert_fast.tokenizers.completing.complete` has written.

    Raises:
        AlbertFastError: something is missing; the directory holds something else.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    found = _native.finish(directory, num_tasks=num_tasks, num_threads=num_threads, progress=progress)
    if found["kind"] != "tokenizer":
        return found
    made = complete(directory, found)
    return {"kind": "tokenizer", "already_complete": made.already_complete, "made": made}
