"""The training loop: batch k for step k, from where the last checkpoint was to the end, or to where it is stopped."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from albert_fast import AlbertFastError
from albert_fast.cli.progress import duration
from trainer import checkpoints, flops
from trainer.errors import TrainerError
from trainer.feed import FEATURES, Feed
from trainer.losses import Metrics
from trainer.step import NO_SIGNALS, make_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from albert_fast import BatchSource
    from trainer.config import ModelConfig
    from trainer.evaluation import Evaluator
    from trainer.hardware import Hardware
    from trainer.options import Options
    from trainer.schedule import Schedule
    from trainer.step import Replica, Report, Step

TIME_IS_UP = "--max-hours"
"""The reason to stop that is no interruption."""
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


class Run(NamedTuple):
    """What a run trains with; see the fields."""

    config: ModelConfig
    options: Options
    schedule: Schedule
    hardware: Hardware
    replicas: Sequence[Replica]
    source: BatchSource
    """All of the data, in batches of this worker's size."""
    micro_batch: int
    """Sequences that a device takes at a time."""
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


def train(run: Run, start: int, hours: float, stop: Callable[[], str | None]) -> Outcome:
    """Trains from step `start` on.

    Args:
        run: with variables as they are after `start` steps.
        start: steps done.
        hours: of training before this start.
        stop: asked at each step; the name of a reason to save and to end, or None.

    Raises:
        TrainerError: a loss that is not finite, a disk that is full, a device without memory for the step. What the
            last checkpoint holds is kept.
        AlbertFastError: the data cannot be read.
    """
    hardware, options = run.hardware, run.options
    step = make_step(
        run.replicas,
        run.schedule,
        run.micro_batch,
        strategy=hardware.strategy,
        seed=options.random_seed,
        jit=run.jit,
    )
    part = run.source.shard(hardware.worker, hardware.workers) if hardware.workers > 1 else run.source
    total = options.num_train_steps
    meter = Meter(run, hours)
    reason: str | None = None
    with Feed(part.batches(start, total), FEATURES, hardware) as feed:
        meter.began(feed)
        done = saved = start
        try:
            while done < total:
                reason = reason or stop()
                ended = meter.add(done, _take(step, feed, done, reason, run))
                done += 1
                if ended or done == total or done % options.save_checkpoints_steps == 0:
                    meter.flush()
                    saved = done
                    _save(run, done)
                    meter.began(feed)
                    if ended:
                        reason = reason or ended
                        break
        except AlbertFastError:
            # The data is at fault and not the weights: what was trained with the rest of it is kept.
            if hardware.chief and saved < done:
                _write(run, done)
            raise
    finished = done == total
    return Outcome(done, finished, None if finished else reason)


def _take(step: Step, feed: Feed, number: int, reason: str | None, run: Run) -> Report:
    signals = NO_SIGNALS if reason is None else SIGNALS.get(reason, SIGNALS["another worker"])
    shape = f"{run.micro_batch} x {run.source.max_seq_length}"
    advice = f"with micro-batches of {shape} tokens: pass a smaller --micro-batch-size"
    with device_errors(f"in step {number}", run.hardware, advice):
        return step(feed.next(), tf.constant(number, tf.int64), tf.constant(signals))


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
    except tf.errors.ResourceExhaustedError as error:
        raise TrainerError(f"out of memory on {hardware.name} {where}, {advice} ({_first_line(error)})") from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise TrainerError(
            f"another worker is gone, {where}: start all of them again, and they go on from the newest checkpoint "
            f"({_first_line(error)})"
        ) from error


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


def _save(run: Run, step: int) -> None:
    """A checkpoint, its evaluation, and away with what is too old."""
    evaluate(run, step, _write(run, step) if run.hardware.chief else None)
    if run.hardware.chief:
        checkpoints.prune(run.folder, run.options.keep_checkpoint_max)


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


def evaluate(run: Run, step: int, saved: checkpoints.Checkpoint | None) -> None:
    """Evaluates, where there is something to evaluate on; on all workers together.

    Args:
        run: the run.
        step: steps done.
        saved: the checkpoint of that step, to which the chief adds the figures.
    """
    if run.evaluator is None:
        return
    advice = f"with --eval-batch-size {run.options.eval_batch_size}: pass a smaller one, which changes no figure"
    with device_errors(f"in the evaluation after step {step}", run.hardware, advice):
        figures = run.evaluator()._asdict()
    if saved is not None:
        checkpoints.set_evaluation(saved, figures)
        run.listener.evaluation({"step": step, "time": time.time(), "evaluation": figures})


class Meter:
    """Adds steps up to the lines of metrics.jsonl, and sees what must end a run."""

    def __init__(self, run: Run, hours: float) -> None:
        self.run = run
        self.hours = hours
        source = run.source
        self.operations = flops.training_flops(run.config, source.max_seq_length, source.max_predictions)
        self.reports: list[tuple[int, Report]] = []
        self.first = True
        self.feed: Feed | None = None
        self.clock = self.waited = 0.0

    def began(self, feed: Feed) -> None:
        """Time is counted from now on."""
        self.feed, self.clock, self.waited = feed, time.perf_counter(), feed.waited

    def add(self, number: int, report: Report) -> str | None:
        """Takes a step's report; the reason for which a worker wants to stop, or None.

        Raises:
            TrainerError: the step was not finite.
        """
        loss, norm = float(report.metrics.loss), float(report.gradient_norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._refuse(number, report)
        self.reports.append((number, report))
        if self.first:
            self.first = False
            self.run.listener.say(
                f"step {number + 1} took {duration(time.perf_counter() - self.clock)}, compiling included"
            )
        if (number + 1) % self.run.options.log_steps == 0:
            self.flush()
        sent = report.signals.numpy()
        return next((reason for reason, signals in SIGNALS.items() if np.dot(sent, signals) > 0), None)

    def flush(self) -> None:
        """A line of what has been added since the last one."""
        if not self.reports or self.feed is None:
            return
        now = time.perf_counter()
        seconds, waited = now - self.clock, self.feed.waited - self.waited
        self.clock, self.waited = now, self.feed.waited
        self.hours += seconds / 3600
        count = len(self.reports)
        number, last = self.reports[-1]

        def mean(values: list[tf.Tensor]) -> float:
            return sum(float(value) for value in values) / count

        line: dict[str, Any] = {"step": number + 1, "steps": count, "time": time.time(), "hours": self.hours}
        for name in Metrics._fields:
            line[name] = mean([getattr(report.metrics, name) for _, report in self.reports])
        sequences = count * self.run.options.batch_size
        tflops = sequences * self.operations / seconds / 1e12
        peak = self.run.peak_tflops
        line |= {
            "learning_rate": float(last.learning_rate),
            "gradient_norm": mean([report.gradient_norm for _, report in self.reports]),
            "sequences_per_second": sequences / seconds,
            "tokens_per_second": sum(float(report.tokens) for _, report in self.reports) / seconds,
            "tflops": tflops,
            "mfu": tflops / (peak * self.run.hardware.replicas) if peak else None,
            "input_wait": waited / seconds,
        }
        self.reports.clear()
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
