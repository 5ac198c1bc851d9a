"""Losses and accuracies over all of a held-out set of records (do_eval of the reference's run_pretraining.py).

The reference evaluates 100 batches. This module evaluates every record once and sums over batches in float64, whatever
the batch size and the number of devices.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from albert_fast.errors import option_error
from trainer.model import flops, losses
from trainer.model.features import FEATURES, ROW_WEIGHTS
from trainer.run import packing
from trainer.run.aside import aside
from trainer.run.feed import Feed, Packer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from albert_fast import BatchSource
    from trainer.model.model import Albert
    from trainer.run.feed import Placed, Work
    from trainer.run.hardware import Hardware
    from trainer.run.packing import Width

TOKENS_AT_A_TIME = {"GPU": 65_536, "CPU": 2_048}
"""Maximum number of tokens in a micro-batch.

More would not be faster, and would take memory that the training step does not need.
"""

WINDOW = 16
"""Number of batches whose rows are packed together. In a single batch, most micro-batches would have a long row."""


class Figures(NamedTuple):
    """The result of an evaluation."""

    masked_lm_loss: float
    """Mean cross entropy of the masked tokens, in nats."""
    masked_lm_accuracy: float
    """Fraction of the masked tokens that are predicted correctly."""
    sentence_order_loss: float
    """Mean cross entropy of the instances' order, in nats."""
    sentence_order_accuracy: float
    """Fraction of the instances whose order is predicted correctly."""
    records: int
    """Number of instances evaluated."""
    predictions: int
    """Number of masked tokens evaluated."""
    seconds: float


