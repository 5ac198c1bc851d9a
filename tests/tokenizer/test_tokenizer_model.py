"""A SentencePiece model from a tokenizer.json: the same ids again, and one clear line for all that is none."""

from __future__ import annotations

import base64
import copy
import functools
import json
import random
from typing import TYPE_CHECKING, Any

import hugging_face
import models
import numpy as np
import pytest
import sentencepiece
from test_tokenizer_json import MODELS, ODD, RULES, SPECIAL

from albert_fast import AlbertFastError, Tokenizer
from trainer.errors import TrainerError
from trainer.exchange import tokenizer_json, tokenizer_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Change = Callable[[dict[str, Any]], object]

NAMES = ["golden", *MODELS, "control", "nfkc_cf without nmt", "bytes and unused"]


@functools.cache
def model_of(name: str) -> bytes:
    """A model of 2,000 pieces, or a smaller one of another kind."""
    if name == "golden":
        return (models.GOLDEN / "tokenizer" / "spiece.model").read_bytes()
    if name == "control":
        return models.train(control_symbols=["[CLS]", "[SEP]", "[MASK]", "[unused1]"])
    if name == "nfkc_cf without nmt":
        return models.train(normalization_rule_name="nfkc_cf")
    if name == "bytes and unused":
        return models.edit_pieces(models.train(byte_fallback=True, character_coverage=0.98), unused)
    return models.train(**MODELS[name])


def unused(pieces: list[models.Piece]) -> list[models.Piece]:
    """Takes every tenth ordinary piece out of use."""
    for piece in pieces[300::10]:
        if piece.get(models.TYPE, models.NORMAL) == models.NORMAL:
            piece[models.TYPE] = models.UNUSED
    return pieces


def ours(model: bytes, lower_case: bool = True, keep_accents: bool = False) -> dict[str, Any]:
    files = tokenizer_json.files(model, lower_case=lower_case, keep_accents=keep_accents)
    found: dict[str, Any] = json.loads(files["tokenizer.json"])
    return found


def theirs(model: bytes, lower_case: bool = True, keep_accents: bool = False, version: int = 5) -> dict[str, Any]:
    """As the ALBERT class of transformers writes it in versions 5 and 4, and in the first that wrote such files, 3."""
    parsed = tokenizer_json.parse(model)
    pieces = list(parsed.pieces)
    symbols = (pieces[0].CONTROL, pieces[0].UNKNOWN) + ((pieces[0].USER_DEFINED,) if version > 3 else ())
    added = [
        {"id": number, "content": piece.piece, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": piece.type != piece.USER_DEFINED}
        for number, piece in enumerate(pieces)
        if piece.type in symbols
    ]
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": quotes}, "content": '"'} for quotes in ("``", "''")
    ]
    if not keep_accents:
        steps += [{"type": "NFKD"}, {"type": "StripAccents"}]
    if lower_case:
        steps.append({"type": "Lowercase"})
    if parsed.normalizer_spec.precompiled_charsmap:
        charsmap = base64.b64encode(parsed.normalizer_spec.precompiled_charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if version == 4:
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    metaspace: dict[str, Any] = {"type": "Metaspace", "replacement": "▁"}
    metaspace |= {"prepend_scheme": "always", "split": True} if version > 3 else {"add_prefix_space": True}
    split: Any = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]}

    def score(piece: Any) -> float:
        shifted = version < 5 and tokenizer_json.is_digits_and_comma(piece.piece)
        return float(piece.score - 100 if shifted else piece.score)

    unigram = {"unk_id": 1, "vocab": [[piece.piece, score(piece)] for piece in pieces]}
    return {
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": metaspace if version == 4 else split,
        "model": unigram if version == 3 else {"type": "Unigram", **unigram, "byte_fallback": False},
    }


def packed(content: Any) -> bytes:
    return json.dumps(content).encode()


def tokenizer(model: bytes, directory: Path, lower_case: bool, keep_accents: bool) -> Tokenizer:
    path = directory / "spiece.model"
    path.write_bytes(model)
    return Tokenizer.from_file(path, lower_case=lower_case, keep_accents=keep_accents)


def lines() -> list[str]:
    corpus = [(models.GOLDEN / "corpus" / f"part-{part}.txt").read_text(encoding="utf-8") for part in "ab"]
    return [*models.training_lines(), *"\n".join(corpus).split("\n"), *ODD, *SPECIAL]


