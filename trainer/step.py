"""A training step: the gradients of its micro-batches, their sum over micro-batches and replicas, one update.

Only what has to be global is: the losses' denominators come from the whole batch before its first micro-batch, the norm
that clips from the whole gradient after its last. So the step's size, not the micro-batch's nor the number of replicas,
decides what is learnt.

Each replica has a model and an optimizer of its own, made from the same seed. They stay equal, because every replica
makes the same update from the same sum; nothing is sent but that sum, once a step, and before it the two denominators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from trainer import losses
from trainer.layers import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trainer.model import Albert
    from trainer.optimizers import AdamW
    from trainer.schedule import Schedule

Batch = dict[str, tf.Tensor]
"""The features of records: integers [B, S], [B, P] and [B, 1], and `masked_lm_weights` float32 [B, P]."""

NO_SIGNALS = (0.0, 0.0)
"""What a step is given where nobody wants to stop."""


class Replica(NamedTuple):
    """What one device trains."""

    model: Albert
    optimizer: AdamW
    """Over the model's `named_variables`."""

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """All that training changes, by name: the model's variables and the optimizer's slots, float32."""
        return self.model.named_variables | self.optimizer.slots


class Report(NamedTuple):
    """What a step reports, besides changing the model: float32 scalars, the same on every replica."""

    metrics: losses.Metrics
    """Losses and accuracies before the update."""
    gradient_norm: tf.Tensor
    """Global norm of the gradient before clipping. Where it is not finite, there was no update."""
    learning_rate: tf.Tensor
    """The rate of the update."""
    tokens: tf.Tensor
    """Tokens of the whole batch, padding left out."""
    signals: tf.Tensor
    """[2]: the sum of the signals that each worker gave to this step."""


if TYPE_CHECKING:
    Step = Callable[[Batch, tf.Tensor, tf.Tensor], Report]


def dropout_key(seed: int, step: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    """int32 [2]: the key of micro-batch `part` of `step`, so that a resumed run draws what an unbroken one would."""
    key = tf.random.fold_in(tf.constant([seed, 0]), step, alg=GENERATOR)
    return tf.random.fold_in(key, part, alg=GENERATOR)


def make_step(
    replicas: Sequence[Replica],
    schedule: Schedule,
    micro_batch: int,
    *,
    strategy: tf.distribute.Strategy | None = None,
    seed: int = 0,
    jit: bool = True,
) -> Step:
    """A function of a batch, its step's number and signals, which trains the replicas in place.

    The batch is a replica's share, its size a multiple of `micro_batch`; under a strategy of several replicas the
    features hold one value each. The number is an int64 scalar, counted from 0. The signals, float32 [2], are this
    worker's; every worker's step reports their sum, so that all can stop after the same step.

    Args:
        replicas: one for each device of this worker, in the order of the strategy's, on that device.
        schedule: gives the learning rate.
        micro_batch: sequences whose activations a replica holds at a time.
        strategy: how replicas add up; None for one replica.
        seed: decides the dropout masks; from 0 to 2**31 - 1.
        jit: whether XLA compiles the gradient of a micro-batch and the update.
    """
    strategy = strategy or tf.distribute.get_strategy()
    parts = [_Part(replica, schedule, micro_batch, seed, jit) for replica in replicas]

    def on_replica(batch: Batch, number: tf.Tensor, signals: tf.Tensor) -> Report:
        # Known while tracing: each replica's part is its own.
        place = int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))
        return parts[place % len(parts)](batch, number, signals, place)

    @tf.function
    def step(batch: Batch, number: tf.Tensor, signals: tf.Tensor) -> Report:
        reports = strategy.run(on_replica, args=(batch, number, signals))
        report: Report = tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], reports)
        return report

    done: Step = step
    return done


