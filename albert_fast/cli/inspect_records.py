"""`albert-fast inspect-records`."""

from pathlib import Path

import typer

from albert_fast import Tokenizer
from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, info, interruptible
from albert_fast.cli.progress import Progress
from albert_fast.cli.tokenizer_file import check_choice, open_tokenizer
from albert_fast.inspection import Summary, find_files, format_summary, inspect
from albert_fast.options import InspectRecords
from albert_fast.tokenizers.match import records_directories, refusal


@command(InspectRecords)
def inspect_records(options: InspectRecords, given: frozenset[str]) -> None:
    """Show some records, and check all of them.

        albert-fast inspect-records records --tokenizer tokenizer -n 3

    The command checks the CRCs, the padding, and the names, types and lengths of the features. With a tokenizer, it
    also puts the original tokens back in place of the masks. Each instance must then be [CLS] A [SEP] B [SEP], with ids
    of the vocabulary. The exit code is 1 if a record is bad.
    """
    check_choice(options.tokenizer, options.vocab_file, required=False)
    has_tokenizer = options.tokenizer is not None or options.vocab_file is not None
    opened = open_tokenizer(options.tokenizer, options.vocab_file) if has_tokenizer else None
    files = find_files(options.paths)
    if opened is not None and not options.allow_other_tokenizer:
        _check_tokenizer(files, opened)
    if not run(files, opened, show=options.num_shown).good:
        raise typer.Exit(1)


def _check_tokenizer(files: list[Path], tokenizer: Tokenizer) -> None:
    """Refuses a tokenizer that does not belong to the records, which would show wrong words."""
    for directory, content in records_directories(files).items():
        kept = content.get("tokenizer")
        if isinstance(kept, dict) and (why := refusal(directory, kept, tokenizer)):
            raise CommandError(f"{why}; pass the tokenizer of the records, or --allow-other-tokenizer")


def run(files: list[Path], tokenizer: Tokenizer | None, *, show: int) -> Summary:
    """Inspects the records, and prints instances and summary to standard output."""
    with interruptible("run the same command again to start over"), Progress() as progress:
        summary = inspect(files, tokenizer, show=show, emit=print, report=progress)
    for line in format_summary(summary, with_tokenizer=tokenizer is not None):
        print(line)
    if summary.records == 0 and not summary.bad_files:
        info("error: the input has no records")
    return summary
