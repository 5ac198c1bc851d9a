"""The files beside a tokenizer, and directories that hold one: every way to open it finds and follows the same."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from albert_fast import AlbertFastError, Tokenizer, TokenStore
from albert_fast.cli.tokenizer_file import open_tokenizer
from albert_fast.tokenizers.match import described
from trainer.exchange.export import tokenizer_files

if TYPE_CHECKING:
    from conftest import Command

TEXT = "Schöne Häuser in Köln und ein Café in Zürich."


@pytest.fixture
def published(tmp_path: Path, model: Path) -> Path:
    """A directory with a model and nothing that tells its rules."""
    found = tmp_path / "published"
    found.mkdir()
    shutil.copy(model, found / "spiece.model")
    return found


def opened(published: Path, command: Command) -> list[tuple[bool, bool]]:
    """lower_case and keep_accents as the library, the commands' reader, tokenize and make-records have them."""
    Path("text.txt").write_text(f"{TEXT}\n" * 30)
    model = published / "spiece.model"
    pairs = [(each.lower_case, each.keep_accents) for each in (Tokenizer.from_file(model), open_tokenizer(model))]
    for name, *flags in (("tokenize",), ("make-records", "--max-seq-length", "32")):
        done = command(name, "text.txt", "--tokenizer", published, "--output-dir", name, *flags, "--overwrite")
        assert done.code == 0, done.err
        settings = json.loads(Path(name, f"{name}.config.json").read_text())[name]
        pairs.append((settings["do_lower_case"], settings["keep_accents"]))
    return pairs


@pytest.mark.parametrize(("lower_case", "keep_accents"), [(False, True), (True, True), (False, False), (True, False)])
def test_a_published_models_rules(published: Path, command: Command, lower_case: bool, keep_accents: bool) -> None:
    settings = {"do_lower_case": lower_case, "keep_accents": keep_accents, "tokenizer_class": "AlbertTokenizer"}
    (published / "tokenizer_config.json").write_text(json.dumps(settings))
    assert opened(published, command) == [(lower_case, keep_accents)] * 4


def test_a_tokenizer_json_tells_what_nothing_else_does(published: Path, command: Command) -> None:
    model = published / "spiece.model"
    for lower_case, keep_accents in ((False, True), (True, False), (True, True), (False, False)):
        own = Tokenizer.from_file(model, lower_case=lower_case, keep_accents=keep_accents, follow_config=False)
        (published / "tokenizer.json").write_bytes(tokenizer_files(own, 512)["tokenizer.json"])
        assert opened(published, command) == [(lower_case, keep_accents)] * 4
    # One of other pieces says nothing of this model.
    whole = json.loads((published / "tokenizer.json").read_text())
    whole["model"]["vocab"][7][0] = "another"
    (published / "tokenizer.json").write_text(json.dumps(whole))
    found = Tokenizer.from_file(model)
    assert (found.lower_case, found.keep_accents) == (True, False)


def test_what_training_wrote_goes_first(published: Path) -> None:
    (published / "tokenizer_config.json").write_text('{"do_lower_case": false, "keep_accents": true}')
    (published / "spiece.config.json").write_text('{"lower_case": true, "keep_accents": false}')
    found = Tokenizer.from_file(published / "spiece.model")
    assert (found.lower_case, found.keep_accents) == (True, False)
    (published / "spiece.config.json").unlink()
    with pytest.raises(AlbertFastError, match=r"lower_case must be False, as .*tokenizer_config\.json says"):
        Tokenizer.from_file(published / "spiece.model", lower_case=True)
    (published / "tokenizer_config.json").write_text('{"do_lower_case": "no"}')
    with pytest.raises(AlbertFastError, match=r"tokenizer_config\.json: do_lower_case must be true or false"):
        Tokenizer.from_file(published / "spiece.model")


