"""`albert-fast prepare-text`."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert_fast import AlbertFastError
from albert_fast import prepare as corpus
from albert_fast.cli.build import command
from albert_fast.cli.common import (
    CommandError,
    UsageError,
    check_output_dir,
    config_file,
    info,
    interruptible,
    plain,
    warn,
)
from albert_fast.cli.flags import in_flags
from albert_fast.cli.progress import Progress
from albert_fast.cli.tasks import report_task
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.files import write_apart, write_atomic
from albert_fast.options import PrepareText, typed
from albert_fast.paths import as_path
from albert_fast.prepare import read_patterns
from albert_fast.text import duration, number, quantity

if TYPE_CHECKING:
    from albert_fast.tasks import Task

SUMMARY = "prepare-text.summary.json"
"""The file that is written last: in the output directory, or next to an output file, after its name and a dot."""

QUALITY = "quality_"
"""What the counts of quality rules begin with."""

STEPS: dict[str, tuple[str, str, str]] = {
    "replaced": ("replaced", "invalid UTF-8 sequence with U+FFFD", "invalid UTF-8 sequences with U+FFFD"),
    "bad_records": ("skipped", "entry that could not be read", "entries that could not be read"),
    "redirects": ("skipped", "redirect of the wiki", "redirects of the wiki"),
    "other_pages": ("skipped", "page of the wiki that is not an article", "pages of the wiki that are not articles"),
    "other_records": ("skipped", "WARC record that holds no text", "WARC records that hold no text"),
    "documents_cut": ("made", "split in documents of more than 16 MiB", "splits in documents of more than 16 MiB"),
    "other_languages": ("dropped", "document in another language", "documents in other languages"),
    "unknown_languages": (
        "dropped",
        "document whose language was not recognized",
        "documents whose language was not recognized",
    ),
    "boilerplate_lines": ("dropped", "boilerplate line", "boilerplate lines"),
    "repaired_characters": ("repaired", "character", "characters"),
    "joined_hyphens": ("joined", "hyphen at the end of a line", "hyphens at the end of a line"),
    "letterless_lines": ("dropped", "line without a letter or a digit", "lines without a letter or a digit"),
    "incomplete_sentences": (
        "found",
        "sentence from which a template or formula is missing",
        "sentences from which a template or formula is missing",
    ),
    "sentences_cut": ("split", "long sentence", "long sentences"),
    "empty_documents": ("dropped", "document without text", "documents without text"),
    "short_documents": ("dropped", "document with too few characters", "documents with too few characters"),
    "few_sentences": ("dropped", "document with too few sentences", "documents with too few sentences"),
    "non_letters": ("dropped", "document with too few letters", "documents with too few letters"),
    **{
        f"{QUALITY}{rule}": ("dropped", f"document with {what}", f"documents with {what}")
        for rule, what in {
            "words": "too few or too many words",
            "word_length": "words that are too short or too long",
            "symbols": "too many hash signs or ellipses",
            "bullets": "too many bullets",
            "ellipses": "too many lines that end in an ellipsis",
            "alphabetic": "too many words without a letter",
            "stop_words": "too few stop words",
            "repeated_lines": "too many repeated lines",
            "repeated_paragraphs": "too many repeated paragraphs",
            "top_ngrams": "an n-gram that is too frequent",
            "repeated_ngrams": "too many repeated n-grams",
        }.items()
    },
    "duplicate_documents": ("dropped", "duplicate document", "duplicate documents"),
    "duplicate_lines": ("dropped", "duplicate line", "duplicate lines"),
    "near_duplicate_documents": ("dropped", "near-duplicate document", "near-duplicate documents"),
}
"""What the counts of a result mean: what was done with one, and with several, in the order of the steps."""

FOLLOWS: dict[str, str] = {
    "replaced": "on_bad_utf8",
    "bad_records": "skip_bad",
    "other_languages": "keep_language",
    "unknown_languages": "min_language_confidence",
    "boilerplate_lines": "boilerplate",
    "repaired_characters": "repair",
    "incomplete_sentences": "drop_incomplete_sentences",
    "sentences_cut": "max_sentence_bytes",
    "short_documents": "min_document_chars",
    "few_sentences": "min_document_sentences",
    "non_letters": "max_non_letters",
    "duplicate_documents": "dedup_documents",
    "duplicate_lines": "dedup_lines",
    "near_duplicate_documents": "dedup_near",
}
"""The option that causes a step."""

THINGS: Mapping[tuple[int, int], str] = {
    (2, 3): "hash partition",
    (2, 4): "hash partition",
    (3, 4): "list of near-duplicates",
}
"""What tasks divide in a round, by the number of the round and of all rounds. In the others, these are portions."""

SAMPLE_WIDTH = 110
"""Number of characters shown of a sample."""


@command(PrepareText)
def prepare_text(options: PrepareText, given: frozenset[str]) -> None:
    """Turn raw text into a corpus. It has one sentence per line, and a blank line after each document.

        albert-fast prepare-text dewiki.xml.bz2 --output corpus.txt.zst --language de

    The command reads documents, drops boilerplate lines, repairs whitespace and characters, and splits paragraphs into
    sentences. Then it drops documents that are too short or have too few letters, and duplicates. --keep-language and
    --quality drop documents in other languages and of low quality. --dry-run shows how much each step would drop.

    With --shard-size, the output is a directory with a file for each part of the input, and the command can be resumed.
    With --num-tasks and --task-id as well, it does a share of the work, and others do the rest. If it drops duplicates,
    all tasks must run three times, and with --dedup-near four times: each says what to do.
    """
    run(options)


def run(options: PrepareText) -> dict[str, Any]:
    """Prepares the text, writes the resolved configuration and the counts next to it, and reports what was done.

    Returns:
        What `albert_fast.prepare_text` returns.
    """
    path = as_path(options.output)
    has_portions = options.shard_size is not None
    directory, prefix = (path, "") if options.num_shards or has_portions else (path.parent, f"{path.name}.")
    if not options.dry_run:
        check_output_dir(directory)
    patterns = read_patterns(options.boilerplate) if options.boilerplate else {}
    settings = options.as_dict()
    for name in ("inputs", "output", "config", "boilerplate"):
        del settings[name]
    started = time.monotonic()
    advice = (
        "what is done is kept: run the same command again to resume"
        if has_portions
        else "nothing was written; run the same command again to start over"
    )
    with (
        interruptible(advice),
        own_data_named(),
        Progress() as progress,
    ):
        try:
            result = corpus.prepare_text(
                options.inputs, options.output, **settings, boilerplate=list(patterns.values()), progress=progress
            )
        except AlbertFastError as error:
            summary = directory / f"{prefix}{SUMMARY}"
            is_earlier = error.kind == "exists" and "overwrite=True" in str(error)
            if is_earlier and not has_portions and path.exists() and not summary.exists():
                raise CommandError(
                    f"{in_flags(str(error))}. There is no {summary}: if prepare-text wrote this output, it was stopped "
                    "after it finished the corpus, and before it wrote the counts"
                ) from None
            raise _placed(error, options.boilerplate, patterns) from None
    seconds = time.monotonic() - started
    task: Task | None = result.get("task")
    # All tasks write the same.
    write = write_atomic if task is None else write_apart
    already_complete = bool(result.get("already_complete"))
    if not options.dry_run and not (already_complete and (directory / f"{prefix}{SUMMARY}").exists()):
        write(*config_file(directory, "prepare-text", options, prefix=prefix))
        if "counts" in result:
            write(directory / f"{prefix}{SUMMARY}", summary_of(result))
    if task is not None:
        report_task(task, options, THINGS.get((task.round, task.rounds), "portion"))
        if "counts" not in result:
            return result
    if already_complete:
        again = "" if task is not None else " (--overwrite starts over)"
        info(f"{path}: this corpus is already complete{again}")
        return result
    for message in result.get("notes", []):
        info(message)
    for message in result.get("warnings", []):
        warn(message)
    report(result, path, options, seconds)
    return result


def _placed(error: AlbertFastError, path: Path | None, patterns: Mapping[int, str]) -> Exception:
    """Returns the error about a regular expression with its file and line, and any other error as it is."""
    lines = [line for line, pattern in patterns.items() if error.option == "boilerplate" and error.value == pattern]
    return UsageError(f"{path}, line {lines[0]}: patterns must be {error.rule}, got {error.value}") if lines else error


def summary_of(result: Mapping[str, Any]) -> bytes:
    """Returns the counts of a result as JSON."""
    counts = {name: value for name, value in result.items() if name not in ("task", "already_complete", "kind")}
    return (json.dumps(plain(counts), indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def report(result: Mapping[str, Any], output: Path, options: PrepareText, seconds: float | None) -> None:
    """Prints what was read, what each step dropped, and what is left.

    Args:
        result: what `albert_fast.prepare_text` returns.
        output: the output.
        options: the options of the command.
        seconds: how long it took, if that is known.
    """
    time_taken = ""
    if seconds is not None:
        rate = f", {quantity(result['text_bytes'] / seconds, 'bytes')} of text per second" if seconds >= 0.1 else ""
        time_taken = f" in {_time(seconds)}{rate}"
    amount = f"{quantity(result['bytes_read'], 'bytes')}, {number(result['documents_read'], 'document')}"
    info(f"read {_files(result)}, {amount}{time_taken}")
    for line in [*_languages(result["languages"]), *_steps(result, options), *_clusters(result, options)]:
        info(f"  {line}")
    dry_run = options.dry_run
    paths = "" if dry_run else f": {_paths(output, result['outputs'])}"
    info(f"{'would keep' if dry_run else 'kept'} {_amount(result, '')}{paths}")
    if options.eval_fraction:
        paths = "" if dry_run else f": {_paths(output, result['eval_outputs'])}"
        info(f"{'would hold' if dry_run else 'held'} out {_amount(result, 'eval_')}{paths}")
    if dry_run:
        info("nothing was written (--dry-run)")


def _time(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 10 else duration(seconds)


def _files(result: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(result["formats"].items()))
    return number(result["inputs"], "file") + (f" ({kinds})" if kinds else "")


def _amount(result: Mapping[str, Any], prefix: str) -> str:
    documents, sentences = result[f"{prefix}documents"], result[f"{prefix}sentences"]
    size = quantity(result[f"{prefix}bytes"], "bytes")
    return f"{number(documents, 'document')}, {number(sentences, 'sentence')}, {size}"


def _paths(output: Path, paths: list[str]) -> str:
    if len(paths) == 1:
        return paths[0]
    return f"{number(len(paths), 'file')} in {as_path(paths[0]).parent if paths else output}"


def _languages(found: Mapping[str, int]) -> list[str]:
    """Returns the languages with the most documents, in a line."""
    if not found:
        return []
    order = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    names = [f"{code} {count:,}" for code, count in order[:5]]
    if len(order) > 5:
        names.append(f"{len(order) - 5} others {sum(count for _, count in order[5:]):,}")
    return [f"documents by language: {', '.join(names)}"]


def _steps(result: Mapping[str, Any], options: PrepareText) -> list[str]:
    """Returns a line for each step that dropped or changed something, each followed by its samples."""
    lines: list[str] = []
    counts = result["counts"]
    for name in [*STEPS, *(name for name in counts if name not in STEPS)]:
        count = counts.get(name, 0)
        if not count:
            continue
        words = name.replace("_", " ")
        done, one, several = STEPS.get(name, ("counted", words, words))
        option = FOLLOWS.get(name, "")
        because = f" ({typed(option, getattr(options, option))})" if option else ""
        if name.startswith(QUALITY):
            rule = name.removeprefix(QUALITY).replace("_", "-")
            because = f" ({typed('quality', options.quality)}, rule {rule})"
        lines.append(f"{done} {count:,} {one if count == 1 else several}{because}")
        lines += [f"  | {_shortened(sample)}" for sample in result.get("samples", {}).get(name, [])]
    return lines


def _clusters(result: Mapping[str, Any], options: PrepareText) -> list[str]:
    """Returns a line about the clusters of near-duplicates, and for a dry run, samples of the largest."""
    found = result.get("near_clusters")
    if not found or not found["clusters"]:
        return []
    largest = found["largest"]
    clusters = number(found["clusters"], "cluster")
    lines = [f"{clusters} of near-duplicates; the largest has {number(largest[0]['documents'], 'document')}"]
    for cluster in largest[: options.samples] if options.dry_run else []:
        lines.append(f"  {number(cluster['documents'], 'document')}:")
        lines.append(f"  | kept: {_shortened(cluster['kept'])}")
        lines += [f"  | dropped: {_shortened(text)}" for text in cluster["dropped"]]
    return lines


def _shortened(sample: str) -> str:
    text = " ".join(sample.split())
    return text if len(text) <= SAMPLE_WIDTH else text[: SAMPLE_WIDTH - 1] + "…"
