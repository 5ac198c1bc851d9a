"""train-tokenizer: the guide's settings, and errors that say what would do."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from conftest import Command
from disks import fail_at

from albert_fast import AlbertFastError
from albert_fast._native import read_pieces
from albert_fast.options import TokenizerTrainingOptions
from albert_fast.options.tokenizers import SPECIAL_PIECES
from albert_fast.tokenizers.library import explain
from albert_fast.tokenizers.training import check_symbols, format_vocab

TEXT = [f"Der Müller mahlt {number} Säcke “Korn” (grob), denn die Mühle steht am Bach." for number in range(200)]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(TEXT) + "\n")
    return path


def pieces(path: Path) -> list[str]:
    return [piece for piece, _ in read_pieces(path.read_bytes())]


def test_the_guides_settings(command: Command, text: Path) -> None:
    result = command("train-tokenizer", text, "--output-dir", "out", "--vocab-size", 64)
    assert result.code == 0, result.err
    assert "64 pieces, trained on 200 lines" in result.err
    found = pieces(Path("out/spiece.model"))
    assert len(found) == 64
    assert found[:13] == [*SPECIAL_PIECES, "(", ")", "”", "-", ".", "–", "£", "€"]
    model = sentencepiece.SentencePieceProcessor(model_file="out/spiece.model")
    assert (model.pad_id(), model.unk_id(), model.bos_id(), model.eos_id()) == (0, 1, -1, -1)
    assert all(model.is_control(index) for index in (0, 2, 3, 4))
    assert Path("out/spiece.vocab").read_text().splitlines()[4:6] == ["[MASK]\t0", "(\t0"]
    assert "ü" not in "".join(found), "accents are stripped as in make-records"
    assert "M" not in "".join(found[5:])
    rules = json.loads(Path("out/spiece.config.json").read_text())
    assert (rules["lower_case"], rules["keep_accents"]) == (True, False)
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "spiece.config.json",
        "spiece.model",
        "spiece.vocab",
        "train-tokenizer.config.json",
    ]


def test_the_same_text_gives_the_same_model(command: Command, text: Path) -> None:
    for name in ("one", "two"):
        assert command("train-tokenizer", text, "--output-dir", name, "--vocab-size", 64).code == 0
    assert Path("one/spiece.model").read_bytes() == Path("two/spiece.model").read_bytes()


def test_text_rules_and_symbols(command: Command, text: Path) -> None:
    flags = ["--no-do-lower-case", "--keep-accents", "--user-defined-symbols", '"', "--user-defined-symbols", ","]
    assert command("train-tokenizer", text, "--output-dir", "out", "--vocab-size", 64, *flags).code == 0
    found = pieces(Path("out/spiece.model"))
    assert found[5:8] == ['"', ",", "▁"] or found[5:7] == ['"', ","]
    assert "ü" in "".join(found)
    assert "M" in "".join(found[7:])
    flags = ["--no-user-defined-symbols", "--overwrite"]
    assert command("train-tokenizer", text, "--output-dir", "out", "--vocab-size", 64, *flags).code == 0
    assert "(" not in pieces(Path("out/spiece.model"))[:6]
    written = json.loads(Path("out/train-tokenizer.config.json").read_text())["train-tokenizer"]
    assert (written["no_user_defined_symbols"], written["user_defined_symbols"]) == (True, [])


def test_a_vocabulary_too_large_says_what_fits(command: Command, text: Path) -> None:
    result = command("train-tokenizer", text, "--output-dir", "out", "--vocab-size", 30_000)
    assert result.code == 1
    assert result.error.startswith("--vocab-size 30000 is too large for this text, which gives at most ")
    fits = int(result.error.split(" pieces; ")[0].split()[-1])
    assert not Path("out").exists()
    assert command("train-tokenizer", text, "--output-dir", "out", "--vocab-size", fits).code == 0
    assert len(pieces(Path("out/spiece.model"))) == fits


def test_a_vocabulary_too_small_says_what_is_needed(command: Command, text: Path) -> None:
    result = command("train-tokenizer", text, "--output-dir", "out", "--vocab-size", 20)
    assert result.code == 1
    assert "--vocab-size 20 is too small" in result.error
    assert not Path("out").exists()


@pytest.mark.parametrize("content", ["", "\n\n \n"])
def test_no_text(command: Command, content: str) -> None:
    Path("empty.txt").write_text(content)
    result = command("train-tokenizer", "empty.txt", "--output-dir", "out")
    assert result.code == 1
    assert not Path("out").exists()


def test_text_that_is_not_utf8_is_named(command: Command) -> None:
    Path("bad.txt").write_bytes(b"good line\nbad \xff line\n")
    result = command("train-tokenizer", "bad.txt", "--output-dir", "out")
    assert result.code == 1
    assert "bad.txt, line 2" in result.error


def test_a_model_that_exists_is_kept(command: Command, text: Path) -> None:
    Path("out").mkdir()
    Path("out/spiece.model").write_text("precious")
    result = command("train-tokenizer", text, "--output-dir", "out", "--vocab-size", 64)
    assert result.code == 1
    assert "pass --overwrite" in result.error
    assert Path("out/spiece.model").read_text() == "precious"
    assert command("train-tokenizer", text, "--output-dir", "out", "--vocab-size", 64, "--overwrite").code == 0
    assert len(pieces(Path("out/spiece.model"))) == 64


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}


def test_overwrite_loses_no_tokenizer(command: Command, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at Ctrl-C, nor on a disk that fails, until the new files are all there."""
    words = ["train-tokenizer", text, "--output-dir", "out", "--vocab-size"]
    assert command(*words, 64).code == 0
    before = contents(Path("out"))
    for number in (1, 4, 5, 8):
        with monkeypatch.context() as patched:
            fail_at(number, KeyboardInterrupt(), patched, after=True, ever=False)
            assert command(*words, 48, "--overwrite").code == 130
        assert contents(Path("out")) == before
    with monkeypatch.context() as patched:
        fail_at(6, OSError(errno.EIO, "broken"), patched, after=False, ever=True)
        stopped = command(*words, 48, "--overwrite")
    assert (stopped.code, stopped.error[:17]) == (1, "cannot write out/")
    assert contents(Path("out")) != before
    told = command("tokenize", text, "--tokenizer", "out", "--output-dir", "store").error
    assert "train-tokenizer was stopped while it replaced the old one; run it again" in told
    # The next command puts the old ones back first.
    assert "pass --overwrite to replace it" in command(*words, 48).error
    assert contents(Path("out")) == before
    assert command(*words, 48, "--overwrite").code == 0
    assert len(pieces(Path("out/spiece.model"))) == 48
    assert contents(Path("out")).keys() == before.keys()


