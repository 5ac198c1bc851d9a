"""Files that are no usable tokenizer: an `AlbertFastError` with the path and what to do, and never a crash."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import models
import pytest

from albert_fast import AlbertFastError, Tokenizer

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = GOLDEN / "tokenizer" / "spiece.model"


def refused(tmp_path: Path, content: bytes, text_rules: str = "albert") -> str:
    """What is said of a model file, after its path."""
    path = tmp_path / "bad.model"
    path.write_bytes(content)
    with pytest.raises(AlbertFastError) as caught:
        Tokenizer.from_file(path, text_rules=text_rules)
    message = str(caught.value)
    assert message.startswith(f"{path}: "), message
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(("kind", "name"), [("bpe", "Bpe"), ("char", "Char"), ("word", "Word")])
def test_other_kinds_of_models(kind: str, name: str, tmp_path: Path) -> None:
    content = models.train(model_type=kind, vocab_size=300)
    for rules in ("albert", "none"):
        message = refused(tmp_path, content, rules)
        assert message.startswith(f"a {name} model, but ALBERT needs a unigram model: train one with")


def test_what_is_no_model(tmp_path: Path) -> None:
    assert "the file is empty" in refused(tmp_path, b"")
    for content in (
        b"[PAD]\n[UNK]\nthe\n",
        b"\0" * 100,
        b"\x1f\x8b\x08" + b"x" * 50,
        (GOLDEN / "text.jsonl.gz").read_bytes(),
    ):
        message = refused(tmp_path, content)
        assert "not a SentencePiece model" in message
        assert "pass the .model file" in message
        assert "goes with Tokenizer.from_vocab_file" in message
    with pytest.raises(AlbertFastError, match=r"no such\.model"):
        Tokenizer.from_file(tmp_path / "no such.model")
    with pytest.raises(AlbertFastError, match=str(tmp_path)):
        Tokenizer.from_file(tmp_path)
    with pytest.raises(AlbertFastError, match='text_rules must be "albert" or "none", got "bert"'):
        Tokenizer.from_file(MODEL, text_rules="bert")


def test_a_model_cut_short(tmp_path: Path) -> None:
    """Anywhere but at the very end, where nothing that matters may be missing."""
    whole = MODEL.read_bytes()
    last = models.fields(whole)[-1][1]
    assert isinstance(last, bytes)
    tail = len(whole) - len(last)
    rng = random.Random(5)
    for length in [1, 2, 3, tail - 10, tail - 4, *(rng.randrange(tail - 4) for _ in range(40))]:
        assert "not a SentencePiece model, or truncated" in refused(tmp_path, whole[:length], "none")


def drop(*names: bytes) -> bytes:
    return models.edit_pieces(
        MODEL.read_bytes(), lambda pieces: [piece for piece in pieces if piece[models.TEXT] not in names]
    )


@pytest.mark.parametrize("name", ["[CLS]", "[SEP]", "[MASK]", "<pad>"])
def test_missing_special_pieces(name: str, tmp_path: Path) -> None:
    content = drop(name.encode())
    message = refused(tmp_path, content)
    assert name in message
    assert "`albert-fast train-tokenizer`" in message
    # Without the reference's text rules it is a tokenizer like any other.
    (tmp_path / "bad.model").write_bytes(content)
    tokenizer = Tokenizer.from_file(tmp_path / "bad.model", text_rules="none")
    assert tokenizer.encode("a b")
    with pytest.raises(AlbertFastError, match=name.strip("[]")):
        assert [tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id]


def test_unknown_pieces(tmp_path: Path) -> None:
    def second(pieces: list[models.Piece]) -> list[models.Piece]:
        pieces[50][models.TYPE] = models.UNKNOWN
        return pieces

    assert "2 unknown pieces; a model has exactly one" in refused(
        tmp_path, models.edit_pieces(MODEL.read_bytes(), second)
    )
    assert "0 unknown pieces" in refused(tmp_path, drop(b"<unk>"))


def test_pieces_that_cannot_be(tmp_path: Path) -> None:
    def edit(**values: object) -> bytes:
        def change(pieces: list[models.Piece]) -> list[models.Piece]:
            pieces[60].update({int(name[1:]): value for name, value in values.items()})
            return pieces

        return models.edit_pieces(MODEL.read_bytes(), change)

    assert "piece 60 is empty" in refused(tmp_path, edit(f1=b""))
    assert "piece 60" in refused(tmp_path, edit(f1=b"a\0b"))
    assert "[MASK]" in refused(tmp_path, edit(f1=b"[MASK]"))
    for score in (float("nan"), float("inf"), float("-inf")):
        message = refused(tmp_path, edit(f2=struct.pack("<f", score)))
        assert "piece 60" in message
        assert "score" in message
    assert "<0x00> is missing" in refused(tmp_path, models.with_settings(MODEL.read_bytes(), models.TRAINER, (35, 1)))


def test_a_broken_character_map(tmp_path: Path) -> None:
    for charsmap in (b"\1", b"\xff\xff\xff\xff", struct.pack("<I", 8) + b"1234", struct.pack("<I", 3) + b"123"):
        refused(tmp_path, models.with_settings(MODEL.read_bytes(), models.NORMALIZER, (2, charsmap)))


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes(seed: int, tmp_path: Path) -> None:
    """A damaged model is refused, or does something: it never ends the process, and a panic is no AlbertFastError."""
    whole = MODEL.read_bytes()
    rng = random.Random(seed)
    path = tmp_path / "flipped.model"
    for _ in range(12):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 3, 100])):
            # Half of the damage goes where the settings lie, the pieces' frames among it.
            place = rng.randrange(len(content)) if rng.random() < 0.5 else rng.randrange(200)
            content[place] = rng.randrange(256)
        path.write_bytes(content)
        try:
            tokenizer = Tokenizer.from_file(path, text_rules=rng.choice(["albert", "none"]))
        except AlbertFastError as error:
            assert str(path) in str(error)  # noqa: PT017
            continue
        for text in ("The ﬁrst 1,000 naïve Σ words\u3000日本 (^^^^)", "", "x" * 500):
            tokenizer.decode(tokenizer.encode(text))
            tokenizer.encode_pieces(text)


def test_vocabularies(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"

    def said(content: bytes) -> str:
        path.write_bytes(content)
        with pytest.raises(AlbertFastError) as caught:
            Tokenizer.from_vocab_file(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "none of its 0 entries is [UNK]" in said(b"")
    assert "goes with Tokenizer.from_file" in said(b"[PAD]\n[CLS]\n[SEP]\n[MASK]\nthe\n")
    for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]"):
        entries = [entry for entry in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the") if entry != name]
        message = said("\n".join(entries).encode())
        assert f"none of its 5 entries is {name}; a WordPiece vocabulary needs [PAD], [UNK]," in message
        assert f"add a line {name} at its end, or pass another vocabulary" in message
        assert "SentencePiece" not in message
        assert "<pad>" not in message
    assert "line 3, byte 2" in said(b"[PAD]\n[UNK]\na\xff\n")
    said(MODEL.read_bytes())
