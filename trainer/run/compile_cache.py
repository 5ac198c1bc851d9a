"""Compiled programs that outlast the process: XLA's persistent cache, in a directory that is safe to load from.

TensorFlow ends the step if it cannot write or read a program. So a program is loaded only if it matches the digest
stored next to it. Programs without a digest, or with a different one, are removed before TensorFlow starts. Programs
for another CPU, GPU or TensorFlow are kept apart, because code for another CPU would end in SIGILL. Each process has
its own directory, so that no process reads what another one is writing.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from albert_fast import AlbertFastError
from albert_fast.files import measure, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

NONE = "none"
"""The value of `compile_cache` that disables the cache."""

FLAGS = "TF_XLA_FLAGS"
LEVEL = "TF_CPP_MIN_LOG_LEVEL"
FLAG = "--tf_xla_persistent_cache"
PREFIX = "albert-fast"

ROOM = 1 << 30
"""Bytes that must be free on disk. A program that does not fit would end the run."""
SLOTS = 64
"""Number of processes that may use one directory at the same time."""
EVERY = 5.0
"""Seconds between two checks for new programs."""
MEMORY = "/dev/shm"
"""Where programs go if they cannot be written to disk."""
SETTLED = 2.0
"""Seconds after its last change during which a program may still be being written."""

NOISE = (
    r"cpu_aot_loader\.cc.* Target machine feature \+prefer-no-(scatter|gather) is"
    r"|text_format\.cc.* tensorflow\.XlaSerializedCacheEntry"
)
"""What TensorFlow logs as errors whenever it loads a program.

It first tries to read the program as text, and it compares the compiler's preferences with the CPU's features.
"""

_FILTER = """
import re, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, signal.SIG_IGN)
noise = re.compile(sys.argv[1].encode())
for line in sys.stdin.buffer:
    if not noise.search(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


class CompileCache:
    """A directory of compiled programs that only this process uses while it lives.

    Args:
        slot: the directory, whose programs have been checked.
        lock: a file descriptor that keeps other processes out until this one ends.
    """

    def __init__(self, slot: Path, lock: int) -> None:
        self.slot, self.lock = slot, lock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="albert-fast compile cache", daemon=True)
        self._thread.start()

    def sign(self, settled: float = 0.0) -> None:
        """Write the digest of each program that has none and has not changed for `settled` seconds."""
        for program in self.slot.glob("*.pb"):
            with contextlib.suppress(OSError, AlbertFastError):  # a program without a digest is compiled again
                if not _digest(program).exists() and time.time() - program.stat().st_mtime >= settled:
                    write_atomic(_digest(program), _sha256(program))

    def divert(self) -> bool:
        """Keep new programs in memory, because they cannot be written to disk.

        TensorFlow reads the directory's name only once, so a different directory takes its place until the process
        ends. Returns false if this was already done, or if it fails.
        """
        if self._ended.is_set():
            return False
        self._ended.set()
        aside = self.slot.with_name(f"{self.slot.name}.aside")
        try:
            memory = tempfile.mkdtemp(prefix="albert-fast-compiled-", dir=MEMORY if Path(MEMORY).is_dir() else None)
            atexit.register(_restore, self.slot, aside, memory)
            self.slot.rename(aside)
            self.slot.symlink_to(memory)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Write the digests of new programs."""
        self._ended.set()
        self._thread.join()
        self.sign()

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            self.sign(SETTLED)


def open_cache(directory: Path, setting: str = "") -> CompileCache | str | None:
    """Make TensorFlow keep compiled programs under `directory`, or return why it cannot.

    Args:
        directory: created if it is missing.
        setting: a setting of TensorFlow that decides what is compiled and that a program does not record.

    Returns:
        None if TensorFlow has already been imported, which is too late, or if the user chose a directory in
        `TF_XLA_FLAGS`.
    """
    if "tensorflow" in sys.modules or FLAG in os.environ.get(FLAGS, ""):
        return None
    if re.search(r"[\s'\"]", str(directory.absolute())):
        return f"TensorFlow accepts no path with spaces or quotes, got {directory.absolute()}"
    try:
        found = _slot(directory.absolute() / fingerprint(setting))
        if found is None:
            return f"{SLOTS} processes already use {directory}"
        slot, lock = found
        try:
            _check(slot)
            full = shutil.disk_usage(slot).free < ROOM
        except OSError:
            os.close(lock)
            raise
        if full:
            os.close(lock)
            return f"{directory} has less than 1 GB free"
    except OSError as error:
        return f"cannot write to {directory}: {error.strerror or error}"
    flags = f"{FLAG}_directory={slot} {FLAG}_prefix={PREFIX}"
    os.environ[FLAGS] = f"{os.environ.get(FLAGS, '')} {flags}".strip()
    return CompileCache(slot, lock)


def clear(directory: Path, keep: CompileCache | None) -> None:
    """Remove a directory of compiled programs. This process's own directory in it is only emptied of programs."""
    if keep is None or not keep.slot.is_relative_to(directory.absolute()):
        shutil.rmtree(directory, ignore_errors=True)
        return
    for path in directory.glob("*/*"):
        if path.absolute() != keep.slot:
            shutil.rmtree(path, ignore_errors=True)
    for path in keep.slot.iterdir():
        if path.name != ".lock":
            path.unlink(missing_ok=True)


