"""Signals that ask a command to end: each is as Ctrl-C, so that nothing half-written stays."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from albert_fast._signals import MAY_BE_IGNORED, SIGNALS, as_ctrl_c, ending_at_ctrl_c

SPIECE = Path(__file__).parents[1] / "golden" / "tokenizer" / "spiece.model"
COMMANDS = {
    "prepare-text": ("-", "--output", "out.txt"),
    "tokenize": ("-", "--tokenizer", SPIECE, "--output-dir", "out"),
    "make-records": ("-", "--tokenizer", SPIECE, "--output-dir", "out"),
    "train-tokenizer": ("-", "--output-dir", "out"),
}


def start(name: str, ignored: tuple[signal.Signals, ...] = ()) -> subprocess.Popen[str]:
    """Starts a command that waits for standard input, and returns when it does."""

    def usual() -> None:
        # The test run itself may have been started with signals ignored.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        [sys.executable, "-m", "albert_fast", name, *map(str, COMMANDS[name])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=usual,  # noqa: PLW1509
    )
    assert process.stdin is not None
    # More than a pipe holds: when all of it is written, the command reads.
    process.stdin.write("A sentence of some words.\n" * 20_000)
    process.stdin.flush()
    time.sleep(0.3)
    return process


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("prepare-text", signal.SIGTERM),
        ("prepare-text", signal.SIGHUP),
        ("prepare-text", signal.SIGUSR1),
        ("prepare-text", signal.SIGUSR2),
        ("train-tokenizer", signal.SIGTERM),
        ("train-tokenizer", signal.SIGINT),
        ("tokenize", signal.SIGTERM),
        ("make-records", signal.SIGTERM),
        ("make-records", signal.SIGUSR1),
    ],
)
def test_a_signal_is_as_ctrl_c(
    name: str, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = start(name)
    process.send_signal(number)
    # Standard input stays open: the command must not take its end for the reason.
    code = process.wait(60)
    said, _ = process.communicate()
    assert code == 130, said
    assert said.splitlines()[-1].startswith("albert-fast: stopped"), said
    # What the two that resume leave says which options they had.
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"out/tokenize.partial.json", "out/.tokens/tokenize.partial.json"}, left


def test_a_signal_that_was_ignored_stays_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    process = start("prepare-text", MAY_BE_IGNORED)
    for number in MAY_BE_IGNORED:
        process.send_signal(number)
    said, _ = process.communicate("The last sentence.\n")
    assert process.returncode == 0, said
    assert (tmp_path / "out.txt").read_text().rstrip().endswith("The last sentence.")


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyboardInterrupt), as_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_another_thread_may_run_a_command() -> None:
    ended = []

    def work() -> None:
        with as_ctrl_c():
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGUSR1"])
@pytest.mark.parametrize("module", ["numpy", "albert_fast._native", "typer", "albert_fast.cli"])
def test_a_signal_while_the_command_loads(module: str, number: str) -> None:
    program = f"""
import signal, sys
# The test run itself may have been started with it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.{number})
sys.meta_path.insert(0, Interrupting())
from albert_fast.__main__ import main
sys.argv = ["albert-fast", "inspect-records", "--help"]
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "albert-fast: stopped\n")


@pytest.mark.parametrize("swallowing", ["numpy", "typer"])
def test_ctrl_c_while_a_module_loads_that_swallows_it(swallowing: str, tmp_path: Path) -> None:
    """NumPy does: in its own import a `KeyboardInterrupt` becomes an `ImportError`, of thirty lines."""
    (tmp_path / f"{swallowing}.py").write_text("""
import time
print("loading", flush=True)
try:
    for _ in range(600):
        time.sleep(0.1)
except BaseException as error:
    raise ImportError("a long explanation") from error
""")
    program = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {str(tmp_path)!r})
from albert_fast.__main__ import main
sys.argv = ["albert-fast", "inspect-records", "--help"]
sys.exit(main())
"""
    words = [sys.executable, "-c", program]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, "", "albert-fast: stopped\n")


def test_the_handler_of_ctrl_c_is_as_before_once_modules_are_loaded() -> None:
    def own(*_: object) -> None: ...

    before = signal.getsignal(signal.SIGINT)
    try:
        for handler in (signal.default_int_handler, signal.SIG_IGN, own):
            signal.signal(signal.SIGINT, handler)
            with contextlib.suppress(ImportError), ending_at_ctrl_c():
                assert (signal.getsignal(signal.SIGINT) is handler) == (handler is not signal.default_int_handler)
                raise ImportError
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_pipe_that_reads_the_output_is_closed(tmp_path: Path) -> None:
    """More is printed than a pipe holds, and its reader ends after the first line."""
    records = SPIECE.parents[1] / "records" / "default-128-00000-of-00001.tfrecord.gz"
    words = f"{sys.executable} -m albert_fast inspect-records {records} -n 1000"
    script = f"{words} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (141, "")
    assert len(done.stdout.splitlines()) == 1
