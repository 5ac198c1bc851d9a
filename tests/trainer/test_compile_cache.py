"""Compiled programs that are kept: whole ones are loaded, and whatever is wrong with the rest costs a compilation."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from trainer_runs import (
    ROOT,
    Material,
    arguments,
    assert_same,
    finish,
    lines,
    start,
    steps,
    training,
    wait_for,
    weights,
)

from trainer.run import compile_cache
from trainer.run.compile_cache import FLAGS, NOISE, CompileCache, clear, fingerprint, open_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Command


@pytest.fixture
def _early(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """TensorFlow has not been imported, and its variables are put back."""
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setenv(FLAGS, "")
    yield
    os.environ.pop(FLAGS, None)


def opened(directory: Path) -> CompileCache:
    os.environ[FLAGS] = ""
    found = open_cache(directory)
    assert isinstance(found, CompileCache), found
    return found


def leave(cache: CompileCache, name: str, content: bytes) -> Path:
    """A program as TensorFlow writes one."""
    path = cache.slot / f"albert-fast__{name}.pb"
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("_early")
def test_what_is_whole_stays_and_the_rest_goes(tmp_path: Path) -> None:
    first = opened(tmp_path / "compiled")
    assert os.environ[FLAGS] == (
        f"--tf_xla_persistent_cache_directory={first.slot} --tf_xla_persistent_cache_prefix=albert-fast"
    )
    names = ("whole", "cut", "zeros", "unsigned", "unreadable")
    whole, cut, zeros, unsigned, unreadable = (leave(first, name, b"a program" * 1000) for name in names)
    (first.slot / "half.tmp").write_bytes(b"h")
    unsigned.rename(first.slot / "aside")
    first.close()
    (first.slot / "aside").rename(unsigned)
    cut.write_bytes(cut.read_bytes()[:-1])
    zeros.write_bytes(bytes(9000))
    unreadable.with_suffix(".sha256").write_bytes(b"\xff")
    os.close(first.lock)
    second = opened(tmp_path / "compiled")
    second.close()
    assert second.slot == first.slot
    assert {path.name for path in second.slot.iterdir()} == {".lock", whole.name, whole.with_suffix(".sha256").name}


@pytest.mark.usefixtures("_early")
def test_each_process_has_its_own(tmp_path: Path) -> None:
    caches = [opened(tmp_path) for _ in range(3)]
    assert [cache.slot.name for cache in caches] == ["0", "1", "2"]
    os.close(caches[1].lock)
    assert opened(tmp_path).slot.name == "1"


@pytest.mark.usefixtures("_early")
def test_new_programs_are_signed_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_cache, "EVERY", 0.05)
    monkeypatch.setattr(compile_cache, "SETTLED", 0.2)
    cache = opened(tmp_path)
    program = leave(cache, "new", b"a program")
    until = time.monotonic() + 30
    while not program.with_suffix(".sha256").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    cache.close()


@pytest.mark.usefixtures("_early")
def test_what_cannot_be_written_is_said_and_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert open_cache(tmp_path / "file") == f"cannot write to {tmp_path / 'file'}: Not a directory"
    assert "spaces or quotes" in str(open_cache(tmp_path / "a b"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))
    assert open_cache(tmp_path / "full") == f"{tmp_path / 'full'} has less than 1 GB free"
    assert os.environ[FLAGS] == ""


@pytest.mark.usefixtures("_early")
def test_it_leaves_alone_what_has_been_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FLAGS, "--tf_xla_persistent_cache_directory=/mine")
    assert open_cache(tmp_path / "compiled") is None
    monkeypatch.setenv(FLAGS, "--tf_xla_auto_jit=2")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert open_cache(tmp_path / "compiled") is None
    assert os.environ[FLAGS] == "--tf_xla_auto_jit=2"
    assert not (tmp_path / "compiled").exists()
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert isinstance(open_cache(tmp_path / "compiled"), CompileCache)
    assert os.environ[FLAGS].startswith("--tf_xla_auto_jit=2 --tf_xla_persistent_cache_directory=")


@pytest.mark.usefixtures("_early")
def test_clearing_keeps_what_is_in_use(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    leave(cache, "old", b"a program")
    (tmp_path / "other" / "0").mkdir(parents=True)
    clear(tmp_path, cache)
    assert [path.name for path in cache.slot.iterdir()] == [".lock"]
    assert not (tmp_path / "other" / "0").exists()
    clear(tmp_path, None)
    assert not tmp_path.exists()


def test_the_fingerprint_is_that_of_machine_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")
    found = fingerprint("a")
    assert re.fullmatch("[0-9a-f]{16}", found)
    assert fingerprint("a") == found
    assert fingerprint("b") != found
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert fingerprint("a") != found


NOISY = """
import os, sys
from trainer.run.compile_cache import without_noise

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
with without_noise():
    print("from Python", file=sys.stderr)
    os.write(2, b"E0000 cpu_aot_loader.cc:220] Target machine feature +prefer-no-scatter is not  supported\\n")
    os.write(2, b"E0000 cpu_aot_loader.cc:220] Target machine feature +avx512f is not  supported\\n")
    os.write(2, b"E0000 text_format.cc:378] Error parsing text-format tensorflow.XlaSerializedCacheEntry: 2:1\\n")
    os.write(2, b"F0000 check failed\\n")
    if sys.argv[1:] == ["abort"]:
        os.abort()
