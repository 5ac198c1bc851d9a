"""`albert-fast tokenize`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from albert_fast import Tokenizer
from albert_fast.cli.build import command
from albert_fast.cli.common import check_output_dir, config_file, info, interruptible, warn, warn_of_replaced
from albert_fast.cli.progress import Progress
from albert_fast.cli.tasks import report_task
from albert_fast.cli.text_changes import warn_of_changes_for
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.cli.tokenizer_file import check_inputs, open_tokenizer
from albert_fast.files import write_apart, write_atomic
from albert_fast.options import Tokenize
from albert_fast.tasks import of_task
from albert_fast.text import number
from albert_fast.tokenizers.tokenizing import tokenize_with


@command(Tokenize)
def tokenize(options: Tokenize, given: frozenset[str]) -> None:
    """Tokenize a corpus once, for pretrain or make-records. The output is a token store: a directory with the ids.

        albert-fast tokenize corpus/*.txt.gz --tokenizer tokenizer --output-dir store

    If it is interrupted, run the same command again to resume.

    With --num-tasks and --task-id, the command tokenizes a share of the corpus. Others tokenize the rest.
    """
    opened = open_for(options)
    run(options, opened)
    if not options.task_id:  # one warning is enough
        warn_of_changes_for(options.inputs, opened, given)


def open_for(options: Tokenize) -> Tokenizer:
    """Checks the options, and returns the tokenizer.

    Raises:
        CommandError, UsageError, AlbertFastError: those of `check_output_dir`, `check_inputs` and `open_tokenizer`.
    """
    check_output_dir(options.output_dir)
    if options.tokenizer is None and options.vocab_file is None:
        check_inputs(options.inputs)
    return open_tokenizer(
        options.tokenizer,
        options.vocab_file,
        do_lower_case=options.do_lower_case,
        keep_accents=options.keep_accents,
    )


def run(options: Tokenize, opened: Tokenizer) -> dict[str, Any]:
    """Makes the store, writes the resolved configuration next to it, and reports it.

    Returns:
        What `_native.tokenize` returns.
    """
    check_output_dir(options.output_dir)
    with interruptible("run the same command again to resume"), own_data_named(), Progress() as progress:
        result = tokenize_with(options, opened, progress)
    keep_config(options, opened, is_task="task" in result)
    for message in result.get("warnings", []):
        warn(message)
    warn_of_replaced(result)
    if "task" in result:
        report_task(of_task(result["task"]), options, "portion")
        if not result["is_complete"]:
            return result
    report(result, options.output_dir)
    return result


def keep_config(options: Tokenize, opened: Tokenizer, *, is_task: bool) -> None:
    """Writes the resolved options next to the store. All tasks write the same."""
    rules = {"do_lower_case": opened.lower_case, "keep_accents": opened.keep_accents}
    path, content = config_file(options.output_dir, "tokenize", options, resolved=rules)
    (write_apart if is_task else write_atomic)(path, content)


def report(result: Mapping[str, Any], output_dir: Path) -> None:
    """Reports a store that is complete, in a line."""
    counts = ", ".join(number(result[f"{what}s"], what) for what in ("document", "sentence", "token"))
    if result["already_complete"]:
        again = "" if "task" in result else " (--overwrite starts over)"
        info(f"{output_dir}: this store is already complete, with {counts}{again}")
    else:
        info(f"wrote {output_dir}: {counts}")
