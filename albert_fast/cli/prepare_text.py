"""`albert-fast prepare-text`."""

import enum
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from albert_fast import AlbertFastError
from albert_fast import prepare as corpus
from albert_fast.cli import options
from albert_fast.cli.common import (
    CommandError,
    UsageError,
    check_output_dir,
    info,
    interruptible,
    plain,
    positional,
    warn,
    write_config,
)
from albert_fast.cli.make_records import flag
from albert_fast.cli.progress import Progress
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.files import write_atomic
from albert_fast.text import duration, quantity


class Format(enum.Enum):
    """What the inputs are."""

    auto = "auto"
    text = "text"
    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"
    arrow = "arrow"
    wikiextractor = "wikiextractor"
    mediawiki = "mediawiki"
    wet = "wet"


class Documents(enum.Enum):
    """Where documents of plain text end."""

    file = "file"
    blank_line = "blank-line"


class Paragraphs(enum.Enum):
    """What a paragraph is."""

    auto = "auto"
    line = "line"
    blank_line = "blank-line"


class TextCompression(enum.Enum):
    """How the text is compressed."""

    auto = "auto"
    none = "none"
    gzip = "gzip"
    zstd = "zstd"


INPUT = "Input"
SENTENCES = "Sentences"
CLEANING = "Cleaning"

STEPS: dict[str, tuple[str, str, str]] = {
    "replaced": ("invalid UTF-8 sequence", "invalid UTF-8 sequences", "became U+FFFD"),
    "bad_records": ("record that could not be read", "records that could not be read", "left out"),
    "redirects": ("redirect of a wiki", "redirects of a wiki", "left out"),
    "other_pages": ("page of a wiki that is not an article", "pages of a wiki that are not articles", "left out"),
    "documents_cut": ("cut in documents of more than 16 MiB", "cuts in documents of more than 16 MiB", ""),
    "boilerplate_lines": ("boilerplate line", "boilerplate lines", "left out"),
    "repaired_characters": ("character", "characters", "repaired"),
    "joined_hyphens": ("hyphen at the end of a line", "hyphens at the end of a line", "joined"),
    "letterless_lines": (
        "line without a letter or a digit",
        "lines without a letter or a digit",
        "dropped",
    ),
    "incomplete_sentences": (
        "sentence from which a template or formula is missing",
        "sentences from which a template or formula is missing",
        "",
    ),
    "sentences_cut": ("sentence too long", "sentences too long", "cut"),
    "empty_documents": ("document without text", "documents without text", "left out"),
    "short_documents": ("document of too few characters", "documents of too few characters", "left out"),
    "few_sentences": ("document of too few sentences", "documents of too few sentences", "left out"),
    "non_letters": ("document of too few letters", "documents of too few letters", "left out"),
    "duplicate_documents": ("document that repeats another", "documents that repeat another", "left out"),
    "duplicate_lines": ("line that repeats another", "lines that repeat another", "left out"),
}
"""What the counts of a result mean, for one and for several, and what became of them; in the order of the steps."""

FOLLOWS: dict[str, str] = {
    "replaced": "on_bad_utf8",
    "bad_records": "skip_bad",
    "boilerplate_lines": "boilerplate",
    "repaired_characters": "repair",
    "incomplete_sentences": "drop_incomplete_sentences",
    "sentences_cut": "max_sentence_bytes",
    "short_documents": "min_document_chars",
    "few_sentences": "min_document_sentences",
    "non_letters": "max_non_letters",
    "duplicate_documents": "dedup_documents",
    "duplicate_lines": "dedup_lines",
}
"""The option that a step follows."""

SAMPLE_WIDTH = 110
"""Characters of a sample that are shown."""


