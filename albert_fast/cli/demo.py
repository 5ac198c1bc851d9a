"""`albert-fast demo`, which runs the whole pipeline on text that every Python installation has."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from albert_fast import InstanceStream, RecordReader, Tokenizer
from albert_fast.cli import (
    evaluate,
    export,
    fill_mask,
    inspect_records,
    make_records,
    prepare_text,
    pretrain,
    tokenize,
    train_tokenizer,
)
from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, Stopped, check_output_dir, write_config
from albert_fast.cli.fetching import refuse_remote
from albert_fast.cli.progress import Progress
from albert_fast.cli.tokenizer_file import open_tokenizer
from albert_fast.cli.training import missing
from albert_fast.demo_corpus import collect
from albert_fast.files import locked, write_atomic
from albert_fast.inspection import find_files
from albert_fast.options import (
    Demo,
    Evaluate,
    Export,
    FillMask,
    MakeRecords,
    PrepareText,
    Pretrain,
    Stage,
    StreamOptions,
    Tokenize,
    TrainTokenizer,
    typed,
)
from albert_fast.text import number, quantity

MARKER = "demo.config.json"

RECIPE: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 0.0005,
    "num_warmup_steps": 200,
    "batch_size": 16,
    "short_seq_prob": 1.0,
    "log_steps": 50,
}
"""What makes a tiny model learn something in minutes. docs/decisions/trainer.md says what else was tried."""

TEXTS = (
    "Return the [MASK] of the file.",
    "This method is called when the [MASK] is closed.",
    "If the argument is not given, the default [MASK] is used.",
)
"""The texts that the model is asked to fill at the end."""

CLEANING: dict[str, Any] = {
    "language": "en",
    "min_document_sentences": 2,
    "max_non_letters": 0.4,
    "dedup_lines": True,
    "eval_fraction": 0.05,
}
"""Options of the demo's text. Docstrings repeat each other, above all those of methods that override others."""

MARGIN = 0.1
"""How far, in nats, the masked-LM loss must be below that of guessing."""
SIGMAS = 3.1
"""How many standard deviations the sentence order must be above chance. A guess is so once in a thousand times."""


@command(Demo)
def demo(options: Demo, given: frozenset[str]) -> None:
    """Train and evaluate a tiny model in a few minutes. The demo runs all steps from text to export.

        albert-fast demo --output-dir demo

    The text is the docstrings of your Python installation: the standard library and all packages. The demo parses
    these modules and does not import them. Each module becomes a document, and one document in twenty is held out
    for evaluation. The exit code is 1 if the model did not learn both tasks: to predict masked tokens better than their
    frequencies do, and the order of segments better than chance. If you run the demo again, it replaces its earlier
    output.
    """
    output_dir = options.output_dir
    refuse_remote(output_dir=output_dir)
    check_output_dir(output_dir)
    with locked(output_dir):
        if any(output_dir.iterdir()) and not (output_dir / MARKER).exists():
            raise CommandError(f"{output_dir} is not empty, and was not made by demo; pass another --output-dir")
        write_config(output_dir, "demo", options)
        good = run(options)
    if not good:
        raise typer.Exit(1)