class Evaluator:
    """Evaluates models on a set of records. It can be called repeatedly.

    Rows are packed as in training (`trainer.run.packing`), `WINDOW` batches at a time.

    Args:
        models: one for each device of this worker.
        source: the whole set, not shuffled. Its batch size is for all devices of this worker together.
        hardware: the devices to evaluate on.
        jit: whether XLA compiles.
        widths: widths of micro-batches in tokens; None to choose a few that fit the data.

    Raises:
        AlbertFastError: the batch size is not a multiple of the number of devices.
    """

    def __init__(
        self,
        models: Sequence[Albert],
        source: BatchSource,
        hardware: Hardware,
        *,
        jit: bool,
        widths: Sequence[int] | None = None,
    ) -> None:
        if source.batch_size % len(hardware.devices):
            rule = f"a multiple of the number of devices ({hardware.replicas})"
            raise option_error("eval_batch_size", rule, source.batch_size * hardware.workers)
        self.source, self.hardware = source, hardware
        self.config = models[0].config
        most = max(1, TOKENS_AT_A_TIME[hardware.kind] // source.max_seq_length)
        self.rows = min(most, source.batch_size // len(hardware.devices))
        self._chosen = widths
        self._packer: Packer | None = None
        self._sums = [_make_sums(model, jit) for model in models]

    def __call__(
        self, progress: Callable[[int, int], None] | None = None, stop: Callable[[], bool] = lambda: False
    ) -> Figures | None:
        """Return the figures over the whole set, or None if `stop` ended it early, on this or another worker.

        Args:
            progress: called with the number of batches done and their total.
            stop: called between micro-batches; true ends the evaluation.
        """
        began = time.perf_counter()
        # The last value is above 0 if a worker did not finish.
        total = np.zeros(len(losses.Sums._fields) + 3)
        count = -(-len(self.source) // (self.source.batch_size * self.hardware.workers))
        windows = range(0, count, WINDOW)
        with Feed(self._windows(count), lambda window: self._pack(*window)) as feed:
            for done in windows:
                parts = feed.next().parts
                count_one = self._counter(progress, done, count, sum(map(len, parts)))
                ended = threading.Event()
                found = aside([self._work(place, part, stop, ended, count_one) for place, part in enumerate(parts)])
                total += np.sum(found, axis=0)
                if total[-1]:
                    break
        total = self._over_workers(total)
        *sums, weight, rows, stopped = total.tolist()
        if stopped:
            return None
        masked_lm, right, order, order_right = sums
        predictions = round(weight)
        weight = weight or 1.0
        return Figures(
            masked_lm / weight,
            right / weight,
            order / rows,
            order_right / rows,
            round(rows),
            predictions,
            time.perf_counter() - began,
        )

    def _counter(
        self, progress: Callable[[int, int], None] | None, done: int, count: int, micro_batches: int
    ) -> Callable[[], None]:
        """Return the function that devices call after each micro-batch of the window that begins with batch `done`."""
        size, lock = min(WINDOW, count - done), threading.Lock()
        finished = 0

        def count_one() -> None:
            nonlocal finished
            if progress is not None:
                with lock:
                    finished += 1
                    progress(done + size * finished // micro_batches, count)

        return count_one

    def _work(
        self,
        place: int,
        part: list[Placed],
        stop: Callable[[], bool],
        ended: threading.Event,
        count_one: Callable[[], None],
    ) -> Callable[[], NDArray[np.float64]]:
        def run() -> NDArray[np.float64]:
            """Return float64 [7]: the sums over a device's micro-batches, and whether it stopped before their end."""
            total = np.zeros(len(losses.Sums._fields) + 3)
            for placed in part:
                if ended.is_set() or stop():
                    total[-1] = 1
                    break
                try:
                    with tf.device(self.hardware.devices[place] or None):
                        total[:-1] += np.asarray(self._sums[place](placed.width)(placed.features), np.float64)
                except BaseException:
                    ended.set()
                    raise
                count_one()
            return total

        return run

    def _windows(self, count: int) -> Iterator[tuple[dict[str, NDArray[Any]], NDArray[np.float32]]]:
        """Yield this worker's part of the set, with weights that exclude rows of the next epoch."""
        workers, worker = self.hardware.workers, self.hardware.worker
        size = self.source.batch_size
        part = self.source.shard(worker, workers) if workers > 1 else self.source
        kept: list[tuple[Any, NDArray[np.float32]]] = []
        for number, batch in enumerate(part.batches(0, count)):
            rows = number * size * workers + worker + workers * np.arange(size)
            valid = (rows < len(self.source)).astype(np.float32)
            weights = batch["masked_lm_weights"] * valid[:, np.newaxis]
            kept.append(({**batch, "masked_lm_weights": weights}, valid))
            if len(kept) == WINDOW or number == count - 1:
                batches, valids = zip(*kept, strict=True)
                window = {name: np.concatenate([one[name] for one in batches]) for name in FEATURES}
                yield window, np.concatenate(valids)
                kept.clear()

    def _pack(self, batch: dict[str, NDArray[Any]], weights: NDArray[np.float32]) -> Work:
        if self._packer is None:
            # Computed from the first window, so it is the same in every evaluation.
            found = packing.sizes(batch)
            shape = self.source.max_seq_length, self.source.max_predictions, self.rows
            per_device = len(weights) // len(self.hardware.devices)
            chosen = (
                packing.choose(found, *shape, per_device, lambda *row: flops.training_flops(self.config, *row))
                if self._chosen is None
                else packing.explicit(self._chosen, *shape, found, per_device)
            )
            self._packer = Packer(chosen, self.config, self.hardware)
        return self._packer(batch, weights)

    def _over_workers(self, total: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.hardware.workers == 1:
            return total
        strategy, devices = self.hardware.strategy, len(self.hardware.devices)

        def on_replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            first = int(tf.get_static_value(context.replica_id_in_sync_group)) % devices == 0
            return context.all_reduce("sum", tf.constant(total if first else np.zeros_like(total)))

        [found] = aside([lambda: strategy.run(tf.function(on_replica, autograph=False))])
        result: NDArray[np.float64] = strategy.experimental_local_results(found)[0].numpy()
        return result


def _make_sums(model: Albert, jit: bool) -> Callable[[Width], Callable[[dict[str, tf.Tensor]], tf.Tensor]]:
    """Return a function per width that maps a micro-batch to float32 [6].

    The six values are `losses.Sums`, the weight of the predictions and the number of rows.
    """

    @functools.cache
    def of_width(_: Width) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
        @tf.function(jit_compile=jit, autograph=False)
        def sums(batch: dict[str, tf.Tensor]) -> tf.Tensor:
            rows = batch[ROW_WEIGHTS]
            found = losses.sums(model(batch), batch, rows)
            return tf.stack([*found, tf.reduce_sum(batch["masked_lm_weights"]), tf.reduce_sum(rows)])

        done: Callable[[dict[str, tf.Tensor]], tf.Tensor] = sums
        return done

    return of_width
