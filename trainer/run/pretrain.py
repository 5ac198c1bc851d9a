"""A run of pretraining from its options to its report: `albert-fast pretrain`.

Files in the directory of a run:

    pretrain.config.json                resolved options
    albert_config.json                  the model's configuration
    spiece.model, spiece.config.json    the tokenizer, if known; for WordPiece, vocab.txt and tokenizer_config.json
    checkpoints/step-00005000/          see `trainer.model.checkpoints`
    metrics.jsonl                       see `trainer.report.journal`
    tensorboard/                        the same figures for TensorBoard
    run.json                            data, model, options and environment of the last start
    trackers.json                       see `trainer.report.trackers.sent`
    report.html                         see `trainer.report.report`
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from albert_fast.files import locked, write_atomic
from albert_fast.text import epochs, number, quantity
from trainer import folder as run_folder
from trainer.errors import TrainerError, reason
from trainer.exchange import initial
from trainer.model import checkpoints, flops
from trainer.model.model import Albert
from trainer.model.optimizers import AdamW, Lamb
from trainer.model.schedule import Schedule
from trainer.report.journal import Journal
from trainer.report.live import Live
from trainer.report.report import write_report
from trainer.report.tensorboard import TensorBoard
from trainer.run import budget, data, expectation, memory, phases, resolve, resume
from trainer.run.chief import Chief
from trainer.run.evaluation import Evaluator
from trainer.run.feed import Packer
from trainer.run.gauge import Gauge
from trainer.run.hardware import Hardware, allocated, environment, versions
from trainer.run.loop import Listener, Outcome, Run, evaluate, train
from trainer.run.samples import Samples
from trainer.run.step import Replica
from trainer.run.stops import Stops
from trainer.run.together import check_same_start, sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from trainer.model.config import ModelConfig
    from trainer.options import Options
    from trainer.report.trackers.follow import Trackers
    from trainer.run.mirror import Mirror
    from trainer.run.resolve import Resolved

OPTIMIZERS = {"lamb": Lamb, "adamw": AdamW}

MOST_STEPS = 10**9
"""Number of steps of the learning rate's schedule while the number of steps of the run is open."""


class Job(NamedTuple):
    """What to train, and on which data."""

    directory: Path
    name: str
    """The user's name for the model: a preset, or the file of its configuration."""
    config: ModelConfig
    options: Options
    training: data.Data
    held_out: data.Data | None
    init_checkpoint: Path | None
    resumes: bool
    """Whether to resume from checkpoints in the directory. Otherwise they are ignored."""
    describe: Callable[[], None]
    """Writes the description of the run into its directory.

    It is called when the run is known to fit what is there and no other process uses the directory.
    """
    last_words: Callable[[], str]
    """Returns what to say when a second signal ends the process."""
    stop_caching: Callable[[], bool]
    """See `trainer.run.loop.Run`."""
    fit_start: Callable[[initial.Initial], initial.Initial] = lambda start: start
    """Returns the initial weights with rows for all pieces of the data's tokenizer.

    It raises an error if the weights do not fit the data. It is called before anything is written.
    """
    translate: Callable[[str], str] = str
    """Called with each message to show, which names options as in Python. Returns it in the words of the user."""
    mirror: Mirror | None = None
    """The copy of the run in another place."""
    trackers: Trackers | None = None
    """The experiment trackers that show the run. They have been checked."""
    command: str = ""
    """The command line, without secrets, for the report."""


