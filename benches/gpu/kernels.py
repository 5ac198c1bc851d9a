"""Kernels of one case of the GPU kit, with the time that each takes on the device.

    python kernels.py --case base-512-64-plain

It is in the kit's directory, next to manifest.json. It needs JAX 0.7 or later, which reads its own traces. A kernel's
name is XLA's: `nvjet`, `cutlass` and `gemm` are matrix products, and a fusion is named after some of its operations.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import gpu_kit
from run import Device

CALLS = 5
KINDS = (
    ("matrix products", r"nvjet|cutlass|gemm|cublas|ampere_|sm\d+_xmma"),
    ("attention (cuDNN)", r"cudnn|fmha|flash"),
    ("copies", r"(?i)^mem(cpy|set)|copy"),
    ("fusions", r"fusion|loop_|input_|wrapped_|triton_"),
)
"""Kinds of kernels, each with the pattern of their names. The first that matches counts."""


def kind(name: str) -> str:
    """Return the kind of a kernel."""
    return next((kind for kind, pattern in KINDS if re.search(pattern, name)), "other")


def trace(device: Device, compiled: Any, arguments: list[Any], calls: int) -> dict[str, tuple[int, float]]:
    """Return how often each kernel runs in `calls` calls, and its milliseconds in all of them."""
    jax = device.jax
    for _ in range(3):
        jax.block_until_ready(compiled(*arguments))
    profiler = importlib.import_module("jax.profiler")
    with tempfile.TemporaryDirectory() as directory:
        with profiler.trace(directory):
            for _ in range(calls):
                last = compiled(*arguments)
            jax.block_until_ready(last)
        file = next(Path(directory).rglob("*.xplane.pb"))
        data = profiler.ProfileData.from_file(str(file))
    found: dict[str, list[float]] = collections.defaultdict(list)
    for plane in data.planes:
        if device.gpu and not plane.name.startswith("/device:GPU"):
            continue
        for line in plane.lines:
            # The other lines repeat the kernels, grouped by module and by operation.
            if device.gpu and not line.name.startswith("Stream"):
                continue
            for event in line.events:
                found[event.name].append(event.duration_ns / 1e6)
    return {name: (len(times), sum(times)) for name, times in found.items()}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Time the kernels of one case of the GPU kit.")
    parser.add_argument("--kit", type=Path, default=Path(__file__).resolve().parent, help="the kit's directory")
    parser.add_argument("--case", action="append", required=True, help="name of a case; may be given again")
    parser.add_argument("--output", type=Path, help="JSON file for all kernels")
    parser.add_argument("--top", type=int, default=25, help="kernels to print")
    parser.add_argument("--cache", type=Path, help="directory of JAX's compilation cache, as run.py takes it")
    parser.add_argument("--platform", default="", help="JAX's platform, cpu or cuda; JAX's own choice by default")
    options = parser.parse_args()
    kit = gpu_kit.Kit.read(options.kit / "manifest.json")
    device = Device(options.platform, options.cache)
    everything = {}
    for name in options.case:
        case = next((case for case in kit.cases if case.name == name), None)
        if case is None:
            parser.error(f"--case must be one of {', '.join(case.name for case in kit.cases)}: got {name}")
        compiled, _ = device.compile(options.kit, case)
        kernels = trace(device, compiled, device.put(gpu_kit.arguments(kit.seed, kit, case)), CALLS)
        everything[name] = {kernel: {"calls": n / CALLS, "ms": ms / CALLS} for kernel, (n, ms) in kernels.items()}
        total = sum(ms for _, ms in kernels.values())
        kinds: dict[str, float] = collections.defaultdict(float)
        for kernel, (_, ms) in kernels.items():
            kinds[kind(kernel)] += ms
        print(f"\n{name} on {device.name}: {total / CALLS:.2f} ms per call")
        for label, ms in sorted(kinds.items(), key=lambda item: -item[1]):
            print(f"  {ms / total:6.1%} {ms / CALLS:9.3f} ms  {label}")
        print("  kernels:")
        for kernel, (count, ms) in sorted(kernels.items(), key=lambda item: -item[1][1])[: options.top]:
            print(f"  {ms / total:6.1%} {ms / CALLS:9.3f} ms {count / CALLS:6.0f} x  {kernel[:110]}")
    if options.output:
        options.output.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