def prepare_text(
    context: typer.Context,
    output: Annotated[
        str,  # not a Path, which would lose a slash at the end
        typer.Option(metavar="PATH", help="File to write; with --num-shards, a folder.", show_default=False),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Raw text: files, globs, folders, or - for standard input; plain, gzip, bzip2, xz or zstd.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - it is the option's name
        Format,
        typer.Option(
            help="Format of the inputs: plain text, JSON Lines (also of wikiextractor --json), CSV, TSV, Parquet, "
            "Arrow, wikiextractor's <doc>, a MediaWiki XML dump, or WARC records of text (WET); auto detects "
            "it by each file's content.",
            rich_help_panel=INPUT,
        ),
    ] = Format.auto,
    text_field: Annotated[
        str,
        typer.Option(
            "--text-field",
            "--text-column",
            metavar="NAME",
            help="JSON field, or column of CSV, TSV, Parquet or Arrow, that holds the text; dots go into nested "
            "objects. Of CSV and TSV without a header, the column's number, from 1.",
            rich_help_panel=INPUT,
        ),
    ] = "text",
    documents: Annotated[
        Documents,
        typer.Option(
            help="Where a document of plain text ends: with its file, or at a blank line. One of more than 16 MiB is "
            "cut into several.",
            rich_help_panel=INPUT,
        ),
    ] = Documents.file,
    document_separator: Annotated[
        str | None,
        typer.Option(
            metavar="LINE",
            help="A line that separates documents of plain text, instead of --documents.",
            show_default=False,
            rich_help_panel=INPUT,
        ),
    ] = None,
    paragraphs: Annotated[
        Paragraphs,
        typer.Option(
            help="What a paragraph is: a line, or what stands between blank lines, its lines joined; auto takes blank "
            "lines for plain text, unless they separate documents, and lines for all else.",
            rich_help_panel=INPUT,
        ),
    ] = Paragraphs.auto,
    on_bad_utf8: Annotated[
        options.OnBadUtf8,
        typer.Option(
            help="Bytes that are not UTF-8: an error naming file, line and byte, or U+FFFD and a count at the end.",
            rich_help_panel=INPUT,
        ),
    ] = options.OnBadUtf8.error,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad/--no-skip-bad",
            help="Leave out and count records that cannot be read (broken JSON, no such field, null), instead of an "
            "error naming file and line.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    language: Annotated[
        str,
        typer.Option(
            metavar="CODE",
            help="Language of the text, by its ISO 639-1 or 639-3 code (de, deu), for the abbreviations after which a "
            "sentence goes on; auto takes a dump's own word, or guesses from an input's first texts, which is not sure "
            "where they are short; each guesses for each document, which is slower; und takes the rules of Unicode "
            "alone.",
            rich_help_panel=SENTENCES,
        ),
    ] = "auto",
    join_hyphens: Annotated[
        bool,
        typer.Option(
            "--join-hyphens/--no-join-hyphens",
            help="Join the lines of a paragraph at a hyphen that breaks a word. A hyphen stays before a capital or a "
            "digit, and before a word such as and. Soft hyphens are always joined.",
            rich_help_panel=SENTENCES,
        ),
    ] = False,
    sentences: Annotated[
        bool,
        typer.Option(
            "--sentences/--no-sentences",
            help="Split paragraphs into sentences, one a line; else a paragraph a line.",
            rich_help_panel=SENTENCES,
        ),
    ] = True,
    max_sentence_bytes: Annotated[
        int,
        typer.Option(
            min=64,
            metavar="BYTES",
            help="Cut longer sentences, at a word boundary.",
            rich_help_panel=SENTENCES,
        ),
    ] = 4096,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair/--no-repair",
            help="White space to single spaces; control and invisible characters removed.",
            rich_help_panel=CLEANING,
        ),
    ] = True,
    boilerplate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Regular expressions (Rust's regex syntax), one a line: lines of the input that one of them matches "
            "are left out. Blank lines and lines that begin with # do not count.",
            show_default=False,
            rich_help_panel=CLEANING,
        ),
    ] = None,
    drop_incomplete_sentences: Annotated[
        bool,
        typer.Option(
            "--drop-incomplete-sentences/--no-drop-incomplete-sentences",
            help="Drop sentences of MediaWiki dumps from which a template or formula is missing. They are counted "
            "either way.",
            rich_help_panel=CLEANING,
        ),
    ] = False,
    min_document_chars: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="CHARACTERS",
            help="Leave out documents of fewer characters, line ends not counted.",
            rich_help_panel=CLEANING,
        ),
    ] = 0,
    min_document_sentences: Annotated[
        int,
        typer.Option(
            min=0, metavar="SENTENCES", help="Leave out documents of fewer sentences.", rich_help_panel=CLEANING
        ),
    ] = 1,
    max_non_letters: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Leave out documents of whose characters, white space not counted, a larger share are no letters.",
            rich_help_panel=CLEANING,
        ),
    ] = 1.0,
    dedup_documents: Annotated[
        bool,
        typer.Option(
            "--dedup-documents/--no-dedup-documents",
            help="Leave out documents that repeat an earlier one exactly.",
            rich_help_panel=CLEANING,
        ),
    ] = True,
    dedup_lines: Annotated[
        bool,
        typer.Option(
            "--dedup-lines/--no-dedup-lines",
            help="Leave out lines of the output that repeat an earlier one, of any document; the minima are then "
            "applied again.",
            rich_help_panel=CLEANING,
        ),
    ] = False,
    dedup_memory: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="MIB",
            help="Memory for finding repetitions; what does not fit goes to the disk, beside the output.",
            rich_help_panel=CLEANING,
        ),
    ] = 512,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run/--no-dry-run",
            help="Write nothing; count what each step would take, with samples of the documents and lines that go.",
            rich_help_panel=CLEANING,
        ),
    ] = False,
    samples: Annotated[
        int,
        typer.Option(min=0, max=1000, help="Samples for each filter in a dry run.", rich_help_panel=CLEANING),
    ] = 3,
    eval_fraction: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Share of the documents, chosen by a hash of their text, to hold out for evaluation; below 1.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = 0.0,
    eval_output: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="File or folder for them.  [default: --output with eval- before its name]",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    num_shards: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=99_999,
            metavar="FILES",
            help="Write so many files, corpus-00000-of-00004.txt and so on, into the folder --output.",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    compression: Annotated[
        TextCompression,
        typer.Option(
            help="Of the output; auto goes by the suffix of --output (.gz, .zst), and is none in a folder.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = TextCompression.auto,
    num_threads: options.NumThreads = None,
    overwrite: options.Overwrite = False,
    config: options.Config = None,
) -> None:
    """Turn raw text into a corpus: cleaned, one sentence a line, a blank line after each document.

    The steps, in their order: documents are read, boilerplate lines go, white space and characters are repaired,
    paragraphs are split into sentences, documents that are too short or hold too few letters go, then documents and
    lines that repeat an earlier one. --dry-run counts what each would take.

    Example: albert-fast prepare-text articles.jsonl.gz --output corpus.txt --language de
    """
    run(
        positional(context, "inputs", inputs),
        output,
        {
            "format": format.value,
            "text_field": text_field,
            "documents": documents.value,
            "document_separator": document_separator,
            "paragraphs": paragraphs.value,
            "on_bad_utf8": on_bad_utf8.value,
            "skip_bad": skip_bad,
            "language": language,
            "join_hyphens": join_hyphens,
            "sentences": sentences,
            "max_sentence_bytes": max_sentence_bytes,
            "repair": repair,
            "drop_incomplete_sentences": drop_incomplete_sentences,
            "min_document_chars": min_document_chars,
            "min_document_sentences": min_document_sentences,
            "max_non_letters": max_non_letters,
            "dedup_documents": dedup_documents,
            "dedup_lines": dedup_lines,
            "dedup_memory": dedup_memory,
            "eval_fraction": eval_fraction,
            "eval_output": eval_output,
            "num_shards": num_shards,
            "compression": compression.value,
            "num_threads": num_threads,
            "dry_run": dry_run,
            "samples": samples,
        },
        boilerplate=boilerplate,
        overwrite=overwrite,
    )


def run(
    inputs: list[str],
    output: str | Path,
    settings: Mapping[str, Any],
    *,
    boilerplate: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Prepares the text, writes the resolved configuration and the counts beside it, says what was done.

    Args:
        inputs: files, globs, folders or `-`.
        output: a file; with `num_shards` among the settings, a folder.
        settings: arguments of `albert_fast.prepare_text` by name; what is left out has its default.
        boilerplate: file of regular expressions, one a line.
        overwrite: whether an output that exists is replaced.

    Returns:
        What `albert_fast.prepare_text` does.
    """
    path = Path(output)
    folder = path if settings.get("num_shards") else path.parent
    dry_run = bool(settings.get("dry_run"))
    if settings.get("eval_output") and not settings.get("eval_fraction"):
        raise UsageError("--eval-output needs an --eval-fraction above 0")
    if settings.get("eval_fraction") == 1:
        raise UsageError("--eval-fraction must be below 1: something has to be left to train on")
    if not dry_run:
        check_output_dir(folder)
    patterns = read_patterns(boilerplate) if boilerplate else {}
    started = time.monotonic()
    with (
        interruptible("nothing was written; run the same command again to start afresh"),
        own_data_named(),
        Progress() as progress,
    ):
        try:
            result = corpus.prepare_text(
                inputs,
                output,
                **settings,
                boilerplate=list(patterns.values()),
                overwrite=overwrite,
                progress=progress,
            )
        except AlbertFastError as error:
            raise _placed(error, boilerplate, patterns) from None
    seconds = time.monotonic() - started
    if not dry_run:
        _write_beside(
            folder,
            "" if folder == path else f"{path.name}.",
            {"inputs": inputs, "output": output, **settings, "boilerplate": boilerplate},
            result,
        )
    for message in result.get("notes", []):
        info(message)
    for message in result.get("warnings", []):
        warn(message)
    report(result, path, {**settings, "boilerplate": boilerplate}, seconds)
    return result


def read_patterns(path: Path) -> dict[int, str]:
    """The regular expressions of a file by their lines, from 1.

    Raises:
        CommandError: the file cannot be read, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}, byte {error.start + 1}: a file of patterns must be UTF-8") from error
    lines = enumerate((line.removesuffix("\r") for line in text.split("\n")), 1)
    return {number: line for number, line in lines if line.strip() and not line.startswith("#")}


def _placed(error: AlbertFastError, path: Path | None, patterns: Mapping[int, str]) -> Exception:
    """The error about a regular expression with its file and line; any other as it is."""
    message = str(error).removeprefix("--boilerplate: ")
    for line, pattern in patterns.items():
        # The compiled part quotes as JSON does.
        if message.startswith(f"{json.dumps(pattern, ensure_ascii=False)} is not "):
            return CommandError(f"{path}, line {line}: {message}")
    return error


def _write_beside(folder: Path, prefix: str, resolved: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    write_config(folder, "prepare-text", resolved, prefix=prefix)
    content = json.dumps(plain(result), indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / f"{prefix}prepare-text.summary.json", content.encode(errors="backslashreplace"))


def report(result: Mapping[str, Any], output: Path, settings: Mapping[str, Any], seconds: float) -> None:
    """Says what was read, what each step took, and what is left."""
    rate = f", {quantity(result['text_bytes'] / seconds, 'bytes')} of text a second" if seconds >= 0.1 else ""
    amount = f"{quantity(result['bytes_read'], 'bytes')}, {_number(result['documents_read'], 'document')}"
    info(f"read {_files(result)}, {amount} in {_time(seconds)}{rate}")
    for line in [*_languages(result["languages"]), *_steps(result, settings)]:
        info(f"  {line}")
    dry_run = bool(settings.get("dry_run"))
    paths = "" if dry_run else f": {_paths(output, result['outputs'])}"
    info(f"{'would keep' if dry_run else 'kept'} {_amount(result, '')}{paths}")
    if settings.get("eval_fraction"):
        paths = "" if dry_run else f": {_paths(output, result['eval_outputs'])}"
        info(f"{'would hold' if dry_run else 'held'} out {_amount(result, 'eval_')}{paths}")
    if dry_run:
        info("nothing was written (--dry-run)")


def _time(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 10 else duration(seconds)


def _files(result: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(result["formats"].items()))
    return _number(result["inputs"], "file") + (f" ({kinds})" if kinds else "")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _amount(result: Mapping[str, Any], prefix: str) -> str:
    documents, sentences = result[f"{prefix}documents"], result[f"{prefix}sentences"]
    size = quantity(result[f"{prefix}bytes"], "bytes")
    return f"{_number(documents, 'document')}, {_number(sentences, 'sentence')}, {size}"


def _paths(output: Path, paths: list[str]) -> str:
    if len(paths) == 1:
        return paths[0]
    return f"{_number(len(paths), 'file')} in {Path(paths[0]).parent if paths else output}"


def _languages(found: Mapping[str, int]) -> list[str]:
    """The languages with most documents, in a line."""
    if not found:
        return []
    order = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    names = [f"{code} {count:,}" for code, count in order[:5]]
    if len(order) > 5:
        names.append(f"{len(order) - 5} others {sum(count for _, count in order[5:]):,}")
    return [f"documents by language: {', '.join(names)}"]


def _steps(result: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """A line for each step that took or mended something, each followed by its samples."""
    lines: list[str] = []
    counts = result["counts"]
    for name in [*STEPS, *(name for name in counts if name not in STEPS)]:
        count = counts.get(name, 0)
        if not count:
            continue
        one, several, became = STEPS.get(name, (name.replace("_", " "), name.replace("_", " "), ""))
        option = FOLLOWS.get(name, "")
        value = settings.get(option, True)
        what = f"{one if count == 1 else several} {became}".rstrip()
        lines.append(f"{what}: {count:,}" + (f" ({flag(option, value)})" if option else ""))
        lines += [f"  | {_shortened(sample)}" for sample in result.get("samples", {}).get(name, [])]
    return lines


def _shortened(sample: str) -> str:
    text = " ".join(sample.split())
    return text if len(text) <= SAMPLE_WIDTH else text[: SAMPLE_WIDTH - 1] + "…"
