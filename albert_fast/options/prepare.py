"""Options of `prepare-text`: raw text to a corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from albert_fast.errors import AlbertFastError
from albert_fast.options.base import REQUIRED, Stage, option
from albert_fast.options.shared import (
    BAD_UTF8,
    INPUT,
    INPUT_PATHS,
    OUTPUT,
    ConfigFile,
    OnBadUtf8,
    Overwrite,
    TaskOptions,
    Threads,
)

SENTENCES = "Sentences"
CLEANING = "Cleaning"
FILTERS = "Filters"

Format = Literal["auto", "text", "jsonl", "csv", "tsv", "parquet", "arrow", "wikiextractor", "mediawiki", "wet"]
Documents = Literal["file", "blank-line"]
Paragraphs = Literal["auto", "line", "blank-line"]
TextCompression = Literal["auto", "none", "gzip", "zstd"]
Keep = Literal["first", "longest"]
Quality = Literal["none", "gopher"]
QualityRule = Literal[
    "words",
    "word-length",
    "symbols",
    "bullets",
    "ellipses",
    "alphabetic",
    "stop-words",
    "repeated-lines",
    "repeated-paragraphs",
    "top-ngrams",
    "repeated-ngrams",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareOptions(Stage):
    """How raw text becomes documents and sentences: what the core reads, cleans and drops."""

    format: Format = option(
        "auto",
        "Format of the inputs. auto detects the format of each file from its content. jsonl also reads the output "
        "of wikiextractor --json. wet reads the text files of Common Crawl (WARC).",
        INPUT,
        metavar="FORMAT",
    )
    text_field: str = option(
        "text",
        "Name of the JSON field, or of the column in CSV, TSV, Parquet or Arrow, that holds the text. For a field "
        "of a nested JSON object, use dots: article.body. If a CSV or TSV file has no header, give the number of "
        "the column, counted from 1.",
        INPUT,
        metavar="NAME",
        flags=("--text-column",),
    )
    documents: Documents = option(
        "file",
        "Where a document of plain text ends: at the end of its file, or at each blank line. Documents of more "
        "than 16 MiB are split.",
        INPUT,
    )
    document_separator: str | None = option(
        None,
        "End a document of plain text at every line that equals LINE. This replaces --documents.",
        INPUT,
        metavar="LINE",
    )
    paragraphs: Paragraphs = option(
        "auto",
        "What a paragraph is: one line, or all lines up to a blank line, joined. auto means blank-line for plain "
        "text and line for other formats. If blank lines separate documents, auto means line.",
        INPUT,
    )
    on_bad_utf8: OnBadUtf8 = option(
        "error",
        BAD_UTF8,
        INPUT,
    )
    skip_bad: bool = option(
        False,
        "Skip and count entries that cannot be read, such as broken JSON, a missing field or null. Otherwise, stop "
        "with an error that names the file and line.",
        INPUT,
    )
    language: str = option(
        "auto",
        "Language of the text, as an ISO 639-1 or 639-3 code such as de or deu. It decides which abbreviations do "
        "not end a sentence. auto uses the language that a dump names, or detects one language per file from its "
        "first texts. each detects one per document, which is slower. und uses only Unicode's rules.",
        SENTENCES,
        metavar="CODE",
    )
    sentences: bool = option(
        True, "Split paragraphs into sentences, one per line. Otherwise, write one paragraph per line.", SENTENCES
    )
    join_hyphens: bool = option(
        False,
        "Join lines of a paragraph if a hyphen at the end of a line breaks a word. The hyphen stays before a "
        "capital letter, a digit or a conjunction. Lines that end in a soft hyphen are always joined.",
        SENTENCES,
    )
    max_sentence_bytes: int = option(
        4096,
        "Longest sentence, in bytes of UTF-8. Longer ones are split at a word boundary.",
        SENTENCES,
        metavar="BYTES",
        low=64,
    )
    repair: bool = option(
        True, "Replace runs of whitespace with one space, and remove control and invisible characters.", CLEANING
    )
    boilerplate: tuple[str, ...] = option(
        (),
        "Regular expressions in Rust syntax. An input line is dropped if one of them matches any part of it.",
        CLEANING,
    )
    drop_incomplete_sentences: bool = option(
        False,
        "Drop sentences of a MediaWiki dump from which a template or a formula was removed. They are always counted.",
        CLEANING,
    )
    min_document_chars: int = option(
        0, "Drop documents with fewer than N characters, not counting line ends.", FILTERS, low=0
    )
    min_document_sentences: int = option(1, "Drop documents with fewer than N sentences.", FILTERS, low=0)
    max_non_letters: float = option(
        1.0,
        "Drop documents in which more than this fraction of the characters, not counting whitespace, are not letters. "
        "1 keeps all documents.",
        FILTERS,
        metavar="FRACTION",
        low=0,
        high=1,
    )
    keep_language: tuple[str, ...] = option(
        (),
        "Keep only documents in this language, as an ISO 639-1 or 639-3 code such as de or deu. Give the option again "
        "for more languages. Documents whose language is not recognized are dropped.",
        FILTERS,
        metavar="CODE",
    )
    min_language_confidence: float = option(
        0.5,
        "With --keep-language: drop documents for which the confidence that they are in one of the languages is lower. "
        "Lower values keep more short documents.",
        FILTERS,
        metavar="FRACTION",
        low=0,
        high=1,
    )
    quality: Quality = option(
        "none",
        "Drop documents that break a rule of this set. gopher looks at the number and length of words, symbols, "
        "bullets, ellipses, stop words, and repeated lines, paragraphs and n-grams.",
        FILTERS,
    )
    quality_skip: tuple[QualityRule, ...] = option(
        (),
        "With --quality: do not apply this rule. Give the option again for more rules.",
        FILTERS,
        metavar="RULE",
    )
    dedup_documents: bool = option(True, "Drop documents that repeat an earlier one exactly.", FILTERS)
    dedup_lines: bool = option(
        False,
        "Drop output lines that repeat an earlier line of any document. The minimum sizes and --max-non-letters "
        "are then checked again.",
        FILTERS,
    )
    dedup_memory: int = option(
        512,
        "Memory for detecting duplicates, in MiB. What does not fit is written to disk next to the output.",
        FILTERS,
        metavar="MIB",
        low=1,
    )
    dedup_near: bool = option(
        False,
        "Drop near-duplicates: documents that share most of their shingles, which are sequences of "
        "--dedup-near-shingle words. One document of each cluster is kept. All other filters come first.",
        FILTERS,
    )
    dedup_near_keep: Keep = option(
        "first", "Which document of a cluster of near-duplicates to keep. Of the longest, the first is kept.", FILTERS
    )
    dedup_near_shingle: int = option(
        5,
        "Number of words in a shingle. In scripts without spaces, such as Chinese or Thai, a character is a word.",
        FILTERS,
        low=1,
        high=256,
    )
    dedup_near_bands: int = option(
        14,
        "Number of bands. Documents are near-duplicates if all hashes of one band are equal. More bands find less "
        "similar documents. datatrove calls them buckets.",
        FILTERS,
        low=1,
        high=256,
    )
    dedup_near_rows: int = option(
        8,
        "Number of hashes in a band. More rows find only more similar documents.",
        FILTERS,
        low=1,
        high=256,
    )
    dedup_near_threshold: float | None = option(
        None,
        "Of documents that share a band, join only those with at least this similarity, estimated from all hashes.",
        FILTERS,
        metavar="FRACTION",
        low=0,
        high=1,
        above=True,
    )
    eval_fraction: float = option(
        0.0,
        "Fraction of the documents to hold out for evaluation. A hash of its text decides whether a document is "
        "held out.",
        OUTPUT,
        metavar="FRACTION",
        low=0,
        high=1,
        below=True,
    )
    samples: int = option(3, "With --dry-run: number of examples to show per filter.", OUTPUT, low=0, high=1000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareOutput(Overwrite, Threads, TaskOptions):
    """Where to write the corpus, and in which form."""

    eval_output: str | None = option(
        None,
        "File or directory to write the held-out documents to.",
        OUTPUT,
        metavar="PATH",
        shown="eval-NAME, next to the --output NAME",
    )
    num_shards: int | None = option(
        None,
        "Number of files to write. They are named corpus-00000-of-00004.txt and so on, in the directory --output.",
        OUTPUT,
        low=1,
        high=99_999,
    )
    shard_size: float | None = option(
        None,
        "Write a file for each part of the input of this many MiB on disk, in the order of the input, to the directory "
        "--output. A large file of JSON Lines, or of text with separated documents, is divided. The command can be "
        "resumed, and shared by --num-tasks.",
        OUTPUT,
        metavar="MIB",
        low=0,
        above=True,
    )
    compression: TextCompression = option(
        "auto",
        "Compression of the output. auto follows the suffix of --output, .gz or .zst. For a directory, auto means "
        "none.",
        OUTPUT,
    )
    dry_run: bool = option(False, "Write nothing. Show how much each filter would drop, with examples.", OUTPUT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareText(ConfigFile, PrepareOutput, PrepareOptions):
    """`prepare-text`."""

    inputs: tuple[str, ...] = option(REQUIRED, f"Raw text: {INPUT_PATHS}.", INPUT, metavar="INPUT", argument=True)
    output: str = option(
        REQUIRED, "File to write, or with --num-shards or --shard-size, the directory.", OUTPUT, metavar="PATH"
    )
    boilerplate: Path | None = option(  # type: ignore[assignment]  # the command reads the expressions from a file
        None,
        "Drop input lines in which a regular expression from FILE matches. FILE has one expression per line, in "
        "Rust syntax. Its blank lines and lines that start with # are ignored.",
        CLEANING,
        metavar="FILE",
    )

    NEEDS: ClassVar[Mapping[str, str]] = {
        "min_language_confidence": "keep_language",
    }

    def validate(self) -> None:
        if self.eval_output is not None and not self.eval_fraction:
            msg = "eval_output needs an eval_fraction above 0"
            raise AlbertFastError(msg, kind="option", option="eval_output", value=self.eval_output)
        super().validate()
