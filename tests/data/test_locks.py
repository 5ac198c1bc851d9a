"""Of two runs that write to one output, one succeeds and the other is refused."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Command

from albert_fast import AlbertFastError
from albert_fast.files import locked

TEXT = "the miller grinds his corn by the river\nthe mill stands at the brook\n\nit turns all day\nand all night\n" * 40
BUSY = "another command is writing"


@pytest.fixture
def text() -> Path:
    Path("text.txt").write_text(TEXT)
    return Path("text.txt")


def words(name: str, source: Path, model: Path) -> list[object]:
    """The arguments of a command that reads `source` and writes `out`."""
    sizes = ["--max-seq-length", 64, "--dupe-factor", 1, "--max-predictions-per-seq", 10]
    records = ["make-records", source, "--tokenizer", model, "--output-dir", "out", *sizes]
    return {
        "train-tokenizer": ["train-tokenizer", source, "--output-dir", "out", "--vocab-size", 40],
        "tokenize": ["tokenize", source, "--tokenizer", model, "--output-dir", "out"],
        "make-records": records,
        "reference": [*records, "--rng", "reference"],
        "prepare-text": ["prepare-text", source, "--output", "out", "--language", "en"],
        "prepare-text to a directory": [
            "prepare-text",
            source,
            "--output",
            "out",
            "--num-shards",
            2,
            "--language",
            "en",
        ],
    }[name]


PRODUCTS = {
    "train-tokenizer": "out/spiece.model",
    "tokenize": "out/meta.json",
    "make-records": "out/dataset.json",
    "reference": "out/dataset.json",
    "prepare-text": "out",
    "prepare-text to a directory": "out/corpus-00001-of-00002.txt",
}


class Waiting:
    """A command in a process of its own that waits for its text from a pipe."""

    def __init__(self, arguments: list[object]) -> None:
        command = [sys.executable, "-m", "albert_fast", *map(str, arguments)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def wait_for(self, marks: list[str]) -> None:
        """Waits until the command has its lock, as a file or directory with one of these names tells."""
        while not any(Path(mark).exists() for mark in marks):
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        """Gives it its text, unless it ends without reading. Returns its exit code and what it said."""
        while self.process.poll() is None:
            # If nobody reads, this is an error. Without this flag, it would wait for a reader forever.
            with contextlib.suppress(OSError):
                pipe = os.open("pipe", os.O_WRONLY | os.O_NONBLOCK)
                with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "w") as file:
                    file.write(TEXT)
                break
            time.sleep(0.01)
        said = self.process.communicate()[1]
        return self.process.returncode, said


@pytest.fixture
def waiting() -> Iterator[list[Waiting]]:
    """Commands that end with the test."""
    started: list[Waiting] = []
    yield started
    for each in started:
        each.process.kill()
        each.process.wait()
        if each.process.stderr is not None:
            each.process.stderr.close()


def needs_tensorflow() -> None:
    """Skips a test if TensorFlow is missing. It is not imported: the lock comes first."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs TensorFlow")


MARKS = ["out", ".out.prepare-text.tmp"]


@pytest.mark.parametrize("name", [name for name in PRODUCTS if name != "reference"])
def test_a_second_run_is_refused_while_the_first_works(
    name: str, command: Command, model: Path, text: Path, waiting: list[Waiting]
) -> None:
    os.mkfifo("pipe")
    waiting.append(Waiting(words(name, Path("pipe"), model)))
    waiting[0].wait_for([f"{MARKS[0]}/.tokens", MARKS[1]] if name == "make-records" else MARKS)
    for overwrite in ([], ["--overwrite"]):
        refused = command(*words(name, text, model), *overwrite)
        assert refused.code == 1
        assert BUSY in refused.error, refused.error
        assert not Path(PRODUCTS[name]).is_file()
    code, said = waiting[0].end()
    assert code == 0, said
    assert Path(PRODUCTS[name]).is_file()
    assert not Path(".out.lock").exists()


@pytest.mark.parametrize("name", ["train-tokenizer", "prepare-text", "prepare-text to a directory"])
def test_what_appears_meanwhile_is_kept(name: str, command: Command, model: Path, waiting: list[Waiting]) -> None:
    os.mkfifo("pipe")
    waiting.append(Waiting(words(name, Path("pipe"), model)))
    waiting[0].wait_for(MARKS)
    product = Path(PRODUCTS[name])
    product.parent.mkdir(exist_ok=True)
    product.write_text("precious")
    code, said = waiting[0].end()
    assert code == 1
    assert "--overwrite" in said.splitlines()[-1]
    assert product.read_text() == "precious"


@pytest.mark.parametrize("name", ["train-tokenizer", "tokenize"])
def test_two_runs_at_once(name: str, command: Command, model: Path, text: Path, waiting: list[Waiting]) -> None:
    """Whichever comes first: the other is refused, or finds the output there."""
    first, other = words(name, text, model), [*words(name, text, model)]
    other += ["--no-do-lower-case"]
    waiting.extend([Waiting(first), Waiting(other)])
    ends = [(each.process.communicate()[1], each.process.returncode) for each in waiting]
    assert sorted(code for _, code in ends) == [0, 1], ends
    (said,) = (said for said, code in ends if code == 1)
    assert BUSY in said or "--overwrite" in said or "made with" in said
    assert Path(PRODUCTS[name]).is_file()


