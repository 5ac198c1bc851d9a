"""`albert-fast demo`: all of it, on text that any Python installation holds."""

import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from albert_fast import InstanceStream, RecordReader, Tokenizer
from albert_fast.cli import (
    evaluate,
    export,
    fill_mask,
    inspect_records,
    make_records,
    options,
    prepare_text,
    pretrain,
    tokenize,
    train_tokenizer,
)
from albert_fast.cli.common import CommandError, Stopped, check_output_dir, write_config
from albert_fast.cli.progress import Progress
from albert_fast.cli.tokenizer_file import open_tokenizer
from albert_fast.cli.training import missing
from albert_fast.demo_corpus import collect
from albert_fast.files import locked, write_atomic
from albert_fast.inspection import find_files
from albert_fast.text import quantity
from albert_fast.tokenizers.training import TrainingOptions

MARKER = "demo.config.json"

TRAIN_STEPS = 1500
RECIPE: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 0.0005,
    "num_warmup_steps": 200,
    "batch_size": 16,
    "short_seq_prob": 1.0,
    "log_steps": 50,
}
"""What makes a tiny model learn something in minutes; docs/decisions/trainer.md says what else was tried."""

TEXTS = (
    "Return the [MASK] of the file.",
    "This method is called when the [MASK] is closed.",
    "If the argument is not given, the default [MASK] is used.",
)
"""What the model is asked at the end."""

CLEANING: dict[str, Any] = {
    "language": "en",
    "min_document_sentences": 2,
    "max_non_letters": 0.4,
    "dedup_lines": True,
    "eval_fraction": 0.05,
}
"""Docstrings repeat each other, above all those of methods that override others."""

MARGIN = 0.1
"""Nats by which the masked-LM loss must beat guessing."""
SIGMAS = 3.1
"""Standard deviations by which the sentence order must beat chance: once in a thousand tries it does so by chance."""


def demo(
    output_dir: Annotated[Path, typer.Option(help="Folder to write to; created where missing.")] = Path("demo"),
    megabytes: Annotated[
        float, typer.Option(min=0.1, max=1000, help="Most text to collect, in millions of bytes.")
    ] = 5.0,
    vocab_size: Annotated[int, typer.Option(min=500, max=100_000, help="Pieces of the tokenizer.")] = 8000,
    max_seq_length: Annotated[int, typer.Option(min=16, max=512, help="Tokens of an instance.")] = 64,
    train: Annotated[
        bool,
        typer.Option(
            "--train/--no-train",
            help="Go on to pretraining and evaluation.  [default: where TensorFlow is installed]",
            show_default=False,
        ),
    ] = True,
    num_train_steps: Annotated[int, typer.Option(min=10, help="Steps of pretraining.")] = TRAIN_STEPS,
    config: options.Config = None,
) -> None:
    """Collect text, train a tokenizer, make records, pretrain, evaluate and export a tiny model, in a few minutes.

    The text is the docstrings of the installed Python standard library and packages: they are parsed, not imported.
    One document in twenty, by a hash of its text, is held out for evaluation. The exit code is 1 where the model did
    not learn: where it predicts masked words no better than their frequencies do, or the order of segments no better
    than chance. Running the demo again replaces what it wrote before.

    Example: albert-fast demo --output-dir demo
    """
    resolved = {
        "output_dir": output_dir,
        "megabytes": megabytes,
        "vocab_size": vocab_size,
        "max_seq_length": max_seq_length,
        "train": train,
        "num_train_steps": num_train_steps,
    }
    check_output_dir(output_dir)
    with locked(output_dir):
        if any(output_dir.iterdir()) and not (output_dir / MARKER).exists():
            raise CommandError(f"{output_dir} is not empty, and not from a demo: pass another --output-dir")
        write_config(output_dir, "demo", resolved)
        good = run(output_dir, megabytes, vocab_size, max_seq_length, train=train, num_train_steps=num_train_steps)
    if not good:
        raise typer.Exit(1)