def make_gradient(
    model: Albert, *, jit: bool = True
) -> Callable[[Batch, losses.Totals, tf.Tensor], tuple[losses.Sums, tf.Tensor]]:
    """The function that a step spends its time in: a micro-batch's sums, and its share of the step's gradient.

    Its arguments are the micro-batch, the step's denominators and the dropout key, int32 [2]. The gradient is float32
    [parameters]: that of every variable in the order of `named_variables`, flattened.

    Args:
        model: whose gradient.
        jit: whether XLA compiles it.
    """
    variables = list(model.named_variables.values())

    @tf.function(jit_compile=jit)
    def share(part: Batch, whole: losses.Totals, key: tf.Tensor) -> tuple[losses.Sums, tf.Tensor]:
        with tf.GradientTape() as tape:
            sums = losses.sums(model(part, key), part)
            loss = losses.loss(sums, whole)
        gradient = tape.gradient(loss, variables)
        return sums, tf.concat([tf.reshape(tf.convert_to_tensor(g), [-1]) for g in gradient], 0)

    found: Callable[[Batch, losses.Totals, tf.Tensor], tuple[losses.Sums, tf.Tensor]] = share
    return found


class _Part:
    """What one replica does in a step."""

    def __init__(self, replica: Replica, schedule: Schedule, micro_batch: int, seed: int, jit: bool) -> None:
        self.schedule, self.micro_batch, self.seed = schedule, micro_batch, seed
        model, optimizer = replica
        variables = model.named_variables
        shapes = [variable.shape for variable in variables.values()]
        sizes = [shape.num_elements() for shape in shapes]

        @tf.function(jit_compile=jit)
        def update(gradient: tf.Tensor, rate: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
            # One place decides whether a step is sound: the optimizer, by the norm.
            gradient = tf.where(tf.math.is_finite(loss), gradient, float("nan"))
            pieces = (tf.reshape(piece, shape) for piece, shape in zip(tf.split(gradient, sizes), shapes, strict=True))
            return optimizer.apply(dict(zip(variables, pieces, strict=True)), rate)

        self.share, self.update, self.size = make_gradient(model, jit=jit), update, sum(sizes)

    def __call__(self, batch: Batch, number: tf.Tensor, signals: tf.Tensor, place: int) -> Report:
        """The step of replica `place`."""
        context = tf.distribute.get_replica_context()
        size = batch["input_ids"].shape[0]
        if size is None or size % self.micro_batch:
            raise ValueError(f"the batch must be a multiple of the micro-batch ({self.micro_batch}), not {size}")
        whole = losses.Totals(*tf.unstack(context.all_reduce("sum", tf.stack(losses.totals(batch)))))
        sums, gradient = self._accumulate(batch, whole, number, place)

        # All in one vector, so that a step sends once.
        tokens = tf.reduce_sum(tf.cast(batch["input_mask"], tf.float32))
        tail = tf.concat([tf.stack([*sums, tokens]), tf.cast(signals, tf.float32)], 0)
        total = context.all_reduce("sum", tf.concat([gradient, tail], 0))
        gradient, (*summed, tokens), signals = total[: self.size], tf.unstack(total[self.size : -2]), total[-2:]

        metrics = losses.metrics(losses.Sums(*summed), whole)
        rate = self.schedule(number)
        return Report(metrics, self.update(gradient, rate, metrics.loss), rate, tokens, signals)

    def _accumulate(
        self, batch: Batch, whole: losses.Totals, number: tf.Tensor, place: int
    ) -> tuple[losses.Sums, tf.Tensor]:
        """The sums, and the gradient float32 [parameters], of this replica's micro-batches."""
        parts = batch["input_ids"].shape[0] // self.micro_batch

        def part(index: int | tf.Tensor) -> tuple[losses.Sums, tf.Tensor]:
            rows = {name: feature[index * self.micro_batch :][: self.micro_batch] for name, feature in batch.items()}
            for name, feature in rows.items():
                rows[name] = tf.ensure_shape(feature, [self.micro_batch, *batch[name].shape[1:]])
            found: tuple[losses.Sums, tf.Tensor] = self.share(
                rows, whole, dropout_key(self.seed, number, place * parts + index)
            )
            return found

        def add(index: tf.Tensor, so_far: tuple[losses.Sums, tf.Tensor]) -> tuple[tf.Tensor, object]:
            return index + 1, tf.nest.map_structure(tf.add, so_far, part(index))

        _, found = tf.while_loop(lambda index, _: index < parts, add, (1, part(0)), parallel_iterations=1)
        done: tuple[losses.Sums, tf.Tensor] = found
        return done
