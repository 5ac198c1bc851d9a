"""Tokenizes with the options of the command `tokenize`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from albert_fast import _native

if TYPE_CHECKING:
    from collections.abc import Callable

    from albert_fast._native import Tokenizer
    from albert_fast.options import Tokenize


def tokenize_with(
    options: Tokenize, tokenizer: Tokenizer, progress: Callable[[str, str, int, int], None] | None = None
) -> dict[str, Any]:
    """Makes a token store, or a share of it. Returns what `_native.tokenize` returns."""
    return _native.tokenize(
        [*options.inputs],
        str(options.output_dir),
        tokenizer,
        num_threads=options.num_threads,
        on_bad_utf8=options.on_bad_utf8,
        format=options.input_format,
        overwrite=options.overwrite,
        num_tasks=options.num_tasks,
        task_id=options.task_id,
        progress=progress,
    )
