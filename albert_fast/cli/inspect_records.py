"""`albert-fast inspect-records`."""

from pathlib import Path
from typing import Annotated

import typer

from albert_fast import Tokenizer
from albert_fast.cli import options
from albert_fast.cli.common import CommandError, info, interruptible, positional
from albert_fast.cli.progress import Progress
from albert_fast.cli.tokenizer_file import check_choice, open_tokenizer
from albert_fast.inspection import Summary, find_files, format_summary, inspect
from albert_fast.tokenizers.match import records_folders, refusal


def inspect_records(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Record files (TFRecord, gzipped or not, from any tool), globs, or folders of *.tfrecord* files.",
            show_default=False,
        ),
    ] = None,
    tokenizer: options.TokenizerFile = None,
    vocab_file: options.VocabFile = None,
    allow_other_tokenizer: options.AllowOtherTokenizer = False,
    num_shown: Annotated[int, typer.Option("--num-shown", "-n", min=0, help="Instances to show.")] = 1,
    config: options.Config = None,
) -> None:
    """Show instances, each mask with the word it hides, and check every record; exit code 1 if any is bad.

    Checked: CRCs, feature names, types and lengths, padding; with a tokenizer also that ids are within the vocabulary,
    that instances are [CLS] A [SEP] B [SEP], and that the masks restore to text.

    Example: albert-fast inspect-records records --tokenizer tokenizer/spiece.model -n 3
    """
    check_choice(tokenizer, vocab_file, required=False)
    opened = None if tokenizer is None and vocab_file is None else open_tokenizer(tokenizer, vocab_file)
    files = find_files(positional(context, "paths", paths))
    if opened is not None and not allow_other_tokenizer:
        _check_tokenizer(files, opened)
    if not run(files, opened, show=num_shown).good:
        raise typer.Exit(1)


def _check_tokenizer(files: list[Path], tokenizer: Tokenizer) -> None:
    """Refuses a tokenizer that is not the one of the records, which would show other words."""
    for folder, content in records_folders(files).items():
        kept = content.get("tokenizer")
        if isinstance(kept, dict) and (why := refusal(folder, kept, tokenizer)):
            raise CommandError(f"{why}; pass the first, or {options.ALLOW_OTHER}")


def run(files: list[Path], tokenizer: Tokenizer | None, *, show: int) -> Summary:
    """Inspects, prints instances and summary to standard output."""
    with interruptible("run the same command again"), Progress() as progress:
        summary = inspect(files, tokenizer, show=show, emit=print, report=progress)
    for line in format_summary(summary, with_tokenizer=tokenizer is not None):
        print(line)
    if summary.records == 0 and not summary.bad_files:
        info("error: there is no record in the input")
    return summary
