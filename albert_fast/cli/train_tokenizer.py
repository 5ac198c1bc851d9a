"""`albert-fast train-tokenizer`."""

import time
from pathlib import Path

from albert_fast.cli.build import command
from albert_fast.cli.common import check_output_dir, config_file, info, interruptible, warn
from albert_fast.cli.progress import Progress
from albert_fast.cli.text_changes import warn_of_changes
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.options import TrainTokenizer
from albert_fast.text import duration, number
from albert_fast.tokenizers import combining_marks
from albert_fast.tokenizers.make import MODEL, make


@command(TrainTokenizer)
def train_tokenizer(options: TrainTokenizer, given: frozenset[str]) -> None:
    r"""Train a SentencePiece unigram tokenizer on a corpus.

        albert-fast train-tokenizer corpus/*.txt --output-dir tokenizer \
            --vocab-size 30000

    SentencePiece 0.2.3 trains the same model from the same lines and options, byte for byte.

    The command writes spiece.model, spiece.vocab and spiece.config.json. The last one has the text rules: whether to
    lowercase the text, and whether to keep accents. All other commands apply them. The ids of the special tokens are
    <pad> 0, <unk> 1, [CLS] 2, [SEP] 3 and [MASK] 4.

    With --extend, it adds pieces to an existing model, for training a published ALBERT further on text of your field.
    """
    run(options, given)


def run(options: TrainTokenizer, given: frozenset[str] = frozenset()) -> Path:
    """Trains, writes the files and reports them. Returns the path of the model.

    Args:
        options: the options of the command.
        given: names of the options that the user gave. There is no warning about what these change.
    """
    output_dir = options.output_dir
    check_output_dir(output_dir)
    started = time.monotonic()
    # An empty list in the file would mean the default.
    resolved = {"no_user_defined_symbols": not options.user_defined_symbols}
    config, content = config_file(output_dir, "train-tokenizer", options, resolved=resolved)
    with (
        interruptible("nothing was written; run the same command again to start over"),
        own_data_named(),
        Progress() as progress,
    ):
        trained, settings, old = make(options, {config.name: content}, progress, given)
    model = output_dir / MODEL
    for note in trained.notes:
        info(note)
    dropped = trained.dropped
    if dropped.total:
        for count, reason in dropped.reasons(settings.max_sentence_length):
            warn(f"dropped {number(count, 'line')} {reason}")
    seconds = time.monotonic() - started
    # The rules of a model that is extended cannot be changed.
    decided = given if old is None else {"do_lower_case", "keep_accents"}
    lower_case, keep_accents = settings.do_lower_case, settings.keep_accents
    warn_of_changes(options.inputs, lower_case=lower_case, keep_accents=keep_accents, given=decided)
    if keep_accents and (message := combining_marks.warning([piece for piece, _ in trained.pieces])):
        warn(message)
    used = f"{trained.used:,} of " if trained.used < trained.lines else ""
    pieces, lines = number(len(trained.pieces), "piece"), f"{used}{number(trained.lines, 'line')}"
    if old is not None:
        pieces += f" ({len(trained.pieces) - old.vocab_size:,} of them new)"
    info(f"wrote {model}: {pieces}, trained on {lines} in {duration(seconds)}")
    return model
