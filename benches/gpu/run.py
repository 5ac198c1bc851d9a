"""Runner of the GPU kit. It compiles, checks and times the modules on this machine's GPU with only JAX and NumPy.

    python run.py --output-dir results

It is in the kit's directory, next to manifest.json. It writes results.json and results.md, and keeps to --minutes:
cases without time are listed as skipped. Each variant of attention has its own process, so that one that cannot run
here does not affect the others.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gzip
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))

import gpu_kit
import gpu_results
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SHARES = {"plain": 6.0, "cudnn": 3.0}
"""Weights by which the time is divided among the remaining variants. Other variants have 2.

On an H100, a module with plain attention took up to five times as long to compile as one with cuDNN's.
"""
RUNNING = 5.0
"""Approximate seconds that a compiled case takes: transfer of its arguments, check and timing."""
ROUND = 4
"""Default of the modules that compile at a time. All at once delay each other, because XLA times kernels on the GPU."""
KEPT = 2
"""Number of arguments that an update does not change: the gradient and the rate."""
GRACE = 60
"""Extra seconds that a process may take if a compilation is slower than all before it."""


class Device:
    """This machine's first device, used through JAX."""

    def __init__(self, platform: str, cache: Path | None = None) -> None:
        if platform:
            os.environ["JAX_PLATFORMS"] = platform
        # Results of one case must not decide whether the next one fits.
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.92")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        self.jax: Any = importlib.import_module("jax")
        if cache is not None:
            self.jax.config.update("jax_compilation_cache_dir", str(cache.resolve()))
            self.jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        self.export: Any = importlib.import_module("jax.export")
        self.device = self.jax.devices()[0]
        self.name = str(self.device.device_kind)
        self.gpu = self.device.platform in ("gpu", "cuda")

    @property
    def memory(self) -> dict[str, int]:
        """Return JAX's memory statistics, empty if there are none."""
        return self.device.memory_stats() or {}

    def lower(self, directory: Path, case: gpu_kit.Case, platform: str = "", device: Any = None) -> Any:
        """Return a case's module, ready to be compiled.

        A placeholder function with the same arguments and results is exported, and then replaced by the kit's module.
        This uses only public parts of JAX.

        Args:
            directory: the directory of the kit.
            case: the case of the module.
            platform: the platform to lower for, by default that of this device.
            device: the device to lower for, if this machine has another one.
        """
        jax = self.jax
        platform = platform or ("cuda" if self.gpu else self.device.platform)
        arguments = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in case.arguments]

        def stand_in(*_: Any) -> tuple[Any, ...]:
            return tuple(jax.numpy.zeros(array.shape, array.dtype) for array in case.results)

        exported = self.export.export(jax.jit(stand_in, keep_unused=True), platforms=[platform])(*arguments)
        module = gzip.decompress((directory / case.file).read_bytes())
        exported = replace(exported, mlir_module_serialized=module)
        # Like the trainer's update, the update changes variables in place.
        donated = tuple(range(KEPT, len(arguments))) if case.kind == "update" else ()
        if device is not None:
            place = jax.sharding.SingleDeviceSharding(device)
            arguments = [jax.ShapeDtypeStruct(one.shape, one.dtype, sharding=place) for one in arguments]
        traced = jax.jit(exported.call, donate_argnums=donated).trace(*arguments)
        return traced.lower(lowering_platforms=(platform,))

    def compile(self, directory: Path, case: gpu_kit.Case) -> tuple[Any, float]:
        """Return a case's compiled module, and the seconds that compiling it took."""
        lowered = self.lower(directory, case)
        start = time.monotonic()
        compiled = lowered.compile()
        return compiled, time.monotonic() - start

    def put(self, values: Sequence[Any]) -> list[Any]:
        """Return the values on the device."""
        found: list[Any] = self.jax.block_until_ready([self.jax.device_put(value, self.device) for value in values])
        return found


def check(kit: gpu_kit.Kit, case: gpu_kit.Case, results: Sequence[Any]) -> tuple[dict[str, float], list[str]]:
    """Return how far a case's results are from the expected ones, and what is out of bounds."""
    expected, model = kit.expected[case.expected], kit.models[case.model]
    named = {array.name: np.asarray(result) for array, result in zip(case.results, results, strict=True)}
    if case.kind == "gradient":
        gradient = named.pop("gradient")
        sums = {name: float(value) for name, value in named.items()}
        norm = float(np.linalg.norm(gradient.astype(np.float64)))
        entries, repeats = gpu_kit.entries(kit.seed, model, gradient), case.rows / len(gpu_kit.FILLS)
    else:
        sums, norm, repeats = {}, float(named["norm"]), 1.0
        entries = gpu_kit.changes(kit.seed, model, named)
    differences = gpu_kit.compare(expected, sums, norm, entries, repeats)
    return differences, gpu_kit.wrong(differences, expected.bounds)