def pretrain(job: Job, hardware: Hardware, warn: Callable[[str], None]) -> Outcome:
    """Train from the newest checkpoint, if there is one, to the last step or until it is stopped.

    Args:
        job: what to train.
        hardware: the devices to train on.
        warn: called with a line of warning.

    Raises:
        TrainerError: something does not fit, or training failed; the message is one line.
        AlbertFastError: the data cannot be read.
    """
    directory = job.directory / run_folder.CHECKPOINTS
    mirror, trackers = (job.mirror, job.trackers) if hardware.chief else (None, None)
    with _locked(job.directory, hardware, warn):
        facts = resume.facts(job.config, job.options, job.training, job.init_checkpoint)
        if mirror is not None and job.resumes:
            mirror.restore(facts, warn)
        if job.mirror is not None and hardware.workers > 1:
            sums(hardware, 0.0)  # which waits until the chief has fetched the checkpoint
        found = checkpoints.newest(directory, warn) if job.resumes else None
        before: Mapping[str, Any] = {}
        if found is not None:
            before = found.facts
            resume.check(found, facts)
            facts["init_checkpoint"] = before.get("init_checkpoint")
        job, decision = _planned(job, before)
        pending = job.options.budget_hours is not None and decision is None
        if decision is not None:
            facts[budget.FACT] = decision._asdict()
        each = resolve.resolve_phases(
            job.config, job.options, job.training.phases, hardware, before.get("resolved", {}), warn
        )
        resolved = each[0]
        if resolved.deterministic:
            tf.config.experimental.enable_op_determinism()
        tf.config.experimental.enable_tensor_float_32_execution(resolved.precision == "tf32")
        replicas = [_replica(job, device, resolved) for device in hardware.devices]
        start = found.step if found else 0
        origin = _begin(job, replicas, found)
        evaluator = None
        if job.held_out is not None:
            models = [replica.model for replica in replicas]
            evaluator = Evaluator(
                models, job.held_out.source, hardware, jit=resolved.jit, widths=job.options.chosen_widths()
            )
        check_same_start(hardware, start, replicas[0].variables)
        # Must come last: `overwrite` deletes the old run here, so every check that can fail comes first.
        if hardware.chief:
            job.describe()
        with (
            Gauge(len(hardware.devices) if hardware.chief and hardware.kind == "GPU" else 0) as gauge,
            _shown(job, hardware, start, pending=pending) as (listener, hours),
        ):
            for line in origin:
                listener.say(line)
            if found is not None and (line := resume.end(before, facts)):
                listener.say(line)
            if mirror is not None:
                mirror.say = listener.say
                mirror.begin(over=not job.resumes)
            expected = _expect(job, hardware, each)
            _announce(job, hardware, each, expected, start, listener, warn, pending=pending)
            run = Run(
                config=job.config,
                options=job.options,
                # The steps of warmup are the same for any number of steps.
                schedule=_schedule(job.options, MOST_STEPS if pending else job.options.num_train_steps),
                hardware=hardware,
                replicas=replicas,
                phases=job.training.phases,
                widths=tuple(one.widths for one in each),
                jit=resolved.jit,
                peak_tflops=_peak(job, hardware, resolved),
                directory=directory,
                facts={**facts, "resolved": resolve.record(each)},
                files=job.training.tokenizer_files,
                evaluator=evaluator,
                listener=listener,
                stop_caching=job.stop_caching,
                mirror=mirror.copy if mirror is not None else lambda: None,
                gauge=lambda: allocated(hardware) | gauge.take(),
                samples=_samples(job, hardware, replicas, warn),
            )
            described = _describe(job, hardware, each, expected, run, pending=pending) if hardware.chief else {}
            if pending and hardware.chief:
                decision = budget.recorded(job.directory, job.options)
            if decision is not None:
                described[budget.FACT] = decision._asdict()
            described["steps"] = {"total": None if pending else job.options.num_train_steps}
            _write_run(job, hardware, described, Outcome(start, start == described["steps"]["total"], None))
            if trackers is not None:
                trackers.start(listener.say)
            with Stops(job.options.max_hours, _heard(listener), job.last_words) as stops:
                try:
                    _reserve_time(job, found, stops, listener)
                    if found is not None and found.evaluation is None:
                        evaluate(run, start, found, stops)
                    elif found is not None and found.evaluation is not None:
                        listener.evaluated(start, found.evaluation)

                    def later() -> Run:
                        seconds = stops.room or (found.evaluation if found and found.evaluation else {}).get(
                            "seconds", 0.0
                        )
                        return _decided(job, hardware, run, described, decision, seconds)

                    outcome = train(run, start, hours, stops, later if pending else None)
                except BaseException as error:
                    why = "an error" if isinstance(error, Exception) else stops.reason or "Ctrl-C"
                    # On a full disk this fails too, and its error must not replace the original one.
                    with contextlib.suppress(Exception):
                        _write_run(job, hardware, described, Outcome(_newest_step(directory), False, why))
                    # A user who asked twice does not want to wait for figures.
                    if isinstance(error, Exception):
                        _report(job, hardware, lambda _: None)
                        if trackers is not None:
                            trackers.finish("failed", reason(error), lambda _: None)
                        if mirror is not None:
                            with contextlib.suppress(TrainerError):
                                mirror.finish()
                    raise
            _write_run(job, hardware, described, outcome)
            _report(job, hardware, warn)
            if trackers is not None:
                trackers.finish("finished" if outcome.finished else "stopped", outcome.stopped, warn)
            if mirror is not None:
                mirror.finish()
    return outcome


