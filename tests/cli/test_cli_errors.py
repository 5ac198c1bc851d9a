"""One clear line, the right exit code, never a traceback."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from albert_fast import AlbertFastError, __version__, _native
from albert_fast.cli import main


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["frobnicate"], "frobnicate"),
        (["make-records", "a.txt", "--frobnicate"], "--frobnicate"),
        (["make-records", "a.txt", "--output-dir", "out", "--ngram", "0"], "--ngram"),
        (["make-records", "a.txt", "--output-dir", "out", "--rng", "quick"], "--rng"),
        (["make-records", "a.txt"], "--output-dir"),
        (["make-records", "--output-dir", "out"], "INPUT is required"),
        (["inspect-records"], "PATH is required"),
        (["make-records", "-", "--output-dir", "out"], "pass --tokenizer spiece.model, or --vocab-file"),
        (["tokenize", "a.txt", "--output-dir", "out", "--tokenizer", "a", "--vocab-file", "b"], "are two tokenizers"),
        (["make-records", "a.txt", "--output-dir", "out", "--vocab-file", "b", "--keep-accents"], "--keep-accents"),
        (["make-records", "a", "--output-dir", "o", "--max-seq-length", "16", "--max-predictions-per-seq", "17"], "17"),
        (["make-records", "a.txt", "--output-dir", "out", "--config", "none.yaml"], "none.yaml"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(
    command: Command, tmp_path: Path, arguments: list[str], part: str
) -> None:
    result = command(*arguments)
    assert result.code == 2
    assert part in result.error
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tokenise", "unknown command tokenise; did you mean tokenize? (see `albert-fast --help`)"),
        ("frobnicate", "unknown command frobnicate (see `albert-fast --help`)"),
        ("--versio", "unknown option --versio; did you mean --version? (see `albert-fast --help`)"),
        (
            "train-tokenizer --vocab-siz 3",
            "unknown option --vocab-siz; did you mean --vocab-size? (see `albert-fast train-tokenizer --help`)",
        ),
        (
            "train-tokenizer --output-dir",
            "--output-dir requires a value (see `albert-fast train-tokenizer --help`)",
        ),
        (
            "train-tokenizer a.txt --overwrite=yes --output-dir out",
            "--overwrite does not take a value (see `albert-fast train-tokenizer --help`)",
        ),
        ("--version=1", "--version does not take a value (see `albert-fast --help`)"),
        ("train-tokenizer a.txt", "--output-dir is required (see `albert-fast train-tokenizer --help`)"),
        ("train-tokenizer --output-dir out", "INPUT is required (see `albert-fast train-tokenizer --help`)"),
        ("demo out", "unknown argument out (see `albert-fast demo --help`)"),
        ("demo out more", "unknown arguments out more (see `albert-fast demo --help`)"),
        (
            "train-tokenizer a.txt --output-dir out --vocab-size many",
            "--vocab-size must be a whole number from 16 to 1,000,000, got 'many'",
        ),
        (
            "train-tokenizer a.txt --output-dir out --shrinking-factor 1,5",
            "--shrinking-factor must be a number from 0.5 to 0.95, got '1,5'",
        ),
    ],
)
def test_what_a_usage_error_says(command: Command, words: str, message: str) -> None:
    result = command(*words.split())
    assert (result.code, result.error) == (2, message)


def test_no_command_shows_the_help(command: Command) -> None:
    result = command()
    assert result.code == 2
    assert "make-records" in result.out + result.err


def test_version(command: Command) -> None:
    assert command("--version") == (0, f"albert-fast {__version__}\n", "")


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        (AlbertFastError("a.txt, line 3: bad"), "a.txt, line 3: bad"),
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), "out/x: No space left on device"),
        (ZeroDivisionError("two\nlines"), "unexpected ZeroDivisionError: two lines; run with ALBERT_FAST_DEBUG=1"),
        (MemoryError(), "unexpected MemoryError"),
    ],
)
def test_errors_are_one_line_and_exit_1(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, line: str
) -> None:
    def native(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(_native, "tokenize", native)
    arguments = ["tokenize", "a.txt", "--tokenizer", model, "--output-dir", "out"]
    result = command(*arguments)
    assert result.code == 1
    assert result.error.startswith(line)
    assert not Path("out").exists(), "an output that was refused must not be touched"
    monkeypatch.setenv("ALBERT_FAST_DEBUG", "1")
    with pytest.raises(type(raised)):
        main([str(argument) for argument in arguments])


def test_a_panic_of_the_compiled_part_is_one_line_too(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PanicException(BaseException):
        pass

    def native(*_: Any, **__: Any) -> None:
        raise PanicException("index out of bounds")

    monkeypatch.setattr(_native, "tokenize", native)
    result = command("tokenize", "a.txt", "--tokenizer", model, "--output-dir", "out")
    assert result.code == 1
    assert result.error.startswith("unexpected PanicException: index out of bounds")


def test_ctrl_c_says_how_to_resume(command: Command, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def native(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_native, "make_records", native)
    flags = ["--max-predictions-per-seq", 77]
    result = command("make-records", "a.txt", "--tokenizer", model, "--output-dir", "out", *flags)
    assert result.code == 130
    assert result.err == (
        "albert-fast: stopped; what is finished is kept: run the same command again to resume, or with --overwrite to "
        "start over\n"
    )


def test_a_file_where_the_output_directory_should_be(command: Command, model: Path) -> None:
    Path("out").write_text("precious")
    result = command("tokenize", "a.txt", "--tokenizer", model, "--output-dir", "out/store")
    assert result.code == 1
    assert "out is not a directory" in result.error
    assert Path("out").read_text() == "precious"


def test_a_missing_or_broken_tokenizer(command: Command) -> None:
    Path("broken.model").write_bytes(b"not a model")
    for name in ("none.model", "broken.model"):
        result = command("tokenize", "a.txt", "--tokenizer", name, "--output-dir", "out")
        assert result.code == 1
        assert name in result.error
        assert not Path("out").exists()


def test_a_reader_that_leaves_is_no_error(tmp_path: Path, model: Path) -> None:
    golden = model.parent.parent / "records" / "default-128-00000-of-00001.tfrecord.gz"
    script = "import sys; from albert_fast.cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", script, "inspect-records", str(golden), "-n", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--version", 0),
        ("make-records text.txt", 2),
        ("inspect-records MODEL", 1),
        ("train-tokenizer text.txt --vocab-size 32 --output-dir out", 0),
    ],
)
def test_closed_standard_streams(words: str, code: int, closed: str, tmp_path: Path, model: Path) -> None:
    """They stay silent, and no file of the output gets the number of one, and with it the messages."""
    (tmp_path / "text.txt").write_text("The words of the first line.\nAnother line of words, and some more.\n" * 20)
    script = f"{sys.executable} -m albert_fast {words.replace('MODEL', str(model))}"
    runs = {}
    for name, redirections in (("open", ""), ("closed", closed)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.txt").symlink_to(tmp_path / "text.txt")
        done = subprocess.run(
            ["sh", "-c", f"{script} {redirections}"], cwd=tmp_path / name, capture_output=True, text=True, check=False
        )
        files = {path.name: path.read_bytes() for path in sorted((tmp_path / name).glob("out/*.[mt]o*"))}
        runs[name] = done.returncode, files
        if redirections:
            assert not (done.stderr if "2>&-" in closed else done.stdout)
    assert runs["closed"] == runs["open"]
    assert runs["open"][0] == code
    assert bool(runs["open"][1]) == ("out" in words and code == 0)


def test_the_trainer_is_the_command() -> None:
    process = subprocess.run([sys.executable, "-m", "trainer"], check=False, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stdout == ""
    told = "albert-fast: error: --output-dir is required (see `albert-fast pretrain --help`)\n"
    assert process.stderr == told


@pytest.mark.parametrize(
    "words",
    [
        "--version",
        "--help",
        "prepare-text --help",
        "train-tokenizer --help",
        "train-tokenizer none",
        "tokenize --help",
        "make-records --help",
    ],
)
def test_a_command_does_not_load_what_others_need(words: str) -> None:
    script = f"""
import sys
from albert_fast.__main__ import main
sys.argv = ["albert-fast", *{words.split()!r}]
sys.stdout = sys.stderr
try:
    main()
finally:
    heavy = {{"numpy", "tensorflow", "rich", "yaml", "sentencepiece", "trainer", "albert_fast.cli.demo"}}
    print(heavy & set(sys.modules), file=sys.__stdout__)
"""
    process = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert process.stdout == "set()\n"


def test_importing_the_package_is_light() -> None:
    script = (
        "import sys, albert_fast; "
        "print({'tensorflow', 'numpy', 'typer', 'rich', 'sentencepiece', 'yaml', 'click'} & set(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert process.stdout == "set()\n"
