"""`albert-fast pretrain`."""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from albert_fast._native import store_tokenizer
from albert_fast.cli import run_folder
from albert_fast.cli.build import command
from albert_fast.cli.common import CommandError, Stopped, UsageError, check_output_dir, command_line, info, warn
from albert_fast.cli.fetching import fetching, refuse_remote
from albert_fast.cli.flags import in_flags
from albert_fast.cli.model_tokenizer import check_data, extended
from albert_fast.cli.tokenizer_file import warn_of_boundary
from albert_fast.cli.training import model_config, quiet_start, require_tensorflow
from albert_fast.errors import option_error
from albert_fast.options import Pretrain, TrainingOptions
from albert_fast.options.base import is_fall
from albert_fast.paths import is_remote
from albert_fast.text import number
from trainer.folder import CHECKPOINTS, COMPILED, empty, is_run
from trainer.report.trackers.follow import Trackers
from trainer.run import agreement
from trainer.run.compile_cache import NONE, CompileCache, clear, open_cache, without_noise
from trainer.run.stops import TIME_IS_UP, StoppedTwiceError

if TYPE_CHECKING:
    from trainer.exchange.initial import Initial
    from trainer.model.config import ModelConfig
    from trainer.run.data import Data
    from trainer.run.loop import Outcome
    from trainer.run.meeting import Meeting
    from trainer.run.mirror import Mirror


@command(Pretrain)
def pretrain(options: Pretrain, given: frozenset[str]) -> None:
    r"""Train an ALBERT on a token store or on records. It uses all GPUs of the machine, or the CPU.

        albert-fast pretrain --tokens store --model base --output-dir run \
            --eval-records held-out --batch-size 4096

    If the run is interrupted, run the same command again to resume from the newest checkpoint. To train on several
    machines, name them in TensorFlow's variable TF_CONFIG, and run the command on each.
    """
    options = _with_steps(options, given)
    run(options, lambda: _check(options, given))


def _with_steps(options: Pretrain, given: frozenset[str]) -> Pretrain:
    """Returns the options with as many steps as the phases have, unless the user gave the number of steps."""
    if options.phase_steps is None or "num_train_steps" in given:
        return options
    return dataclasses.replace(options, num_train_steps=options.phase_steps)


def _check(options: Pretrain, given: frozenset[str]) -> None:
    """Refuses what contradicts itself."""
    require_tensorflow("pretrain")
    if bool(options.tokens or options.phase) == bool(options.records):
        raise UsageError("pass either --tokens STORE or --records GLOB to train on")
    if options.model is None:
        raise UsageError("pass --model base, large, xlarge, xxlarge, tiny or an albert_config.json")
    if options.budget_hours is not None and "num_train_steps" in given:
        raise UsageError("pass either --budget-hours or --num-train-steps, which it decides; remove one")
    if options.records and is_fall(options.masked_lm_prob):
        raise UsageError(
            f"--masked-lm-prob {options.masked_lm_prob} needs --tokens: records keep the masks that they were made with"
        )
    for store in _stores(options):
        if not is_remote(store) and Path(store).is_file():
            raise CommandError(
                f"--tokens must be a token store (a directory), got the file {store}; make a store of it with: "
                f"albert-fast tokenize {store} --tokenizer spiece.model --output-dir store"
            )


def _stores(options: Pretrain) -> list[str]:
    """Returns the token stores that any phase of the run draws from."""
    plans = options.plans() if options.tokens or options.phase else []
    return [*dict.fromkeys(store for plan in plans for store, _ in plan.stores)]


def run(options: Pretrain, check: Callable[[], None] = lambda: None) -> "Outcome":
    """Trains, and reports how it ended.

    Args:
        options: the options of the command.
        check: called first. If it raises an error, other workers end too.

    Raises:
        CommandError, AlbertFastError: inputs do not match, or something went wrong.
        Stopped: a signal ended it.
    """
    from trainer.run.cluster import address, cluster
    from trainer.run.meeting import meeting

    workers, worker = cluster()
    try:
        with meeting(workers, worker, address(), info) as met:
            check()
            return _run(options, workers, worker, met)
    except KeyboardInterrupt:
        raise Stopped("nothing was trained") from None


