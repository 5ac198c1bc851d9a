"""An id has one meaning: what is exported gives other programs the ids that the model was trained with."""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import random
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import models
import pytest

from albert_fast import AlbertFastError, Tokenizer
from albert_fast.tokenizers.saving import wordpiece_files
from trainer.errors import TrainerError
from trainer.exchange import export, tokenizer_check

if TYPE_CHECKING:
    from conftest import Command

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = GOLDEN / "tokenizer" / "spiece.model"
WORDPIECE = GOLDEN / "tokenizer" / "wordpiece.txt"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "cat", "saw", "a", "dog", "##s", ",", "."]
TEXT = "The cat saw a dog.\nA dog saw the cats.\n\nThe dogs saw, the cat saw.\nA cat.\n"


def vocabulary(directory: Path, entries: list[str], end: str = "\n", before: str = "") -> Path:
    path = directory / "vocab.txt"
    path.write_bytes((before + "".join(entry + end for entry in entries)).encode())
    return path


def refused(path: Path) -> str:
    with pytest.raises(AlbertFastError) as caught:
        Tokenizer.from_vocab_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}"), message
    assert "\n" not in message
    return message.removeprefix(str(path))


# --- vocabularies that programs number differently -------------------------------------------------------------------


def test_an_entry_twice(tmp_path: Path) -> None:
    path = vocabulary(tmp_path, [*SPECIAL, *WORDS, "a", "end"])
    message = refused(path)
    assert message.startswith(', line 14: an entry must be on one line only: "a" is on line 9 too')
    assert "delete line 14" in message
    assert "[unused9]" in message
    # Both ways out that it names work, and differ in the ids.
    lines = path.read_text().splitlines()
    kept = vocabulary(tmp_path, [*lines[:13], *lines[14:]])
    assert Tokenizer.from_vocab_file(kept).piece_to_id("end") == 13
    renamed = vocabulary(tmp_path, [*lines[:8], "[unused9]", *lines[9:]])
    tokenizer = Tokenizer.from_vocab_file(renamed)
    assert [tokenizer.piece_to_id(piece) for piece in ("a", "end")] == [13, 14]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["", "x", ""], ", line 16: a vocabulary must have at most one blank line: line 14 is blank too"),
        ([" ", "\t"], ", line 15: a vocabulary must have at most one blank line"),
        (["\u3000", "\u2028"], ", line 15: a vocabulary must have at most one blank line"),
        (
            ["dog 7"],
            'line 14: an entry must be on one line only: "dog", the first word of "dog 7", is on line 10',
        ),
        (["[MASK]"], '"[MASK]" is on line 5 too'),
        (["x\ry"], ", line 14: the lines of a vocabulary must end in LF or CR LF"),
    ],
)
def test_other_lines_that_count_twice(entries: list[str], message: str, tmp_path: Path) -> None:
    assert message in refused(vocabulary(tmp_path, [*SPECIAL, *WORDS, *entries]))


def test_every_command_refuses_an_entry_twice(command: Command, tmp_path: Path) -> None:
    path = vocabulary(tmp_path, [*SPECIAL, *WORDS, "dog"])
    Path("corpus.txt").write_text(TEXT)
    for arguments in (
        ("tokenize", "corpus.txt", "--vocab-file", path, "--output-dir", "store"),
        ("make-records", "corpus.txt", "--vocab-file", path, "--output-dir", "records"),
    ):
        done = command(*arguments)
        assert done.code == 1
        assert "vocab.txt, line 14: an entry must be on one line only" in done.error
    assert not Path("store").exists()
    assert not Path("records").exists()


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("\n".join([*SPECIAL, *WORDS]).encode("utf-16"))
    assert "the file is UTF-16; a vocabulary must be UTF-8: convert the file" in refused(path)