def run(options: Demo) -> bool:
    """Runs all steps in an existing, locked directory. Returns whether the records are good and the model learned."""
    paths = Paths(options.output_dir)
    steps = Steps()

    steps.begin("Text: the docstrings of this Python's modules, one JSON object per module")
    with Progress() as progress:
        text, documents = collect(round(options.megabytes * 1e6), progress)
    write_atomic(paths.raw, text.encode())
    steps.done("collect text", f"{quantity(len(text.encode()), 'bytes')}, {documents:,} modules: {paths.raw}")

    prepare = PrepareText(
        inputs=(str(paths.raw),),
        output=str(paths.corpus),
        eval_output=str(paths.held_out),
        overwrite=True,
        **CLEANING,
    )
    steps.begin(line("prepare-text", prepare, [*CLEANING, "eval_output"]))
    prepared = prepare_text.run(prepare)
    if not prepared["eval_documents"]:
        found = number(prepared["documents"], "document")
        raise CommandError(f"too little text to hold out a document ({found} in all); pass a larger --megabytes")
    steps.done(
        "prepare the text",
        f"{number(prepared['documents'], 'document')}, {number(prepared['sentences'], 'sentence')}: {paths.corpus}, "
        f"{paths.held_out}",
    )

    tokenizer = TrainTokenizer(
        inputs=(str(paths.corpus),), output_dir=paths.tokenizer, vocab_size=options.vocab_size, overwrite=True
    )
    steps.begin(line("train-tokenizer", tokenizer, ["vocab_size"]))
    model = train_tokenizer.run(tokenizer)
    steps.done("train the tokenizer", f"{options.vocab_size:,} pieces: {model}")

    store = Tokenize(inputs=(str(paths.corpus),), tokenizer=model, output_dir=paths.store, overwrite=True)
    steps.begin(line("tokenize", store, ["tokenizer"]))
    counts = tokenize.run(store, open_tokenizer(model))
    steps.done("tokenize", f"{counts['documents']:,} documents, {counts['tokens']:,} tokens: {paths.store}")

    records = held_out_records(paths, model, options.max_seq_length)
    named = ["tokenizer", "max_seq_length", "max_predictions_per_seq", "dupe_factor", "short_seq_prob"]
    steps.begin(line("make-records", records, named))
    made = make_records.run(records)
    files = find_files([str(paths.records)])
    total = quantity(sum(file.stat().st_size for file in files), "bytes")
    steps.done("make records", f"{total} in {number(len(files), 'file')}: {paths.records}")

    steps.begin(f"albert-fast inspect-records {paths.records} --tokenizer {model} -n 1")
    summary = inspect_records.run(files, Tokenizer.from_file(model), show=1)
    steps.done("inspect records", f"{summary.records:,} records, {summary.bad_records:,} bad")

    lacking = missing() if options.train else []
    learned = True
    if options.train and not lacking:
        learned = learn(paths, options, steps)
    steps.show(options.output_dir)
    for message in made.get("warnings", []):
        print(f"  warning: {message}")
    if lacking:
        print(f'  skipped pretraining, which needs {", ".join(lacking)}: pip install ".[train]" in the clone')
    return bool(summary.good and learned)


def held_out_records(paths: "Paths", model: Path, max_seq_length: int) -> MakeRecords:
    """Returns the options of the held-out records: those of the training records, but with one pass."""
    return MakeRecords(
        inputs=(str(paths.held_out),),
        output_dir=paths.records,
        tokenizer=model,
        max_seq_length=max_seq_length,
        max_predictions_per_seq=StreamOptions(max_seq_length=max_seq_length).predictions,
        dupe_factor=1,
        short_seq_prob=RECIPE["short_seq_prob"],
        overwrite=True,
    )