def assert_same(model: bytes, content: bytes, directory: Path, lower_case: bool, keep_accents: bool) -> None:
    """Pieces, scores, settings, text rules and every id."""
    rebuilt = tokenizer_model.rebuild(content)
    assert rebuilt.notes == ()
    assert (rebuilt.lower_case, rebuilt.keep_accents) == (lower_case, keep_accents)
    assert tokenizer_model.differences(model, rebuilt.model) == []
    left = tokenizer(model, directory, lower_case, keep_accents)
    right = tokenizer(rebuilt.model, directory, lower_case, keep_accents)
    assert left.pieces == right.pieces
    ids, offsets = left.encode_batch(lines())
    other_ids, other_offsets = right.encode_batch(lines())
    assert np.array_equal(ids, other_ids)
    assert np.array_equal(offsets, other_offsets)


# --- the same again --------------------------------------------------------------------------------------------------


# Every text rule with one model, and of the others one or two.
SOME = [("golden", *rules) for rules in RULES] + [
    (name, *RULES[number % len(RULES)]) for number, name in enumerate(NAMES[1:])
]


@pytest.mark.parametrize(("name", "lower_case", "keep_accents"), SOME)
def test_ours(name: str, lower_case: bool, keep_accents: bool, tmp_path: Path) -> None:
    model = model_of(name)
    files = tokenizer_json.files(model, lower_case=lower_case, keep_accents=keep_accents)
    content = files["tokenizer.json"]
    assert_same(model, content, tmp_path, lower_case, keep_accents)
    rebuilt = tokenizer_model.rebuild(content)
    assert tokenizer_json.files(rebuilt.model, lower_case=lower_case, keep_accents=keep_accents) == files
    assert tokenizer_model.rebuild(content) == rebuilt


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize(
    ("name", "lower_case", "keep_accents"),
    [some for some in SOME if some[0] in {"golden", "identity", "nfkc_cf", "symbols", "control"}],
)
def test_theirs(name: str, version: int, lower_case: bool, keep_accents: bool, tmp_path: Path) -> None:
    model = model_of(name)
    content = packed(theirs(model, lower_case, keep_accents, version))
    assert_same(model, content, tmp_path, lower_case, keep_accents)
    # What the export writes of it is what it writes of the model itself.
    rebuilt = tokenizer_model.rebuild(content).model
    one, other = (
        tokenizer_json.files(each, lower_case=lower_case, keep_accents=keep_accents) for each in (model, rebuilt)
    )
    assert one == other


def test_as_the_library_saves_it(tmp_path: Path) -> None:
    """Which reads numbers with an error in the last digit."""
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    model = model_of("golden")
    for made in (ours(model), theirs(model, version=4), theirs(model)):
        saved = tokenizers.Tokenizer.from_str(json.dumps({"version": "1.0", **made})).to_str()
        assert_same(model, saved.encode(), tmp_path, True, False)


@pytest.mark.torch
@pytest.mark.skipif(hugging_face.python() is None, reason="PyTorch or transformers is not installed")
@pytest.mark.parametrize(("lower_case", "keep_accents"), RULES)
def test_as_transformers_saves_it(lower_case: bool, keep_accents: bool, tmp_path: Path) -> None:
    model = model_of("golden")
    source = tmp_path / "source"
    source.mkdir()
    (source / "spiece.model").write_bytes(model)
    (source / "config.json").write_text('{"model_type": "albert"}')
    given = tmp_path / "rules.json"
    given.write_text(json.dumps({"do_lower_case": lower_case, "keep_accents": keep_accents}))
    # And once more, from what was saved.
    for directory, found in ((source, tmp_path / "saved"), (tmp_path / "saved", tmp_path / "again")):
        hugging_face.run("save", directory, given, found)
        assert not (found / "spiece.model").exists()
        assert_same(model, (found / "tokenizer.json").read_bytes(), tmp_path, lower_case, keep_accents)
    # AlbertTokenizer instead of the class that `export` names: it keeps the scores, and adds its own rules.
    for name, content in tokenizer_json.files(model, lower_case=lower_case, keep_accents=keep_accents).items():
        (source / name).write_bytes(content)
    (source / "spiece.model").unlink()
    hugging_face.run("save", source, given, tmp_path / "mixed")
    assert_same(model, (tmp_path / "mixed" / "tokenizer.json").read_bytes(), tmp_path, lower_case, keep_accents)


def test_a_character_map_of_ones_own(tmp_path: Path) -> None:
    rules = tmp_path / "rules.tsv"
    rules.write_text("2460\t31\n41\t61 62\n")
    model = models.train(normalization_rule_tsv=str(rules))
    assert tokenizer_json.parse(model).normalizer_spec.name == "user_defined"
    for made in (ours(model), theirs(model)):
        assert_same(model, packed(made), tmp_path, True, False)
        rebuilt = tokenizer_model.rebuild(packed(made)).model
        assert tokenizer_json.parse(rebuilt).normalizer_spec.name == "user_defined"


