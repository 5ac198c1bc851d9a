"""Batches on their way to the devices: the next ones are there before the step asks for them."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from trainer.hardware import Hardware

FEATURES = (
    "input_ids",
    "input_mask",
    "segment_ids",
    "masked_lm_positions",
    "masked_lm_ids",
    "masked_lm_weights",
    "next_sentence_labels",
)
"""What the model reads of a batch."""


def place(batch: Mapping[str, NDArray[Any]], names: Iterable[str], hardware: Hardware) -> Any:
    """A worker's batch on its devices: to each its share of the rows, as the strategy takes it."""
    count = len(hardware.devices)

    def share(index: int) -> dict[str, tf.Tensor]:
        with tf.device(hardware.devices[index] or None):
            return {name: tf.constant(np.array_split(batch[name], count)[index]) for name in names}

    if count == 1 and hardware.workers == 1:
        return share(0)
    return hardware.strategy.experimental_distribute_values_from_function(
        lambda context: share(int(context.replica_id_in_sync_group) % count)
    )


class Feed:
    """Places batches ahead, in a thread of its own, and knows how long it was waited for.

    Args:
        batches: NumPy batches.
        names: the arrays to place.
        hardware: where to.
        ahead: placed batches that wait.
    """

    def __init__(
        self, batches: Iterable[Mapping[str, Any]], names: Iterable[str], hardware: Hardware, ahead: int = 2
    ) -> None:
        self.waited = 0.0
        """Seconds that `next` waited, in all."""
        self._queue: queue.Queue[Any] = queue.Queue(ahead)
        self._ended = threading.Event()
        arguments = (iter(batches), tuple(names), hardware)
        self._thread = threading.Thread(target=self._run, args=arguments, name="albert-fast feed", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def next(self) -> Any:
        """The next placed batch.

        Raises:
            StopIteration: there are no more.
            Exception: what the source raised.
        """
        began = time.perf_counter()
        found = self._queue.get()
        self.waited += time.perf_counter() - began
        if isinstance(found, BaseException):
            self._queue.put(found)
            raise found
        return found

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()
        while self._thread.is_alive():
            # It may be about to put one more.
            with contextlib.suppress(queue.Empty):
                self._queue.get(timeout=0.05)

    def _run(self, batches: Any, names: tuple[str, ...], hardware: Hardware) -> None:
        try:
            for batch in batches:
                placed = place(batch, names, hardware)
                if self._ended.is_set():
                    return
                self._queue.put(placed)
                if self._ended.is_set():
                    return
            self._queue.put(StopIteration())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the batch is told
            self._queue.put(error)
