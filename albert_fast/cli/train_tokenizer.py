"""`albert-fast train-tokenizer`."""

import hashlib
import json
import time
from pathlib import Path

from albert_fast import Tokenizer, __version__
from albert_fast._native import refuse_output_in_input
from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, check_output_dir, config_file, info, interruptible, warn
from albert_fast.cli.progress import Progress
from albert_fast.cli.text_changes import warn_of_changes
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.files import locked, repair, write_together
from albert_fast.options import TokenizerTrainingOptions, TrainTokenizer
from albert_fast.text import duration
from albert_fast.tokenizers import combining_marks
from albert_fast.tokenizers.training import check_symbols, train

MODEL = "spiece.model"
FILES = ("spiece.vocab", "spiece.config.json", "train-tokenizer.config.json", MODEL)
"""What is written together. The model last: if it is there, so are the others, and they are its own."""


@command(TrainTokenizer)
def train_tokenizer(options: TrainTokenizer, given: frozenset[str]) -> None:
    """Train a SentencePiece unigram tokenizer on a corpus: spiece.model and spiece.vocab.

        albert-fast train-tokenizer corpus/*.txt --output-dir tokenizer --vocab-size 30000

    <pad> is 0, <unk> 1, [CLS] 2, [SEP] 3, [MASK] 4; there is no bos or eos. tokenize and make-records read the text
    rules (lowercase, accents) from a file next to the model and apply the same.
    """
    run(options, given)


def run(options: TrainTokenizer, given: frozenset[str] = frozenset()) -> Path:
    """Trains, writes the files, reports them; returns the path of the model.

    Args:
        options: of the command.
        given: names of the options that the user gave: there is no warning of what they change.
    """
    check_symbols(options.part(TokenizerTrainingOptions))
    refuse_output_in_input(options.inputs, options.output_dir)
    check_output_dir(options.output_dir)
    with locked(options.output_dir):
        return _run(options, given)


def _run(options: TrainTokenizer, given: frozenset[str]) -> Path:
    output_dir = options.output_dir
    model = output_dir / MODEL

    def check() -> None:
        # The model is written last: if only the others are there, a run was killed between them.
        if not options.overwrite and model.exists():
            raise CommandError(f"{model} exists: pass --overwrite to replace it, or another --output-dir")

    repair([output_dir / name for name in FILES])
    check()
    settings = options.part(TokenizerTrainingOptions)
    started = time.monotonic()
    with (
        interruptible("nothing was written; run the same command again to start afresh"),
        own_data_named(),
        Progress() as progress,
    ):
        trained = train(
            options.inputs,
            settings,
            on_bad_utf8=options.on_bad_utf8,
            input_format=options.input_format,
            verbose=options.verbose,
            report=progress,
        )
    # Something that takes no lock may have put one there meanwhile.
    check()
    trained_with = settings.as_dict()
    # The name that files of earlier versions have.
    trained_with["lower_case"] = trained_with.pop("do_lower_case")
    sidecar = {
        "albert_fast_version": __version__,
        "model_sha256": hashlib.sha256(trained.model).hexdigest(),
        "lower_case": settings.do_lower_case,
        "keep_accents": settings.keep_accents,
        "settings": trained_with,
    }
    # An empty list in a file would mean the default.
    no_symbols = not settings.user_defined_symbols
    config, options_json = config_file(
        output_dir, "train-tokenizer", options, resolved={"no_user_defined_symbols": no_symbols}
    )
    vocab, rules = trained.vocab.encode(), (json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n").encode()
    contents = {"spiece.vocab": vocab, "spiece.config.json": rules, config.name: options_json, MODEL: trained.model}
    write_together({output_dir / name: contents[name] for name in FILES})
    tokenizer = Tokenizer.from_file(model)
    for note in trained.notes:
        info(note)
    dropped = trained.dropped
    if dropped.total:
        for count, reason in dropped.reasons(settings.max_sentence_length):
            warn(f"{count:,} of {trained.lines:,} lines {reason} and were dropped")
    seconds = time.monotonic() - started
    warn_of_changes(options.inputs, lower_case=settings.do_lower_case, keep_accents=settings.keep_accents, given=given)
    if settings.keep_accents and (message := combining_marks.warning(tokenizer.pieces)):
        warn(message)
    lines = f"{trained.lines - dropped.total:,} of {trained.lines:,}" if dropped.total else f"{trained.lines:,}"
    info(f"{tokenizer.vocab_size:,} pieces from {lines} lines in {duration(seconds)}: {model}")
    return model