# --- vocabularies that are read, and written plainly -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "end", "before"),
    [
        (WORDS, "\n", "\ufeff"),
        (WORDS, "\r\n", "\ufeff"),
        (WORDS, "\r\n", ""),
        ([f"{word}\t7" for word in WORDS], "\n", ""),
        ([f"  {word} " for word in WORDS], "\n", "\ufeff"),
    ],
)
def test_an_untidy_vocabulary(entries: list[str], end: str, before: str, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = Tokenizer.from_vocab_file(vocabulary(tmp_path / "plain", [*SPECIAL, *WORDS]))
    assert plain.content == Path(plain.path).read_bytes()
    tokenizer = Tokenizer.from_vocab_file(vocabulary(tmp_path, [*SPECIAL, *entries], end, before))
    assert tokenizer.pieces == plain.pieces == [*SPECIAL, *WORDS]
    assert tokenizer.content == plain.content
    # The same entries are the same tokenizer.
    assert tokenizer.digest == plain.digest
    assert pickle.loads(pickle.dumps(tokenizer)).digest == plain.digest
    files = export.tokenizer_files(tokenizer, 128)
    assert files["vocab.txt"] == plain.content
    tokenizer_check.check(tokenizer, files)


def test_a_blank_line_is_an_entry(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_vocab_file(vocabulary(tmp_path, [*SPECIAL, "", *WORDS]))
    assert tokenizer.piece_to_id("the") == 6
    tokenizer_check.check(tokenizer, export.tokenizer_files(tokenizer, 128))


def test_a_mark_before_the_first_entry_in_a_store(command: Command, tmp_path: Path) -> None:
    path = vocabulary(tmp_path, [*SPECIAL, *WORDS], before="\ufeff")
    Path("corpus.txt").write_text(TEXT)
    done = command("tokenize", "corpus.txt", "--vocab-file", path, "--output-dir", "store")
    assert done.code == 0, done.err
    assert Path("store/tokenizer-copy.txt").read_text().splitlines() == [*SPECIAL, *WORDS]


def test_names_and_rules_of_an_exported_vocabulary(tmp_path: Path) -> None:
    """The padding of this one is <pad>, and it keeps accents."""
    path = vocabulary(tmp_path, ["<pad>", *SPECIAL[1:], *WORDS, "é"])
    tokenizer = Tokenizer.from_vocab_file(path, lower_case=True, keep_accents=True)
    files = export.tokenizer_files(tokenizer, 128)
    config = json.loads(files["tokenizer_config.json"])
    assert config["pad_token"] == "<pad>"
    assert (config["do_lower_case"], config["strip_accents"]) == (True, False)
    tokenizer_check.check(tokenizer, files)


# --- the check at export ---------------------------------------------------------------------------------------------


@functools.cache
def model_of(kind: str) -> bytes:
    return MODEL.read_bytes() if kind == "golden" else models.train(**KINDS[kind])


def exported(tmp_path: Path, kind: str) -> tuple[Tokenizer, dict[str, bytes]]:
    if kind == "wordpiece":
        tokenizer = Tokenizer.from_vocab_file(WORDPIECE)
    else:
        path = tmp_path / "spiece.model"
        path.write_bytes(model_of(kind))
        tokenizer = Tokenizer.from_file(path)
    return tokenizer, export.tokenizer_files(tokenizer, 128)


KINDS: dict[str, dict[str, Any]] = {
    "bytes": {"byte_fallback": True, "character_coverage": 0.98},
    "suffix": {"treat_whitespace_as_suffix": True},
    "across spaces": {"split_by_whitespace": False},
    "no prefix": {"add_dummy_prefix": False},
    "digits": {"split_by_unicode_script": False, "split_by_number": False},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wordpiece", "golden", *KINDS])
@pytest.mark.parametrize("installed", [True, False])
def test_what_is_exported_gives_the_same_ids(
    kind: str, installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installed:
        pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    else:
        monkeypatch.setattr(tokenizer_check, "_tokenizers", lambda: None)
    tokenizer_check.check(*exported(tmp_path, kind))


def swapped(content: bytes) -> bytes:
    """A vocabulary with two neighbors swapped."""
    lines = content.decode().split("\n")
    lines[20], lines[21] = lines[21], lines[20]
    return "\n".join(lines).encode()


def first_doubled(content: bytes) -> bytes:
    lines = content.decode().split("\n")
    return "\n".join([*lines[:8], lines[7], *lines[8:]]).encode()


def pieces_swapped(content: bytes) -> bytes:
    stored = json.loads(content)
    vocab = stored["model"]["vocab"]
    vocab[30], vocab[31] = vocab[31], vocab[30]
    return json.dumps(stored).encode()


@pytest.mark.parametrize(
    ("kind", "name", "change", "message"),
    [
        ("wordpiece", "vocab.txt", swapped, "must have id 20, as in the model, got id 21 from transformers"),
        ("wordpiece", "vocab.txt", first_doubled, "must have id 7, as in the model, got id 8 from transformers"),
        ("wordpiece", "vocab.txt", lambda content: b"\xef\xbb\xbf" + content, "got no id from transformers"),
        ("golden", "tokenizer.json", pieces_swapped, "must have id 30, as in the model, got id 31 from tokenizers"),
        ("golden", "spiece.model", lambda content: models.train(), "as in the model, got"),
        (
            "golden",
            "spiece.model",
            lambda content: models.with_settings(content, models.NORMALIZER, (3, 0)),
            "texts made of pieces have other ids",
        ),
    ],
)
def test_other_ids_are_refused(
    kind: str, name: str, change: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_check, "_tokenizers", lambda: None)
    tokenizer, files = exported(tmp_path, kind)
    with pytest.raises(TrainerError, match=message) as caught:
        tokenizer_check.check(tokenizer, {**files, name: change(files[name])})
    said = str(caught.value)
    assert said.startswith(f"{name} would give other ids than the model was trained with")
    assert "\n" not in said


def test_other_rules_are_refused(tmp_path: Path) -> None:
    """Only texts tell."""
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    tokenizer, files = exported(tmp_path, "golden")
    stored = json.loads(files["tokenizer.json"])
    steps = stored["normalizer"]["normalizers"]
    stored["normalizer"]["normalizers"] = [step for step in steps if step["type"] != "Prepend"]
    with pytest.raises(TrainerError, match="texts made of pieces have other ids"):
        tokenizer_check.check(tokenizer, {"tokenizer.json": json.dumps(stored).encode()})


CONTROL = ["[CLS]", "[SEP]", "[MASK]"]


@pytest.mark.parametrize(
    "settings",
    [
        {"control_symbols": [*CONTROL, *(f"[unused{number}]" for number in range(99))]},
        {"bos_id": 5, "eos_id": 6, "vocab_size": 190, "character_coverage": 0.98},
        {"control_symbols": [*CONTROL, *(f"<extra_id_{number}>" for number in range(30))], "bos_id": 2, "eos_id": 3},
    ],
)
def test_further_control_symbols_are_exported(settings: dict[str, Any], tmp_path: Path) -> None:
    """transformers finds them in a text, SentencePiece does not: that is no difference in the ids of ordinary text."""
    library = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    path = tmp_path / "spiece.model"
    path.write_bytes(models.train(**settings))
    tokenizer = Tokenizer.from_file(path)
    files = export.tokenizer_files(tokenizer, 128)
    tokenizer_check.check(tokenizer, files)
    made = library.Tokenizer.from_str(files["tokenizer.json"].decode())
    for line in TEXT.splitlines():
        assert made.encode(line, add_special_tokens=False).ids == tokenizer.encode(line)


@pytest.mark.parametrize("word", ["the", "ing"])
def test_a_control_symbol_that_is_a_word_is_refused(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_check, "_tokenizers", lambda: None)
    path = tmp_path / "spiece.model"
    path.write_bytes(models.train(control_symbols=[*CONTROL, word]))
    tokenizer = Tokenizer.from_file(path)
    with pytest.raises(TrainerError, match=re.escape(f"must not be an ordinary word, got '{word}'")) as caught:
        tokenizer_check.check(tokenizer, export.tokenizer_files(tokenizer, 128))
    assert "to='tf1'" in str(caught.value)
    tokenizer_check.check(tokenizer, export.own_tokenizer_files(tokenizer))


YORUBA = "k\u00f3\u0323 j\u00e9\u0323 \u00e8\u0323d\u00e1 \u00f2\u0323r\u00f2\u0323 \u1ecdm\u1ecd il\u00e9"
VIETNAMESE = "t\u00e2\u0301t v\u00ea\u0300 c\u00e2\u0300n \u00f4\u0301ng h\u00ea\u0301t l\u00e0m"


@pytest.mark.parametrize("words", [YORUBA, VIETNAMESE])
@pytest.mark.parametrize("form", ["", "NFC", "NFD"])
def test_marks_in_another_order(words: str, form: Any, command: Command, tmp_path: Path) -> None:
    """train-tokenizer warns, export says the cause, and both ways out that they name work."""
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    draw = random.Random(1)
    text = "".join(f"{' '.join(draw.choice(words.split()) for _ in range(5))}\n" for _ in range(80))
    Path("corpus.txt").write_text(unicodedata.normalize(form, text) if form else text)
    rules = ("--keep-accents", "--no-do-lower-case", "--no-user-defined-symbols")
    done = command("train-tokenizer", "corpus.txt", "--output-dir", "out", "--vocab-size", 24, *rules)
    assert done.code == 0, done.err
    tokenizer = Tokenizer.from_file("out/spiece.model")
    files = export.tokenizer_files(tokenizer, 128)
    if form:
        assert "NFC" not in done.err
        tokenizer_check.check(tokenizer, files)
        return
    assert "combining marks are in another order than NFC in " in done.err
    assert "normalize the corpus to NFC" in done.err
    with pytest.raises(TrainerError, match="combining marks are in another order than NFC") as caught:
        tokenizer_check.check(tokenizer, files)
    said = str(caught.value)
    assert " U+03" in said
    assert "normalize the corpus to NFC" in said
    assert "to='tf1'" in said
    assert "report" not in said
    tokenizer_check.check(tokenizer, export.own_tokenizer_files(tokenizer))


# --- the rules beside a tokenizer ------------------------------------------------------------------------------------


def beside(directory: Path, **rules: Any) -> Path:
    path = directory / "spiece.model"
    path.write_bytes(MODEL.read_bytes())
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    (directory / "spiece.config.json").write_text(json.dumps({"model_sha256": digest, **rules}))
    return path


def test_from_file_follows_the_file_beside_the_model(tmp_path: Path) -> None:
    path = beside(tmp_path, lower_case=False, keep_accents=True)
    tokenizer = Tokenizer.from_file(path)
    assert (tokenizer.lower_case, tokenizer.keep_accents) == (False, True)
    assert tokenizer.preprocess("Über") == "Über"
    same = Tokenizer.from_file(path, lower_case=False, keep_accents=True)
    assert pickle.loads(pickle.dumps(tokenizer)).digest == tokenizer.digest == same.digest
    assert Tokenizer.from_file(path, text_rules="none").text_rules == "none"
    own = Tokenizer.from_file(path, lower_case=True, keep_accents=False, follow_config=False)
    assert own.preprocess("Über") == "uber"
    assert pickle.loads(pickle.dumps(own)).digest == own.digest
    assert Tokenizer.from_file(path, follow_config=False).lower_case


@pytest.mark.parametrize(
    ("given", "name", "trained"), [({"lower_case": True}, "lower_case", "False"), ({"keep_accents": False}, "", "True")]
)
def test_arguments_that_contradict_it(given: dict[str, Any], name: str, trained: str, tmp_path: Path) -> None:
    path = beside(tmp_path, lower_case=False, keep_accents=True)
    (name,) = given
    with pytest.raises(AlbertFastError) as caught:
        Tokenizer.from_file(path, **given)
    message = str(caught.value)
    config = tmp_path / "spiece.config.json"
    assert message.startswith(f"{name} must be {trained}, as {config} says of {path}, got {given[name]};")
    assert "follow_config=False" in message


def test_files_beside_a_model_that_say_nothing_of_it(tmp_path: Path) -> None:
    path = beside(tmp_path, lower_case=False)
    assert not Tokenizer.from_file(path, keep_accents=True).lower_case
    config = tmp_path / "spiece.config.json"
    config.write_text(json.dumps({"model_sha256": "0" * 64, "lower_case": False}))
    with pytest.warns(UserWarning, match="describes another model"):
        assert Tokenizer.from_file(path).lower_case
    config.write_text('{"lower_case": fal')
    with pytest.raises(AlbertFastError, match=r"spiece\.config\.json, line 1: the file must be JSON"):
        Tokenizer.from_file(path)
    config.write_text('{"lower_case": "no"}')
    with pytest.raises(AlbertFastError, match='lower_case must be true or false, got "no"'):
        Tokenizer.from_file(path)
    assert Tokenizer.from_file(path, follow_config=False).lower_case


def test_commands_refuse_a_damaged_file_too(command: Command, tmp_path: Path) -> None:
    path = beside(tmp_path, lower_case=False)
    (tmp_path / "spiece.config.json").write_text("{")
    Path("corpus.txt").write_text(TEXT)
    done = command("tokenize", "corpus.txt", "--tokenizer", path, "--output-dir", "store")
    assert done.code == 1
    assert "spiece.config.json, line 1: the file must be JSON" in done.error


def test_a_vocabulary_follows_hugging_faces_file(command: Command, tmp_path: Path) -> None:
    path = vocabulary(tmp_path, [*SPECIAL, *WORDS, "Cat"])
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false, "strip_accents": null}')
    assert Tokenizer.from_vocab_file(path).encode_pieces("Cat") == ["Cat"]
    with pytest.raises(AlbertFastError, match="lower_case must be False, as"):
        Tokenizer.from_vocab_file(path, lower_case=True)
    assert Tokenizer.from_vocab_file(path, lower_case=True, follow_config=False).encode_pieces("Cat") == ["cat"]
    Path("corpus.txt").write_text(TEXT)
    done = command("tokenize", "corpus.txt", "--vocab-file", path, "--output-dir", "store")
    assert done.code == 0, done.err
    assert json.loads(Path("store/meta.json").read_text())["tokenizer"]["lower_case"] is False


def test_a_cased_vocabulary_stays_cased(tmp_path: Path) -> None:
    """What a run keeps tells its text rules."""
    tokenizer = Tokenizer.from_vocab_file(WORDPIECE, lower_case=False)
    for name, content in wordpiece_files(tokenizer).items():
        (tmp_path / name).write_bytes(content)
    assert Tokenizer.from_vocab_file(tmp_path / "vocab.txt").digest == tokenizer.digest


def test_spaces_that_are_not_escaped(command: Command, tmp_path: Path) -> None:
    """Refused when it is opened, by every command."""
    path = tmp_path / "spaces.model"
    path.write_bytes(models.with_settings(models.train(), models.NORMALIZER, (5, 0)))
    with pytest.raises(AlbertFastError, match="escape_whitespaces=false"):
        Tokenizer.from_file(path)
    assert Tokenizer.from_file(path, text_rules="none").encode("a b")
    Path("corpus.txt").write_text(TEXT)
    done = command("tokenize", "corpus.txt", "--tokenizer", path, "--output-dir", "store")
    assert done.code == 1
    assert "escape_whitespaces=false" in done.error
