"""train-tokenizer --extend: old pieces and ids stay, and the text of a new field gets pieces of its own."""

import json
import re
import shutil
import sys
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
    assert refused.code == 2
    model = old / "spiece.model"
    rule = f"--do-lower-case contradicts {model}, which was trained with --no-do-lower-case; remove it"
    assert rule in " ".join(refused.err.split())
    refused = command(*words, "other", "--no-keep-accents")
    assert f"--no-keep-accents contradicts {model}, which was trained with --keep-accents" in refused.err
    refused = command(*words, "other", "--split-digits")
    assert refused.code == 2
    assert f"--split-digits contradicts {model}, which was trained with --no-split-digits; remove it" in refused.err
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": SIZE}, r"vocab_size.* must be above 2000"),
        ({"vocab_size": SIZE + 10_000}, r"this text gives only \d+ new pieces; pass hard_vocab_limit=False"),
        ({"byte_fallback": True}, "byte_fallback=True contradicts .*, which was trained with byte_fallback=False"),
        ({"split_digits": True}, "split_digits"),
        ({"normalization_rule_name": "nfkc_cf"}, "normalization_rule_name='nfkc_cf' contradicts .* with .*='"),
        ({"max_sentencepiece_length": 3}, "max_sentencepiece_length=3 contradicts .* max_sentencepiece_length=16;"),
        ({"user_defined_symbols": ["@@"]}, 'must be symbols of .*, got "@@"; remove it'),
        (
            {"user_defined_symbols": ()},
            r"user_defined_symbols=\(\) contradicts `extend`: the model keeps",
        ),
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


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--no-user-defined-symbols"],
            "--no-user-defined-symbols contradicts --extend: the model keeps its own symbols; remove it",
        ),
        (["--user-defined-symbols", ""], f'--user-defined-symbols must be symbols of {OLD}, got ""; remove it'),
    ],
)
def test_the_symbols_of_the_old_model_cannot_be_removed(
    flags: list[str], message: str, field: Path, command: Command
) -> None:
    refused = command(
        "train-tokenizer", field, "--extend", OLD, "--output-dir", "out", "--vocab-size", SIZE + 1, *flags
    )
    assert (refused.code, refused.error) == (2, message)
    assert not Path("out/spiece.model").exists()


def test_what_a_vocabulary_that_is_too_large_advises_is_true(field: Path, command: Command) -> None:
    words: list[Any] = ["train-tokenizer", field, "--extend", OLD, "--output-dir"]
    refused = command(*words, "a", "--vocab-size", 9000)
    assert refused.code != 0
    found = re.search(
        r"gives only (\d+) new pieces; pass (--\S+) to add only these, a smaller --vocab-size", refused.err
    )
    assert found is not None, refused.err
    added = int(found[1])
    assert command(*words, "b", "--vocab-size", 9000, found[2]).code == 0
    assert Tokenizer.from_file("b").vocab_size == SIZE + added
    assert command(*words, "c", "--vocab-size", SIZE + added // 2).code == 0
    assert Tokenizer.from_file("c").vocab_size == SIZE + added // 2


@pytest.mark.parametrize("name", ["spiece.model", "30k-clean.model", "other.model"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_directory_of_the_old_model_stays(
    name: str, tmp_path: Path, field: Path, command: Command, *, overwrite: bool
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(OLD, old / name)
    (tmp_path / "link").symlink_to(old)
    for source, output in [(old, old), (old / name, old), (old, "link"), ("link", "old/../old")]:
        words: list[Any] = ["train-tokenizer", field, "--extend", source, "--vocab-size", SIZE + NEW]
        refused = command(*words, "--output-dir", output, *(["--overwrite"] if overwrite else []))
        assert refused.code == 2
        assert "must be a model in another directory than --output-dir" in refused.err
        assert refused.err.rstrip().endswith("pass another --output-dir")
        assert [each.name for each in old.iterdir()] == [name]
    with pytest.raises(AlbertFastError, match="another directory than output_dir") as caught:
        train_tokenizer(field, old, extend=old, vocab_size=SIZE + NEW, overwrite=overwrite)
    assert caught.value.option == "extend"
    assert (old / name).read_bytes() == OLD.read_bytes()


def test_new_pieces_are_counted_from_the_model_that_was_opened(
    command: Command, field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.model"
    shutil.copy(OLD, old)

    def replacing(*arguments: Any, **options: Any) -> Any:
        trained = train(*arguments, **options)
        old.write_bytes(trained.model)
        return trained

    module = sys.modules["albert_fast.tokenizers.make"]
    train = module.train
    monkeypatch.setattr(module, "train", replacing)
    done = command("train-tokenizer", field, "--extend", old, "--output-dir", "out", "--vocab-size", SIZE + NEW)
    assert done.code == 0, done.err
    assert "2,060 pieces (60 of them new)" in done.err
