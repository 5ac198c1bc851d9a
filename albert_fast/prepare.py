"""Raw text to a corpus: one sentence per line, a blank line after each document."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from albert_fast import _checks, _native
from albert_fast.errors import AlbertFastError, option_error
from albert_fast.options import PrepareOptions, PrepareOutput
from albert_fast.options.base import documented
from albert_fast.tasks import of_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from albert_fast.options.prepare import (
        Documents,
        Format,
        Keep,
        Paragraphs,
        Quality,
        QualityRule,
        TextCompression,
    )
    from albert_fast.options.shared import OnBadUtf8

Progress = Callable[[str, str, int, int], None]
"""Takes stage, unit, done and total (0 if unknown)."""


@documented(PrepareOptions, PrepareOutput)
def prepare_text(  # noqa: D417 - the options describe themselves
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    format: Format = PrepareOptions.format,  # noqa: A002 - it is the option's name
    text_field: str = PrepareOptions.text_field,
    documents: Documents = PrepareOptions.documents,
    document_separator: str | None = PrepareOptions.document_separator,
    paragraphs: Paragraphs = PrepareOptions.paragraphs,
    on_bad_utf8: OnBadUtf8 = PrepareOptions.on_bad_utf8,
    skip_bad: bool = PrepareOptions.skip_bad,
    language: str = PrepareOptions.language,
    join_hyphens: bool = PrepareOptions.join_hyphens,
    sentences: bool = PrepareOptions.sentences,
    max_sentence_bytes: int = PrepareOptions.max_sentence_bytes,
    repair: bool = PrepareOptions.repair,
    drop_incomplete_sentences: bool = PrepareOptions.drop_incomplete_sentences,
    min_document_chars: int = PrepareOptions.min_document_chars,
    min_document_sentences: int = PrepareOptions.min_document_sentences,
    max_non_letters: float = PrepareOptions.max_non_letters,
    boilerplate: Sequence[str] = PrepareOptions.boilerplate,
    keep_language: Sequence[str] = PrepareOptions.keep_language,
    min_language_confidence: float = PrepareOptions.min_language_confidence,
    quality: Quality = PrepareOptions.quality,
    quality_skip: Sequence[QualityRule] = PrepareOptions.quality_skip,
    dedup_documents: bool = PrepareOptions.dedup_documents,
    dedup_lines: bool = PrepareOptions.dedup_lines,
    dedup_memory: int = PrepareOptions.dedup_memory,
    dedup_near: bool = PrepareOptions.dedup_near,
    dedup_near_keep: Keep = PrepareOptions.dedup_near_keep,
    dedup_near_shingle: int = PrepareOptions.dedup_near_shingle,
    dedup_near_bands: int = PrepareOptions.dedup_near_bands,
    dedup_near_rows: int = PrepareOptions.dedup_near_rows,
    dedup_near_threshold: float | None = PrepareOptions.dedup_near_threshold,
    eval_fraction: float = PrepareOptions.eval_fraction,
    eval_output: str | os.PathLike[str] | None = PrepareOutput.eval_output,
    num_shards: int | None = PrepareOutput.num_shards,
    shard_size: float | None = PrepareOutput.shard_size,
    compression: TextCompression = PrepareOutput.compression,
    num_threads: int | None = PrepareOutput.num_threads,
    overwrite: bool = PrepareOutput.overwrite,
    dry_run: bool = PrepareOutput.dry_run,
    samples: int = PrepareOptions.samples,
    num_tasks: int | None = PrepareOutput.num_tasks,
    task_id: int | None = PrepareOutput.task_id,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Turns raw text into a corpus: one sentence per line, a blank line after each document.

    The bytes written depend only on the inputs and the options, not on `num_threads`. Outputs appear whole or not at
    all. With `shard_size`, each file of the output does, and an interrupted call resumes when it is repeated.

    With `num_tasks` and `task_id`, the call does a share of the work. Other calls do the rest, on this machine or
    others. If duplicate documents are dropped, all tasks must run three times, and if near-duplicates are dropped, four
    times. The last one completes the corpus; so does `finish`.

    Args:
        inputs: a file, glob or directory, or several. `"-"` is standard input. Inputs compressed with gzip, bzip2, xz
            or zstd are detected from their content.
        output: the file to write. With `num_shards` or `shard_size`, a directory.
        {options}
        progress: called a few times a second with stage, unit, done and total (0 if unknown).

    Returns:
        A dictionary. Of the inputs: `"inputs"` (files), `"formats"` (files by format), `"bytes_read"` (as on disk),
        `"text_bytes"`, `"documents_read"`. Of the output: `"documents"`, `"sentences"`, `"bytes"`. Of the held-out
        documents: `"eval_documents"`, `"eval_sentences"`, `"eval_bytes"`. Also `"languages"` (documents by code),
        `"counts"` (by step), `"samples"` (of a dry run, by step), `"outputs"` and `"eval_outputs"` (paths), `"spilled"`
        (whether hashes were written to disk), with `dedup_near` `"near_clusters"` (`"clusters"`, `"documents"` in them,
        and `"largest"`, a list with the number of `"documents"`, the beginning of the one that is `"kept"`, and of the
        first that are `"dropped"`), `"notes"` (such as skipped files of a directory) and `"warnings"`. The
        configuration and the summary, which the command writes next to its output, are not written. With `shard_size`,
        also `"already_complete"`: whether the output was there, so that nothing was written. With `num_tasks`, also
        `"task"`, an `albert_fast.tasks.Task`: what the task did. As long as other tasks have not ended, there are only
        these two.

    Raises:
        AlbertFastError: an option is invalid; an input cannot be read, is damaged or truncated; a record is broken
            (unless `skip_bad`; the message names file and line); text is not UTF-8 (unless `on_bad_utf8="replace"`; the
            message names file, line and byte); an output exists (unless `overwrite`); no document is left (the message
            names the step that dropped most of them); the disk is full.
        KeyboardInterrupt: Ctrl-C was pressed. Nothing was written, or with `shard_size`, what is done is kept.
    """
    given = locals()
    paths = _paths(inputs)
    target = _path("output", output, "a path")
    options, where = PrepareOptions.pick(given), PrepareOutput.pick(given)
    if where.eval_output is not None and not options.eval_fraction:
        message = "eval_output has no effect without `eval_fraction`; pass eval_fraction above 0, or no `eval_output`"
        raise AlbertFastError(message, kind="option", option="eval_output", value=eval_output)
    if progress is not None:
        _checks.instance("progress", progress, Callable, "a function or None")  # type: ignore[arg-type]
    result = _native.prepare_text(paths, target, options.to_json(), **where.as_dict(), progress=progress)
    if "task" in result:
        result["task"] = of_task(result["task"])
    return result


def read_patterns(path: Path) -> dict[int, str]:
    """Returns the regular expressions in a file by line number, from 1.

    Raises:
        AlbertFastError: the file cannot be read, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise AlbertFastError(message, kind="io", path=path) from error
    except UnicodeDecodeError as error:
        message = f"{path}, byte {error.start + 1}: a file of patterns must be UTF-8"
        raise AlbertFastError(message, kind="data", path=path) from error
    lines = enumerate((line.removesuffix("\r") for line in text.split("\n")), 1)
    return {number: line for number, line in lines if line.strip() and not line.startswith("#")}


def _path(name: str, value: object, rule: str) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise option_error(name, rule, path)
    return path


def _paths(inputs: object) -> list[str]:
    rule = "a path or a sequence of paths"
    if isinstance(inputs, str | bytes | os.PathLike) or not isinstance(inputs, Iterable):
        return [_path("inputs", inputs, rule)]
    return [_path("inputs", path, rule) for path in inputs]
