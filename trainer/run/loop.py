"""The training loop: batch k for step k, from the last checkpoint to the last step or until it is stopped."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from albert_fast import AlbertFastError
from albert_fast.text import duration
from trainer.errors import TrainerError
from trainer.model import checkpoints
from trainer.model.features import FEATURES
from trainer.model.losses import Metrics
from trainer.run import phases
from trainer.run.feed import Feed, Packer
from trainer.run.phases import Steps
from trainer.run.step import NO_SIGNALS, Step
from trainer.run.stops import TIME_IS_UP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from albert_fast import Batch, BatchSource
    from trainer.model.config import ModelConfig
    from trainer.model.schedule import Schedule
    from trainer.options import Options
    from trainer.run.evaluation import Evaluator
    from trainer.run.feed import Work
    from trainer.run.hardware import Hardware
    from trainer.run.packing import Width
    from trainer.run.phases import Phase
    from trainer.run.step import Replica, Report
    from trainer.run.stops import Stops

T = TypeVar("T")

NEAR = 10.0
"""Seconds within which a step that is asked to stop may still finish. Otherwise it is abandoned."""
COMPILED = "__XLA_"
"""Part of the name of a compiled program's file."""
SIGNALS = {"another worker": (1.0, 0.0), TIME_IS_UP: (0.0, 1.0)}
"""What workers send each other with a step so that all stop after it, by the reason that the others see."""