def run_case(kit: gpu_kit.Kit, case: gpu_kit.Case, device: Device, compiled: Any, peak: float | None) -> dict[str, Any]:
    """Check and time one compiled case."""
    usage = compiled.memory_analysis()
    needed = usage.argument_size_in_bytes + usage.output_size_in_bytes + usage.temp_size_in_bytes
    needed -= usage.alias_size_in_bytes
    found: dict[str, Any] = {"bytes": needed, "temporary_bytes": usage.temp_size_in_bytes}
    with contextlib.suppress(Exception):  # not every version and device reports it
        found["bytes_accessed"] = compiled.cost_analysis()["bytes accessed"]
    limit = device.memory.get("bytes_limit")
    if limit and needed > limit:
        status = f"does not fit: {needed / gpu_results.GIB:.1f} of {limit / gpu_results.GIB:.1f} GiB"
        return found | {"status": status}
    arguments = device.put(gpu_kit.arguments(kit.seed, kit, case))
    results = compiled(*arguments)
    differences, wrong = check(kit, case, results)
    call: Callable[[], Any]
    if case.kind == "update":
        names = [array.name for array in case.results]
        places = [names.index(array.name) for array in case.arguments[KEPT:]]
        state = [results[place] for place in places]

        def call() -> Any:
            nonlocal state
            changed = compiled(*arguments[:KEPT], *state)
            state = [changed[place] for place in places]
            return changed
    else:
        call = functools.partial(compiled, *arguments)
    del results
    seconds, samples = gpu_results.measure(call, device.jax.block_until_ready)
    found |= {"seconds": seconds, "samples": samples, "differences": differences}
    found["status"] = f"wrong: {'; '.join(wrong)}" if wrong else "ok"
    if peak_bytes := device.memory.get("peak_bytes_in_use"):
        found["peak_bytes_of_process"] = peak_bytes
    return found | (asdict(gpu_results.rates(case, seconds, peak)) if case.kind == "gradient" else {})


def child(directory: Path, options: argparse.Namespace) -> None:
    """Compile and time cases, a few at a time, the most important first. Print one line of JSON per case.

    Nothing compiles while a case is timed. A round starts only if there is time for one like the slowest before it.
    """
    deadline = time.monotonic() + options.seconds
    kit = gpu_kit.Kit.read(directory / "manifest.json")
    device = Device(options.platform, options.cache)
    if not device.gpu and not options.platform:
        print(json.dumps({"error": f"JAX sees no GPU here, only {device.name}"}), flush=True)
        return
    peak = options.peak or (kit.peak(device.name) if device.gpu else None)
    versions = {name: importlib.import_module(name).__version__ for name in ("jax", "jaxlib")}
    about = {"device": device.name, "peak_tflops": peak, "memory_bytes": device.memory.get("bytes_limit")}
    print(json.dumps({"about": about | {"versions": versions}}), flush=True)
    cases = []
    for case in kit.cases:
        if case.name in options.cases:
            if case.attention == "cudnn" and not device.gpu:
                _tell(case, {"status": "skipped: it needs a GPU of NVIDIA's"})
            else:
                cases.append(case)
    rounds = [cases[start : start + options.threads] for start in range(0, len(cases), options.threads)]
    slowest = 0.0
    for number, chosen in enumerate(rounds):
        if time.monotonic() + slowest + RUNNING * len(chosen) > deadline and (number or options.seconds < RUNNING):
            for case in chosen:
                _tell(case, {"status": "skipped: no time to compile"})
            continue
        start = time.monotonic()
        ready = _compile(directory, device, chosen)
        slowest = max(slowest, time.monotonic() - start)
        for case, compiled, took in ready:
            if time.monotonic() > deadline:
                _tell(case, {"status": "skipped: compiled, no time to run", "compile_seconds": took})
                continue
            try:
                found = run_case(kit, case, device, compiled, peak)
            except Exception as error:  # noqa: BLE001 - one that does not run must not end the others
                found = {"status": f"does not run: {_first_line(error)}"}
            _tell(case, found | {"compile_seconds": took})