def _samples(
    job: Job, hardware: Hardware, replicas: list[Replica], warn: Callable[[str], None]
) -> Callable[[], list[dict[str, Any]]]:
    """Return the function of `Run.samples`."""
    if job.held_out is None or job.training.opened is None or not hardware.chief:
        return list
    return Samples(replicas[0].model, job.held_out.source, job.training.opened, hardware, warn)


# --- how a run starts ------------------------------------------------------------------------------------------------


def _replica(job: Job, device: str, resolved: Resolved) -> Replica:
    with tf.device(device or None):
        dtype = tf.bfloat16 if resolved.precision == "bf16" else tf.float32
        model = Albert(
            job.config,
            dtype,
            seed=job.options.random_seed,
            attention=resolved.attention,
            recompute=resolved.recompute,
        )
        optimizer = OPTIMIZERS[job.options.optimizer](model.named_variables, weight_decay=job.options.weight_decay)
        return Replica(model, optimizer)


def _begin(job: Job, replicas: list[Replica], found: checkpoints.Checkpoint | None) -> list[str]:
    """Give the variables their initial values. Return lines that say where these values come from."""
    if found is not None:
        for replica in replicas:
            checkpoints.load(found, replica.variables)
        said = [f"resuming from {found.path}"]
        if job.init_checkpoint is not None and str(job.init_checkpoint) != found.facts.get("init_checkpoint"):
            said.append(f"ignoring `init_checkpoint` {job.init_checkpoint}: the run already has weights")
        return said
    if job.init_checkpoint is None:
        return []
    loaded = job.fit_start(initial.initial(job.init_checkpoint))
    for replica in replicas:
        fresh = initial.assign(loaded, replica.model.named_variables, job.config)
    said = [f"starting from {loaded.origin}", *initial.remarks(loaded, job.config)]
    if fresh:
        said.append(f"{loaded.origin} lacks {', '.join(fresh)}: they start with random values")
    return said


def _schedule(options: Options, num_train_steps: int) -> Schedule:
    fields = [field.name for field in dataclasses.fields(Schedule)]
    return Schedule(**{**{name: getattr(options, name) for name in fields}, "num_train_steps": num_train_steps})


def _planned(job: Job, before: Mapping[str, Any]) -> tuple[Job, budget.Decision | None]:
    """Return the job with the number of steps that a budget has led to, and that decision.

    Before the decision, it is the number of steps after which it is made.
    """
    options = job.options
    if options.budget_hours is None:
        return job, None
    decision = budget.of_facts(before)
    steps = budget.end_of_warmup(options) if decision is None else decision.steps
    return job._replace(options=dataclasses.replace(options, num_train_steps=steps)), decision


def _decided(
    job: Job,
    hardware: Hardware,
    run: Run,
    described: dict[str, Any],
    decision: budget.Decision | None,
    checkpoint_seconds: float,
) -> Run:
    """Decide how many steps fit the budget, unless an earlier start has done so, and write it down.

    Returns:
        The run that trains the steps after warmup.
    """
    steps = 0
    if hardware.chief:
        if decision is None:
            assert isinstance(run.listener, Chief)
            decision = budget.decide(job.options, run.listener.lines, checkpoint_seconds)
        steps = decision.steps
    if hardware.workers > 1:
        # Only the chief knows it, and adds it once per device.
        [total] = sums(hardware, steps)
        steps = round(total / len(hardware.devices))
    facts = dict(run.facts)
    if decision is not None:
        facts[budget.FACT] = described[budget.FACT] = decision._asdict()
        described["steps"] = {"total": steps}
        plan = phases.Steps(run.phases, steps)
        described["data"] |= phases.described(plan, hardware.workers)
        _write_run(job, hardware, described, Outcome(budget.end_of_warmup(job.options), False, None))
        run.listener.say(decision.words())
        for line in phases.lines(plan, hardware.workers):
            run.listener.say(line)
        run.listener.planned(steps)
    options = dataclasses.replace(job.options, num_train_steps=steps)
    return run._replace(options=options, schedule=_schedule(options, steps), facts=facts)


# --- what the user sees -----------------------------------------------------------------------------------------------


def _peak(job: Job, hardware: Hardware, resolved: Resolved) -> float | None:
    if job.options.peak_tflops is not None:
        return job.options.peak_tflops
    return hardware.peak_tflops if resolved.precision == "bf16" else None


def _expect(job: Job, hardware: Hardware, resolved: Sequence[Resolved]) -> list[expectation.Expectation]:
    """Return what is expected of a step of each phase."""
    rows = job.options.batch_size // hardware.workers
    found = []
    for phase, one in zip(job.training.phases, resolved, strict=True):
        plan = Packer(one.widths, job.config, hardware).plan
        found.append(expectation.expect(job.config, data.row_sizes(phase.source), one.widths, rows, plan))
    return found