def test_python_takes_a_directory(published: Path, tmp_path: Path) -> None:
    assert described(Tokenizer.from_file(published)) == described(Tokenizer.from_file(published / "spiece.model"))
    cached = tmp_path / "models--me--mine"
    shutil.copytree(published, cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    assert Tokenizer.from_file(cached).path == cached / "snapshots" / "abc" / "spiece.model"
    words = tmp_path / "words"
    words.mkdir()
    with pytest.raises(AlbertFastError, match=r"words holds no vocab\.txt; pass the vocabulary's file"):
        Tokenizer.from_vocab_file(words)
    with pytest.raises(AlbertFastError, match=r"words holds no tokenizer \(no \.model file, no vocab\.txt\)"):
        Tokenizer.from_file(words)
    with pytest.raises(AlbertFastError, match=r"pass the tokenizer's file, such as .*published.spiece\.model"):
        Tokenizer.from_file(published.parent)
    (words / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")
    assert Tokenizer.from_vocab_file(words).vocab_size == 6
    with pytest.raises(AlbertFastError, match=r"holds a WordPiece vocabulary; pass a spiece\.model$"):
        Tokenizer.from_file(words)
    shutil.copy(published / "spiece.model", words)
    with pytest.raises(AlbertFastError, match=r"holds several tokenizers \(spiece\.model, vocab\.txt\)"):
        Tokenizer.from_file(words)


def test_a_vocabulary_in_the_hub_cache(command: Command, tmp_path: Path) -> None:
    """For every command and class that takes one: through refs/main, with the text rules beside it."""
    cached = tmp_path / "models--me--mine"
    snapshot = cached / "snapshots" / "abc"
    for directory in (snapshot, cached / "blobs", cached / "refs"):
        directory.mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    (cached / "blobs" / "1").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nThe\nwords\n.\n")
    (cached / "blobs" / "2").write_text('{"do_lower_case": false}')
    (snapshot / "vocab.txt").symlink_to("../../blobs/1")
    (snapshot / "tokenizer_config.json").symlink_to("../../blobs/2")
    Path("text.txt").write_text("The words.\nthe words.\n\n" * 40)
    for number, given in enumerate((cached, cached / "snapshots", snapshot)):
        found = Tokenizer.from_vocab_file(given)
        assert found.path == snapshot / "vocab.txt"
        assert found.encode("The the") == [6, 5]
        for name, more in (("tokenize", ()), ("make-records", ("--max-seq-length", 32))):
            words = (name, "text.txt", "--vocab-file", given, "--output-dir", f"{name}-{number}")
            done = command(*words, *more)
            assert done.code == 0, done.err
        assert command("inspect-records", f"make-records-{number}", "--vocab-file", given).code == 0
        assert TokenStore(f"tokenize-{number}").tokenizer().digest == found.digest


def write_json(path: Path, kind: str | None) -> None:
    path.write_text(json.dumps({} if kind is None else {"model": {"type": kind}}))


WEIGHTS = {"model.safetensors": "weights", "config.json": '{"model_type": "albert"}'}
VOCABULARY = {"vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nsentence\n"}
IMPORT = "`albert-fast import-checkpoint tok --output-dir start`, and pass start/spiece.model"


@pytest.mark.parametrize(
    ("kind", "beside", "advice"),
    [
        ("Unigram", {"spiece.model": ""}, "pass tok/spiece.model"),
        ("Unigram", {"mine.model": "", **WEIGHTS}, "pass tok/mine.model"),
        ("WordPiece", VOCABULARY, "pass --vocab-file tok/vocab.txt"),
        ("Unigram", WEIGHTS, IMPORT),
        ("Unigram", {**WEIGHTS, "config.json": '{"model_type": "bert"}'}, "download spiece.model from the same"),
        ("Unigram", {}, "download spiece.model from the same place, and pass it"),
        ("WordPiece", WEIGHTS, "download vocab.txt from the same place, and pass it"),
        ("BPE", WEIGHTS, "BPE tokenizers are not supported; pass a SentencePiece model or a WordPiece vocab.txt"),
        (None, WEIGHTS, "download spiece.model (or vocab.txt) from the same place, and pass it"),
    ],
)
def test_a_tokenizer_json_by_itself(
    kind: str | None, beside: dict[str, str], advice: str, command: Command, model: Path
) -> None:
    Path("text.txt").write_text("A sentence.\n" * 30)
    Path("tok").mkdir()
    write_json(Path("tok/tokenizer.json"), kind)
    for name, content in beside.items():
        Path("tok", name).write_text(content)
        if name.endswith(".model"):
            shutil.copy(model, Path("tok", name))
    # The directory means the tokenizer next to it.
    for given in ("tok/tokenizer.json", *(["tok"] if advice.startswith(("`", "d", "B")) else [])):
        for name in ("tokenize", "make-records"):
            refused = command(name, "text.txt", "--tokenizer", given, "--output-dir", "out")
            assert refused.code == 1
            assert refused.error.startswith("tok/tokenizer.json: a tokenizer.json cannot tokenize text here; ")
            assert advice in refused.error
        with pytest.raises(AlbertFastError, match=r"^tok/tokenizer\.json: ") as raised:
            Tokenizer.from_file(given)
        in_python = advice.replace("pass --vocab-file tok/vocab.txt", "pass tok/vocab.txt to Tokenizer.from_vocab_file")
        assert in_python in str(raised.value)
    if advice.startswith("pass "):
        words = (["--tokenizer"] if "--" not in advice else []) + advice.split()[1:]
        assert command("tokenize", "text.txt", "--output-dir", "store", *words).code == 0


@pytest.mark.parametrize(
    ("name", "beside", "advice"),
    [
        ("spiece.config.json", ["spiece.model"], "pass tok/spiece.model"),
        ("b.config.json", ["a.model", "b.model"], "pass tok/b.model"),
        ("config.json", ["a.model"], "pass tok/a.model"),
        ("meta.json", [], "pass the file of the tokenizer that the token store was made with"),
        ("special_tokens_map.json", [], "download spiece.model (or vocab.txt) from the same place"),
    ],
)
def test_other_json_files_are_no_tokenizers(
    name: str, beside: list[str], advice: str, command: Command, model: Path
) -> None:
    Path("text.txt").write_text("A sentence.\n" * 30)
    Path("tok").mkdir()
    for each in beside:
        shutil.copy(model, Path("tok", each))
    Path("tok", name).write_text("{}")
    refused = command("tokenize", "text.txt", "--tokenizer", f"tok/{name}", "--output-dir", "out")
    assert refused.error.startswith(f"tok/{name}: this is not a tokenizer; {advice}")
    Path("tok", name).unlink()
    refused = command("tokenize", "text.txt", "--tokenizer", f"tok/{name}", "--output-dir", "out")
    assert "No such file" in refused.error


def test_a_sentencepiece_model_is_no_vocabulary(command: Command, model: Path) -> None:
    Path("text.txt").write_text("A sentence.\n" * 30)
    shutil.copy(model, "spiece.txt")
    for given in (model, "spiece.txt"):
        for words in (
            ["tokenize", "text.txt", "--output-dir", "out"],
            ["make-records", "text.txt", "--output-dir", "out"],
        ):
            refused = command(*words, "--vocab-file", given)
            assert (refused.code, refused.error) == (1, f"{given} is a SentencePiece model; pass it as --tokenizer")
    assert command("tokenize", "text.txt", "--output-dir", "out", "--tokenizer", model).code == 0


def test_an_input_that_does_not_exist_is_what_is_told(command: Command, published: Path) -> None:
    Path("text.txt").write_text(f"{TEXT}\n" * 30)
    assert command("tokenize", "text.txt", "--tokenizer", published, "--output-dir", "store").code == 0
    for name in ("make-records", "tokenize"):
        for inputs in (["stroe"], ["text.txt", "stroe"]):
            refused = command(name, *inputs, "--output-dir", "out")
            assert (refused.code, refused.error) == (1, "stroe: no such file or directory")
        for inputs in (["text.txt"], ["*.txt"]):
            assert command(name, *inputs, "--output-dir", "out").error.startswith("pass --tokenizer spiece.model")
    assert command("make-records", "store", "--output-dir", "out", "--max-seq-length", "32").code == 0


def test_python_names_no_flags(command: Command, published: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("the\nof\n")
    with pytest.raises(AlbertFastError, match=r"goes with Tokenizer\.from_vocab_file\)$"):
        Tokenizer.from_file(tmp_path / "words.txt")
    Path("lines.jsonl").write_text('{"text": "A sentence."}\n' * 9)
    from albert_fast import tokenize

    with pytest.raises(AlbertFastError, match="pass format='text' to read it as plain text"):
        tokenize(["lines.jsonl"], "store", Tokenizer.from_file(published))
    # The commands name theirs.
    words = ("tokenize", "lines.jsonl", "--output-dir", "out", "--tokenizer")
    assert "--input-format text" in command(*words, published).error
    assert command(*words, tmp_path / "words.txt").error.endswith("(a WordPiece vocabulary goes with --vocab-file)")


def test_the_references_rng_gets_no_advice_that_it_forbids(command: Command, published: Path) -> None:
    Path("text.txt").write_text(f"{TEXT}\n" * 30)
    words = ("make-records", "text.txt", "--tokenizer", published, "--max-seq-length", "32", "--output-dir")
    done = command(*words, "reference", "--rng", "reference")
    assert done.code == 0, done.err
    assert "remove accents" in done.err
    assert "--keep-accents" not in done.err
    assert "drop --rng reference, which always removes accents" in done.err
    assert "train the tokenizer with --keep-accents" in command(*words, "fast").err


def test_a_model_that_was_linked_or_renamed(published: Path, tmp_path: Path) -> None:
    model = published / "spiece.model"
    content = {
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "lower_case": False,
        "keep_accents": True,
    }
    (published / "spiece.config.json").write_text(json.dumps(content))
    shutil.copy(model, published / "mine.model")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link.model").symlink_to(model)
    (elsewhere / "renamed.model").symlink_to(published / "mine.model")
    for path in (published / "mine.model", elsewhere / "link.model", elsewhere / "renamed.model"):
        found = Tokenizer.from_file(path)
        assert (found.lower_case, found.keep_accents) == (False, True), path
        assert open_tokenizer(path).digest == found.digest
    # The file of another model says nothing.
    (published / "spiece.config.json").write_text(json.dumps(content | {"model_sha256": "0" * 64}))
    assert Tokenizer.from_file(published / "mine.model").lower_case
