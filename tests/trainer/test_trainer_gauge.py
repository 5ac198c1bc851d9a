"""Utilization and memory of GPUs, from an NVML that is pretended, missing or broken."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from trainer.run.gauge import FAILURES, Gauge, chosen


class Nvml:
    """Two GPUs."""

    def __init__(self, *, rates: Any = (50, 100), used: Any = (30, 40), broken: tuple[str, ...] = ()) -> None:
        self.rates, self.used, self.broken = rates, used, broken
        self.asked: list[Any] = []
        self.calls = 0

    def _check(self, name: str) -> None:
        self.calls += 1
        if name in self.broken:
            raise RuntimeError("NVML: unknown error")

    def nvmlInit(self) -> None:  # noqa: N802
        self._check("init")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        self._check("handle")
        self.asked.append(index)
        return index

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:  # noqa: N802
        self.asked.append(name)
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        self._check("memory")
        return SimpleNamespace(used=self.used[handle], total=80)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        self._check("rates")
        return SimpleNamespace(gpu=self.rates[handle])


def test_figures_are_those_since_the_last_ones() -> None:
    nvml = Nvml()
    gauge = Gauge(2, library=nvml, visible="")
    handles = gauge.open()
    assert nvml.asked == [0, 1]
    assert gauge.measure(handles)
    nvml.used, nvml.rates = (60, 20), (0, 50)
    assert gauge.measure(handles)
    assert gauge.take() == {"gpu_utilization": 0.5, "gpu_memory_bytes": 60, "gpu_memory": 0.75}
    assert gauge.take() == {}


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        ("rates", {"gpu_memory_bytes": 40, "gpu_memory": 0.5}),
        ("memory", {"gpu_utilization": 0.75}),
    ],
)
def test_half_an_answer_is_one(broken: str, found: dict[str, float]) -> None:
    gauge = Gauge(2, library=Nvml(broken=(broken,)), visible="")
    assert gauge.measure(gauge.open())
    assert gauge.take() == found


@pytest.mark.parametrize("broken", [("init",), ("handle",), ("memory", "rates")])
def test_a_broken_nvml_is_given_up(broken: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.run.gauge.EVERY", 0.0)
    nvml = Nvml(broken=broken)
    with Gauge(1, library=nvml, visible="") as gauge:
        joined()
        assert gauge.take() == {}
    assert 0 < nvml.calls <= 2 + 2 * FAILURES


def test_it_measures_in_a_thread_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.run.gauge.EVERY", 0.001)
    measured = threading.Event()

    class Seen(Nvml):
        def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
            if self.calls > 10:
                measured.set()
            return super().nvmlDeviceGetUtilizationRates(handle)

    with Gauge(1, library=Seen(), visible="") as gauge:
        assert measured.wait(60)
    joined()
    assert gauge.take()["gpu_utilization"] == 0.5


def test_without_the_package_or_a_gpu_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    with Gauge(1) as gauge:
        joined()
        assert gauge.take() == {}
    before = threading.active_count()
    with Gauge(0, library=Nvml()) as gauge:
        assert threading.active_count() == before
        assert gauge.take() == {}


def joined() -> None:
    """Waits for the threads that have something to end for."""
    for thread in threading.enumerate():
        if thread.name == "albert-fast gauge":
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("visible", "count", "names"),
    [
        ("", 2, [0, 1]),
        ("3,1", 2, [3, 1]),
        (" 2 , 4", 1, [2]),
        ("GPU-1a2b,GPU-3c4d", 2, ["GPU-1a2b", "GPU-3c4d"]),
        ("MIG-7", 1, ["MIG-7"]),
    ],
)
def test_the_gpus_that_cuda_shows(visible: str, count: int, names: list[int | str]) -> None:
    assert chosen(visible, count) == names
    nvml = Nvml()
    Gauge(count, library=nvml, visible=visible).open()
    assert nvml.asked == names