def _needed(job: Job, hardware: Hardware, resolved: Sequence[Resolved]) -> int:
    """Return the estimated bytes of a step, of the phase that needs most."""
    how = resolve.memory_options(job.options, hardware)
    return max(
        memory.estimate(
            job.config,
            one.micro_batch,
            phase.source.max_seq_length,
            phase.source.max_predictions,
            one.precision,
            **how,
        )
        for phase, one in zip(job.training.phases, resolved, strict=True)
    )


def _announce(
    job: Job,
    hardware: Hardware,
    resolved: Sequence[Resolved],
    expected: Sequence[expectation.Expectation],
    start: int,
    listener: Listener,
    warn: Callable[[str], None],
    *,
    pending: bool,
) -> None:
    """Show in a few lines what is trained on which data, and how much memory and time it is expected to take.

    `pending` says that the number of steps will be decided later.
    """
    options, plan = job.options, phases.Steps(job.training.phases, job.options.num_train_steps)
    sources = [phase.source for phase in plan.phases]
    count = f"{hardware.replicas} x " if hardware.replicas > 1 else ""
    instances = number(options.batch_size, "instance")
    planned = f"{number(options.num_train_steps, 'step')} of {instances}"
    if pending:
        planned = (
            f"steps of {instances}, as many as fit budget_hours={options.budget_hours:g}; their number is decided at "
            f"the end of warmup, after step {options.num_train_steps:,}"
        )
    elif len(sources) == 1:
        count_of = epochs(options.num_train_steps * options.batch_size / len(sources[0]))
        planned += f", or {count_of}" + (" of all stores together" if len(plan.phases[0].names) > 1 else "")
    longest = max(source.max_seq_length for source in sources)
    of = f"{len(sources[0]):,} instances" if len(sources) == 1 else "instances"
    listener.say(
        f"training ALBERT {job.name} ({memory.parameters(job.config):,} parameters) on {of} of up to {longest} tokens "
        f"from {job.training.path}: {planned}"
    )
    for line in phases.lines(plan, hardware.workers, pending=pending):
        listener.say(line)
    # A run that resumes cannot change them, and other weights to start from want a lower rate.
    misfit = expectation.rate_line(options.optimizer, options.batch_size, options.learning_rate)
    if misfit and hardware.chief and start == 0 and job.init_checkpoint is None:
        warn(misfit)
    needed = _needed(job, hardware, resolved)
    room = "" if hardware.memory_bytes is None else f" of {quantity(hardware.memory_bytes, 'bytes')}"
    each = " on each" if hardware.replicas > 1 else ""
    device = f"on {count}{hardware.name} in {resolved[0].precision}"
    listener.say(f"{device}: a step needs about {quantity(needed, 'bytes')}{room}{each}")
    for index, (one, found) in enumerate(zip(resolved, expected, strict=True), 1):
        line = expectation.padding_line(found, one.widths, len(hardware.devices))
        listener.say(f"phase {index}: {line}" if plan.divided else line)
    work = options.batch_size * sum(
        found.operations * max(0, phase.end(plan.total) - max(start, phase.first))
        for found, phase in zip(expected, plan.phases, strict=True)
    )
    gpu, peak = hardware.kind == "GPU", _peak(job, hardware, resolved[0])
    if work == 0 or pending or (gpu and peak is None):
        return
    fraction = expectation.peak_fraction(hardware.name)
    rate = (
        fraction * 1e12 * (peak or 0.0) * hardware.replicas
        if gpu
        else expectation.CPU_RATE * len(os.sched_getaffinity(0)) * hardware.workers
    )
    where = f"{count}{hardware.name}, at {100 * fraction:.0f}% of its peak (not measured yet)," if gpu else "this CPU"
    from_store = job.training.kind == "tokens"
    advised = expectation.advice(
        job.name,
        options.batch_size,
        options.num_train_steps,
        longest,
        from_store=from_store,
        gpu=gpu,
    )
    said, long = expectation.time_line(work / rate, where, advised, gpu=gpu)
    (warn if long and hardware.chief else listener.say)(said)