def test_a_file_and_its_name_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(b"\xef\xbb\xbf" + packed(ours(model_of("golden"))))
    assert tokenizer_model.differences(tokenizer_model.read(path).model, model_of("golden")) == []
    path.write_bytes(b"")
    with pytest.raises(TrainerError, match=f"^{path}: the file must hold a tokenizer, but is empty; use the spiece"):
        tokenizer_model.read(path)
    path.unlink()
    with pytest.raises(TrainerError, match=f"^cannot read {path}: No such file"):
        tokenizer_model.read(path)


# --- what is not all there -------------------------------------------------------------------------------------------


def test_an_earlier_export_lacks_scores(tmp_path: Path) -> None:
    model = model_of("golden")
    content = ours(model, lower_case=False)
    vocab = content["model"]["vocab"]
    never = vocab[content["model"]["unk_id"]][1]
    lost = [entry for entry in vocab if tokenizer_json.is_digits_and_comma(entry[0])]
    for entry in lost:
        assert entry[1] < never
        entry[1] = never
    rebuilt = tokenizer_model.rebuild(packed(content), "hf/tokenizer.json")
    (note,) = rebuilt.notes
    assert note.startswith(
        f"hf/tokenizer.json: an earlier version of albert-fast wrote it without the scores of {len(lost)}"
    )
    assert tokenizer_model.differences(model, rebuilt.model) == [f"kinds of pieces ({len(lost)} of 2,000)"]
    left, right = (tokenizer(each, tmp_path, False, False).encode_batch(lines()) for each in (model, rebuilt.model))
    assert 0 < abs(len(left[0]) - len(right[0])) < len(left[0]) / 100


def test_bytes_that_transformers_gives_up() -> None:
    model = model_of("byte_fallback")
    rebuilt = tokenizer_model.rebuild(packed(theirs(model)))
    (note,) = rebuilt.notes
    assert "it has a piece for every byte, but byte_fallback is false" in note
    kinds, fallback = tokenizer_model.differences(model, rebuilt.model)
    assert kinds.startswith("kinds of pieces (256 of ")
    assert fallback == "byte_fallback"
    processor = sentencepiece.SentencePieceProcessor(model_proto=rebuilt.model)
    assert 1 in processor.EncodeAsIds("\u4e00")


def added(number: int, text: str, **changes: Any) -> dict[str, Any]:
    return {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False} | changes