print("afterwards", file=sys.stderr)
"""


@pytest.mark.parametrize("how", ["", "abort"])
def test_noise_is_kept_from_the_terminal_and_nothing_else(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOISY, *how.split()],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert done.returncode == (-signal.SIGABRT if how else 0)
    said = done.stderr.splitlines()
    assert "E0000 cpu_aot_loader.cc:220] Target machine feature +avx512f is not  supported" in said
    assert "F0000 check failed" in said
    assert "from Python" in said
    assert not any("prefer-no" in line or "text-format" in line for line in said)
    assert ("afterwards" in said) == (not how)


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_killed_run_loads_programs_and_ends_with_the_same_bits(
    material: Material, tmp_path: Path, command: Command
) -> None:
    pytest.importorskip("tensorflow")
    whole, run = tmp_path / "whole", tmp_path / "run"
    changes = {"jit": True, "model": material.dropout, "micro_batch_size": 4}
    finish(start(arguments(material, whole, compile_cache="none", **changes)))
    assert not (whole / "compiled").exists()
    words = arguments(material, run, **changes)
    killed = start(words)
    assert wait_for(killed, lambda: steps_seen(run) > 0, 0.05)
    time.sleep(2 * compile_cache.EVERY)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    programs = sorted((run / "compiled").rglob("*.pb"))
    signed = [path for path in programs if path.with_suffix(".sha256").exists()]
    print(f"{len(signed)} of {len(programs)} programs signed, {sum(path.stat().st_size for path in programs):,} bytes")
    assert signed
    # One of them is damaged.
    programs[0].write_bytes(bytes(programs[0].stat().st_size))
    times = {path: path.stat().st_mtime_ns for path in programs}
    if steps(run)[-1] == 12:
        shutil.rmtree(run / "checkpoints" / "step-00000012")
    said = finish(start(words))
    assert not re.search(NOISE, said)
    assert "warning: compiled" not in said
    assert_same(weights(run), weights(whole))
    assert training(run)[-1] == training(whole)[-1]
    again = {path for path in programs if path.exists() and path.stat().st_mtime_ns != times[path]}
    # The others were loaded.
    assert again <= {programs[0], *programs} - {path for path in signed if path != programs[0]}
    first = next(line["compile_seconds"] for line in lines(whole) if "loss" in line)
    print(f"compilation took {first:.1f} s in the first line of a run without them")


UNWRITABLE = """
import sys
from pathlib import Path

from albert_fast.cli import main, pretrain
from trainer.run import compile_cache

plain = compile_cache.open_cache


def opened(*arguments):
    cache = plain(*arguments)
    # Nobody can write there, root included.
    cache.slot.rename(cache.slot.with_name("lost"))
    cache.slot.symlink_to("/sys/kernel")
    return cache


sys.modules["albert_fast.cli.pretrain"].open_cache = opened
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.tensorflow
@pytest.mark.slow
def test_programs_that_cannot_be_written_do_not_end_the_run(material: Material, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    run = tmp_path / "run"
    words = arguments(material, run, jit=True, num_train_steps=2, micro_batch_size=4)
    done = subprocess.run(
        [sys.executable, "-c", UNWRITABLE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("warning: compiled programs are no longer kept") == 1
    assert "trained for 2 steps" in done.stdout
    assert not any((run / "compiled").rglob("*.pb"))


def steps_seen(run: Path) -> int:
    return len(list((run / "checkpoints").glob("step-*")))
