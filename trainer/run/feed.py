"""Transfer of batches to the devices: the next ones are ready before the step asks for them."""

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
"""Work of a micro-batch apart from its rows, in operations per parameter: its gradient is written, read and added."""


class Placed(NamedTuple):
    """A micro-batch on its device."""

    width: Width
    features: dict[str, tf.Tensor]
    """See `trainer.run.packing.cut`."""


class Work(NamedTuple):
    """A batch, or a worker's part of one, as micro-batches on this worker's devices."""

    parts: list[list[Placed]]
    """The micro-batches of each device."""
    predictions: float
    """Sum of the weights of the predictions."""
    sentences: int
    """Number of rows."""
    tokens: int
    """Number of tokens without padding."""
    computed: int
    """Number of tokens with padding and empty rows."""
    operations: float
    """Floating-point operations of the forward and backward pass of the real tokens."""


class Packer:
    """Splits batches into micro-batches and places them on devices.

    Args:
        widths: shapes of micro-batches, narrowest first.
        config: the model. Its work for a row decides the shape of the row's micro-batch.
        hardware: the devices to place them on.
    """

    def __init__(self, widths: Sequence[Width], config: ModelConfig, hardware: Hardware) -> None:
        self.widths, self.config, self.hardware = tuple(widths), config, hardware

    def cost(self, tokens: int, predictions: int) -> float:
        """Return the work of a row."""
        return flops.training_flops(self.config, tokens, predictions)

    def plan(self, found: Sizes) -> list[list[MicroBatch]]:
        """See `trainer.run.packing.plan`."""
        overhead = OVERHEAD * memory.parameters(self.config)
        return packing.plan(found, self.widths, len(self.hardware.devices), self.cost, overhead)

    def __call__(self, batch: Mapping[str, NDArray[Any]], weights: NDArray[np.float32] | None = None) -> Work:
        """Place a worker's part of a batch on its devices.

        `weights` [B] say how much each row counts, 1 by default.
        """
        found = packing.sizes(batch)
        dealt = self.plan(found)
        # A worker's part of a step is every n-th row of it (`BatchSource.shard`).
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
    """Packs and places batches ahead in its own thread, and measures how long `next` waited.

    Args:
        batches: NumPy batches, or whatever `pack` takes.
        pack: makes the values that `next` returns.
        ahead: how many packed batches to keep ready.
    """

    def __init__(self, batches: Iterable[T], pack: Callable[[T], Work], ahead: int = 2) -> None:
        self.waited = 0.0
        """Total seconds that `next` waited."""
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
        """Return the next packed batch.

        Raises:
            StopIteration: there are no more.
            Exception: the exception that the source raised.
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
        """End the thread."""
        self._ended.set()
        while self._thread.is_alive():
            # The thread may be about to put one more.
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
        except BaseException as error:  # noqa: BLE001 - `next` raises it
            self._queue.put(error)