def test_the_options_are_there_if_the_model_is(command: Command, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["train-tokenizer", text, "--output-dir", "out", "--vocab-size", 64]
    for name in ("spiece.vocab", "spiece.config.json", "train-tokenizer.config.json", "spiece.model"):
        replace = Path.replace

        def failing(path: Path, target: Path, name: str = name, replace: Callable[..., Any] = replace) -> None:
            if target.name == name:
                raise OSError(errno.ENOSPC, "full")
            replace(path, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", failing)
            assert command(*words).error == f"cannot write out/{name}: full"
        assert not Path("out").exists()
    assert command(*words).code == 0
    assert json.loads(Path("out/train-tokenizer.config.json").read_text())["train-tokenizer"]["vocab_size"] == 64


def test_lines_left_out_are_counted(command: Command, text: Path) -> None:
    text.write_text("\n".join([*TEXT, "ä" * 3000]) + "\n")
    flags = ["--keep-accents", "--vocab-size", 64]
    result = command("train-tokenizer", text, "--output-dir", "out", *flags)
    assert result.code == 0, result.err
    assert "dropped 1 line longer than 4,192 bytes" in result.err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"character_coverage": 0.5}, "character_coverage must be a number from 0.98 to 1, got 0.5"),
        ({"input_sentence_size": -1}, "input_sentence_size must be a whole number of at least 0, got -1"),
        ({"user_defined_symbols": ("a", "a")}, "`user_defined_symbols`: 'a' is given twice"),
        ({"user_defined_symbols": ("[CLS]",)}, r"`user_defined_symbols`: '\[CLS\]' is already a special token"),
        ({"user_defined_symbols": ("",)}, "user_defined_symbols must be one line of text each, got ''; drop"),
        ({"vocab_size": 13}, "vocab_size must be a whole number from 16 to 1,000,000, got 13"),
        (
            {"vocab_size": 16, "user_defined_symbols": tuple("abcdefghijkl")},
            "vocab_size must be larger than 17, the number of special tokens and user-defined symbols, got 16",
        ),
    ],
)
def test_settings_outside_their_rules(settings: dict[str, object], message: str) -> None:
    with pytest.raises(AlbertFastError, match=message):
        check_symbols(TokenizerTrainingOptions(**settings))  # type: ignore[arg-type]


def test_other_errors_lose_their_source_position() -> None:
    error = RuntimeError("INTERNAL: src/trainer_interface.cc(94) [a >= b] it broke")
    assert str(explain(error, TokenizerTrainingOptions())) == "sentencepiece: [a >= b] it broke"


@pytest.mark.golden
def test_the_vocabulary_file_is_sentencepieces_own(model: Path) -> None:
    assert format_vocab(read_pieces(model.read_bytes())) == model.with_suffix(".vocab").read_text()


def test_the_library_takes_its_threads_from_the_partial_sums(
    command: Command, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--vocab-size", 64, "--engine", "sentencepiece", "--output-dir"]
    result = command("train-tokenizer", text, *flags, "out", "--num-threads", 4)
    assert result.code == 2
    assert result.error == (
        "--num-threads 4 contradicts --engine sentencepiece, which starts as many threads as --partitions, 16: remove "
        "--num-threads, or pass --partitions 4, which changes the last digits of the scores"
    )
    assert not Path("out").exists()
    started = []
    trainer = sentencepiece.SentencePieceTrainer.Train

    def train(**options: Any) -> None:
        started.append(options["num_threads"])
        trainer(**options)

    monkeypatch.setattr(sentencepiece.SentencePieceTrainer, "Train", train)
    assert command("train-tokenizer", text, *flags, "same", "--num-threads", 3, "--partitions", 3).code == 0
    assert command("train-tokenizer", text, *flags, "own").code == 0
    assert started == [3, 16]
    ours = ["train-tokenizer", text, "--vocab-size", 64, "--output-dir", "ours", "--num-threads", 2]
    assert command(*ours, "--partitions", 3).code == 0