def _describe(
    job: Job,
    hardware: Hardware,
    resolved: Sequence[Resolved],
    expected: Sequence[expectation.Expectation],
    run: Run,
    *,
    pending: bool,
) -> dict[str, Any]:
    """Return the content of run.json, except for the progress of the run."""
    longest = max((phase.source for phase in run.phases), key=lambda source: source.max_seq_length)
    shape = longest.max_seq_length, longest.max_predictions
    held_out = None if job.held_out is None else job.held_out.source
    # Of phases, the first one is shown, as in the figures of micro-batches below.
    figures = {**job.training.figures, **data.sample(job.training.source, held_out)}
    figures |= phases.described(run.plan, hardware.workers, pending=pending)
    if job.held_out is not None:
        figures |= {"eval_records": job.held_out.path, "eval_instances": len(job.held_out.source)}
    return {
        "data": figures,
        "model": {
            "name": job.name,
            "parameters": memory.parameters(job.config),
            "training_flops_per_sequence": flops.training_flops(job.config, *shape),
            "memory_estimate_bytes": _needed(job, hardware, resolved),
        },
        "training": {
            "optimizer": job.options.optimizer,
            "batch_size": job.options.batch_size,
            "micro_batch_size": resolved[0].micro_batch,
            # Two phases may have micro-batches of one size with another number of predictions.
            "widths": [*dict.fromkeys(str(width) for one in resolved for width in one.widths)],
            "expected_padding": expected[0].padding,
            "replicas": hardware.replicas,
            "workers": hardware.workers,
            "precision": resolved[0].precision,
            "xla": resolved[0].jit,
            "init_checkpoint": run.facts["init_checkpoint"],
        },
        "environment": environment(hardware) | {"peak_tflops": run.peak_tflops},
    }


def _write_run(job: Job, hardware: Hardware, described: Mapping[str, Any], outcome: Outcome) -> None:
    if not hardware.chief:
        return
    steps = {
        "done": outcome.steps,
        **described["steps"],
        "finished": outcome.finished,
        "stopped": outcome.stopped,
    }
    content = json.dumps({**described, "steps": steps}, indent=2) + "\n"
    write_atomic(job.directory / run_folder.FACTS, content.encode(errors="backslashreplace"))


def _report(job: Job, hardware: Hardware, warn: Callable[[str], None]) -> None:
    """Write the report. An error in it must not hide how the run itself ended."""
    if not hardware.chief:
        return
    try:
        write_report(job.directory)
    except Exception as error:  # noqa: BLE001 - matplotlib raises errors of any kind
        warn(f"cannot write the report: {error}")


def _heard(listener: Listener) -> Callable[[str], None]:
    return lambda name: listener.say(
        f"{name}: saving a checkpoint, then stopping; a second signal stops at once and keeps the last checkpoint"
    )


def _reserve_time(job: Job, found: checkpoints.Checkpoint | None, stops: Stops, listener: Listener) -> None:
    """Tell `stops` how long the last checkpoint and its evaluation take, if an earlier start has measured it."""
    if job.options.max_hours is None:
        return
    if found is not None and found.evaluation is not None:
        stops.room = found.evaluation.get("seconds", 0.0)
    if not stops.room:
        what = "a checkpoint" if job.held_out is None else "a checkpoint and its evaluation"
        listener.say(f"`max_hours` leaves no time for {what} until the first one has been timed")


def _newest_step(directory: Path) -> int:
    kept = checkpoints.listing(directory)
    return checkpoints.step_of(kept[0]) if kept else 0


@contextlib.contextmanager
def _shown(job: Job, hardware: Hardware, start: int, *, pending: bool) -> Iterator[tuple[Listener, float]]:
    """Yield a listener, and the hours of training before this start.

    `pending` says that the number of steps will be decided later.
    """
    if not hardware.chief:
        yield Listener(), 0.0
        return
    with (
        Journal(job.directory, start, {"command": job.command, "versions": versions(hardware)}) as journal,
        TensorBoard(job.directory, journal.lines) as events,
        job.trackers or contextlib.nullcontext(),
        Live(job.options.num_train_steps, batch_size=job.options.batch_size, translate=job.translate) as live,
    ):
        watch = budget.Watch(job.options, journal.lines) if pending else None
        chief = Chief(
            journal, events, live, watch, lambda: _report(job, hardware, lambda line: live.say(f"warning: {line}"))
        )
        yield chief, journal.hours


@contextlib.contextmanager
def _locked(directory: Path, hardware: Hardware, warn: Callable[[str], None]) -> Iterator[None]:
    """Keep a second run from training in the same directory."""
    if not hardware.chief:
        yield
        return
    with locked(directory) as lock:
        if not lock.exclusive:
            warn(f"{directory} cannot be locked on this file system: start no second run in it")
        yield
