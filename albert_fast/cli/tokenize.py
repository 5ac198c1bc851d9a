"""`albert-fast tokenize`."""

from pathlib import Path
from typing import Any

import typer

from albert_fast import Tokenizer, _native
from albert_fast.cli import options
from albert_fast.cli.common import (
    check_output_dir,
    info,
    interruptible,
    positional,
    warn,
    warn_of_replaced,
    write_config,
)
from albert_fast.cli.progress import Progress
from albert_fast.cli.text_changes import warn_of_changes_for
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.cli.tokenizer_file import open_tokenizer


def tokenize(
    context: typer.Context,
    output_dir: options.OutputDir,
    inputs: options.Inputs = None,
    tokenizer: options.TokenizerFile = None,
    vocab_file: options.VocabFile = None,
    do_lower_case: options.DoLowerCase = None,
    keep_accents: options.KeepAccents = None,
    input_format: options.InputFormat = options.TextFormat.auto,
    on_bad_utf8: options.Bad = options.OnBadUtf8.error,
    num_threads: options.NumThreads = None,
    overwrite: options.Overwrite = False,
    config: options.Config = None,
) -> None:
    """Tokenize text once, into a token store that make-records takes as its input.

    Example: albert-fast tokenize corpus/*.txt.gz --tokenizer tokenizer/spiece.model --output-dir store
    """
    inputs = positional(context, "inputs", inputs)
    check_output_dir(output_dir)
    opened = open_tokenizer(tokenizer, vocab_file, do_lower_case=do_lower_case, keep_accents=keep_accents)
    run(
        inputs,
        output_dir,
        opened,
        tokenizer=tokenizer,
        vocab_file=vocab_file,
        on_bad_utf8=on_bad_utf8.value,
        input_format=input_format.value,
        num_threads=num_threads,
        overwrite=overwrite,
    )
    given = {"lower_case": do_lower_case, "keep_accents": keep_accents}
    warn_of_changes_for(inputs, opened, [name for name, value in given.items() if value is not None])


def run(
    inputs: list[str],
    output_dir: Path,
    opened: Tokenizer,
    *,
    tokenizer: Path | None = None,
    vocab_file: Path | None = None,
    on_bad_utf8: str = "error",
    input_format: str = "auto",
    num_threads: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Makes the store, writes the resolved configuration beside it, says so; returns what `_native.tokenize` does."""
    check_output_dir(output_dir)
    with interruptible("run the same command again"), own_data_named(), Progress() as progress:
        result = _native.tokenize(
            inputs,
            str(output_dir),
            opened,
            num_threads=num_threads,
            on_bad_utf8=on_bad_utf8,
            format=input_format,
            overwrite=overwrite,
            progress=progress,
        )
    write_config(
        output_dir,
        "tokenize",
        {
            "inputs": inputs,
            "output_dir": output_dir,
            "tokenizer": tokenizer,
            "vocab_file": vocab_file,
            "do_lower_case": opened.lower_case,
            "keep_accents": opened.keep_accents,
            "on_bad_utf8": on_bad_utf8,
            "input_format": input_format,
            "num_threads": num_threads,
        },
    )
    for message in result.get("warnings", []):
        warn(message)
    warn_of_replaced(result)
    counts = ", ".join(f"{result[key]:,} {key}" for key in ("documents", "sentences", "tokens") if key in result)
    info(f"{counts or 'done'}: {output_dir}")
    return result
