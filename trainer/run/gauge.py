"""Memory and utilization of the GPUs, from NVIDIA's NVML: the package nvidia-ml-py, if it is installed.

A thread asks NVML once per second, so that an answer that is late, or never comes, delays no step. Whatever goes wrong
here, the run continues without these figures. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

EVERY = 1.0
"""Seconds between two questions. NVML itself averages the utilization over up to a second."""
FAILURES = 10
"""Number of failures in a row after which the thread asks no more."""


class Gauge:
    """Figures of the GPUs that this process uses, since they were last taken. It measures within a `with` block.

    Args:
        count: number of GPUs in use; 0 to measure nothing.
        library: NVML, for tests; by default `pynvml`.
        visible: the value of CUDA_VISIBLE_DEVICES; by default that of this process.
    """

    def __init__(self, count: int, *, library: Any = None, visible: str | None = None) -> None:
        self._library = library
        self._count = count
        self._visible = os.environ.get("CUDA_VISIBLE_DEVICES", "") if visible is None else visible
        self._lock = threading.Lock()
        self._busy: list[float] = []
        self._memory = 0
        self._total = 0
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if self._count > 0:
            threading.Thread(target=self._work, name="albert-fast gauge", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()  # without waiting for an answer

    def take(self) -> dict[str, float]:
        """Return the figures since the last call; none if nothing was measured.

        `gpu_utilization` is the mean over GPUs and time of the fraction of time in which a kernel ran.
        `gpu_memory_bytes` is the largest amount of memory in use on a GPU, by all processes, and `gpu_memory` the same
        as a fraction of the GPU's memory.
        """
        with self._lock:
            busy, memory, total = self._busy, self._memory, self._total
            self._busy, self._memory = [], 0
        found: dict[str, float] = {}
        if busy:
            found["gpu_utilization"] = sum(busy) / len(busy)
        if memory:
            found["gpu_memory_bytes"] = memory
            found["gpu_memory"] = memory / total
        return found

    def _work(self) -> None:
        try:
            handles = self.open()
        except Exception:  # noqa: BLE001 - there is no GPU, no driver, no package, or something else that is no concern
            return
        failed = 0
        while not self._ended.wait(EVERY) and failed < FAILURES:
            failed = 0 if self.measure(handles) else failed + 1

    def open(self) -> list[Any]:
        """Start NVML, and return its handles of the GPUs in use.

        Raises:
            Exception: it is missing, or does not know them.
        """
        if self._library is None:
            self._library = importlib.import_module("pynvml")
        self._library.nvmlInit()
        return [self._handle(name) for name in chosen(self._visible, self._count)]

    def _handle(self, name: int | str) -> Any:
        nvml = self._library
        if isinstance(name, int):
            return nvml.nvmlDeviceGetHandleByIndex(name)
        return nvml.nvmlDeviceGetHandleByUUID(name)

    def measure(self, handles: Sequence[Any]) -> bool:
        """Ask NVML once. Return whether it answered at all.

        A part of a GPU (MIG) has memory, but NVML knows no utilization of it.
        """
        busy: list[float] = []
        used: list[tuple[int, int]] = []
        for handle in handles:
            with contextlib.suppress(Exception):
                memory = self._library.nvmlDeviceGetMemoryInfo(handle)
                if int(memory.total) > 0:
                    used.append((int(memory.used), int(memory.total)))
            with contextlib.suppress(Exception):
                busy.append(float(self._library.nvmlDeviceGetUtilizationRates(handle).gpu) / 100)
        with self._lock:
            self._busy += busy
            if used and max(used)[0] > self._memory:
                self._memory, self._total = max(used)
        return bool(busy or used)


def chosen(visible: str, count: int) -> list[int | str]:
    """Return the numbers or UUIDs of the first `count` GPUs that CUDA shows to this process.

    NVML counts in the order of the PCI bus. CUDA does so only with CUDA_DEVICE_ORDER=PCI_BUS_ID, but otherwise differs
    only if the GPUs are not all alike.
    """
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if not names:
        return list(range(count))
    return [int(name) if name.isdecimal() else name for name in names][:count]