def _compile(directory: Path, device: Device, cases: Sequence[gpu_kit.Case]) -> list[tuple[gpu_kit.Case, Any, float]]:
    """Compile cases at the same time. Return each with its module and seconds, and report those that do not compile.

    They are sorted by memory, so that the process's peak is that of the case that just ran, at least in a round.
    """
    ready = []
    with ThreadPoolExecutor(len(cases)) as pool:
        futures = {pool.submit(device.compile, directory, case): case for case in cases}
        for future in as_completed(futures):
            case = futures[future]
            try:
                ready.append((case, *future.result()))
            except Exception as error:  # noqa: BLE001 - one that does not compile must not end the others
                _tell(case, {"status": f"does not compile: {_first_line(error)}"})
    return sorted(ready, key=lambda item: item[1].memory_analysis().temp_size_in_bytes)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300].replace("|", "/")


def _tell(case: gpu_kit.Case, found: dict[str, Any]) -> None:
    print(json.dumps({"case": case.name} | found), flush=True)


def run(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run every chosen case, one variant of attention after another. Write the results repeatedly.

    Returns:
        The content of results.json.
    """
    start = time.monotonic()
    kit = gpu_kit.Kit.read(directory / "manifest.json")
    cases = [case for case in kit.cases if all(word in case.name for word in options.only)]
    first = next((case.attention for case in kit.cases if case.attention), "")
    groups: dict[str, list[str]] = {}
    for case in cases:
        groups.setdefault(case.attention or first, []).append(case.name)
    found: dict[str, dict[str, Any]] = {}
    about: dict[str, Any] = {}

    def report() -> dict[str, Any]:
        missing = {"status": "skipped: not reached"}
        results = [gpu_results.described(case) | found.get(case.name, missing) for case in gpu_results.ordered(cases)]
        return {"kit": kit.made_by, "about": about, "seconds": time.monotonic() - start, "results": results}

    for place, (attention, names) in enumerate(groups.items()):
        shares = [SHARES.get(name, 2.0) for name in list(groups)[place:]]
        seconds = (options.minutes * 60 - (time.monotonic() - start)) * shares[0] / sum(shares)
        print(f"gpu-kit: {attention}: {len(names)} cases in {seconds:.0f} s", file=sys.stderr, flush=True)
        for values in _run_child(directory, options, names, seconds):
            if "error" in values:
                raise SystemExit(f"gpu-kit: {values['error']}; install JAX with CUDA, or pass --platform cpu")
            if "about" in values:
                about |= values["about"]
                continue
            name = values.pop("case")
            found[name] = values
            took = f"{values['seconds'] * 1000:.2f} ms, " if "seconds" in values else ""
            print(f"gpu-kit: {name}: {took}{values['status']}", file=sys.stderr, flush=True)
            # Whatever stops this program, measured results are kept.
            gpu_results.write(report(), options.output_dir)
    return report()


def _run_child(
    directory: Path, options: argparse.Namespace, names: list[str], seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield what a separate process reports about these cases."""
    words = [sys.executable, str(Path(__file__).resolve()), "--child", "--seconds", str(seconds)]
    words += ["--kit", str(directory), "--threads", str(options.threads), "--platform", options.platform]
    words += ["--peak", str(options.peak)]
    if options.cache is not None:
        words += ["--cache", str(options.cache)]
    words += ["--cases", *names]
    left = set(names)
    with (options.output_dir / "log.txt").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
        timer = threading.Timer(seconds + GRACE, process.kill)
        timer.daemon = True
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(json.JSONDecodeError):  # something else wrote to standard output
                values: dict[str, Any] = json.loads(line)
                left.discard(values.get("case", ""))
                yield values
        process.wait()
        timer.cancel()
    for name in sorted(left):
        yield {"case": name, "status": f"skipped: its process ended with code {process.returncode} (see log.txt)"}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Run the GPU kit on this machine's GPU.")
    parser.add_argument("--kit", type=Path, default=Path(__file__).resolve().parent, help="the kit's directory")
    parser.add_argument(
        "--output-dir", type=Path, default=Path("results"), help="directory for results.json and results.md"
    )
    parser.add_argument("--minutes", type=float, default=8, help="time for everything")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORD",
        help="run cases whose name has this in it; may be given again",
    )
    parser.add_argument(
        "--threads", type=int, default=min(ROUND, os.cpu_count() or 1), help="modules that compile at a time"
    )
    parser.add_argument("--cache", type=Path, help="directory of JAX's compilation cache; a second run is then quick")
    parser.add_argument("--platform", default="", help="JAX's platform, cpu or cuda; JAX's own choice by default")
    parser.add_argument(
        "--peak",
        type=float,
        default=0.0,
        help="the device's dense bfloat16 rate in TFLOP/s, if the kit does not know it",
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--cases", nargs="*", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.kit, options)
        return 0
    options.output_dir.mkdir(parents=True, exist_ok=True)
    print(gpu_results.write(run(options.kit, options), options.output_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