def fingerprint(setting: str) -> str:
    """Return 16 hex digits that identify what programs compiled here can run on and with."""
    parts = [setting, os.environ.get("XLA_FLAGS", "")]
    for name in ("tensorflow", "tensorflow-cpu", "tf-nightly"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            parts.append(importlib.metadata.version(name))
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for name in ("model name", "flags", "Features"):
            parts += re.findall(rf"^{name}\s*: (.*)$", text, re.MULTILINE)[:1]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        parts.append(subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _slot(directory: Path) -> tuple[Path, int] | None:
    """Return the first directory in `directory` that no other process uses, and its lock.

    Raises:
        OSError: it cannot be created, written or locked.
    """
    for number in range(SLOTS):
        slot = directory / str(number)
        if slot.is_symlink():  # see `CompileCache.divert`
            if slot.exists():
                continue
            slot.unlink()
        slot.mkdir(parents=True, exist_ok=True)
        lock = os.open(slot / ".lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        except OSError:
            os.close(lock)
            raise
        else:
            return slot, lock
    return None


def _restore(slot: Path, aside: Path, memory: str) -> None:
    """Undo `CompileCache.divert`."""
    with contextlib.suppress(OSError):
        slot.unlink()
    with contextlib.suppress(OSError):
        aside.rename(slot)
    shutil.rmtree(memory, ignore_errors=True)


def _check(slot: Path) -> None:
    """Remove every file that is not a complete program or its digest.

    Raises:
        OSError: something cannot be removed, or nothing can be written.
    """
    kept = set()
    for program in slot.glob("*.pb"):
        with contextlib.suppress(OSError):
            if _digest(program).read_bytes() == _sha256(program):
                kept |= {program, _digest(program)}
    for path in slot.iterdir():
        if path not in kept and path.name != ".lock":
            path.unlink()
    # If the file system is mounted read-only, only this write fails.
    with tempfile.TemporaryFile(dir=slot):
        pass


def _digest(program: Path) -> Path:
    return program.with_suffix(".sha256")


def _sha256(path: Path) -> bytes:
    return measure(path)[1].encode()


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Filter `NOISE` from standard error for the duration of the block.

    A separate process filters what is written to file descriptor 2, so that TensorFlow's last messages are shown even
    if this process is aborted. Python's own standard error bypasses it.
    """
    if LEVEL in os.environ and os.environ[LEVEL] != "2":
        yield  # a user who has chosen a log level wants to see all of it
        return
    sys.stderr.flush()
    kept = os.dup(2)
    before = sys.stderr
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _FILTER, NOISE],
            stdin=subprocess.PIPE,
            stdout=kept,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:  # no memory or no more processes: then noise is the lesser problem
        os.close(kept)
        yield
        return
    assert process.stdin is not None
    try:
        own = before.fileno() == 2
    except (OSError, ValueError, AttributeError):
        own = False
    if own:
        sys.stderr = os.fdopen(os.dup(kept), "w", encoding=before.encoding, errors=before.errors, buffering=1)
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        if own:
            sys.stderr.flush()
            sys.stderr = before
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
