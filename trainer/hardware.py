"""The devices of a run: which there are, what they are good for, and how replicas on them add up."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.cluster import cluster

PEAK_TFLOPS = {
    r"B200|GB200": 2250.0,
    r"H200|GH200|H100.*(HBM3|SXM)|H800": 989.4,
    r"H100 NVL": 835.0,
    r"H100": 756.0,
    r"A100|A800": 312.0,
    r"L40S": 362.0,
    r"L40": 181.0,
    r"A40": 149.7,
    r"A30": 165.0,
    r"A10G?\b": 125.0,
    r"\bL4\b": 121.0,
    r"RTX 6000 Ada": 364.0,
    r"RTX 4090": 165.2,
    r"RTX 3090": 71.0,
}
"""Dense bfloat16 rates with float32 sums, from the makers' data sheets, by patterns of the device's name."""


class Hardware(NamedTuple):
    """What a run computes on."""

    strategy: tf.distribute.Strategy
    """How replicas add up."""
    devices: tuple[str, ...]
    """This worker's, one a replica, by TensorFlow's names; "" for TensorFlow's own choice."""
    kind: str
    """"GPU" or "CPU"."""
    name: str
    """The device's, as its maker calls it."""
    bf16: bool
    """Whether it is fast in bfloat16."""
    peak_tflops: float | None
    """Dense bfloat16 rate of a device; None where it is not known."""
    memory_bytes: int | None
    """Of a device; None where it is not known."""
    workers: int
    worker: int
    """This one's number; 0 writes checkpoints."""

    @property
    def replicas(self) -> int:
        """Of all workers."""
        return self.workers * len(self.devices)

    @property
    def chief(self) -> bool:
        """Whether this worker writes what the run leaves behind."""
        return self.worker == 0


def find() -> Hardware:
    """The machine's GPUs, or its processors; and other machines, where TF_CONFIG names them.

    CUDA_VISIBLE_DEVICES leaves GPUs out. Must come before anything else that uses TensorFlow.

    Raises:
        TrainerError: TF_CONFIG is none that several workers can start from.
    """
    workers, worker = cluster()
    gpus = tf.config.list_physical_devices("GPU")
    if workers > 1:
        # Before any other operation: it starts the server that the workers talk through.
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        devices = tuple(strategy.extended.worker_devices)
    elif len(gpus) > 1:
        strategy = tf.distribute.MirroredStrategy()
        devices = tuple(strategy.extended.worker_devices)
    else:
        strategy, devices = tf.distribute.get_strategy(), ("",)
    return _describe(strategy, devices, gpus, workers, worker)


def one() -> Hardware:
    """One device: the first GPU, or the processors."""
    return _describe(tf.distribute.get_strategy(), ("",), tf.config.list_physical_devices("GPU"), 1, 0)


def replicated(devices: list[str]) -> Hardware:
    """Replicas on devices by name, on this machine."""
    strategy = tf.distribute.MirroredStrategy(devices)
    return _describe(strategy, tuple(strategy.extended.worker_devices), [], 1, 0)


def _describe(
    strategy: tf.distribute.Strategy, devices: tuple[str, ...], gpus: list[Any], workers: int, worker: int
) -> Hardware:
    if not gpus:
        return Hardware(strategy, devices, "CPU", _processor(), False, None, _memory(), workers, worker)
    details = tf.config.experimental.get_device_details(gpus[0])
    name = details.get("device_name", "GPU")
    bf16 = tuple(details.get("compute_capability") or (0, 0)) >= (8, 0)
    peak = next((rate for pattern, rate in PEAK_TFLOPS.items() if re.search(pattern, name)), None)
    return Hardware(strategy, devices, "GPU", name, bf16, peak, _gpu_memory(), workers, worker)


def environment(hardware: Hardware) -> dict[str, Any]:
    """What the run's results are of, for its report."""
    from albert_fast import __version__

    return {
        "device": hardware.name,
        "devices": hardware.replicas,
        "workers": hardware.workers,
        "peak_tflops": hardware.peak_tflops,
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "albert_fast": __version__,
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


def _memory() -> int:
    """The machine's, or what a container may use of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(path).read_text(encoding="ascii")))
    return total


def _gpu_memory() -> int | None:
    """Of the first GPU, by NVIDIA's own tool: TensorFlow tells what is used, and not of how much."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return int(done.stdout.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
