"""Options of `prepare-text`: raw text to a corpus."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from albert_fast.errors import AlbertFastError
from albert_fast.options.base import REQUIRED, Stage, option
from albert_fast.options.shared import BAD_UTF8, INPUT, INPUT_PATHS, OUTPUT, ConfigFile, OnBadUtf8, Overwrite, Threads

SENTENCES = "Sentences"
CLEANING = "Cleaning"
FILTERS = "Filters"

Format = Literal["auto", "text", "jsonl", "csv", "tsv", "parquet", "arrow", "wikiextractor", "mediawiki", "wet"]
Documents = Literal["file", "blank-line"]
Paragraphs = Literal["auto", "line", "blank-line"]
TextCompression = Literal["auto", "none", "gzip", "zstd"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareOptions(Stage):
    """How raw text becomes documents and sentences: what the core reads, cleans and drops."""

    format: Format = option(
        "auto",
        "Format of the inputs. auto detects it from each file's content; jsonl includes wikiextractor --json; wet is "
        "extracted text in WARC records, as Common Crawl publishes it.",
        INPUT,
        metavar="FORMAT",
    )
    text_field: str = option(
        "text",
        "JSON field, or column of CSV, TSV, Parquet or Arrow, that holds the text. A dot reaches into nested objects. "
        "For CSV and TSV without a header, the number of the column, from 1.",
        INPUT,
        metavar="NAME",
        flags=("--text-column",),
    )
    documents: Documents = option(
        "file",
        "Where a document of plain text ends: at the end of its file, or at a blank line. A document of more than 16 "
        "MiB is split into several.",
        INPUT,
    )
    document_separator: str | None = option(
        None, "Line that separates documents of plain text, instead of --documents.", INPUT, metavar="LINE"
    )
    paragraphs: Paragraphs = option(
        "auto",
        "What a paragraph is: a line, or the lines between blank lines, which are joined. auto is blank-line for plain "
        "text, unless blank lines separate documents, and line for all other formats.",
        INPUT,
    )
    on_bad_utf8: OnBadUtf8 = option(
        "error",
        BAD_UTF8,
        INPUT,
    )
    skip_bad: bool = option(
        False,
        "Skip and count entries that cannot be read (broken JSON, a missing field, null) instead of stopping with the "
        "file and line.",
        INPUT,
    )
    language: str = option(
        "auto",
        "Language of the text, as an ISO 639-1 or 639-3 code such as de or deu. It decides after which abbreviations a "
        "sentence continues. auto takes the language that a dump names, and otherwise detects it from the first texts "
        "of each input; each detects it for every document, which is slower; und applies only the rules of Unicode.",
        SENTENCES,
        metavar="CODE",
    )
    sentences: bool = option(
        True, "Split paragraphs into sentences, one per line. Otherwise, write one paragraph per line.", SENTENCES
    )
    join_hyphens: bool = option(
        False,
        "Join the lines of a paragraph at a hyphen that breaks a word. A hyphen stays before a capital letter or a "
        "digit, and before a conjunction such as and. Soft hyphens are always joined.",
        SENTENCES,
    )
    max_sentence_bytes: int = option(
        4096,
        "Split longer sentences at a word boundary. In bytes of UTF-8.",
        SENTENCES,
        metavar="BYTES",
        low=64,
    )
    repair: bool = option(
        True, "Replace runs of whitespace with one space, and remove control and invisible characters.", CLEANING
    )
    boilerplate: tuple[str, ...] = option(
        (), "Regular expressions in Rust syntax. Input lines that match one of them are dropped.", CLEANING
    )
    drop_incomplete_sentences: bool = option(
        False,
        "Drop sentences of MediaWiki dumps that lack something, because a template or a formula was removed from them. "
        "They are counted in any case.",
        CLEANING,
    )
    min_document_chars: int = option(0, "Drop documents with fewer characters, not counting line ends.", FILTERS, low=0)
    min_document_sentences: int = option(1, "Drop documents with fewer sentences.", FILTERS, low=0)
    max_non_letters: float = option(
        1.0,
        "Drop documents in which more than this fraction of the characters, not counting whitespace, are not letters.",
        FILTERS,
        metavar="FRACTION",
        low=0,
        high=1,
    )
    dedup_documents: bool = option(True, "Drop documents that repeat an earlier one exactly.", FILTERS)
    dedup_lines: bool = option(
        False,
        "Drop lines of the output that repeat an earlier one, of any document. The minimum sizes are then checked "
        "again.",
        FILTERS,
    )
    dedup_memory: int = option(
        512,
        "Memory for detecting duplicates, in MiB. What does not fit is written to disk next to the output.",
        FILTERS,
        metavar="MIB",
        low=1,
    )
    eval_fraction: float = option(
        0.0,
        "Fraction of the documents, chosen by a hash of their text, to hold out for evaluation.",
        OUTPUT,
        metavar="FRACTION",
        low=0,
        high=1,
        below=True,
    )
    samples: int = option(3, "With --dry-run: number of examples to show for each filter.", OUTPUT, low=0, high=1000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareOutput(Overwrite, Threads):
    """Where to write the corpus, and in which form."""

    eval_output: str | None = option(
        None,
        "Where to write the held-out documents.",
        OUTPUT,
        metavar="PATH",
        shown="--output with eval- before its name",
    )
    num_shards: int | None = option(
        None,
        "Number of files to write, corpus-00000-of-00004.txt and so on, into the directory --output.",
        OUTPUT,
        low=1,
        high=99_999,
    )
    compression: TextCompression = option(
        "auto",
        "Compression of the output. auto follows the suffix of --output (.gz, .zst), and is none for a directory.",
        OUTPUT,
    )
    dry_run: bool = option(False, "Write nothing. Count what each filter would drop, and show examples of it.", OUTPUT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareText(ConfigFile, PrepareOutput, PrepareOptions):
    """`prepare-text`."""

    inputs: tuple[str, ...] = option(
        REQUIRED, f"Raw text: each a {INPUT_PATHS}.", INPUT, metavar="INPUT", argument=True
    )
    output: str = option(REQUIRED, "File to write; with --num-shards, a directory.", OUTPUT, metavar="PATH")
    boilerplate: Path | None = option(  # type: ignore[assignment]  # the command reads the expressions from a file
        None,
        "Drop input lines that match a regular expression in FILE, one per line (Rust syntax). Blank lines and lines "
        "that start with # are ignored.",
        CLEANING,
        metavar="FILE",
    )

    def validate(self) -> None:
        if self.eval_output is not None and not self.eval_fraction:
            msg = "eval_output needs an eval_fraction above 0"
            raise AlbertFastError(msg, kind="option", option="eval_output", value=self.eval_output)
