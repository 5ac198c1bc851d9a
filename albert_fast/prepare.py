"""Raw text to a corpus: one sentence a line, a blank line after each document."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from albert_fast import _checks, _native
from albert_fast._native import AlbertFastError

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMATS = ("auto", "text", "jsonl", "csv", "tsv", "parquet", "arrow", "wikiextractor", "mediawiki", "wet")
DOCUMENTS = ("file", "blank-line")
PARAGRAPHS = ("auto", "line", "blank-line")
COMPRESSIONS = ("auto", "none", "gzip", "zstd")


def prepare_text(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    format: str = "auto",  # noqa: A002 - it is the option's name
    text_field: str = "text",
    documents: str = "file",
    document_separator: str | None = None,
    paragraphs: str = "auto",
    on_bad_utf8: str = "error",
    skip_bad: bool = False,
    language: str = "auto",
    join_hyphens: bool = False,
    sentences: bool = True,
    max_sentence_bytes: int = 4096,
    repair: bool = True,
    drop_incomplete_sentences: bool = False,
    min_document_chars: int = 0,
    min_document_sentences: int = 1,
    max_non_letters: float = 1.0,
    boilerplate: Sequence[str] = (),
    dedup_documents: bool = True,
    dedup_lines: bool = False,
    dedup_memory: int = 512,
    eval_fraction: float = 0.0,
    eval_output: str | os.PathLike[str] | None = None,
    num_shards: int | None = None,
    compression: str = "auto",
    num_threads: int | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    samples: int = 3,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Takes documents out of raw text, cleans them and writes them one sentence a line, a blank line after each.

    The bytes written depend on the inputs and the options alone, not on `num_threads`. Outputs appear whole or not at
    all.

    Args:
        inputs: files, globs and folders, or one of these; `"-"` is standard input. Plain, gzip, bzip2, xz or zstd, by
            their content.
        output: a file; with `num_shards`, a folder.
        format: `"text"`, `"jsonl"`, `"csv"`, `"tsv"`, `"parquet"`, `"arrow"`, `"wikiextractor"`, `"mediawiki"`, `"wet"`
            (WARC records of extracted text), or `"auto"`: by the content of each.
        text_field: the JSON field or the column (CSV, TSV, Parquet, Arrow) that holds the text; dots go into nested
            objects. Of a CSV or TSV file without a header, the number of the column, from 1.
        documents: where documents of plain text end: `"file"` (one a file) or `"blank-line"`. One of more than 16 MiB
            is cut into several.
        document_separator: a line that separates documents of plain text; takes precedence over `documents`.
        paragraphs: `"line"` (each line is a paragraph), `"blank-line"` (the lines between blank lines are joined), or
            `"auto"`: blank lines for plain text, unless they separate documents, and lines for the other formats.
        on_bad_utf8: `"error"` or `"replace"` (U+FFFD).
        skip_bad: whether records that cannot be read (broken JSON, no such field, null) are left out and counted.
        language: ISO 639-1 or 639-3 code of the text ("de", "deu"); `"auto"` (an input's own word, as a dump has it,
            else a guess from its first texts, or, where these are too little to tell, from the first inputs together;
            where that is not clear, as `"und"`); `"each"` (a guess for each document, slower); or `"und"` (the rules of
            Unicode alone).
        join_hyphens: whether lines of a paragraph are joined at a hyphen that breaks a word ("Donau-" and "dampf"
            become "Donaudampf"). A hyphen stays before a capital or a digit, and before a conjunction of the language
            ("Haupt- und Nebenwege"). Needs paragraphs of several lines. A soft hyphen at a line's end always joins.
        sentences: whether paragraphs are split into sentences.
        max_sentence_bytes: longer sentences are cut at a word boundary; in bytes of UTF-8, at least 64.
        repair: whether white space becomes single spaces, and control and invisible characters go.
        drop_incomplete_sentences: whether to drop sentences of MediaWiki dumps that lack something: a template whose
            text is not known, or a formula, was removed from them. They are counted either way.
        min_document_chars: documents of fewer characters, line ends not counted, go.
        min_document_sentences: documents of fewer sentences go. The three rules on documents, this, the one before and
            the one after, are applied once more to what `dedup_lines` leaves of a document.
        max_non_letters: documents with a larger share of characters other than letters go, from 0 to 1; white space is
            not counted.
        boilerplate: regular expressions of Rust's `regex` crate; lines of the input that one of them matches go.
        dedup_documents: whether a document that repeats another goes.
        dedup_lines: whether an output line that repeats another goes.
        dedup_memory: MiB for the hashes of what was seen; beyond that they go to the disk, beside the output.
        eval_fraction: share of the documents, chosen by a hash of their text, that goes into `eval_output`; from 0
            to below 1.
        eval_output: the file or folder for them; by default `output` with `eval-` before its name.
        num_shards: files to write into the folder `output`.
        compression: `"none"`, `"gzip"`, `"zstd"`, or `"auto"`: by the suffix of `output`, and none in a folder.
        num_threads: threads; one a processor by default.
        overwrite: whether an output that exists is replaced.
        dry_run: whether to count and to collect samples, and to write nothing.
        samples: samples of the documents and lines that each filter takes, in a dry run.
        progress: called now and then with stage, unit, done and total (0 where unknown).

    Returns:
        `"inputs"` (files), `"formats"` (files by format), `"bytes_read"` (as they lie on the disk), `"text_bytes"`,
        `"documents_read"`; `"documents"`, `"sentences"`, `"bytes"` of the output; `"eval_documents"`,
        `"eval_sentences"`, `"eval_bytes"` of what was held out; `"languages"` (documents by code); `"counts"` (by
        step); `"samples"` (of a dry run, by step); `"outputs"`, `"eval_outputs"` (paths); `"spilled"` (whether hashes
        went to the disk); `"notes"` (such as files of a folder that are skipped) and `"warnings"`. The configuration
        and the summary, which the command writes beside its output, are not written.

    Raises:
        AlbertFastError: an argument outside its rule; an input that cannot be read, is damaged or cut short; a broken
            record (unless `skip_bad`), with file and line; text that is not UTF-8, with file, line and byte (unless
            `on_bad_utf8="replace"`); an output that exists (unless `overwrite`); no document left, with the step that
            took most of them; a full disk.
        KeyboardInterrupt: Ctrl-C; nothing was written.
    """
    paths = _paths(inputs)
    target = _path("output", output, "a path")
    options = {
        "format": _checks.choice("format", format, FORMATS),
        "text_field": _checks.instance("text_field", text_field, str, "a string"),
        "documents": _checks.choice("documents", documents, DOCUMENTS),
        "document_separator": document_separator,
        "paragraphs": _checks.choice("paragraphs", paragraphs, PARAGRAPHS),
        "on_bad_utf8": _checks.choice("on_bad_utf8", on_bad_utf8, ("error", "replace")),
        "skip_bad": _checks.flag("skip_bad", skip_bad),
        "language": _checks.instance("language", language, str, "a string"),
        "join_hyphens": _checks.flag("join_hyphens", join_hyphens),
        "sentences": _checks.flag("sentences", sentences),
        "max_sentence_bytes": _checks.integer("max_sentence_bytes", max_sentence_bytes, 64),
        "repair": _checks.flag("repair", repair),
        "drop_incomplete_sentences": _checks.flag("drop_incomplete_sentences", drop_incomplete_sentences),
        "min_document_chars": _checks.integer("min_document_chars", min_document_chars, 0),
        "min_document_sentences": _checks.integer("min_document_sentences", min_document_sentences, 0),
        "max_non_letters": _checks.share("max_non_letters", max_non_letters),
        "boilerplate": _patterns(boilerplate),
        "dedup_documents": _checks.flag("dedup_documents", dedup_documents),
        "dedup_lines": _checks.flag("dedup_lines", dedup_lines),
        "dedup_memory": _checks.integer("dedup_memory", dedup_memory, 1),
        "eval_fraction": _share_below_1("eval_fraction", eval_fraction),
        "samples": _checks.integer("samples", samples, 0),
    }
    if document_separator is not None:
        _checks.instance("document_separator", document_separator, str, "a string or None")
    if eval_output is not None and not options["eval_fraction"]:
        msg = "eval_output needs an eval_fraction above 0"
        raise AlbertFastError(msg)
    if progress is not None:
        _checks.instance("progress", progress, Callable, "a function or None")  # type: ignore[arg-type]
    return _native.prepare_text(
        paths,
        target,
        json.dumps(options),
        eval_output=None if eval_output is None else _path("eval_output", eval_output, "a path or None"),
        num_shards=None if num_shards is None else _checks.integer("num_shards", num_shards, 1),
        compression=_checks.choice("compression", compression, COMPRESSIONS),
        num_threads=_checks.threads(num_threads),
        overwrite=_checks.flag("overwrite", overwrite),
        dry_run=_checks.flag("dry_run", dry_run),
        progress=progress,
    )


def _path(name: str, value: object, rule: str) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        msg = f"{name} must be {rule}; it is {path!r:.200}"
        raise AlbertFastError(msg)
    return path


def _paths(inputs: object) -> list[str]:
    rule = "a path or a sequence of paths"
    if isinstance(inputs, str | bytes | os.PathLike) or not isinstance(inputs, Iterable):
        return [_path("inputs", inputs, rule)]
    return [_path("inputs", path, rule) for path in inputs]


def _share_below_1(name: str, value: object) -> float:
    number = _checks.share(name, value)
    if number == 1:
        msg = f"{name} must be below 1; it is {value!r:.200}"
        raise AlbertFastError(msg)
    return number


def _patterns(boilerplate: Sequence[str]) -> list[str]:
    rule = "a sequence of regular expressions"
    if isinstance(boilerplate, str | bytes) or not isinstance(boilerplate, Iterable):
        msg = f"boilerplate must be {rule}; it is {boilerplate!r:.200}"
        raise AlbertFastError(msg)
    return [_checks.instance("boilerplate", pattern, str, rule) for pattern in boilerplate]