def learn(paths: "Paths", options: Demo, steps: "Steps") -> bool:
    """Pretrains, evaluates, exports and fills masks. Reports and returns whether the model learned."""
    from trainer.run import data

    given = {
        "tokens": paths.store,
        "model": "tiny",
        "eval_records": (str(paths.records),),
        "max_seq_length": options.max_seq_length,
        "num_train_steps": options.num_train_steps,
        "save_checkpoints_steps": max(1, -(-options.num_train_steps // 3)),
        **RECIPE,
        "num_warmup_steps": min(RECIPE["num_warmup_steps"], options.num_train_steps // 5),
    }
    training = Pretrain(output_dir=paths.run, overwrite=True, **given)
    steps.begin(line("pretrain", training, [*given]))
    try:
        pretrain.run(training)
    except Stopped as error:
        raise Stopped("demo starts over when it is run again", at_once=error.at_once) from None
    steps.done("pretrain", f"{options.num_train_steps:,} steps of {training.batch_size}: {paths.run / 'report.html'}")

    evaluation = Evaluate(checkpoint=paths.run, records=(str(paths.records),))
    steps.begin(line("evaluate", evaluation, ["checkpoint", "records"]))
    found = evaluate.run(evaluation)
    evaluate.show(found)
    steps.done("evaluate", number(found["evaluation"]["records"], "held-out record"))
    exported = Export(checkpoint=paths.run, output_dir=paths.model, overwrite=paths.model.exists())
    steps.begin(line("export", exported, ["checkpoint"]))
    print(export.run(exported))
    steps.done("export", f"for Hugging Face Transformers: {paths.model}")

    steps.begin(f"albert-fast fill-mask {paths.model} " + " ".join(f'"{text}"' for text in TEXTS))
    filler = fill_mask.open_filler(FillMask(model_dir=paths.model, texts=TEXTS))
    for text in TEXTS:
        fill_mask.show(text, filler.fill(text, top_k=3))
    steps.done("fill masks", f"{len(TEXTS)} texts")

    stream = InstanceStream(paths.store, 64, options.max_seq_length, short_seq_prob=RECIPE["short_seq_prob"])
    seen = data.label_counts(stream)
    asked = data.label_counts(RecordReader(paths.records, 64, shuffle=False))
    return verdict(found, data.frequency_loss(seen, asked))


def line(command: str, options: Stage, names: Sequence[str]) -> str:
    """Returns a command as it would be typed: its arguments, where it writes, and the options with these names."""
    words = ["albert-fast", command, *getattr(options, "inputs", ())]
    outputs = [name for name in ("output", "output_dir") if hasattr(options, name)]
    for name in (*outputs, *names):
        value = getattr(options, name)
        words.append(typed(name, value[0] if isinstance(value, tuple) else value))
    return " ".join(words)


def verdict(found: dict[str, Any], by_frequency: float) -> bool:
    """Reports and returns whether an evaluation is clearly better than guessing.

    Args:
        found: what `evaluate.run` returns.
        by_frequency: the masked-LM loss of guessing by the frequencies of the training text.
    """
    figures: dict[str, float] = found["evaluation"]
    loss, accuracy, records = figures["masked_lm_loss"], figures["sentence_order_accuracy"], figures["records"]
    # Chance is right with probability 0.5, with a standard deviation of 0.5 / sqrt(n) over n records.
    chance = 0.5 + SIGMAS * 0.5 / math.sqrt(records)
    words, order = bool(loss < by_frequency - MARGIN), bool(accuracy > chance)
    print(
        f"\nMasked tokens: loss {loss:.3f}; guessing by frequency in the training text gives {by_frequency:.3f}. "
        + ("The model uses the context." if words else f"NOT LEARNED: the loss must be {MARGIN} lower than that.")
    )
    print(
        f"Sentence order: {100 * accuracy:.1f}% of {records:,} instances right; guessing gives 50%, and more than "
        f"{100 * chance:.1f}% only once in a thousand tries. "
        + ("The model recognizes the order." if order else f"NOT LEARNED: it must be above {100 * chance:.1f}%.")
    )
    return words and order


class Paths:
    """The files and directories that the demo writes."""

    def __init__(self, directory: Path) -> None:
        self.raw = directory / "docstrings.jsonl"
        self.corpus = directory / "corpus.txt"
        self.held_out = directory / "held-out.txt"
        self.tokenizer = directory / "tokenizer"
        self.store = directory / "tokens"
        self.records = directory / "held-out-records"
        self.run = directory / "run"
        self.model = directory / "model"


class Steps:
    """Prints and times the steps."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float, str]] = []
        self._clock = time.monotonic()

    def begin(self, what: str) -> None:
        """Prints which step begins."""
        print(f"\n== {len(self._rows) + 1}. {what}", flush=True)

    def done(self, what: str, result: str) -> None:
        """Records the result of the step."""
        now = time.monotonic()
        self._rows.append((what, now - self._clock, result))
        self._clock = now

    def show(self, directory: Path) -> None:
        """Prints what was done, and how long it took."""
        print("\nSummary:")
        for what, seconds, result in self._rows:
            print(f"  {what:<20} {seconds:6.1f} s   {result}")
        print(f"  {'total':<20} {sum(seconds for _, seconds, _ in self._rows):6.1f} s   {directory}")
