"""`train_tokenizer`: the command of this name as a function."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from albert_fast._native import Tokenizer, forget_tokenizer_tasks, refuse_output_in_input
from albert_fast.errors import AlbertFastError
from albert_fast.files import locked, repair, write_together
from albert_fast.options import CorpusFormat, TokenizerTrainingOptions, TrainTokenizer
from albert_fast.options.base import documented
from albert_fast.options.shared import TaskOptions, TokenizerThreads
from albert_fast.options.tokenizers import EXTENDED_SYMBOLS
from albert_fast.tasks import Task, of_task
from albert_fast.tokenizers import extending
from albert_fast.tokenizers.completing import FILES, MODEL, PARTIAL, Extended, Made, complete, contents, kept
from albert_fast.tokenizers.training import check, check_symbols, train, train_task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from albert_fast.options.shared import OnBadUtf8, TextFormat
    from albert_fast.options.tokenizers import Engine, NormalizationRule


class Shared(NamedTuple):
    """What one of several tasks did."""

    task: Task
    notes: Sequence[str]
    """What the user should know about the inputs."""
    made: Made | None
    """The tokenizer, if no task has anything left to do."""


@overload
def train_tokenizer(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    *,
    extend: str | os.PathLike[str] | None = ...,
    vocab_size: int = ...,
    character_coverage: float = ...,
    input_sentence_size: int = ...,
    max_sentence_length: int = ...,
    user_defined_symbols: Sequence[str] = ...,
    normalization_rule_name: NormalizationRule = ...,
    required_chars: str = ...,
    byte_fallback: bool = ...,
    hard_vocab_limit: bool = ...,
    max_sentencepiece_length: int = ...,
    split_by_unicode_script: bool = ...,
    split_by_number: bool = ...,
    split_digits: bool = ...,
    split_by_whitespace: bool = ...,
    treat_whitespace_as_suffix: bool = ...,
    allow_whitespace_only_pieces: bool = ...,
    engine: Engine = ...,
    seed_sentencepiece_size: int = ...,
    shrinking_factor: float = ...,
    num_sub_iterations: int = ...,
    partitions: int = ...,
    do_lower_case: bool = ...,
    keep_accents: bool = ...,
    num_threads: int | None = ...,
    input_format: TextFormat = ...,
    on_bad_utf8: OnBadUtf8 = ...,
    overwrite: bool = ...,
    num_tasks: None = ...,
    task_id: None = ...,
    progress: Callable[[str, str, int, int], None] | None = ...,
) -> Tokenizer: ...


@overload
def train_tokenizer(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    *,
    num_tasks: int,
    task_id: int,
    **options: Any,
) -> dict[str, Any]: ...


@documented(TokenizerTrainingOptions, TokenizerThreads, CorpusFormat, TaskOptions)  # type: ignore[misc]
def train_tokenizer(  # noqa: D417 - the options describe themselves
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    *,
    extend: str | os.PathLike[str] | None = TokenizerTrainingOptions.extend,
    vocab_size: int = TokenizerTrainingOptions.vocab_size,
    character_coverage: float = TokenizerTrainingOptions.character_coverage,
    input_sentence_size: int = TokenizerTrainingOptions.input_sentence_size,
    max_sentence_length: int = TokenizerTrainingOptions.max_sentence_length,
    user_defined_symbols: Sequence[str] = TokenizerTrainingOptions.user_defined_symbols,
    normalization_rule_name: NormalizationRule = TokenizerTrainingOptions.normalization_rule_name,
    required_chars: str = TokenizerTrainingOptions.required_chars,
    byte_fallback: bool = TokenizerTrainingOptions.byte_fallback,
    hard_vocab_limit: bool = TokenizerTrainingOptions.hard_vocab_limit,
    max_sentencepiece_length: int = TokenizerTrainingOptions.max_sentencepiece_length,
    split_by_unicode_script: bool = TokenizerTrainingOptions.split_by_unicode_script,
    split_by_number: bool = TokenizerTrainingOptions.split_by_number,
    split_digits: bool = TokenizerTrainingOptions.split_digits,
    split_by_whitespace: bool = TokenizerTrainingOptions.split_by_whitespace,
    treat_whitespace_as_suffix: bool = TokenizerTrainingOptions.treat_whitespace_as_suffix,
    allow_whitespace_only_pieces: bool = TokenizerTrainingOptions.allow_whitespace_only_pieces,
    engine: Engine = TokenizerTrainingOptions.engine,
    seed_sentencepiece_size: int = TokenizerTrainingOptions.seed_sentencepiece_size,
    shrinking_factor: float = TokenizerTrainingOptions.shrinking_factor,
    num_sub_iterations: int = TokenizerTrainingOptions.num_sub_iterations,
    partitions: int = TokenizerTrainingOptions.partitions,
    do_lower_case: bool = TokenizerTrainingOptions.do_lower_case,
    keep_accents: bool = TokenizerTrainingOptions.keep_accents,
    num_threads: int | None = None,
    input_format: TextFormat = CorpusFormat.input_format,
    on_bad_utf8: OnBadUtf8 = CorpusFormat.on_bad_utf8,
    overwrite: bool = False,
    num_tasks: int | None = TaskOptions.num_tasks,
    task_id: int | None = TaskOptions.task_id,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> Tokenizer | dict[str, Any]:
    """Trains a SentencePiece unigram tokenizer on a corpus, and writes spiece.model, spiece.vocab and their text rules.

    With `num_tasks` and `task_id`, the call does a share of the work. Other calls do the rest, on this machine or
    others. All tasks must run twice, or once if `input_sentence_size` is 0. The last one trains; so does `finish`.

    Args:
        inputs: a file, glob or directory of text, or several, with one sentence per line.
        output_dir: the directory to write to. It is created if needed.
        {options}
        overwrite: Replace existing output and start over.
        progress: called a few times a second with stage, unit, done and total (0 if unknown).

    Returns:
        The tokenizer, opened with the text rules that it was trained with. With `num_tasks`, a dictionary: `"task"`, an
        `albert_fast.tasks.Task` that says what the task did, and `"tokenizer"`, which is None as long as other tasks
        have not ended. Once it is not, there is also `"already_complete"`.

    Raises:
        AlbertFastError: an option is invalid; an input cannot be read or is not a corpus; the vocabulary is too large
            or too small for the text; `output_dir` contains a tokenizer (unless `overwrite`), or what tasks with other
            options have done; the disk is full.
        KeyboardInterrupt: Ctrl-C was pressed. With ``engine="sentencepiece"``, it is raised at once, but the library
            cannot be stopped, so the caller should end the process.
    """
    given = locals()
    many = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    symbols = TokenizerTrainingOptions.pick(given).user_defined_symbols
    if extend is not None and not symbols:
        message = f"user_defined_symbols=() contradicts `extend`: {EXTENDED_SYMBOLS}; remove it"
        raise AlbertFastError(message, kind="option", option="user_defined_symbols", value=())
    options = TrainTokenizer.pick({**given, "inputs": many, "no_user_defined_symbols": not symbols})
    if options.num_tasks is None:
        make(options, report=progress)
        return Tokenizer.from_file(options.output_dir / MODEL)
    shared = make_share(options, report=progress)
    if shared.made is None:
        return {"task": shared.task, "tokenizer": None}
    tokenizer = Tokenizer.from_file(options.output_dir / MODEL)
    return {"task": shared.task, "tokenizer": tokenizer, "already_complete": shared.made.already_complete}


def make(
    options: TrainTokenizer,
    others: Mapping[str, bytes] | None = None,
    report: Callable[[str, str, int, int], None] | None = None,
    given: frozenset[str] = frozenset(),
) -> Made:
    """Trains a tokenizer, and writes all of its files or none. If tasks have begun it, it does what they left.

    Args:
        options: the options of the command, without tasks.
        others: contents of further files in `FILES`, by name.
        report: called a few times a second with stage, unit, done and total (0 if unknown).
        given: names of options whose values count even if they are the defaults.
    """
    settings, old = _prepared(options, given)
    output_dir = options.output_dir
    with locked(output_dir):
        repair([output_dir / name for name in FILES])
        _check(options)
        if not options.overwrite and (output_dir / PARTIAL).is_file():
            return _rest(options, others, report, given)
        trained = train(
            [*options.inputs],
            settings,
            on_bad_utf8=options.on_bad_utf8,
            input_format=options.input_format,
            num_threads=options.num_threads,
            verbose=options.verbose,
            old=old,
            report=report,
        )
        # A program that does not take the lock may have written a tokenizer meanwhile.
        _check(options)
        extends = None if old is None else Extended.of(old)
        files = contents(trained, settings, extends, others or {})
        write_together({output_dir / name: content for name, content in files.items()})
        if options.overwrite:
            forget_tokenizer_tasks(output_dir)
    return Made(trained, settings, extends)


def make_share(
    options: TrainTokenizer,
    others: Mapping[str, bytes] | None = None,
    report: Callable[[str, str, int, int], None] | None = None,
    given: frozenset[str] = frozenset(),
) -> Shared:
    """Does the share of one task. The last task trains the tokenizer, and writes its files. See `make`.

    Args:
        options: the options of the command, with tasks.
        others: as in `make`. Those of the task that begins first are written.
        report: as in `make`.
        given: as in `make`.

    Raises:
        AlbertFastError: those of `train_tokenizer`.
    """
    if options.num_tasks is None or options.task_id is None:
        message = "num_tasks is required: it says how many tasks share the work"
        raise AlbertFastError(message, kind="option", option="num_tasks")
    if options.overwrite:
        raise AlbertFastError(
            "with `num_tasks`, overwrite=True is not possible, because each task would remove what the others have "
            "done; remove the directory before the first task, or pass another `output_dir`",
            kind="option",
            option="overwrite",
            value=True,
        )
    settings, old = _prepared(options, given)
    found = train_task(
        [*options.inputs],
        options.output_dir,
        settings,
        kept(settings, None if old is None else Extended.of(old), others or {}),
        num_tasks=options.num_tasks,
        task_id=options.task_id,
        on_bad_utf8=options.on_bad_utf8,
        input_format=options.input_format,
        num_threads=options.num_threads,
        old=old,
        report=report,
    )
    made = complete(options.output_dir, found, found["notes"]) if found["is_complete"] else None
    if made is not None:
        check(made.trained, settings, old)
    return Shared(of_task(found["task"]), found["notes"], made)


def _prepared(options: TrainTokenizer, given: frozenset[str]) -> tuple[TokenizerTrainingOptions, Tokenizer | None]:
    """Returns the settings of the training, and the tokenizer to extend, if there is one."""
    settings = options.part(TokenizerTrainingOptions)
    extension = extending.prepare(settings, options.output_dir / MODEL, given)
    if extension is None:
        check_symbols(settings)
    refuse_output_in_input([*options.inputs], options.output_dir)
    return (settings, None) if extension is None else (extension.settings, extension.old)


def _rest(
    options: TrainTokenizer,
    others: Mapping[str, bytes] | None,
    report: Callable[[str, str, int, int], None] | None,
    given: frozenset[str],
) -> Made:
    """Does what tasks have left, as one task."""
    if options.engine != TrainTokenizer.engine:
        message = (
            f"{options.output_dir}: tasks have begun a tokenizer here, and engine={options.engine!r} cannot continue "
            "their work; pass overwrite=True to start over, or another `output_dir`"
        )
        raise AlbertFastError(message, kind="exists", path=options.output_dir, option="output_dir")
    shared = make_share(dataclasses.replace(options, num_tasks=1, task_id=0), others, report, given)
    if shared.made is None:
        message = f"{options.output_dir}: another command removes what this one has done; wait for it, and run it again"
        raise AlbertFastError(message, kind="data", path=options.output_dir)
    return shared.made


def _check(options: TrainTokenizer) -> None:
    """Refuses to replace a tokenizer, unless `overwrite` is set."""
    model = options.output_dir / MODEL
    # The model is written last. If only the other files exist, a command was killed before it.
    if not options.overwrite and model.exists():
        message = f"{model} exists: pass overwrite=True to replace it, or another `output_dir`"
        raise AlbertFastError(message, kind="exists", path=model, option="output_dir")
