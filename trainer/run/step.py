"""A training step: the gradients of its micro-batches, their sum over micro-batches and replicas, and one update.

Only what must be global is global. The denominators of the losses come from the whole batch, before its first
micro-batch. The norm for clipping comes from the whole gradient, after its last. So the size of the step decides what
is learned; the size of the micro-batches and the number of replicas do not.

Each replica has its own model and optimizer, made from the same seed. They stay equal, because every replica makes the
same update from the same sum. Only that sum is sent, once per step, and between machines also the two denominators
before it.

Python starts each micro-batch when the previous one is done, or nearly done. So only one is in memory at a time,
devices may have different numbers of them, and a step can be abandoned between two of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from trainer.model import losses
from trainer.model.features import ROW_WEIGHTS
from trainer.run.aside import aside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trainer.model.model import Albert
    from trainer.model.optimizers import AdamW, Update
    from trainer.model.schedule import Schedule
    from trainer.run.feed import Placed, Work
    from trainer.run.packing import Width

Batch = dict[str, tf.Tensor]
"""The features of a micro-batch.

Integers [B, S], [B, P] and [B, 1], `masked_lm_weights` float32 [B, P], and `row_numbers` and `row_weights` [B] as
`trainer.run.packing.cut` makes them.
"""

NO_SIGNALS = (0.0, 0.0)
"""The signals of a step if no worker wants to stop."""

_TAIL = 6
"""Number of figures that replicas sum in addition to gradient and sums: see the end of `Report`."""


class Replica(NamedTuple):
    """What one device trains."""

    model: Albert
    optimizer: AdamW
    """The optimizer of the model's `named_variables`."""

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """Return the float32 variables that training changes, by name: those of the model and the optimizer's slots."""
        return self.model.named_variables | self.optimizer.slots


class Report(NamedTuple):
    """What a step reports: float32 scalars, the same on every replica."""

    metrics: losses.Metrics
    """Losses and accuracies before the update."""
    gradient_norm: tf.Tensor
    """Global norm of the gradient before clipping. If it is not finite, there was no update."""
    learning_rate: tf.Tensor
    """The rate of the update."""
    tokens: tf.Tensor
    """Number of tokens in the whole batch, without padding."""
    computed: tf.Tensor
    """Number of tokens that were computed, with padding and empty rows."""
    operations: tf.Tensor
    """Floating-point operations for the real tokens, in 10^12."""
    signals: tf.Tensor
    """[2]: the sum of the signals that the workers gave to this step."""
    abandoned: tf.Tensor
    """Above 0 if a worker did not finish its part. Then there was no update, and the metrics mean nothing."""
    trust_ratios: dict[str, tf.Tensor]
    """LAMB's trust ratios, as `trainer.model.optimizers.Update` has them. AdamW has none."""