def run(
    output_dir: Path, megabytes: float, vocab_size: int, max_seq_length: int, *, train: bool, num_train_steps: int
) -> bool:
    """Does all steps in a folder that is there and locked; whether the records are good and the model learnt."""
    paths = Paths(output_dir)
    steps = Steps()
    predictions = max(1, round(0.15 * max_seq_length))

    steps.begin("Text: the docstrings of this Python's modules, a JSON object a module")
    with Progress() as progress:
        text, documents = collect(round(megabytes * 1e6), progress)
    write_atomic(paths.raw, text.encode())
    steps.done("collect text", f"{quantity(len(text.encode()), 'bytes')}, {documents:,} modules: {paths.raw}")

    cleaning = {**CLEANING, "eval_output": paths.held_out}
    words = " ".join(make_records.flag(name, value) for name, value in cleaning.items())
    steps.begin(f"albert-fast prepare-text {paths.raw} --output {paths.corpus} {words}")
    prepared = prepare_text.run([str(paths.raw)], paths.corpus, cleaning, overwrite=True)
    if not prepared["eval_documents"]:
        raise CommandError(f"{prepared['documents']:,} documents are too few to hold some out: pass more --megabytes")
    steps.done(
        "prepare the text",
        f"{prepared['documents']:,} documents, {prepared['sentences']:,} sentences: {paths.corpus}, {paths.held_out}",
    )

    steps.begin(f"albert-fast train-tokenizer {paths.corpus} --output-dir {paths.tokenizer} --vocab-size {vocab_size}")
    model = train_tokenizer.run(
        [str(paths.corpus)], paths.tokenizer, TrainingOptions(vocab_size=vocab_size), overwrite=True
    )
    steps.done("train the tokenizer", f"{vocab_size:,} pieces: {model}")

    steps.begin(f"albert-fast tokenize {paths.corpus} --tokenizer {model} --output-dir {paths.store}")
    counts = tokenize.run([str(paths.corpus)], paths.store, open_tokenizer(model), overwrite=True)
    steps.done("tokenize", f"{counts['documents']:,} documents, {counts['tokens']:,} tokens: {paths.store}")

    steps.begin(
        f"albert-fast make-records {paths.held_out} --tokenizer {model} --output-dir {paths.records} "
        f"--max-seq-length {max_seq_length} --max-predictions-per-seq {predictions} --dupe-factor 1 "
        f"--short-seq-prob {RECIPE['short_seq_prob']:g}"
    )
    made = make_records.run(
        [str(paths.held_out)],
        paths.records,
        record_options(max_seq_length, predictions),
        tokenizer=model,
        overwrite=True,
    )
    files = find_files([str(paths.records)])
    total = quantity(sum(file.stat().st_size for file in files), "bytes")
    steps.done("make records", f"{total} in {len(files)} files: {paths.records}")

    steps.begin(f"albert-fast inspect-records {paths.records} --tokenizer {model} -n 1")
    summary = inspect_records.run(files, Tokenizer.from_file(model), show=1)
    steps.done("inspect records", f"{summary.records:,} records, {summary.bad_records:,} bad")

    lacking = missing() if train else []
    learnt = True
    if train and not lacking:
        learnt = learn(paths, max_seq_length, num_train_steps, steps)
    steps.show(output_dir)
    for message in made.get("warnings", []):
        print(f"  warning: {message}")
    if lacking:
        print(f'  pretraining was left out: {", ".join(lacking)} is missing (pip install ".[train]" in the checkout)')
    return bool(summary.good and learnt)


