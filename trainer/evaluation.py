"""Losses and accuracies over all of a held-out set of records (do_eval of the reference's run_pretraining.py).

The reference evaluates 100 batches; this evaluates every record once, in float64 sums over batches, whatever the batch
size and the number of devices.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from trainer import losses
from trainer.errors import TrainerError
from trainer.feed import FEATURES, Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from albert_fast import BatchSource
    from trainer.hardware import Hardware
    from trainer.model import Albert

ROW_WEIGHTS = "row_weights"


class Figures(NamedTuple):
    """What an evaluation found."""

    masked_lm_loss: float
    """Mean cross entropy of a prediction, in nats."""
    masked_lm_accuracy: float
    """Share of predictions that are right."""
    sentence_order_loss: float
    """Mean cross entropy of a sequence, in nats."""
    sentence_order_accuracy: float
    """Share of sequences whose order is told right."""
    records: int
    """Sequences evaluated."""
    predictions: int
    """Predictions evaluated."""
    seconds: float


class Evaluator:
    """Evaluates models on a set of records, again and again.

    Args:
        models: one for each device of this worker.
        source: the whole set, not shuffled; its batch size is all devices' of this worker.
        hardware: where to.
        jit: whether XLA compiles.

    Raises:
        TrainerError: the batch size does not suit the devices.
    """

    def __init__(self, models: Sequence[Albert], source: BatchSource, hardware: Hardware, *, jit: bool) -> None:
        if source.batch_size % len(hardware.devices):
            raise TrainerError(
                f"eval_batch_size must be a multiple of the {hardware.replicas} devices; it is "
                f"{source.batch_size * hardware.workers}"
            )
        self.source, self.hardware = source, hardware
        self._step = _make_step(models, hardware, jit)

    def __call__(self, progress: Callable[[int, int], None] | None = None) -> Figures:
        """The figures over the whole set.

        Args:
            progress: is told how many batches of how many are done.
        """
        began = time.perf_counter()
        total = np.zeros(len(losses.Sums._fields) + 2)
        count = -(-len(self.source) // (self.source.batch_size * self.hardware.workers))
        with Feed(self._batches(count), (*FEATURES, ROW_WEIGHTS), self.hardware) as feed:
            for done in range(count):
                total += np.asarray(self._step(feed.next()), np.float64)
                if progress is not None:
                    progress(done + 1, count)
        *sums, weight, rows = total.tolist()
        masked_lm, right, order, order_right = sums
        weight = weight or 1.0
        return Figures(
            masked_lm / weight,
            right / weight,
            order / rows,
            order_right / rows,
            round(rows),
            round(total[-2]),
            time.perf_counter() - began,
        )

    def _batches(self, count: int) -> Iterator[dict[str, Any]]:
        """This worker's share of the set, with weights that leave out what is of the next epoch."""
        workers, worker = self.hardware.workers, self.hardware.worker
        size = self.source.batch_size
        part = self.source.shard(worker, workers) if workers > 1 else self.source
        for number, batch in enumerate(part.batches(0, count)):
            rows = number * size * workers + worker + workers * np.arange(size)
            valid = (rows < len(self.source)).astype(np.float32)
            weights = batch["masked_lm_weights"] * valid[:, np.newaxis]
            yield {**batch, "masked_lm_weights": weights, ROW_WEIGHTS: valid}


def _make_step(models: Sequence[Albert], hardware: Hardware, jit: bool) -> Callable[[Any], tf.Tensor]:
    """A function of a placed batch: the sums of `losses.Sums`, the predictions' weight and the rows, float32 [6]."""

    def part(model: Albert) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
        @tf.function(jit_compile=jit)
        def sums(batch: dict[str, tf.Tensor]) -> tf.Tensor:
            rows = batch[ROW_WEIGHTS]
            found = losses.sums(model(batch), batch, rows)
            return tf.stack([*found, tf.reduce_sum(batch["masked_lm_weights"]), tf.reduce_sum(rows)])

        done: Callable[[dict[str, tf.Tensor]], tf.Tensor] = sums
        return done

    parts = [part(model) for model in models]

    def on_replica(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        place = int(tf.get_static_value(context.replica_id_in_sync_group))
        return context.all_reduce("sum", parts[place % len(parts)](batch))

    @tf.function
    def step(batch: Any) -> tf.Tensor:
        found = hardware.strategy.run(on_replica, args=(batch,))
        return hardware.strategy.experimental_local_results(found)[0]

    done: Callable[[Any], tf.Tensor] = step
    return done