def test_a_held_out_set_is_locked_too(command: Command, text: Path, waiting: list[Waiting]) -> None:
    os.mkfifo("pipe")
    flags = ["--documents", "blank-line", "--no-dedup-documents", "--language", "en", "--eval-fraction", 0.5]
    flags += ["--eval-output", "held"]
    waiting.append(Waiting(["prepare-text", "pipe", "--output", "one", *flags]))
    waiting[0].wait_for([".held.prepare-text.tmp"])
    refused = command("prepare-text", text, "--output", "two", *flags)
    assert refused.code == 1
    assert BUSY in refused.error
    assert not Path("two").exists()


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [
        (["demo", "--output-dir", "out"], False),
        (["export", "--checkpoint", "run", "--output-dir", "out"], True),
        (["export", "--checkpoint", "run", "--output-dir", "out", "--to", "tf1", "--overwrite"], True),
        (["import-checkpoint", "run", "--output-dir", "out"], True),
        (["evaluate", "--checkpoint", "run", "--records", "r", "--output", "out"], True),
        (["evaluate", "--checkpoint", "run", "--records", "r", "--output", "out", "--overwrite"], True),
    ],
)
def test_every_other_writer_takes_the_lock(arguments: list[str], whole: bool, command: Command) -> None:
    if arguments[0] != "demo":
        needs_tensorflow()
    with locked("out", whole=whole):
        refused = command(*arguments)
    assert refused.code == 1
    assert BUSY in refused.error
    # The lock is all that was in the way: there is no run, and demo finds something else in its directory.
    Path("out").mkdir(exist_ok=True)
    (Path("out") / "letters.txt").write_text("precious")
    free = command(*arguments)
    assert free.code == 1
    assert BUSY not in free.error
    assert (Path("out") / "letters.txt").read_text() == "precious"


@pytest.mark.parametrize("output", ["out.txt", "deep/er/out.txt"])
def test_prepare_text_takes_the_lock_of_every_whole_output(output: str, command: Command, text: Path) -> None:
    with locked(output, whole=True):
        for more in ([], ["--overwrite"]):
            refused = command("prepare-text", text, "--output", output, *more)
            assert (refused.code, BUSY in refused.err) == (1, True), refused.err
    # What was created for the lock is gone.
    assert not Path("deep").exists()
    assert command("prepare-text", text, "--output", output).code == 0


def test_an_evaluation_is_not_replaced(command: Command) -> None:
    needs_tensorflow()
    Path("found.json").write_text("precious")
    refused = command("evaluate", "--checkpoint", "run", "--records", "r", "--output", "found.json")
    assert refused.error == "found.json exists; pass --overwrite to replace it, or another --output"
    assert Path("found.json").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset.json", '{"format": "albert-fast records", "shards": []}'),
        ("evaluation.json", '{"evaluation": {"masked_lm_loss": 1.0}, "sha256": "ab"}'),
        ("list.json", '["checkpoint", "records", "evaluation", "guessing"]'),
        ("spiece.model", "\x0a\x0e\x0a\x05<unk>"),
        ("deep.json", "[" * 100_000),
    ],
)
def test_only_an_evaluation_is_replaced(name: str, content: str, command: Command) -> None:
    needs_tensorflow()
    Path(name).write_text(content)
    words = ("evaluate", "--checkpoint", "run", "--records", "r", "--output", name, "--overwrite")
    refused = command(*words)
    assert refused.error == (
        f"{name} was not written by evaluate, and --overwrite replaces only its own files; remove it, or pass another "
        "--output"
    )
    assert Path(name).read_text() == content
    for replaceable in ("", '{"checkpoint": "a", "step": 1, "records": "b", "evaluation": {}, "guessing": {}}'):
        Path(name).write_text(replaceable)
        assert command(*words).error.startswith("run does not exist")


def test_an_output_is_free_after_a_failure(command: Command, model: Path, text: Path) -> None:
    Path("empty.txt").write_text("\n")
    for name in PRODUCTS:
        assert command(*words(name, Path("empty.txt"), model)).code == 1
        if name in {"tokenize", "make-records"} and Path("out").exists():
            Path("out").rmdir()
        assert not Path("out").exists(), name
        assert not list(Path().glob(".out*")), name
        done = command(*words(name, text, model))
        assert done.code == 0, done.err
        for path in sorted(Path().glob("out/**/*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        Path("out").rmdir() if Path("out").is_dir() else Path("out").unlink()


# --- the lock itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True])
def test_one_at_a_time(whole: bool, tmp_path: Path) -> None:
    path = tmp_path / "new" / "out"
    errors: list[str] = []

    def try_it() -> None:
        with contextlib.suppress(AlbertFastError), locked(path, whole=whole):
            return
        errors.append("busy")

    with locked(path, whole=whole) as lock:
        assert lock.exclusive
        with pytest.raises(AlbertFastError, match=BUSY):
            locked(path, whole=whole).__enter__()
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert errors == ["busy"]
    assert not path.exists()
    with pytest.raises(RuntimeError), locked(path, whole=whole):
        raise RuntimeError
    with locked(path, whole=whole) as lock:
        lock.release()
        with locked(path, whole=whole):
            pass


def test_a_killed_run_locks_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal; from albert_fast.files import locked\n"
        "with locked('directory'), locked('file', whole=True): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert (tmp_path / ".file.lock").exists()
    with locked(tmp_path / "directory"), locked(tmp_path / "file", whole=True):
        pass
    assert not (tmp_path / ".file.lock").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for whole in (False, True):
        with pytest.raises(AlbertFastError, match="file"), locked(tmp_path / "file" / "out", whole=whole):
            pass
