"""`albert-fast train-tokenizer`."""

import time
from pathlib import Path

from albert_fast.cli.build import command
from albert_fast.cli.common import check_output_dir, config_file, info, interruptible, warn
from albert_fast.cli.progress import Progress
from albert_fast.cli.tasks import report_task
from albert_fast.cli.text_changes import warn_of_changes
from albert_fast.cli.text_inputs import own_data_named
from albert_fast.options import TrainTokenizer
from albert_fast.text import duration, number
from albert_fast.tokenizers import combining_marks
from albert_fast.tokenizers.completing import MODEL, Made
from albert_fast.tokenizers.make import make, make_share


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

    With --num-tasks and --task-id, the command reads a share of the corpus. Others read the rest, and the last one
    trains. Unless --input-sentence-size is 0, all tasks must run twice: each says what to do.
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
    config, content = config_of(options)
    others = {config.name: content}
    if options.num_tasks is None:
        with (
            interruptible("nothing was written; run the same command again to start over"),
            own_data_named(),
            Progress() as progress,
        ):
            made = make(options, others, progress, given)
        notes = made.trained.notes
    else:
        with interruptible("run the same command again to resume"), own_data_named(), Progress() as progress:
            shared = make_share(options, others, progress, given)
        notes = shared.notes
    for note in notes:
        info(note)
    if options.num_tasks is not None:
        report_task(shared.task, options, "portion")
        if shared.made is None:
            return output_dir / MODEL
        made = shared.made
    if not made.already_complete:
        warn_of_dropped(made)
        warn_of_text(options, made, given)
    report(made, output_dir, time.monotonic() - started)
    return output_dir / MODEL


def config_of(options: TrainTokenizer) -> tuple[Path, bytes]:
    """Returns the file with the resolved options, and its content."""
    # An empty list in the file would mean the default.
    resolved = {"no_user_defined_symbols": not options.user_defined_symbols}
    return config_file(options.output_dir, "train-tokenizer", options, resolved=resolved)


def report(made: Made, output_dir: Path, seconds: float | None = None) -> None:
    """Reports a tokenizer whose files are there, in a line. `seconds` says how long the training took, if known."""
    trained, model = made.trained, output_dir / MODEL
    pieces = number(len(trained.pieces), "piece")
    if made.already_complete:
        info(f"{output_dir}: this tokenizer is already complete, with {pieces}")
        return
    if made.extends is not None:
        pieces += f" ({len(trained.pieces) - made.extends.pieces:,} of them new)"
    used = f"{trained.used:,} of " if trained.used < trained.lines else ""
    time_taken = "" if seconds is None else f" in {duration(seconds)}"
    info(f"wrote {model}: {pieces}, trained on {used}{number(trained.lines, 'line')}{time_taken}")


def warn_of_dropped(made: Made) -> None:
    """Warns about lines that were dropped."""
    for count, reason in made.trained.dropped.reasons(made.settings.max_sentence_length):
        warn(f"dropped {number(count, 'line')} {reason}")


def warn_of_text(options: TrainTokenizer, made: Made, given: frozenset[str]) -> None:
    """Warns if the text rules lose much of the text, or combining marks became pieces."""
    settings = made.settings
    # The rules of a model that is extended cannot be changed.
    decided = given if made.extends is None else {"do_lower_case", "keep_accents"}
    lower_case, keep_accents = settings.do_lower_case, settings.keep_accents
    warn_of_changes(options.inputs, lower_case=lower_case, keep_accents=keep_accents, given=decided)
    if keep_accents and (message := combining_marks.warning([piece for piece, _ in made.trained.pieces])):
        warn(message)