def learn(paths: "Paths", max_seq_length: int, num_train_steps: int, steps: "Steps") -> bool:
    """Pretrains, evaluates, exports and fills masks; says, and returns, whether the model learnt."""
    from trainer.run import data

    given = {
        "tokens": paths.store,
        "model": "tiny",
        "output_dir": paths.run,
        "eval_records": [str(paths.records)],
        "max_seq_length": max_seq_length,
        "num_train_steps": num_train_steps,
        "save_checkpoints_steps": max(1, -(-num_train_steps // 3)),
        **RECIPE,
        "num_warmup_steps": min(RECIPE["num_warmup_steps"], num_train_steps // 5),
    }
    words = " ".join(
        make_records.flag(name, value[0] if isinstance(value, list) else value) for name, value in given.items()
    )
    steps.begin(f"albert-fast pretrain {words}")
    try:
        pretrain.run({**pretrain.defaults(), **given, "overwrite": True})
    except Stopped as error:
        raise Stopped("the demo starts over when it is run again", at_once=error.at_once) from None
    steps.done("pretrain", f"{num_train_steps:,} steps of {RECIPE['batch_size']}: {paths.run / 'report.html'}")

    steps.begin(f"albert-fast evaluate --checkpoint {paths.run} --records {paths.records}")
    found = evaluate.run(paths.run, [str(paths.records)], 64, "float32")
    evaluate.show(found)
    steps.done("evaluate", f"{found['evaluation']['records']:,} records that were not trained on")
    steps.begin(f"albert-fast export --checkpoint {paths.run} --output-dir {paths.model}")
    print(export.run(paths.run, paths.model, overwrite=paths.model.exists()))
    steps.done("export", f"for Hugging Face's transformers: {paths.model}")

    steps.begin(f"albert-fast fill-mask {paths.model} " + " ".join(f'"{text}"' for text in TEXTS))
    filler = fill_mask.open_filler(paths.model)
    for text in TEXTS:
        fill_mask.show(text, filler.fill(text, top_k=3))
    steps.done("fill masks", f"{len(TEXTS)} texts")

    stream = InstanceStream(paths.store, 64, max_seq_length, short_seq_prob=RECIPE["short_seq_prob"])
    seen = data.label_counts(stream)
    asked = data.label_counts(RecordReader(paths.records, 64, shuffle=False))
    return verdict(found, data.frequency_loss(seen, asked))


def verdict(found: dict[str, Any], by_frequency: float) -> bool:
    """Whether an evaluation is clearly better than guessing; says so.

    Args:
        found: what `evaluate.run` returns.
        by_frequency: masked-LM loss of guessing by the frequencies of the training text.
    """
    figures: dict[str, float] = found["evaluation"]
    loss, accuracy, records = figures["masked_lm_loss"], figures["sentence_order_accuracy"], figures["records"]
    # Chance is right 0.5 times, with a standard deviation of 0.5 / sqrt(n) over n records.
    chance = 0.5 + SIGMAS * 0.5 / math.sqrt(records)
    words, order = bool(loss < by_frequency - MARGIN), bool(accuracy > chance)
    print(
        f"\nMasked words: loss {loss:.3f}; guessing by their frequency in the training text gives {by_frequency:.3f}. "
        + ("The model reads the context." if words else f"NOT LEARNT: it must be {MARGIN} below.")
    )
    print(
        f"Sentence order: {100 * accuracy:.1f} % right of {records:,}; chance gives 50 %, and at most "
        f"{100 * chance:.1f} % in all but one of a thousand tries. "
        + ("The model tells them apart." if order else "NOT LEARNT.")
    )
    return words and order


class Paths:
    """What the demo writes."""

    def __init__(self, folder: Path) -> None:
        self.raw = folder / "docstrings.jsonl"
        self.corpus = folder / "corpus.txt"
        self.held_out = folder / "held-out.txt"
        self.tokenizer = folder / "tokenizer"
        self.store = folder / "tokens"
        self.records = folder / "held-out-records"
        self.run = folder / "run"
        self.model = folder / "model"


class Steps:
    """Announces and times the steps."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float, str]] = []
        self._clock = time.monotonic()

    def begin(self, what: str) -> None:
        """Says what comes."""
        print(f"\n== {len(self._rows) + 1}. {what}", flush=True)

    def done(self, what: str, result: str) -> None:
        """Notes what came."""
        now = time.monotonic()
        self._rows.append((what, now - self._clock, result))
        self._clock = now

    def show(self, folder: Path) -> None:
        """Says what was done, and how long it took."""
        print("\nWhat was done:")
        for what, seconds, result in self._rows:
            print(f"  {what:<20} {seconds:6.1f} s   {result}")
        print(f"  {'all':<20} {sum(seconds for _, seconds, _ in self._rows):6.1f} s   {folder}")


def record_options(max_seq_length: int, max_predictions_per_seq: int) -> dict[str, object]:
    """The instance options of the demo's records: the defaults but for the lengths, each document once."""
    return {
        "max_seq_length": max_seq_length,
        "max_predictions_per_seq": max_predictions_per_seq,
        "masked_lm_prob": 0.15,
        "short_seq_prob": RECIPE["short_seq_prob"],
        "dupe_factor": 1,
        "random_seed": 12345,
        "ngram": 3,
        "favor_shorter_ngram": True,
        "do_whole_word_mask": True,
        "do_permutation": False,
        "random_next_sentence": False,
        "rng": "fast",
        **make_records.BETTER,
    }
