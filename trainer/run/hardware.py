"""The devices of a run: which there are, what they are good for, and how replicas on them add up."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from albert_fast import __version__
from trainer.run.cluster import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

PEAK_TFLOPS = {
    r"\b(B200|GB200)\b": 2250.0,
    r"\b(H200|GH200|H800)\b|\bH100\b.*(HBM3|SXM)": 989.4,
    r"\bH100 NVL\b": 835.0,
    r"\bH100\b": 756.0,
    r"\b(A100|A800)\b": 312.0,
    r"\bL40S\b": 362.0,
    r"\bL40\b": 181.0,
    r"\bA40\b": 149.7,
    r"\bA30\b": 165.0,
    r"\bA10\b": 125.0,
    r"\bA10G\b": 70.0,
    r"\bL4\b": 121.0,
    r"\bRTX 6000 Ada\b": 364.0,
    r"\bRTX 4090$": 165.2,
    r"\bRTX 3090$": 71.0,
}
"""Dense bfloat16 rates with float32 sums, from the makers' data sheets, by patterns of the device's name.

Whole words: an RTX A1000 is no A100, and an RTX A4000 no A40.
"""


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
        with _interruptible():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        devices = tuple(strategy.extended.worker_devices)
    elif len(gpus) > 1:
        strategy = tf.distribute.MirroredStrategy()
        devices = tuple(strategy.extended.worker_devices)
    else:
        strategy, devices = tf.distribute.get_strategy(), ("",)
    return _describe(strategy, devices, gpus, workers, worker)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Lets Ctrl-C end the process at once: while TensorFlow waits for other workers, Python's handler is not called."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
    # TensorFlow's own default rounds the factors of float32 products on NVIDIA's GPUs.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # It takes the functions of widths and devices for one that is traced again and again.
    tf.get_logger().setLevel("ERROR")
    if not gpus:
        return Hardware(strategy, devices, "CPU", _processor(), False, None, _memory(), workers, worker)
    details = tf.config.experimental.get_device_details(gpus[0])
    name = details.get("device_name", "GPU")
    bf16 = tuple(details.get("compute_capability") or (0, 0)) >= (8, 0)
    return Hardware(strategy, devices, "GPU", name, bf16, peak_of(name), _gpu_memory(), workers, worker)


def peak_of(name: str) -> float | None:
    """The dense bfloat16 rate of the GPU of that name, in 10^12 operations a second; None where it is not known."""
    return next((rate for pattern, rate in PEAK_TFLOPS.items() if re.search(pattern, name)), None)


def environment(hardware: Hardware) -> dict[str, Any]:
    """What the run's results are of, for its report."""
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
    """Of the first GPU in use, by NVIDIA's own tool: TensorFlow tells what is used, and not of how much."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    if first := os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip():
        command.append(f"--id={first}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return int(done.stdout.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
