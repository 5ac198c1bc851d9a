"""`albert-fast demo`: all of it, on text that any Python installation holds."""

import time
from pathlib import Path
from typing import Annotated

import typer

from albert_fast import Tokenizer
from albert_fast.cli import inspect_records, make_records, options, train_tokenizer
from albert_fast.cli.common import CommandError, check_output_dir, make_output_dir, write_atomic, write_config
from albert_fast.cli.progress import Progress, quantity
from albert_fast.demo_corpus import collect
from albert_fast.inspection import find_files
from albert_fast.tokenizer_training import TrainingOptions

MARKER = "demo.config.json"


def demo(
    output_dir: Annotated[Path, typer.Option(help="Folder to write to; created where missing.")] = Path("demo"),
    megabytes: Annotated[
        float, typer.Option(min=0.1, max=1000, help="Most text to collect, in millions of bytes.")
    ] = 5.0,
    vocab_size: Annotated[int, typer.Option(min=500, max=100_000, help="Pieces of the tokenizer.")] = 8000,
    max_seq_length: Annotated[int, typer.Option(min=16, max=65_536, help="Tokens of an instance.")] = 128,
    config: options.Config = None,
) -> None:
    """Collect text, train a tokenizer, make records and inspect them, in under two minutes.

    The text is the docstrings of the installed Python standard library and packages: they are parsed, not imported.
    Running the demo again replaces what it wrote before.

    Example: albert-fast demo --output-dir demo
    """
    check_output_dir(output_dir)
    if output_dir.is_dir() and any(output_dir.iterdir()) and not (output_dir / MARKER).exists():
        raise CommandError(f"{output_dir} is not empty, and not from a demo: pass another --output-dir")
    make_output_dir(output_dir)
    resolved = {
        "output_dir": output_dir,
        "megabytes": megabytes,
        "vocab_size": vocab_size,
        "max_seq_length": max_seq_length,
    }
    write_config(output_dir, "demo", resolved)
    corpus, tokenizer_dir, records = output_dir / "corpus.txt", output_dir / "tokenizer", output_dir / "records"
    timings: list[tuple[str, float, str]] = []
    clock = time.monotonic()

    def done(what: str, result: str) -> None:
        nonlocal clock
        now = time.monotonic()
        timings.append((what, now - clock, result))
        clock = now

    _headline("1. Text: the docstrings of this Python's modules, one sentence a line, a module a document")
    with Progress() as progress:
        text, documents, lines = collect(round(megabytes * 1e6), progress)
    size = len(text.encode())
    write_atomic(corpus, text.encode())
    done("collect text", f"{quantity(size, 'bytes')}, {documents:,} documents, {lines:,} sentences: {corpus}")

    _headline(f"2. albert-fast train-tokenizer {corpus} --output-dir {tokenizer_dir} --vocab-size {vocab_size}")
    model = train_tokenizer.run([str(corpus)], tokenizer_dir, TrainingOptions(vocab_size=vocab_size), overwrite=True)
    done("train the tokenizer", f"{vocab_size:,} pieces: {model}")

    predictions = max(1, round(0.15 * max_seq_length))
    _headline(
        f"3. albert-fast make-records {corpus} --tokenizer {model} --output-dir {records} "
        f"--max-seq-length {max_seq_length} --max-predictions-per-seq {predictions}"
    )
    made = make_records.run(
        [str(corpus)], records, demo_options(max_seq_length, predictions), tokenizer=model, overwrite=True
    )
    files = find_files([str(records)])
    total = sum(file.stat().st_size for file in files)
    done("make records", f"{quantity(total, 'bytes')} in {len(files)} files: {records}")

    _headline(f"4. albert-fast inspect-records {records} --tokenizer {model} -n 1")
    summary = inspect_records.run(files, Tokenizer.from_file(model), show=1)
    done("inspect records", f"{summary.records:,} records, {summary.bad_records:,} bad")

    print("\nWhat was done:")
    for what, seconds, result in timings:
        print(f"  {what:<20} {seconds:6.1f} s   {result}")
    print(f"  {'all':<20} {sum(seconds for _, seconds, _ in timings):6.1f} s   {output_dir}")
    if not summary.good or made.get("warnings"):
        for message in made.get("warnings", []):
            print(f"  warning: {message}")
    if not summary.good:
        raise typer.Exit(1)


def demo_options(max_seq_length: int, max_predictions_per_seq: int) -> dict[str, object]:
    """The instance options of the demo: the defaults but for the lengths."""
    return {
        "max_seq_length": max_seq_length,
        "max_predictions_per_seq": max_predictions_per_seq,
        "masked_lm_prob": 0.15,
        "short_seq_prob": 0.2,
        "dupe_factor": 2,
        "random_seed": 12345,
        "ngram": 3,
        "favor_shorter_ngram": True,
        "do_whole_word_mask": True,
        "do_permutation": False,
        "random_next_sentence": False,
        "rng": "fast",
        **make_records.BETTER,
    }


def _headline(text: str) -> None:
    print(f"\n== {text}", flush=True)