class Step:
    """Trains replicas in place, one batch per call.

    Args:
        replicas: one for each device of this worker, on that device, in the order of the strategy's devices.
        schedule: gives the learning rate.
        strategy: combines the replicas; None for one replica.
        seed: random seed of the dropout masks, from 0 to 2**31 - 1.
        jit: whether XLA compiles the gradient of a micro-batch and the update.
        compiling: called with each width when its first micro-batch is about to be compiled.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        schedule: Schedule,
        *,
        strategy: tf.distribute.Strategy | None = None,
        seed: int = 0,
        jit: bool = True,
        compiling: Callable[[Width], None] | None = None,
    ) -> None:
        self.strategy = strategy or tf.distribute.get_strategy()
        self.schedule, self.seed, self.jit = schedule, seed, jit
        self.compiling = compiling if jit else None
        self.parts = [_Part(replica, jit) for replica in replicas]
        self.started: set[tuple[int, Width]] = set()
        """Devices and widths for which a micro-batch was started. Each pair is compiled."""
        self.workers = self.strategy.num_replicas_in_sync // len(replicas)
        self.seconds: float | None = None
        """Recent seconds per micro-batch; None before the second one of a kind."""
        self._begin = tf.function(self._all_totals, autograph=False)
        self._finish = tf.function(self._reduce, autograph=False)

    def follow(self, schedule: Schedule) -> None:
        """Take the learning rates of the next steps from another schedule. Micro-batches are not compiled again."""
        self.schedule = schedule
        self._finish = tf.function(self._reduce, autograph=False)

    def __call__(
        self,
        work: Work,
        number: int,
        signals: Callable[[], Sequence[float]] = lambda: NO_SIGNALS,
        abandon: Callable[[int], bool] | None = None,
    ) -> Report:
        """Run step `number`, counted from 0, on `work`, this worker's part of the batch.

        Meanwhile, this thread only waits, so that it can handle signals.

        Args:
            work: the batch as micro-batches on the devices.
            number: decides the learning rate and the dropout masks.
            signals: returns this worker's signals [2] when its micro-batches are done. Every worker's report has their
                sum, so that all can stop after the same step.
            abandon: called between micro-batches, with the largest number of remaining micro-batches of any device. If
                it returns true, the step ends without an update on all workers.
        """
        counts = tf.constant([work.predictions, work.sentences], tf.float32)
        if self.workers > 1:
            [counts] = aside([lambda: self._begin(counts)])
        whole = losses.Totals(*tf.unstack(counts))
        left = [len(parts) for parts in work.parts]
        abandoned = [False]

        def part_of(place: int) -> Callable[[], None]:
            def run() -> None:
                part = self.parts[place]
                part.reset()
                before: tf.Tensor | None = None
                for placed in work.parts[place]:
                    if abandoned[0] or (abandon is not None and abandon(max(left))):
                        abandoned[0] = True
                        return
                    try:
                        before = self._micro_batch(place, placed, whole, number, before)
                    except BaseException:
                        # The step is lost, so the other devices need not finish it.
                        abandoned[0] = True
                        raise
                    left[place] -= 1

            return run

        aside([part_of(place) for place in range(len(self.parts))])
        figures = (work.tokens, work.computed, work.operations / 1e12)
        tail = tf.constant([*figures, *signals(), float(abandoned[0])], tf.float32)
        reports: list[Report] = aside([lambda: self._finish(tf.constant(number, tf.int64), counts, tail)])
        return reports[0]

    def _micro_batch(
        self, place: int, placed: Placed, whole: losses.Totals, number: int, before: tf.Tensor | None
    ) -> tf.Tensor:
        """Start a micro-batch, and wait for the end of the previous one."""
        width, features = placed
        part, key = self.parts[place], tf.constant([self.seed, number], tf.int64)
        first = (place, width) not in self.started
        if first:
            new = all(width != other for _, other in self.started)
            self.started.add((place, width))
            if new and self.compiling is not None:
                self.compiling(width)
        began = time.perf_counter()
        # A GPU may still be working when this returns. One more waiting micro-batch keeps it busy; more could not be
        # stopped. Without tf.device, TensorFlow places a compiled function on the first device, wherever its variables
        # are.
        with tf.device(part.device):
            started: tf.Tensor = part.add(width)(features, whole, key)
        (started if before is None else before).numpy()
        if not first:
            took = time.perf_counter() - began
            self.seconds = took if self.seconds is None else 0.8 * self.seconds + 0.2 * took
        return started

    def _place(self) -> int:
        """Return the index of the replica that is being traced. Each replica has its own part."""
        return int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)) % len(self.parts)

    def _all_totals(self, counts: tf.Tensor) -> tf.Tensor:
        """Return the sum of `counts`, float32 [n], over the workers."""

        def on_replica(mine: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # An argument of the function is on no device, but a sum over workers needs one.
            return context.all_reduce("sum", tf.identity(mine) if self._place() == 0 else tf.zeros_like(mine))

        return self._first(self.strategy.run(on_replica, args=(counts,)))

    def _reduce(self, number: tf.Tensor, counts: tf.Tensor, tail: tf.Tensor) -> Report:
        """Sum what the replicas have accumulated, and update each of them."""
        rate = self.schedule(number)

        def on_replica(mine: tf.Tensor) -> Report:
            context, part = tf.distribute.get_replica_context(), self.parts[self._place()]
            # All values are in one vector, so that a step sends only once.
            mine = mine if self._place() == 0 else tf.zeros_like(mine)
            total = context.all_reduce("sum", tf.concat([part.total, mine], 0))
            gradient, sums = total[: part.size], tf.unstack(total[part.size : -_TAIL])
            tokens, computed, operations, *sent, abandoned = tf.unstack(total[-_TAIL:])
            metrics = losses.metrics(losses.Sums(*sums), losses.Totals(*tf.unstack(counts)))
            sound = tf.math.is_finite(metrics.loss) & (abandoned == 0)
            norm, ratios = part.update(gradient, rate, sound)
            return Report(metrics, norm, rate, tokens, computed, operations, tf.stack(sent), abandoned, ratios)

        reports = self.strategy.run(on_replica, args=(tail,))
        report: Report = tf.nest.map_structure(self._first, reports)
        return report

    def _first(self, value: tf.Tensor) -> tf.Tensor:
        return self.strategy.experimental_local_results(value)[0]


def make_gradient(
    model: Albert, *, jit: bool = True
) -> Callable[[Batch, losses.Totals, tf.Tensor], tuple[losses.Sums, tf.Tensor]]:
    """Make the function that a step spends its time in: a micro-batch's sums, and its part of the step's gradient.

    Its arguments are the micro-batch, the step's denominators and the dropout key, integers [2]: seed and step. The
    gradient is float32 [parameters]: the flattened gradients of all variables in the order of `named_variables`.

    Args:
        model: the model to differentiate.
        jit: whether XLA compiles the function.
    """

    @tf.function(jit_compile=jit, autograph=False)
    def gradient(part: Batch, whole: losses.Totals, key: tf.Tensor) -> tuple[losses.Sums, tf.Tensor]:
        sums, found = _gradient(model, part, whole, key)
        return sums, _flat(found)

    done: Callable[[Batch, losses.Totals, tf.Tensor], tuple[losses.Sums, tf.Tensor]] = gradient
    return done


def _gradient(model: Albert, part: Batch, whole: losses.Totals, key: tf.Tensor) -> tuple[losses.Sums, list[tf.Tensor]]:
    """Return the sums and the gradient of each variable, in its shape; see `make_gradient`."""
    with tf.GradientTape() as tape:
        sums = losses.sums(model(part, key), part, part.get(ROW_WEIGHTS, 1.0))
        loss = losses.loss(sums, whole)
    gradient = tape.gradient(loss, list(model.named_variables.values()))
    return sums, [tf.convert_to_tensor(g) for g in gradient]


def _flat(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)


class _Part:
    """What one replica does in a step."""

    def __init__(self, replica: Replica, jit: bool) -> None:
        self.model, optimizer = replica
        self.jit = jit
        variables = self.model.named_variables
        shapes = [variable.shape for variable in variables.values()]
        sizes = [shape.num_elements() for shape in shapes]
        self.size = sum(sizes)
        self.device = next(iter(variables.values())).device
        with tf.device(self.device):
            # There is one per variable, so that XLA accumulates into it when it computes the last part of a gradient,
            # without a copy.
            self._gradients = [tf.Variable(tf.zeros(shape), trainable=False) for shape in shapes]
            self._sums = tf.Variable(tf.zeros([len(losses.Sums._fields)]), trainable=False)
        self._adds: dict[Width, Callable[[Batch, losses.Totals, tf.Tensor], tf.Tensor]] = {}

        @tf.function(jit_compile=jit, autograph=False)
        def update(gradient: tf.Tensor, rate: tf.Tensor, sound: tf.Tensor) -> Update:
            # Only one place decides whether a step is valid: the optimizer, by the norm.
            gradient = tf.where(sound, gradient, float("nan"))
            pieces = (tf.reshape(piece, shape) for piece, shape in zip(tf.split(gradient, sizes), shapes, strict=True))
            return optimizer.update(dict(zip(variables, pieces, strict=True)), rate)

        self.update = update

    @property
    def total(self) -> tf.Tensor:
        """Return what has been accumulated: the gradient, float32 [parameters], and the sums."""
        return _flat([*self._gradients, self._sums])

    def reset(self) -> None:
        """Reset what has been accumulated to zero."""
        for variable in (*self._gradients, self._sums):
            variable.assign(tf.zeros_like(variable))

    def add(self, width: Width) -> Callable[[Batch, losses.Totals, tf.Tensor], tf.Tensor]:
        """Return the function that accumulates a micro-batch of that shape. Its result is available when it is done."""
        if width not in self._adds:

            @tf.function(jit_compile=self.jit, autograph=False)
            def add(part: Batch, whole: losses.Totals, key: tf.Tensor) -> tf.Tensor:
                sums, gradient = _gradient(self.model, part, whole, key)
                for so_far, more in zip(self._gradients, gradient, strict=True):
                    so_far.assign_add(more)
                self._sums.assign_add(tf.stack([*sums]))
                return sums.masked_lm

            self._adds[width] = add
        return self._adds[width]
