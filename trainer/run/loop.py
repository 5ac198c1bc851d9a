"""The training loop: batch k for step k, from where the last checkpoint was to the end, or to where it is stopped."""

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
from trainer.run.feed import Feed, Packer
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
    from trainer.run.step import Replica, Report
    from trainer.run.stops import Stops

T = TypeVar("T")

NEAR = 10.0
"""Seconds within which a step that is asked to stop is still finished; else it is abandoned."""
COMPILED = "__XLA_"
"""In the name of the file of a compiled program."""
SIGNALS = {"another worker": (1.0, 0.0), TIME_IS_UP: (0.0, 1.0)}
"""What workers send each other with a step, so that all stop after it, by what the others take for the reason."""


class Listener:
    """Is told what happens in a run. This one, for all workers but the chief, says nothing."""

    def training(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl: means over the last steps."""

    def evaluation(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl: an evaluation."""

    def evaluated(self, step: int, figures: Mapping[str, float]) -> None:
        """What is known of the checkpoint that this start goes on from. Its line lacks where a kill came before it."""

    def say(self, message: str) -> None:
        """Something for the reader."""


class Outcome(NamedTuple):
    """How a run ended."""

    steps: int
    """Steps done, of all starts."""
    finished: bool
    """Whether these are all."""
    stopped: str | None
    """What ended it before: a signal's name, "--max-hours" or "another worker"."""


class _Taken(NamedTuple):
    """A step that was taken."""

    number: int
    report: Report
    seconds: float
    """From the report before to its own."""
    waited: float
    """Seconds of these in which there was no batch yet."""
    compiled: bool
    """Whether it met a width for the first time, so that these seconds are no measure of a step."""


class Run(NamedTuple):
    """What a run trains with; see the fields."""

    config: ModelConfig
    options: Options
    schedule: Schedule
    hardware: Hardware
    replicas: Sequence[Replica]
    source: BatchSource
    """All of the data, in batches of this worker's size."""
    widths: tuple[Width, ...]
    """Shapes of micro-batches."""
    jit: bool
    peak_tflops: float | None
    """Of a device."""
    folder: Path
    """RUN/checkpoints."""
    facts: Mapping[str, Any]
    """What a run that goes on must find in its checkpoint."""
    files: Mapping[str, bytes]
    """Kept in each checkpoint."""
    evaluator: Evaluator | None
    listener: Listener
    keep_no_programs: Callable[[], bool] = lambda: False
    """Ends the keeping of compiled programs after one could not be written; false where that cannot be done."""


def train(run: Run, start: int, hours: float, stops: Stops) -> Outcome:
    """Trains from step `start` on.

    A step that is asked to stop is finished if that takes at most `NEAR` seconds. Otherwise it is abandoned at the next
    micro-batch, and the checkpoint is of the step before. The limit of hours never abandons the first step of a start:
    a run whose steps are longer than the limit would make no progress.

    Args:
        run: with variables as they are after `start` steps.
        start: steps done.
        hours: of training before this start.
        stops: asked at each step, and within it.

    Raises:
        TrainerError: a loss that is not finite, a disk that is full, a device without memory for the step. What the
            last checkpoint holds is kept.
        AlbertFastError: the data cannot be read.
        StoppedTwiceError: a second signal came.
    """
    hardware, options = run.hardware, run.options
    step = Step(
        run.replicas,
        run.schedule,
        strategy=hardware.strategy,
        seed=options.random_seed,
        jit=run.jit,
        compiling=lambda width: run.listener.say(f"preparing the step for micro-batches of {width} tokens"),
    )
    part = run.source.shard(hardware.worker, hardware.workers) if hardware.workers > 1 else run.source
    total = options.num_train_steps
    meter = Meter(run, step, hours)
    reason: str | None = None
    feed = Feed(part.batches(start, total), _packer(run))
    try:
        meter.began(feed)
        done = saved = start
        try:
            while done < total:
                # A worker that is the only one need not begin a step that it would abandon, or have no time to finish.
                reason = stops(meter.seconds) if hardware.workers == 1 else None
                if reason is not None and (done > start or reason != TIME_IS_UP):
                    break
                report = _take(step, feed, done, stops, run, meter, first=done == start)
                if float(report.abandoned):
                    reason = stops() or "another worker"
                    run.listener.say(f"step {done + 1:,} was abandoned: its part of the work is lost")
                    break
                reason = meter.add(done, report)
                done += 1
                if reason is not None:
                    reason = stops() or reason
                    break
                if done == total or done % options.save_checkpoints_steps == 0:
                    meter.flush()
                    saved = done
                    stops.room = max(stops.room, _save(run, done, stops))
                    meter.began(feed)
            if saved < done:
                meter.flush()
                _save(run, done, stops)
        except AlbertFastError:
            # The data is at fault and not the weights: what was trained with the rest of it is kept.
            if hardware.chief and saved < done:
                _write(run, done)
            raise
    except KeyboardInterrupt:
        # It waits for the batch that is being made.
        threading.Thread(target=feed.close, name="albert-fast close", daemon=True).start()
        raise
    except BaseException:
        feed.close()
        raise
    feed.close()
    finished = done == total
    return Outcome(done, finished, None if finished else reason)


def _packer(run: Run) -> Callable[[Batch], Work]:
    pack = Packer(run.widths, run.config, run.hardware)
    return lambda batch: pack({name: batch[name] for name in FEATURES})  # type: ignore[literal-required]


def _take(step: Step, feed: Feed, number: int, stops: Stops, run: Run, meter: Meter, *, first: bool) -> Report:
    """Step `number`; `first`: whether it is this start's first, which the limit of hours does not abandon."""

    def signals() -> tuple[float, float]:
        # All workers end after this step if one of them has no time for another.
        reason = stops(meter.expected())
        return NO_SIGNALS if reason is None else SIGNALS.get(reason, SIGNALS["another worker"])

    def abandon(left: int) -> bool:
        reason = stops()
        if reason is None or (first and reason == TIME_IS_UP):
            return False
        return step.seconds is None or left * step.seconds > NEAR

    advice = f"with micro-batches of {run.widths[-1]} tokens: pass a smaller --micro-batch-size"
    work = feed.next()
    with device_errors(f"in step {number}", run.hardware, advice):
        return _keeping_programs(run, lambda: step(work, number, signals, abandon))


def _keeping_programs(run: Run, function: Callable[[], T]) -> T:
    """What `function` returns; it is called again where a compiled program could not be written, which it never ran.

    With several replicas one of them may have made its update, so that the error stands.
    """
    try:
        return function()
    except tf.errors.OpError as error:
        if COMPILED not in str(error.message) or run.hardware.replicas > 1 or not run.keep_no_programs():
            raise
        run.listener.say(f"warning: compiled programs are no longer kept ({_first_line(error)})")
        return function()


@contextlib.contextmanager
def device_errors(where: str, hardware: Hardware, advice: str) -> Iterator[None]:
    """Turns what a device, or the loss of another worker, ends a computation with into a TrainerError.

    Args:
        where: what was being computed.
        hardware: what on.
        advice: what took the memory, and what to do about it.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if (told := _told(error, where, hardware, advice)) is None:
            raise
        raise TrainerError(f"{told} ({_first_line(error)})") from error


def _told(error: tf.errors.OpError, where: str, hardware: Hardware, advice: str) -> str | None:
    """What to tell of an error; None where it is nobody's but ours."""
    # First, because a full disk is an exhausted resource too.
    if COMPILED in str(error.message):
        return f"a compiled program cannot be kept, {where}: make room on the disk, or pass --compile-cache none"
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return f"out of memory on {hardware.name} {where}, {advice}"
    if isinstance(error, tf.errors.UnavailableError | tf.errors.AbortedError | tf.errors.CancelledError):
        return f"another worker is gone, {where}: start all of them again, and they resume from the newest checkpoint"
    return None


def _first_line(error: tf.errors.OpError) -> str:
    """The first line that is not about where in the graph it was."""
    noise = ("Graph execution error", "Detected at node", "<stack traces", "  ", "\t")
    lines = [line.strip() for line in str(error.message).splitlines() if line.strip() and not line.startswith(noise)]
    return lines[0][:200] if lines else type(error).__name__


def _check_finite(run: Run, step: int) -> None:
    """Raises a TrainerError where an update made a variable infinite: only the next step's loss would show it."""
    for name, variable in run.replicas[0].variables.items():
        if not bool(tf.reduce_all(tf.math.is_finite(variable))):
            raise TrainerError(
                f"{name} is not finite after step {step}: no checkpoint of it was written. Try a lower --learning-rate "
                "in another --output-dir"
            )


def _save(run: Run, step: int, stops: Stops) -> float:
    """A checkpoint, its evaluation, and away with what is too old; the seconds that it took."""
    began = time.perf_counter()
    evaluate(run, step, _write(run, step) if run.hardware.chief else None, stops)
    if run.hardware.chief:
        checkpoints.prune(run.folder, run.options.keep_checkpoint_max)
    return time.perf_counter() - began


def _write(run: Run, step: int) -> checkpoints.Checkpoint:
    _check_finite(run, step)
    saved = checkpoints.write(
        run.folder,
        run.replicas[0].variables,
        step=step,
        seed=run.options.random_seed,
        config=run.config,
        facts=run.facts,
        files=run.files,
    )
    run.listener.say(f"checkpoint {saved.path}")
    return saved


def evaluate(run: Run, step: int, saved: checkpoints.Checkpoint | None, stops: Stops) -> None:
    """Evaluates, where there is something to evaluate on; on all workers together.

    A signal ends it without figures. The next start then evaluates the checkpoint that it resumes from.

    Args:
        run: the run.
        step: steps done.
        saved: the checkpoint of that step, to which the chief adds the figures.
        stops: asked between batches.
    """
    if run.evaluator is None:
        return

    def ended() -> bool:
        return stops.reason not in {None, TIME_IS_UP}

    advice = f"with --eval-batch-size {run.options.eval_batch_size}: pass a smaller one, which changes no figure"
    with device_errors(f"in the evaluation after step {step}", run.hardware, advice):
        evaluator = run.evaluator
        found = _keeping_programs(run, lambda: evaluator(stop=ended))
    if found is None:
        run.listener.say(f"the evaluation after step {step:,} was not finished; the next start does it")
    elif saved is not None:
        figures = found._asdict()
        checkpoints.set_evaluation(saved, figures)
        run.listener.evaluation({"step": step, "time": time.time(), "evaluation": figures})


class Meter:
    """Adds steps up to the lines of metrics.jsonl, and sees what must end a run.

    Throughput leaves compilation out: it is that of the steps which met no width for the first time.
    """

    def __init__(self, run: Run, step: Step, hours: float) -> None:
        self.run, self.step = run, step
        self.hours = hours
        self.taken: list[_Taken] = []
        """Steps since the last line."""
        self.seconds = 0.0
        """What the last step took that compiled nothing, from the report before to its own; 0 before there is one."""
        self.last = 0.0
        self.widths = 0
        self.feed: Feed | None = None
        self.clock = self.waited = 0.0

    def began(self, feed: Feed) -> None:
        """Time is counted from now on."""
        self.feed = feed
        self.clock = self.last = time.perf_counter()
        self.waited = feed.waited

    def expected(self) -> float:
        """Seconds that the next step takes; of a start's first step, what it has taken so far."""
        return self.seconds or time.perf_counter() - self.last

    def add(self, number: int, report: Report) -> str | None:
        """Takes a step's report; the reason for which a worker wants to stop, or None.

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
        self.taken.append(_Taken(number, report, now - self.last, waited - self.waited, compiled))
        self.last, self.waited = now, waited
        if (number + 1) % self.run.options.log_steps == 0:
            self.flush()
        sent = report.signals.numpy()
        return next((reason for reason, signals in SIGNALS.items() if np.dot(sent, signals) > 0), None)

    def flush(self) -> None:
        """A line of what has been added since the last one."""
        if not self.taken:
            return
        now = time.perf_counter()
        self.hours += (now - self.clock) / 3600
        self.clock = now
        reports = [taken.report for taken in self.taken]
        last = self.taken[-1]

        def mean(values: list[tf.Tensor]) -> float:
            return sum(float(value) for value in values) / len(reports)

        def total(name: str, steps: list[_Taken]) -> float:
            return sum(float(getattr(taken.report, name)) for taken in steps)

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
        steady = [taken for taken in self.taken if not taken.compiled]
        compiling = [taken.seconds for taken in self.taken if taken.compiled]
        seconds = sum(taken.seconds for taken in steady)

        def rate(amount: float) -> float | None:
            return amount / seconds if seconds else None

        # A step that compiles does its work too.
        usual = seconds / len(steady) if steady else self.seconds
        tokens, computed = total("tokens", self.taken), total("computed", self.taken)
        peak, tflops = self.run.peak_tflops, rate(total("operations", steady))
        line |= {
            "sequences_per_second": rate(len(steady) * self.run.options.batch_size),
            "tokens_per_second": rate(total("tokens", steady)),
            "padding": 1 - tokens / computed if computed else 0.0,
            "tflops": tflops,
            "mfu": tflops / (peak * self.run.hardware.replicas) if peak and tflops is not None else None,
            "input_wait": rate(sum(taken.waited for taken in steady)),
            "compile_seconds": sum(max(0.0, took - usual) for took in compiling),
        }
        self.taken.clear()
        self.run.listener.training(line)

    def _refuse(self, number: int, report: Report) -> None:
        metrics = report.metrics
        kept = checkpoints.listing(self.run.folder)
        advice = f"the last good checkpoint is {kept[0]}" if kept else "there is no checkpoint yet"
        raise TrainerError(
            f"step {number} is not finite: masked-LM loss {float(metrics.masked_lm_loss):g}, sentence-order loss "
            f"{float(metrics.sentence_order_loss):g}, gradient norm {float(report.gradient_norm):g}, on batch {number} "
            f"of seed {self.run.options.random_seed}; nothing was updated with it, and {advice}. Another "
            "--output-dir with a lower --learning-rate, a longer --num-warmup-steps or --precision float32 may do; "
            "--init-checkpoint takes the weights over"
        )