def _run(options: Pretrain, workers: int, worker: int, met: "Meeting") -> "Outcome":
    directory = options.output_dir
    check_output_dir(options.output_dir)
    if options.batch_size % workers:
        rule = f"a multiple of the number of workers in TF_CONFIG ({workers})"
        raise option_error("batch_size", rule, options.batch_size)
    refuse_remote(
        init_checkpoint=options.init_checkpoint,
        index_dir=options.index_dir,
        compile_cache=options.compile_cache,
        cache_dir=options.cache_dir,
    )
    run_folder.check(directory)
    if options.mirror_dir is not None:
        run_folder.check_mirror(directory, options.mirror_dir)
    trackers = None
    if options.tracker and worker == 0:
        trackers = Trackers(options.tracker, directory, options.tracker_project, options.tracker_name)
        # A spot instance starts with an empty directory.
        trackers.check(warn, resumes=not options.overwrite and (is_run(directory) or options.mirror_dir is not None))
    if options.overwrite and options.init_checkpoint is not None:
        run_folder.check_kept(directory, options.init_checkpoint)
    training = _training_data(options, workers)
    name, model = model_config(str(options.model), training.vocab_size)
    if training.vocab_size is None:
        warn(
            f"{training.path} does not say how many pieces its tokenizer has; assuming {model.vocab_size:,}, as in "
            f"--model {name}. Pass --tokenizer to be sure"
        )
    held_out = _held_out(options, max(1, options.eval_batch_size // workers), model, training)
    training.check(model)
    # Records of unknown origin are checked while they are read, and the vocabulary is only known now.
    if training.kind == "records" and training.vocab_size is None:
        training = _training_data(options, workers, model.vocab_size)
    with run_folder.made(directory) if worker == 0 else contextlib.nullcontext():
        return _train(options, training, held_out, name, model, worker, met, trackers)


def _train(
    options: Pretrain,
    training: "Data",
    held_out: "Data | None",
    name: str,
    model: "ModelConfig",
    worker: int,
    met: "Meeting",
    trackers: Trackers | None,
) -> "Outcome":
    """Trains in this process, whose worker has its data. The output directory exists."""
    directory = options.output_dir
    cache = _compile_cache(options)
    if met.workers > 1:
        info(f"worker {worker}: waiting for all {met.workers} workers in TF_CONFIG")
    with without_noise() if cache else contextlib.nullcontext():
        with quiet_start():
            from trainer.run import hardware
            from trainer.run.aside import working
            from trainer.run.pretrain import Job, pretrain

            facts = hardware.seen()
        facts |= agreement.of_run(
            options.part(TrainingOptions),
            {
                "overwrite": options.overwrite,
                "mirror_dir": None if options.mirror_dir is None else str(options.mirror_dir),
                "init_checkpoint": options.init_checkpoint is not None,
            },
            json.loads(model.to_json()),
            training,
            held_out,
        )
        agreed = met.agree(facts, lambda of_all: agreement.decide(of_all, warn))
        with quiet_start():
            devices = hardware.find(agreed)

        def describe() -> None:
            if options.overwrite:
                empty(directory)
                clear(directory / COMPILED, cache)
            run_folder.describe(directory, options, model, training)

        again = f"run the same command again{', without --overwrite,' if options.overwrite else ''} to resume"
        job = Job(
            directory,
            name,
            model,
            options.part(TrainingOptions),
            training,
            held_out,
            options.init_checkpoint,
            not options.overwrite,
            describe,
            lambda: f"stopped; {_kept(directory, again)}",
            cache.divert if cache else lambda: False,
            lambda start: _fit_start(options, start, training),
            in_flags,
            _mirror(options),
            trackers,
            command_line(),
        )
        try:
            outcome = pretrain(job, devices, warn)
        except KeyboardInterrupt as error:
            at_once = isinstance(error, StoppedTwiceError) or working()
            raise Stopped(_kept(directory, again), at_once=at_once) from None
        if cache:
            cache.close()
    if outcome.finished:
        info(f"trained for {number(outcome.steps, 'step')}: {directory} (see report.html there)")
    elif outcome.stopped == TIME_IS_UP:
        info(f"stopped by --max-hours; saved after step {outcome.steps:,}: {again}")
    elif outcome.steps == 0:
        raise Stopped("no step was finished")
    else:
        raise Stopped(f"saved after step {outcome.steps:,}: {again}")
    return outcome


def _mirror(options: Pretrain) -> "Mirror | None":
    from trainer.run.mirror import Mirror

    if options.mirror_dir is None:
        return None
    return Mirror(options.output_dir, options.mirror_dir, options.keep_checkpoint_max, info)


def _compile_cache(options: Pretrain) -> CompileCache | None:
    """Returns the directory for compiled programs, or None to keep none."""
    chosen = options.compile_cache
    if chosen == NONE or options.jit is False:
        return None
    directory = options.output_dir / COMPILED if chosen is None else Path(chosen)
    found = open_cache(directory, f"deterministic {options.deterministic}")
    if isinstance(found, str):
        warn(f"compiled programs are not kept, so each start compiles again: {found}; pass another --compile-cache")
        return None
    return found


def _fit_start(options: Pretrain, start: "Initial", training: "Data") -> "Initial":
    """Returns the initial weights, with more rows if the tokenizer of the data extends theirs.

    Raises:
        CommandError: ids mean other pieces than in the data.
    """
    source = options.init_checkpoint
    if source is None:
        return start
    if (grown := extended(source, start, training.opened)) is not None:
        return grown
    if not options.allow_other_tokenizer:
        larger = ", or with one that train-tokenizer --extend made of it"
        if training.opened is None:
            larger += ", and pass it as --tokenizer"
        check_data(source, start, training.opened or training.tokenizer, training.path, larger)
    return start


def _kept(directory: Path, again: str) -> str:
    """Returns which checkpoint a run that ends at once keeps, and how to resume from it."""
    from trainer.model import checkpoints

    found = checkpoints.listing(directory / CHECKPOINTS)
    return f"{found[0]} is kept: {again} from it" if found else "no checkpoint was written yet"


def _training_data(options: Pretrain, workers: int, vocab_size: int | None = None) -> "Data":
    from trainer.run import data

    seed, threads, batch_size = options.random_seed, options.num_threads, options.batch_size // workers
    if stores := _stores(options):
        # Runs from before there was a choice do not say how they shuffle.
        order = {"shuffle": "blocks"} if options.shuffle_blocks else {}
        if options.word_boundary == "albert":
            warn_of_boundary(store_tokenizer(stores[0]), "albert")
        with fetching(stores, options) as how:
            return data.from_tokens(
                options.plans(),
                batch_size,
                options.num_train_steps,
                seed,
                workers=workers,
                order=order,
                cache=how,
                num_threads=threads,
            )
    with fetching(options.records, options) as how:
        found = data.from_records(
            [*options.records],
            batch_size,
            seed=seed,
            shuffle=options.shuffle,
            vocab_size=vocab_size,
            tokenizer=options.tokenizer,
            allow_other_tokenizer=options.allow_other_tokenizer,
            index_dir=options.index_dir,
            num_threads=threads,
            **how,
        )
    for name, there in (
        ("max_seq_length", found.source.max_seq_length),
        ("max_predictions_per_seq", found.source.max_predictions),
    ):
        if getattr(options, name) not in {None, there}:
            rule = f"{there}, that of the records {found.path}"
            raise option_error(name, rule, getattr(options, name), "remove it", kind="data")
    return found


def _held_out(options: Pretrain, batch_size: int, model: "ModelConfig", training: "Data") -> "Data | None":
    from trainer.run import data

    if not options.eval_records:
        return None
    records, allow = [*options.eval_records], options.allow_other_tokenizer
    described = data.describe_records(records, allow_other_tokenizer=allow)
    if note := data.check_tokenizers(training, described, allow_other_tokenizer=allow):
        warn(note)
    with fetching(records, options) as how:
        held_out = data.from_records(
            records,
            batch_size,
            vocab_size=model.vocab_size,
            allow_other_tokenizer=allow,
            index_dir=options.index_dir,
            num_threads=options.num_threads,
            **how,
        )
    held_out.check(model)
    data.check_held_out(training, held_out)
    return held_out