@pytest.mark.parametrize("made", [ours, theirs])
def test_tokens_that_were_added_later(made: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    model = model_of("golden")
    content = made(model)
    content["added_tokens"] += [added(2001, "[DATE]", special=True), added(2000, "zzyzx", special=False)]
    rebuilt = tokenizer_model.rebuild(packed(content))
    found = tokenizer(rebuilt.model, tmp_path, True, False)
    assert found.pieces == [*tokenizer(model, tmp_path, True, False).pieces, "zzyzx", "[DATE]"]
    assert 2000 in found.encode("a zzyzx b")
    assert 2001 not in found.encode("a [DATE] b")


def test_what_differs() -> None:
    golden = model_of("golden")
    assert tokenizer_model.differences(golden, golden) == []
    assert tokenizer_model.differences(golden, model_of("default"))[0] == "pieces"
    changed = models.with_settings(golden, models.NORMALIZER, (3, 0), (4, 0))
    assert tokenizer_model.differences(golden, changed) == ["the space before the text", "runs of spaces"]
    content = ours(golden)
    content["model"]["vocab"][100][1] -= 1
    other = tokenizer_model.rebuild(packed(content)).model
    assert tokenizer_model.differences(golden, other) == ["scores (1 of 2,000)"]


# --- what is none ----------------------------------------------------------------------------------------------------


def put(*path: str | int, value: Any) -> Change:
    """Gives the place at `path` a value."""

    def change(content: dict[str, Any]) -> None:
        at: Any = content
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


STEPS = ("normalizer", "normalizers")
VOCAB = ("model", "vocab")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("model", "type", value="BPE"), "model.type must be Unigram, the kind of ALBERT's tokenizers, got 'BPE'"),
        (put("model", "type", value="WordPiece"), "model.type must be Unigram, .* got 'WordPiece'"),
        (put("model", value=7), "model must be an object with the pieces, got 7"),
        (put("model", value={"vocab": {"a": 1}}), "model.type must be Unigram, .* got None"),
        (put(*VOCAB, value={}), "model.vocab must be a list of pieces with their scores, got {}"),
        (put(*VOCAB, 20, value=["x"]), r"model.vocab must hold pairs of a piece and its score, got \['x'\] as id 20"),
        (put(*VOCAB, 20, 0, value="▁"), "a piece must have one id, but '▁' has 13 and 20"),
        (put(*VOCAB, 20, 0, value=""), "piece 20 must be text without NUL or surrogates, got ''"),
        (put(*VOCAB, 20, 0, value="\ud800"), r"piece 20 must be text without NUL or surrogates, got '\\ud800'"),
        (put(*VOCAB, 20, 1, value=float("nan")), "numbers must be finite, got NaN"),
        (put(*VOCAB, 20, 1, value=float("-inf")), "numbers must be finite, got -Infinity"),
        (
            put(*VOCAB, 20, 1, value=-1e30),
            r"a score must be the logarithm of a probability, .* got -1e\+30 for piece 20",
        ),
        (put(*VOCAB, 20, 1, value=10**400), r"a score must be the logarithm of a probability, .* got 10+\.\.\. for"),
        (put(*VOCAB, 20, 1, value=1e5), r"a score must be the logarithm of a probability, at most 0, got 100000.0 for"),
        (put(*VOCAB, 20, 1, value="1"), r"a score must be the logarithm of a probability, .* got '1' for piece 20"),
        (put("model", "unk_id", value=None), "model.unk_id must be the id of one of the 2,000 pieces, got None"),
        (put("model", "unk_id", value=2000), "model.unk_id must be the id of one of the 2,000 pieces, got 2000"),
        (put("model", "unk_id", value=0), "model.unk_id must be the id of <unk>, got 0, which is <pad>"),
        (put("model", "byte_fallback", value=True), "there must be a piece for every byte, but <0x00> is missing"),
        (put("added_tokens", value=5), "added_tokens must be a list, got 5"),
        (put("added_tokens", 0, value={"id": 0}), "an added token must have an id and a content, got {'id': 0}"),
        (
            put("added_tokens", 0, "id", value=5),
            "an added token must have the id of its piece; '<pad>' has 5, the id of",
        ),
        (
            put("added_tokens", 0, "id", value=2000),
            "the id of its piece; '<pad>' has 2000, not 0, its id in model.vocab",
        ),
        (
            put("added_tokens", 1, value=added(0, "<pad>")),
            "added tokens must have different ids, but two have 0",
        ),
        (
            lambda content: content["added_tokens"].append(added(2005, "x5", special=True)),
            "ids must have no gaps, but no piece has 2000, and the added token 'x5' has 2005",
        ),
        (
            lambda content: content["added_tokens"].append(added(2000, "x5", rstrip=True)),
            "rstrip must be false for an added token that is not special, .* got true for 'x5'",
        ),
        (put("normalizer", value=None), "normalizer step 1 must be one that albert-fast or .* writes, got the end"),
        (put("normalizer", value={"type": "BertNormalizer"}), r"normalizer step 1 must .* got \('BertNormalizer',\)"),
        (put(*STEPS, -1, value={"type": "NFC"}), r"normalizer step \d+ must be one that .*, got \('NFC',\)"),
        (
            lambda content: content["normalizer"]["normalizers"].append({"type": "Lowercase"}),
            "step .* got .'Lowercase'",
        ),
        (put("pre_tokenizer", value=None), "pre_tokenizer must be Metaspace, or .*, as for ALBERT, got None"),
        (put("pre_tokenizer", value={"type": "ByteLevel"}), "pre_tokenizer must be Metaspace, .* got 'ByteLevel'"),
        (put("post_processor", value=7), None),
    ],
)
@pytest.mark.parametrize("made", [ours, theirs])
def test_what_is_refused(made: Callable[..., dict[str, Any]], change: Change, message: str | None) -> None:
    content = made(model_of("golden"))
    change(content)
    if message is None:
        tokenizer_model.rebuild(packed(content))
        return
    with pytest.raises(TrainerError, match=message) as caught:
        tokenizer_model.rebuild(packed(content), "hf/tokenizer.json")
    assert str(caught.value).startswith("hf/tokenizer.json: ")
    assert str(caught.value).endswith("; use the spiece.model that the model was trained with")
    assert "\n" not in str(caught.value)


