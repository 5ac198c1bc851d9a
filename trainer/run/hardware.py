"""The devices of a run: which exist, what they can do, and how replicas on them are combined."""

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
    from collections.abc import Iterator, Mapping

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
"""Dense bfloat16 rates with float32 sums, from the manufacturers' data sheets, by patterns of the device's name.

The patterns match whole words: an RTX A1000 is not an A100, and an RTX A4000 is not an A40.
"""


class Hardware(NamedTuple):
    """The hardware that a run computes on."""

    strategy: tf.distribute.Strategy
    """The strategy that combines the replicas."""
    devices: tuple[str, ...]
    """This worker's devices, one per replica, by TensorFlow's names; "" for TensorFlow's own choice."""
    kind: str
    """"GPU" or "CPU"."""
    name: str
    """The device's name, as given by its manufacturer."""
    bf16: bool
    """Whether bfloat16 is fast on it."""
    peak_tflops: float | None
    """Dense bfloat16 rate of a device, in TFLOP/s; None if it is unknown."""
    memory_bytes: int | None
    """Memory of a device; None if it is unknown."""
    workers: int
    worker: int
    """This worker's number. Worker 0 writes checkpoints."""

    @property
    def replicas(self) -> int:
        """Return the number of replicas of all workers."""
        return self.workers * len(self.devices)

    @property
    def chief(self) -> bool:
        """Tell whether this worker writes the files of the run."""
        return self.worker == 0


def seen() -> dict[str, Any]:
    """Return what `trainer.run.agreement.decide` needs to know of this worker's devices, as JSON represents it.

    TensorFlow may still start for several workers afterward.
    """
    gpus = tf.config.list_physical_devices("GPU")
    found = _describe(tf.distribute.get_strategy(), (), gpus, 1, 0)
    return {
        "tensorflow": tf.__version__,
        "kind": found.kind,
        "name": found.name,
        "devices": max(1, len(gpus)),
        "bf16": found.bf16,
        "memory_bytes": found.memory_bytes,
    }


def find(agreed: Mapping[str, Any]) -> Hardware:
    """Find the machine's GPUs, or its CPUs if it has none, and other machines if TF_CONFIG names them.

    CUDA_VISIBLE_DEVICES hides GPUs. Must be called before anything else uses TensorFlow.

    Args:
        agreed: what the workers have agreed on: fields of `Hardware`.

    Raises:
        TrainerError: several workers cannot start from TF_CONFIG.
    """
    workers, worker = cluster()
    gpus = tf.config.list_physical_devices("GPU")
    if workers > 1:
        # Must come before any other operation: it starts the server that the workers communicate through.
        with _interruptible():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        devices = tuple(strategy.extended.worker_devices)
    elif len(gpus) > 1:
        strategy = tf.distribute.MirroredStrategy()
        devices = tuple(strategy.extended.worker_devices)
    else:
        strategy, devices = tf.distribute.get_strategy(), ("",)
    return _describe(strategy, devices, gpus, workers, worker)._replace(**agreed)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process at once: Python's handler is not called while TensorFlow waits for other workers."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def one() -> Hardware:
    """Return one device: the first GPU, or the CPUs if there is none."""
    return _describe(tf.distribute.get_strategy(), ("",), tf.config.list_physical_devices("GPU"), 1, 0)


def replicated(devices: list[str]) -> Hardware:
    """Return replicas on the named devices of this machine."""
    strategy = tf.distribute.MirroredStrategy(devices)
    return _describe(strategy, tuple(strategy.extended.worker_devices), [], 1, 0)


def _describe(
    strategy: tf.distribute.Strategy, devices: tuple[str, ...], gpus: list[Any], workers: int, worker: int
) -> Hardware:
    # By default, TensorFlow rounds the factors of float32 products on NVIDIA GPUs.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # TensorFlow mistakes the functions for the widths and devices for one function that is traced repeatedly.
    tf.get_logger().setLevel("ERROR")
    if not gpus:
        return Hardware(strategy, devices, "CPU", _cpu_name(), False, None, _memory(), workers, worker)
    details = tf.config.experimental.get_device_details(gpus[0])
    name = details.get("device_name", "GPU")
    bf16 = tuple(details.get("compute_capability") or (0, 0)) >= (8, 0)
    return Hardware(strategy, devices, "GPU", name, bf16, peak_of(name), _gpu_memory(), workers, worker)


def peak_of(name: str) -> float | None:
    """Return the dense bfloat16 rate of the GPU of that name, in 10^12 operations per second; None if it is unknown."""
    return next((rate for pattern, rate in PEAK_TFLOPS.items() if re.search(pattern, name)), None)


def environment(hardware: Hardware) -> dict[str, Any]:
    """Return what the run computes on, for its report."""
    return {
        "device": hardware.name,
        "devices": hardware.replicas,
        "workers": hardware.workers,
        "peak_tflops": hardware.peak_tflops,
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        **versions(hardware),
    }


def versions(hardware: Hardware) -> dict[str, str]:
    """Return the versions of what computes the run, for its report: of CUDA if there are GPUs."""
    found = {"albert_fast": __version__, "tensorflow": tf.__version__, "python": platform.python_version()}
    if hardware.kind == "GPU":
        build = tf.sysconfig.get_build_info()
        names = ("cuda_version", "cudnn_version")
        found |= {name.removesuffix("_version"): str(build[name]) for name in names if build.get(name)}
    return found


def allocated(hardware: Hardware) -> dict[str, float]:
    """Return the largest amount of memory that TensorFlow had in use on a GPU of this worker, for a training line.

    TensorFlow takes nearly all of a GPU's memory when it starts, so the amount that is taken says little.
    """
    if hardware.kind != "GPU":
        return {}
    try:
        peaks = [tf.config.experimental.get_memory_info(name or "GPU:0")["peak"] for name in hardware.devices]
    except Exception:  # noqa: BLE001 - an allocator without statistics must not end a run
        return {}
    return {"gpu_memory_peak_bytes": max(peaks)}


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


def _memory() -> int:
    """Return the machine's memory, or the part that a container may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(path).read_text(encoding="ascii")))
    return total


def _gpu_memory() -> int | None:
    """Return the memory of the first GPU in use, from NVIDIA's own tool. TensorFlow reports only the used amount."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    if first := os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip():
        command.append(f"--id={first}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return int(done.stdout.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
