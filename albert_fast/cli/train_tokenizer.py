"""`albert-fast train-tokenizer`."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from albert_fast import Tokenizer, __version__
from albert_fast._native import refuse_output_in_input
from albert_fast.cli import options
from albert_fast.cli.common import (
    CommandError,
    check_output_dir,
    info,
    interruptible,
    positional,
    told,
    warn,
    write_config,
)
from albert_fast.cli.progress import Progress
from albert_fast.cli.text_changes import warn_of_changes
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.files import locked, write_together
from albert_fast.text import duration
from albert_fast.tokenizers import combining_marks
from albert_fast.tokenizers.training import USER_DEFINED_SYMBOLS, TrainingOptions, train


def train_tokenizer(
    context: typer.Context,
    output_dir: options.OutputDir,
    inputs: options.Inputs = None,
    vocab_size: Annotated[
        int,
        typer.Option(
            min=16,
            max=1_000_000,
            help="Pieces in all, special pieces and user-defined symbols included.",
            metavar="PIECES",
        ),
    ] = 30_000,
    character_coverage: Annotated[
        float, typer.Option(min=0.98, max=1.0, help="Share of the text's characters that get a piece of their own.")
    ] = 0.99995,
    input_sentence_size: Annotated[
        int, typer.Option(min=1, help="Most lines to train on: a random sample where there are more.", metavar="LINES")
    ] = 10_000_000,
    max_sentence_length: Annotated[
        int, typer.Option(min=1, help="Drop lines longer than this.", metavar="BYTES")
    ] = 4192,
    user_defined_symbols: Annotated[
        list[str] | None,
        typer.Option(
            help="Text that always becomes a piece of its own. Write it as the text rules leave it: by default in "
            "lowercase and without accents. Pass the option once per symbol. [default: "
            + " ".join(USER_DEFINED_SYMBOLS)
            + "]",
            metavar="SYMBOL",
            show_default=False,
        ),
    ] = None,
    no_user_defined_symbols: Annotated[
        bool, typer.Option("--no-user-defined-symbols", help="None at all.", show_default=False)
    ] = False,
    do_lower_case: Annotated[
        bool,
        typer.Option("--do-lower-case/--no-do-lower-case", help="Lower-case the text.", rich_help_panel=options.TEXT),
    ] = True,
    keep_accents: Annotated[
        bool,
        typer.Option(
            "--keep-accents/--no-keep-accents",
            help="Keep accents and umlauts, which the reference strips, cased or not.",
            rich_help_panel=options.TEXT,
        ),
    ] = False,
    input_format: options.InputFormat = options.TextFormat.auto,
    on_bad_utf8: options.Bad = options.OnBadUtf8.error,
    num_threads: Annotated[
        int,
        typer.Option(
            min=1,
            max=1024,
            help="Threads. The scores' last digits depend on it, so it does not follow the machine.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = 16,
    overwrite: options.Overwrite = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose/--no-verbose", help="Show SentencePiece's own log.", rich_help_panel=options.OUTPUT),
    ] = False,
    config: options.Config = None,
) -> None:
    """Train a SentencePiece unigram tokenizer on text: spiece.model and spiece.vocab.

    <pad> is 0, <unk> 1, [CLS] 2, [SEP] 3, [MASK] 4; there is no bos or eos. tokenize and make-records find the text
    rules (lower-casing, accents) beside the model and use the same.

    Example: albert-fast train-tokenizer corpus/*.txt --output-dir tokenizer --vocab-size 30000
    """
    symbols = tuple(user_defined_symbols or USER_DEFINED_SYMBOLS)
    run(
        positional(context, "inputs", inputs),
        output_dir,
        TrainingOptions(
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            input_sentence_size=input_sentence_size,
            max_sentence_length=max_sentence_length,
            user_defined_symbols=() if no_user_defined_symbols else symbols,
            lower_case=do_lower_case,
            keep_accents=keep_accents,
            num_threads=num_threads,
        ),
        on_bad_utf8=on_bad_utf8.value,
        input_format=input_format.value,
        overwrite=overwrite,
        verbose=verbose,
        told=[
            "lower_case" if name == "do_lower_case" else name for name in told(context, "do_lower_case", "keep_accents")
        ],
    )


def run(
    inputs: list[str],
    output_dir: Path,
    settings: TrainingOptions,
    *,
    on_bad_utf8: str = "error",
    input_format: str = "auto",
    overwrite: bool = False,
    verbose: bool = False,
    told: Sequence[str] = (),
) -> Path:
    """Trains, writes the files, says so; returns the path of the model.

    Args:
        inputs: the text.
        output_dir: where to; one run at a time.
        settings: what to train.
        on_bad_utf8: `error` or `replace`.
        input_format: `auto`, or `text` for inputs that only look like other data.
        overwrite: whether a model that exists is replaced.
        verbose: whether SentencePiece's own log is shown.
        told: text rules that the user gave, `lower_case` or `keep_accents`: what these change is no news.
    """
    refuse_output_in_input(inputs, output_dir)
    check_output_dir(output_dir)
    with locked(output_dir):
        return _run(inputs, output_dir, settings, on_bad_utf8, input_format, told, overwrite=overwrite, verbose=verbose)


def _run(
    inputs: list[str],
    output_dir: Path,
    settings: TrainingOptions,
    on_bad_utf8: str,
    input_format: str,
    told: Sequence[str],
    *,
    overwrite: bool,
    verbose: bool,
) -> Path:
    model = output_dir / "spiece.model"

    def check() -> None:
        # The model is written last: if only the others are there, a run was killed between them.
        if not overwrite and model.exists():
            raise CommandError(f"{model} exists: pass --overwrite to replace it, or another --output-dir")

    check()
    started = time.monotonic()
    with (
        interruptible("nothing was written; run the same command again to start afresh"),
        own_data_named(),
        Progress() as progress,
    ):
        trained = train(
            inputs, settings, on_bad_utf8=on_bad_utf8, input_format=input_format, verbose=verbose, report=progress
        )
    # Something that takes no lock may have put one there meanwhile.
    check()
    sidecar = {
        "albert_fast_version": __version__,
        "model_sha256": hashlib.sha256(trained.model).hexdigest(),
        "lower_case": settings.lower_case,
        "keep_accents": settings.keep_accents,
        "settings": dataclasses.asdict(settings),
    }
    # The model last, and none meanwhile: an old one must not meet the new one's text rules.
    write_together(
        {
            output_dir / "spiece.vocab": trained.vocab.encode(),
            output_dir / "spiece.config.json": (json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n").encode(),
            model: trained.model,
        }
    )
    tokenizer = Tokenizer.from_file(model)
    resolved = dataclasses.asdict(settings)
    resolved["do_lower_case"] = resolved.pop("lower_case")
    # An empty list in a file would mean the default.
    resolved["no_user_defined_symbols"] = not settings.user_defined_symbols
    write_config(
        output_dir,
        "train-tokenizer",
        {
            "inputs": inputs,
            "output_dir": output_dir,
            **resolved,
            "on_bad_utf8": on_bad_utf8,
            "input_format": input_format,
            "verbose": verbose,
        },
    )
    for note in trained.notes:
        info(note)
    dropped = trained.dropped
    if dropped.total:
        for count, reason in dropped.reasons(settings.max_sentence_length):
            warn(f"{count:,} of {trained.lines:,} lines {reason} and were dropped")
    seconds = time.monotonic() - started
    warn_of_changes(inputs, lower_case=settings.lower_case, keep_accents=settings.keep_accents, told=told)
    if settings.keep_accents and (message := combining_marks.warning(tokenizer.pieces)):
        warn(message)
    lines = f"{trained.lines - dropped.total:,} of {trained.lines:,}" if dropped.total else f"{trained.lines:,}"
    info(f"{tokenizer.vocab_size:,} pieces from {lines} lines in {duration(seconds)}: {model}")
    return model