def test_other_pre_tokenizers() -> None:
    content = ours(model_of("golden"))
    content["pre_tokenizer"]["prepend_scheme"] = "always"
    with pytest.raises(
        TrainerError, match="with prepend_scheme never after the normalizer of albert-fast, got prepend_"
    ):
        tokenizer_model.rebuild(packed(content))
    content = theirs(model_of("golden"))
    metaspace = content["pre_tokenizer"]["pretokenizers"][1]
    metaspace["prepend_scheme"] = "never"
    rebuilt = tokenizer_model.rebuild(packed(content)).model
    assert tokenizer_model.differences(model_of("golden"), rebuilt) == ["the space before the text"]
    metaspace["replacement"] = "_"
    with pytest.raises(TrainerError, match="the replacement of Metaspace must be ▁, got '_'"):
        tokenizer_model.rebuild(packed(content))


@pytest.mark.parametrize("names", [["[MASK]"], ["<pad>"], ["[CLS]", "[SEP]"]])
def test_other_models_than_alberts(names: list[str]) -> None:
    content = theirs(model_of("golden"))
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in names]
    for entry in content["model"]["vocab"]:
        if entry[0] in names:
            entry[0] = f"other {entry[0]}"
    with pytest.raises(TrainerError, match=f"as ALBERT's do, but lack {', '.join(names)}".replace("[", r"\[")):
        tokenizer_model.rebuild(packed(content))


@pytest.mark.parametrize(
    ("charsmap", "message"),
    [
        ("AAA!", "precompiled_charsmap must be base64, got 'AAA!'"),
        (None, "precompiled_charsmap must be base64, got None"),
        (base64.b64encode(b"abc").decode(), "a complete character map .* got 3 bytes with 0 as the size"),
        (base64.b64encode(b"\xff\xff\xff\x7f" * 9).decode(), "got 36 bytes with 2,147,483,647 as the size"),
        (base64.b64encode(b"\x04\0\0\0" + b"\xff" * 8 + b"\0").decode(), "is damaged"),
    ],
)
@pytest.mark.parametrize("made", [ours, theirs])
def test_damaged_character_maps(made: Callable[..., dict[str, Any]], charsmap: Any, message: str) -> None:
    content = made(model_of("golden"))
    (step,) = (step for step in content["normalizer"]["normalizers"] if step["type"] == "Precompiled")
    step["precompiled_charsmap"] = charsmap
    with pytest.raises(TrainerError, match=message):
        tokenizer_model.rebuild(packed(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file must hold a tokenizer, but is empty"),
        (b" \n", "the file must hold a tokenizer, but is empty"),
        (b"\xff{}", "the file must be UTF-8, but byte 0 is not"),
        (b'{"model": {', "the file must be JSON, but is not at line 1, column 12"),
        (b"[" * 100_000, "nested too deeply|must be JSON"),
        (b"[]", r"the file must hold a JSON object, got \[\]"),
        (b"version https://git-lfs.github.com/spec/v1", "the file must be JSON, but is not at line 1, column 1"),
    ],
)
def test_files_that_are_no_tokenizers(content: bytes, message: str) -> None:
    with pytest.raises(TrainerError, match=message) as caught:
        tokenizer_model.rebuild(content)
    assert "\n" not in str(caught.value)


ODD_VALUES: list[Any] = [
    None, True, 0, -1, 2**31, 10**400, 1e308, -1e30, 0.5, "", "x", "▁", "\ud800", "\0", "[CLS]", [], {}, [[]],
    {"type": "X"}, {"type": "Sequence"}, "Unigram", ["a", 1.0], "AAAA", "////",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_anything_else(seed: int, tmp_path: Path) -> None:
    """Files with places changed at random: a model that loads, or one line."""
    generator = random.Random(seed)
    source = (ours if seed % 2 else theirs)(model_of("golden"))
    source["model"]["vocab"] = source["model"]["vocab"][:60]
    refused, messages = 0, []
    for _ in range(300):
        content = copy.deepcopy(source)
        for _ in range(generator.choice([1, 1, 2, 4])):
            place: Any = content
            while isinstance(place, dict | list) and place:
                key = generator.choice(list(place) if isinstance(place, dict) else range(len(place)))
                if not isinstance(place[key], dict | list) or generator.random() < 0.2:
                    place[key] = copy.deepcopy(generator.choice(ODD_VALUES))
                    break
                place = place[key]
        data = packed(content)
        if generator.random() < 0.1:
            data = data[: generator.randrange(len(data))]
        try:
            rebuilt = tokenizer_model.rebuild(data)
        except TrainerError as error:
            refused += 1
            messages.append(str(error))
            continue
        try:
            tokenizer(rebuilt.model, tmp_path, rebuilt.lower_case, rebuilt.keep_accents).encode("a 12, ﬁ 각")
        except AlbertFastError as error:
            messages.append(str(error))
    assert 100 < refused < 300
    assert [message for message in messages if "\n" in message or len(message) > 600] == []
