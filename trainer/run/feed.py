"""Batches on their way to the devices: the next ones are there before the step asks for them."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from trainer.model import flops
from trainer.run import memory, packing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from trainer.model.config import ModelConfig
    from trainer.run.hardware import Hardware
    from trainer.run.packing import MicroBatch, Sizes, Width

T = TypeVar("T")

OVERHEAD = 400
"""Work of a micro-batch besides its rows', in operations a parameter: its gradient is written, read and added up."""


class Placed(NamedTuple):
    """A micro-batch on its device."""

    width: Width
    features: dict[str, tf.Tensor]
    """See `trainer.run.packing.cut`."""


class Work(NamedTuple):
    """A batch, or a worker's share of one, in micro-batches on this worker's devices."""

    parts: list[list[Placed]]
    """Of each device."""
    predictions: float
    """Sum of the predictions' weights."""
    sentences: int
    """Rows."""
    tokens: int
    """Without padding."""
    computed: int
    """Tokens with padding and empty rows."""
    operations: float
    """Floating-point operations of the real tokens' forward and backward pass."""


class Packer:
    """Cuts batches into micro-batches, and places them.

    Args:
        widths: shapes of micro-batches, narrowest first.
        config: the model, whose work for a row decides which shape it goes into.
        hardware: where to.
    """

    def __init__(self, widths: Sequence[Width], config: ModelConfig, hardware: Hardware) -> None:
        self.widths, self.config, self.hardware = tuple(widths), config, hardware

    def cost(self, tokens: int, predictions: int) -> float:
        """The work of a row."""
        return flops.training_flops(self.config, tokens, predictions)

    def plan(self, found: Sizes) -> list[list[MicroBatch]]:
        """See `trainer.run.packing.plan`."""
        overhead = OVERHEAD * memory.parameters(self.config)
        return packing.plan(found, self.widths, len(self.hardware.devices), self.cost, overhead)

    def __call__(self, batch: Mapping[str, NDArray[Any]], weights: NDArray[np.float32] | None = None) -> Work:
        """A worker's share of a batch on its devices; `weights` [B] are what each row counts, 1 by default."""
        found = packing.sizes(batch)
        dealt = self.plan(found)
        # A worker's share of a step is every n-th row of it (`BatchSource.shard`).
        hardware = self.hardware
        numbers = (np.arange(len(found.tokens)) * hardware.workers + hardware.worker).astype(np.int32)
        parts = []
        for device, micro_batches in zip(hardware.devices, dealt, strict=True):
            with tf.device(device or None):
                parts.append([_placed(packing.cut(batch, one, numbers, weights), one.width) for one in micro_batches])
        balance = packing.balance(dealt, found)
        counts = np.count_nonzero(batch["masked_lm_weights"], axis=1)
        return Work(
            parts,
            float(batch["masked_lm_weights"].sum(dtype=np.float64)),
            len(found.tokens),
            balance.real,
            balance.computed,
            float(np.sum(flops.training_flops(self.config, found.real, counts))),
        )


def _placed(features: Mapping[str, NDArray[Any]], width: Width) -> Placed:
    return Placed(width, {name: tf.constant(array) for name, array in features.items()})


class Feed:
    """Packs and places batches ahead, in a thread of its own, and knows how long it was waited for.

    Args:
        batches: NumPy batches, or what `pack` takes.
        pack: makes what `next` returns.
        ahead: packed batches that wait.
    """

    def __init__(self, batches: Iterable[T], pack: Callable[[T], Work], ahead: int = 2) -> None:
        self.waited = 0.0
        """Seconds that `next` waited, in all."""
        self._queue: queue.Queue[Any] = queue.Queue(ahead)
        self._ended = threading.Event()
        arguments = (iter(batches), pack)
        self._thread = threading.Thread(target=self._run, args=arguments, name="albert-fast feed", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def next(self) -> Work:
        """The next packed batch.

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
        done: Work = found
        return done

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()
        while self._thread.is_alive():
            # It may be about to put one more.
            with contextlib.suppress(queue.Empty):
                self._queue.get(timeout=0.05)

    def _run(self, batches: Any, pack: Callable[[Any], Work]) -> None:
        try:
            for batch in batches:
                placed = pack(batch)
                if self._ended.is_set():
                    return
                self._queue.put(placed)
                if self._ended.is_set():
                    return
            self._queue.put(StopIteration())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the batch is told
            self._queue.put(error)
