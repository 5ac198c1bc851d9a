"""Compilation of the GPU kit's modules for an H100 without a GPU. It prints the memory that XLA assigns.

    python memory.py --kit build/gpu-kit --only base-512

It needs JAX with its CUDA plugin, and ptxas, but no GPU and no other CUDA library:

    pip install jax numpy
    pip install --no-deps jax-cuda12-plugin jax-cuda12-pjrt nvidia-cuda-nvcc-cu12

It was tested with JAX 0.10.2. XLA chooses kernels here without timing them, so a GPU may need somewhat more or less.
The workspace of cuDNN's attention is not counted.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import gpu_kit
import gpu_results
from run import Device

H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 registers_per_core_limit: 65536
  registers_per_block_limit: 65536 block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 device_memory_size: 84942979072
  cuda_compute_capability { major: 9 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
"""The GPU as described in XLA's GpuTargetConfigProto, from the manufacturer's data sheet."""


def prepare() -> None:
    """Let JAX start without a GPU and find ptxas. Must be called before JAX starts."""
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    flags = [os.environ.get("XLA_FLAGS", ""), "--xla_gpu_autotune_level=0"]
    package = importlib.util.find_spec("nvidia.cuda_nvcc")
    if package is not None and package.submodule_search_locations:
        directory = next(iter(package.submodule_search_locations))
        os.environ["PATH"] = f"{directory}/bin{os.pathsep}{os.environ['PATH']}"
        flags.append(f"--xla_gpu_cuda_data_dir={directory}")
    os.environ["XLA_FLAGS"] = " ".join(flags)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Compile the GPU kit for an H100, and print the memory it takes.")
    parser.add_argument("--kit", type=Path, default=Path(__file__).resolve().parent, help="the kit's directory")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="cases with this in their name")
    options = parser.parse_args()
    prepare()
    device = Device("")
    topologies: Any = importlib.import_module("jax.experimental.topologies")
    topology = topologies.get_topology_desc(platform="cuda", topology_name="h100", target_config=H100, topology="1x1x1")
    kit = gpu_kit.Kit.read(options.kit / "manifest.json")
    print("| case | arguments, GiB | temporary, GiB | compile s |\n|---|---:|---:|---:|")
    for case in gpu_results.ordered(kit.cases):
        if not all(word in case.name for word in options.only):
            continue
        lowered = device.lower(options.kit, case, "cuda", topology.devices[0])
        start = time.monotonic()
        usage = lowered.compile().memory_analysis()
        taken = time.monotonic() - start
        sizes = [size / gpu_results.GIB for size in (usage.argument_size_in_bytes, usage.temp_size_in_bytes)]
        print(f"| {case.name} | {sizes[0]:.2f} | {sizes[1]:.2f} | {taken:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
