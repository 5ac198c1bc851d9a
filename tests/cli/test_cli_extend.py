"""train-tokenizer --extend: old pieces and ids stay, and the text of a new field gets pieces of its own."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from conftest import GOLDEN, Command
from fields import field_text

from albert_fast import AlbertFastError, Tokenizer, train_tokenizer
from albert_fast.tokenizers.match import described, extends

OLD = GOLDEN / "tokenizer" / "spiece.model"
SIZE = 2000
NEW = 60


@pytest.fixture
def field(tmp_path: Path) -> Path:
    return field_text(tmp_path / "field.txt")


def test_old_ids_stay_and_new_pieces_are_used(command: Command, field: Path) -> None:
    done = command("train-tokenizer", field, "--extend", OLD, "--output-dir", "out", "--vocab-size", SIZE + NEW)
    assert done.code == 0, done.err
    assert "2,060 pieces (60 of them new), trained on 400 lines" in done.err
    old, new = Tokenizer.from_file(OLD), Tokenizer.from_file("out")
    assert new.pieces[:SIZE] == old.pieces
    assert len(set(new.pieces)) == SIZE + NEW
    lines = field.read_text().splitlines()
    before, after = (sum(len(each.encode(line)) for line in lines) for each in (old, new))
    assert after * 3 < before * 2
    corpus = (GOLDEN / "corpus" / "part-b.txt").read_text().splitlines()
    for line in corpus:
        ids = new.encode(line)
        assert ids == old.encode(line) or max(ids) >= SIZE, line
    # The library reads the file, and finds the same pieces.
    library = sentencepiece.SentencePieceProcessor(model_file="out/spiece.model")
    plain = Tokenizer.from_file("out", text_rules="none")
    for line in lines[:100] + corpus[:100]:
        assert library.encode(line) == plain.encode(line)
    config = json.loads(Path("out/spiece.config.json").read_text())
    assert config["extends"]["pieces"] == SIZE
    assert (config["lower_case"], config["settings"]["extend"]) == (True, str(OLD))
    assert Path("out/spiece.vocab").read_text().count("\n") == SIZE + NEW


def test_pieces_are_split_as_the_old_model_split_their_text(command: Command, field: Path) -> None:
    assert command("train-tokenizer", field, "--extend", OLD, "--output-dir", "out", "--vocab-size", 2060).code == 0
    old, new = Tokenizer.from_file(OLD), Tokenizer.from_file("out")
    split = new.split_of_added(SIZE)
    assert len(split) == NEW
    words = 0
    for piece, ids in zip(new.pieces[SIZE:], split, strict=True):
        assert len(ids) > 0
        assert max(ids) < SIZE
        if piece.startswith("▁"):
            assert ids == old.encode(piece[1:])
            words += 1
    assert words > 10
    assert extends(new, old)
    assert extends(new, described(old))
    assert not extends(old, new)
    assert not extends(old, old)
    assert not extends(new, {})


def test_the_old_text_rules_apply(command: Command, field: Path, tmp_path: Path) -> None:
    old = tmp_path / "cased"
    old.mkdir()
    shutil.copy(OLD, old / "spiece.model")
    (old / "spiece.config.json").write_text(json.dumps({"lower_case": False, "keep_accents": True}))
    words: list[Any] = ["train-tokenizer", field, "--extend", old, "--vocab-size", SIZE + 20, "--output-dir"]
    assert command(*words, "out").code == 0
    new = Tokenizer.from_file("out")
    assert (new.lower_case, new.keep_accents) == (False, True)
    refused = command(*words, "other", "--do-lower-case")
    assert refused.code != 0
    assert "--do-lower-case must be False" in refused.err or "do-lower-case" in refused.err
    assert "whose text rules an extension keeps" in refused.err
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": SIZE}, r"vocab_size.* must be above 2000"),
        ({"vocab_size": SIZE + 10_000}, r"this text gives at most \d+ new pieces; pass vocab_size=\d+ or less"),
        ({"byte_fallback": True}, "byte_fallback.* whose rules an extension keeps"),
        ({"split_digits": True}, "split_digits"),
        ({"normalization_rule_name": "nfkc_cf"}, "normalization_rule_name"),
        ({"user_defined_symbols": ["@@"]}, "user_defined_symbols"),
        ({"engine": "sentencepiece"}, "cannot extend a model"),
        ({"extend": GOLDEN / "tokenizer" / "wordpiece.txt"}, "a WordPiece vocabulary cannot be extended"),
        ({"extend": GOLDEN / "corpus" / "none.model"}, "none.model"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str, field: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(AlbertFastError, match=message):
        train_tokenizer(field, output, **{"extend": OLD, "vocab_size": SIZE + NEW, **options})
    assert not (output / "spiece.model").exists()


def test_the_size_that_fits_is_the_one_that_the_message_names(field: Path, tmp_path: Path) -> None:
    with pytest.raises(AlbertFastError) as caught:
        train_tokenizer(field, tmp_path / "a", extend=OLD, vocab_size=9000)
    size = int(str(caught.value).split("pass vocab_size=")[1].split()[0])
    assert caught.value.option == "vocab_size"
    assert train_tokenizer(field, tmp_path / "a", extend=OLD, vocab_size=size).vocab_size == size


def test_the_old_model_is_not_replaced(tmp_path: Path, field: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(OLD, old / "spiece.model")
    with pytest.raises(AlbertFastError, match="another directory than output_dir"):
        train_tokenizer(field, old, extend=old, vocab_size=SIZE + NEW, overwrite=True)
    assert (old / "spiece.model").read_bytes() == OLD.read_bytes()