class Listener:
    """Receives what happens in a run. This class is for all workers except the chief, and shows nothing."""

    def training(self, line: Mapping[str, Any]) -> None:
        """Take a training line of metrics.jsonl: means over the last steps."""

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """Take an evaluation line of metrics.jsonl."""

    def evaluated(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the known figures of the checkpoint that this start resumes from.

        If the process was killed too early, metrics.jsonl lacks their line.
        """

    def planned(self, steps: int) -> None:
        """Take the number of steps of the run, which has just been decided."""

    def checkpoint(self) -> None:
        """Take notice that a checkpoint other than the last one is complete and evaluated."""

    def say(self, message: str) -> None:
        """Show a message to the user."""


class Outcome(NamedTuple):
    """How a run ended."""

    steps: int
    """Number of steps done, over all starts."""
    finished: bool
    """Whether these are all steps."""
    stopped: str | None
    """What ended the run early: a signal's name, `TIME_IS_UP` or "another worker"."""


class _Done(NamedTuple):
    """A completed step."""

    number: int
    report: Report
    seconds: float
    """Seconds from the previous report to this step's own."""
    waited: float
    """Those of the seconds in which no batch was ready."""
    compiled: bool
    """Whether the step compiled a new width, so that its seconds do not measure a usual step."""


class Run(NamedTuple):
    """What a run trains with; see the fields."""

    config: ModelConfig
    options: Options
    schedule: Schedule
    hardware: Hardware
    replicas: Sequence[Replica]
    phases: tuple[Phase, ...]
    """The data of each phase, in batches of this worker's size."""
    widths: tuple[tuple[Width, ...], ...]
    """The shapes of micro-batches of each phase."""
    jit: bool
    peak_tflops: float | None
    """Peak rate of a device, in TFLOP/s."""
    directory: Path
    """RUN/checkpoints."""
    facts: Mapping[str, Any]
    """What a run that resumes must find in its checkpoint."""
    files: Mapping[str, bytes]
    """Files stored in each checkpoint."""
    evaluator: Evaluator | None
    listener: Listener
    stop_caching: Callable[[], bool] = lambda: False
    """Stops writing compiled programs to disk after that failed. Returns false if that is not possible."""
    mirror: Callable[[], None] = lambda: None
    """Called by the chief when a checkpoint is complete, and again when it is evaluated and old ones are gone."""
    gauge: Callable[[], Mapping[str, float]] = dict
    """Returns further figures for a training line: those of the GPUs since the last line."""
    samples: Callable[[], list[dict[str, Any]]] = list
    """Returns what the model predicts for fixed masked tokens of the held-out set."""

    @property
    def plan(self) -> Steps:
        """The phases and the number of steps."""
        return Steps(self.phases, self.options.num_train_steps)


def train(run: Run, start: int, hours: float, stops: Stops, later: Callable[[], Run] | None = None) -> Outcome:
    """Train from step `start`.

    A step that is asked to stop is finished if that takes at most `NEAR` seconds. Otherwise it is abandoned at the next
    micro-batch, and the checkpoint is that of the previous step. The time limit never abandons the first step of a
    start: otherwise a run whose steps are longer than the limit would make no progress.

    Args:
        run: the run, with variables as they are after `start` steps.
        start: number of steps done.
        hours: hours of training before this start.
        stops: called at each step, and within it.
        later: called after the last step of `run`, if only then it is known how many steps there are. It returns the
            run that trains the others, with another schedule and other facts.

    Raises:
        TrainerError: the loss is not finite, the disk is full, or a device lacks memory for the step. The last
            checkpoint is kept.
        AlbertFastError: the data cannot be read.
        StoppedTwiceError: a second signal arrived.
    """
    step = Step(
        run.replicas,
        run.schedule,
        strategy=run.hardware.strategy,
        seed=run.options.random_seed,
        jit=run.jit,
        compiling=lambda width: run.listener.say(f"compiling the step for micro-batches of {width} tokens"),
    )
    meter = Meter(run, step, hours)
    outcome = _train(run, step, meter, start, stops)
    if later is None or not outcome.finished:
        return outcome._replace(finished=outcome.finished and later is None)
    run = meter.run = later()
    step.follow(run.schedule)
    return _train(run, step, meter, outcome.steps, stops)


def _train(run: Run, step: Step, meter: Meter, start: int, stops: Stops) -> Outcome:
    """Train from step `start` to the last one of `run`; see `train`."""
    hardware, options = run.hardware, run.options
    total = options.num_train_steps
    reason: str | None = None

    def part(source: BatchSource) -> BatchSource:
        return source.shard(hardware.worker, hardware.workers) if hardware.workers > 1 else source

    feed = Feed(phases.batches(run.plan, start, part), _packer(run))
    try:
        meter.began(feed)
        done = saved = start
        try:
            while done < total:
                # A single worker need not begin a step that it would abandon or has no time to finish.
                reason = stops(meter.seconds) if hardware.workers == 1 else None
                if reason is not None and (done > start or reason != TIME_IS_UP):
                    break
                report = _run_step(step, feed, done, stops, run, meter, first=done == start)
                if float(report.abandoned):
                    reason = stops() or "another worker"
                    run.listener.say(f"step {done + 1:,} was abandoned; the run repeats it when it resumes")
                    break
                reason = meter.add(done, report)
                done += 1
                if reason is not None:
                    reason = stops() or reason
                    break
                if done == total or done % options.save_checkpoints_steps == 0:
                    meter.flush()
                    saved = done
                    stops.room = max(stops.room, _save(run, done, stops, last=done == total))
                    meter.began(feed)
            if saved < done:
                meter.flush()
                _save(run, done, stops, last=True)
        except TrainerError:
            raise
        except AlbertFastError:
            # The data is at fault, not the weights: keep what was trained on the rest of it.
            if hardware.chief and saved < done:
                _write(run, done)
            raise
    except KeyboardInterrupt:
        # Close the feed in a thread, because closing waits for the batch that is being made.
        threading.Thread(target=feed.close, name="albert-fast close", daemon=True).start()
        raise
    except BaseException:
        feed.close()
        raise
    feed.close()
    finished = done == total
    return Outcome(done, finished, None if finished else reason)


def _packer(run: Run) -> Callable[[tuple[int, Batch]], Work]:
    """Return the function that packs a batch into the micro-batches of its phase."""
    packers = [Packer(widths, run.config, run.hardware) for widths in run.widths]

    def pack(item: tuple[int, Batch]) -> Work:
        phase, batch = item
        return packers[phase]({name: batch[name] for name in FEATURES})  # type: ignore[literal-required]

    return pack


def _run_step(step: Step, feed: Feed, number: int, stops: Stops, run: Run, meter: Meter, *, first: bool) -> Report:
    """Run step `number`. `first` says whether it is this start's first, which the time limit does not abandon."""

    def signals() -> tuple[float, float]:
        # If one worker has no time for another step, all workers end after this one.
        reason = stops(meter.expected())
        return NO_SIGNALS if reason is None else SIGNALS.get(reason, SIGNALS["another worker"])

    def abandon(left: int) -> bool:
        reason = stops()
        if reason is None or (first and reason == TIME_IS_UP):
            return False
        return step.seconds is None or left * step.seconds > NEAR

    widest = run.widths[run.plan.number(number)][-1]
    advice = f"with micro-batches of {widest} tokens; pass a smaller `micro_batch_size`"
    work = feed.next()
    with device_errors(f"in step {number + 1:,}", run.hardware, advice):
        return _retried(run, lambda: step(work, number, signals, abandon))


def _retried(run: Run, function: Callable[[], T]) -> T:
    """Return `function()`. It is called again if it failed because a compiled program could not be written.

    With several replicas, one of them may already have made its update, so the error is raised.
    """
    try:
        return function()
    except tf.errors.OpError as error:
        if COMPILED not in str(error.message) or run.hardware.replicas > 1 or not run.stop_caching():
            raise
        run.listener.say(f"warning: compiled programs are no longer kept ({_first_line(error)})")
        return function()


@contextlib.contextmanager
def device_errors(where: str, hardware: Hardware, advice: str) -> Iterator[None]:
    """Turn errors of a device, or of the loss of another worker, into a TrainerError.

    Args:
        where: what was being computed.
        hardware: the devices that compute it.
        advice: what uses the memory, and what to do about it.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if (known := _explained(error, where, hardware, advice)) is None:
            raise
        raise known from error


def _explained(error: tf.errors.OpError, where: str, hardware: Hardware, advice: str) -> TrainerError | None:
    """Return the error to raise instead of TensorFlow's, or None if that one is a bug in this program."""
    cause = f"({_first_line(error)})"
    # Must come first, because a full disk is also an exhausted resource.
    if COMPILED in str(error.message):
        advice = "free disk space, or pass compile_cache='none'"
        return TrainerError(f"cannot write a compiled program {where}; {advice} {cause}", kind="io")
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return TrainerError(f"out of memory on {hardware.name} {where}, {advice} {cause}")
    if isinstance(error, tf.errors.UnavailableError | tf.errors.AbortedError | tf.errors.CancelledError):
        advice = "start all workers again, and they resume from the newest checkpoint"
        return TrainerError(f"lost another worker {where}; {advice} {cause}")
    return None


def _first_line(error: tf.errors.OpError) -> str:
    """Return the first line that does not say where in the graph the error occurred."""
    noise = ("Graph execution error", "Detected at node", "<stack traces", "  ", "\t")
    lines = [line.strip() for line in str(error.message).splitlines() if line.strip() and not line.startswith(noise)]
    return lines[0][:200] if lines else type(error).__name__


def _check_finite(run: Run, step: int) -> None:
    """Raise a TrainerError if an update made a variable infinite. Otherwise only the next step's loss would show it."""
    for name, variable in run.replicas[0].variables.items():
        if not bool(tf.reduce_all(tf.math.is_finite(variable))):
            raise TrainerError(
                f"{name} is not finite after step {step:,}, so no checkpoint of it was written; try a lower "
                "`learning_rate` in another `output_dir`"
            )


def _save(run: Run, step: int, stops: Stops, *, last: bool) -> float:
    """Write a checkpoint, evaluate it and remove old ones. Return the seconds that this took."""
    began = time.perf_counter()
    evaluate(run, step, _write(run, step) if run.hardware.chief else None, stops)
    if run.hardware.chief:
        checkpoints.prune(run.directory, run.options.keep_checkpoint_max)
        if not last:
            run.listener.checkpoint()
        run.mirror()
    return time.perf_counter() - began


def _write(run: Run, step: int) -> checkpoints.Checkpoint:
    _check_finite(run, step)
    saved = checkpoints.write(
        run.directory,
        run.replicas[0].variables,
        step=step,
        seed=run.options.random_seed,
        config=run.config,
        facts=run.facts,
        files=run.files,
    )
    run.listener.say(f"wrote checkpoint {saved.path}")
    run.mirror()
    return saved


def evaluate(run: Run, step: int, saved: checkpoints.Checkpoint | None, stops: Stops) -> None:
    """Evaluate on all workers together, if there is a held-out set.

    A signal ends the evaluation without figures. The next start then evaluates the checkpoint that it resumes from.

    Args:
        run: the run.
        step: number of steps done.
        saved: the checkpoint of that step. The chief adds the figures to it.
        stops: called between batches.
    """
    if run.evaluator is None:
        return

    def ended() -> bool:
        return stops.reason not in {None, TIME_IS_UP}

    advice = (
        f"with eval_batch_size={run.options.eval_batch_size}; pass a smaller one, which does not change the figures"
    )
    with device_errors(f"in the evaluation after step {step:,}", run.hardware, advice):
        evaluator = run.evaluator
        found = _retried(run, lambda: evaluator(stop=ended))
    if found is None:
        run.listener.say(f"the evaluation after step {step:,} was not finished; the run repeats it when it resumes")
    elif saved is not None:
        figures = found._asdict()
        checkpoints.set_evaluation(saved, figures)
        line = {"step": step, "time": time.time(), "evaluation": figures}
        run.listener.evaluation(line | ({"samples": samples} if (samples := run.samples()) else {}))


class Meter:
    """Combines steps into the lines of metrics.jsonl, and detects what must end a run.

    Throughput excludes compilation: only steps that compiled no new width count.
    """

    def __init__(self, run: Run, step: Step, hours: float) -> None:
        self.run, self.step = run, step
        self.hours = hours
        self.done: list[_Done] = []
        """Steps since the last line."""
        self.seconds = 0.0
        """Seconds of the last step that compiled nothing, from the previous report to its own; 0 before the first."""
        self.last = 0.0
        self.widths = 0
        self.feed: Feed | None = None
        self.clock = self.waited = 0.0

    def began(self, feed: Feed) -> None:
        """Start the clock."""
        self.feed = feed
        self.clock = self.last = time.perf_counter()
        self.waited = feed.waited

    def expected(self) -> float:
        """Return the seconds expected for the next step, or those that a start's first step has taken so far."""
        return self.seconds or time.perf_counter() - self.last

    def add(self, number: int, report: Report) -> str | None:
        """Add a step's report, and return the reason why a worker wants to stop, or None.

        Raises:
            TrainerError: the step was not finite.
        """
        loss, norm = float(report.metrics.loss), float(report.gradient_norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._refuse(number, report)
        assert self.feed is not None
        now, waited = time.perf_counter(), self.feed.waited
        compiled = len(self.step.started) > self.widths
        if self.widths == 0:
            what = "compilation" if self.run.jit else "tracing"
            self.run.listener.say(f"step {number + 1:,} took {duration(now - self.last)}, {what} included")
        self.widths = len(self.step.started)
        if not compiled:
            self.seconds = now - self.last
        self.done.append(_Done(number, report, now - self.last, waited - self.waited, compiled))
        self.last, self.waited = now, waited
        # A line is about one phase.
        if (number + 1) % self.run.options.log_steps == 0 or number + 1 in self.run.plan.borders:
            self.flush()
        sent = report.signals.numpy()
        return next((reason for reason, signals in SIGNALS.items() if np.dot(sent, signals) > 0), None)

    def flush(self) -> None:
        """Write a line of what was added since the last one."""
        if not self.done:
            return
        now = time.perf_counter()
        self.hours += (now - self.clock) / 3600
        self.clock = now
        reports = [done.report for done in self.done]
        last = self.done[-1]

        def mean(values: list[tf.Tensor]) -> float:
            return sum(float(value) for value in values) / len(reports)

        def total(name: str, steps: list[_Done]) -> float:
            return sum(float(getattr(done.report, name)) for done in steps)

        line: dict[str, Any] = {
            "step": last.number + 1,
            "steps": len(reports),
            "time": time.time(),
            "hours": self.hours,
        }
        for name in Metrics._fields:
            line[name] = mean([getattr(report.metrics, name) for report in reports])
        line |= {
            "learning_rate": float(last.report.learning_rate),
            "gradient_norm": mean([report.gradient_norm for report in reports]),
        }
        line |= self._of_phase(self.done[0].number, last.number)
        steady = [done for done in self.done if not done.compiled]
        compiling = [done.seconds for done in self.done if done.compiled]
        seconds = sum(done.seconds for done in steady)

        def rate(amount: float) -> float | None:
            return amount / seconds if seconds else None

        # A step that compiles also does its usual work.
        usual = seconds / len(steady) if steady else self.seconds
        tokens, computed = total("tokens", self.done), total("computed", self.done)
        peak, tflops = self.run.peak_tflops, rate(total("operations", steady))
        line |= {
            "sequences_per_second": rate(len(steady) * self.run.options.batch_size),
            "tokens_per_second": rate(total("tokens", steady)),
            "padding": 1 - tokens / computed if computed else 0.0,
            "tflops": tflops,
            "mfu": tflops / (peak * self.run.hardware.replicas) if peak and tflops is not None else None,
            "input_wait": rate(sum(done.waited for done in steady)),
            "compile_seconds": sum(max(0.0, took - usual) for took in compiling),
            "tokens": round(tokens),
            **self.run.gauge(),
        }
        if ratios := last.report.trust_ratios:
            line["trust_ratios"] = {kind: float(ratio) for kind, ratio in ratios.items()}
        self.done.clear()
        self.run.listener.training(line)

    def _of_phase(self, first: int, last: int) -> dict[str, Any]:
        """Return what a line says about the data of steps `first` to `last`, if it is not the same in all steps."""
        plan = self.run.plan
        found: dict[str, Any] = {}
        if (fraction := plan.masked(last)) is not None:
            found["masked_lm_prob"] = fraction
        if plan.divided:
            number = plan.number(last)
            found |= {"phase": number + 1, "max_seq_length": plan.phases[number].source.max_seq_length}
        if drawn := plan.drawn(first, last + 1, self.run.hardware.workers):
            found["drawn"] = drawn
        return found

    def _refuse(self, number: int, report: Report) -> None:
        metrics = report.metrics
        kept = checkpoints.listing(self.run.directory)
        good = f"the last good checkpoint is {kept[0]}" if kept else "there is no checkpoint yet"
        start = f", and init_checkpoint={str(kept[0])!r} to start from its weights" if kept else ""
        raise TrainerError(
            f"step {number + 1:,} is not finite: masked-LM loss {float(metrics.masked_lm_loss):g}, sentence-order loss "
            f"{float(metrics.sentence_order_loss):g}, gradient norm {float(report.gradient_norm):g}, on batch {number} "
            f"with random_seed={self.run.options.random_seed}. It updated no weight, and {good}. Try a lower "
            f"`learning_rate`, more `num_warmup_steps` or precision='float32' in another `output_dir`{start}"
        )
