"""Tokenizers, stores and records that meet are compared: in Python's classes here, in the commands elsewhere."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from albert_fast import AlbertFastError, InstanceStream, Masker, RecordReader, Tokenizer, TokenStore
from albert_fast.cli import model_tokenizer
from albert_fast.inspection import find_files
from albert_fast.tokenizers import match as tokenizer_match
from albert_fast.tokenizers.match import compare, compare_descriptions, described
from trainer.errors import TrainerError
from trainer.exchange import export, tokenizer_check
from trainer.run import data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import Command

WORDS = [f"{first}{second}{third}" for first in "bdfgkl" for second in "aeiou" for third in "mnrst"]


def vocabulary(path: Path, order: int) -> Path:
    """A WordPiece vocabulary: always the same words, in an order of its own."""
    words = [*WORDS]
    random.Random(order).shuffle(words)
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    return path


@pytest.fixture
def made(command: Command, tmp_path: Path) -> Path:
    """Records and token stores of two vocabularies of the same size."""
    draw = random.Random(0)
    text = "\n".join(" ".join(draw.choices(WORDS, k=9)) + ("\n" if line % 8 == 7 else "") for line in range(160))
    (tmp_path / "corpus.txt").write_text(text)
    for order in (1, 2):
        vocab = vocabulary(tmp_path / f"{order}.txt", order)
        rules = ["--max-seq-length", "32", "--max-predictions-per-seq", "5", "--dupe-factor", "1", "--keep-store"]
        done = command("make-records", "corpus.txt", "--vocab-file", vocab, "--output-dir", f"records-{order}", *rules)
        assert done.code == 0, done.err
    return tmp_path


def test_files_and_rules_are_told_apart(model: Path, made: Path) -> None:
    plain = Tokenizer.from_file(model)
    cased = Tokenizer.from_file(model, lower_case=False, keep_accents=True)
    none = Tokenizer.from_file(model, text_rules="none")
    first, second = (Tokenizer.from_vocab_file(made / f"{order}.txt") for order in (1, 2))
    lower = Tokenizer.from_vocab_file(made / "1.txt", lower_case=False)
    for one, other, expected in (
        (plain, plain, "same"),
        (plain, cased, "rules"),
        (cased, plain, "rules"),
        (plain, none, "rules"),
        (none, cased, "rules"),
        (first, lower, "rules"),
        (lower, first, "rules"),
        (first, second, "other"),
        (first, plain, "other"),
    ):
        assert compare(one, other) == expected
        assert compare(one, described(other)) == expected
    assert compare_descriptions(described(plain), described(plain)) == "same"
    assert compare_descriptions(described(first), described(second)) == "other"
    # Of little knowledge comes no verdict, unless the little differs.
    assert compare(plain, {}) == compare(plain, {"vocab_size": 2000}) == "unknown"
    assert compare(plain, {"vocab_size": 2001}) == "other"
    assert compare_descriptions({}, described(plain)) == "unknown"
    assert compare_descriptions({"vocab_size": 5}, described(plain)) == "other"
    assert compare(plain, {"digest": "of the model itself"}, rebuilt=True) == "unknown"


def test_the_description_is_that_of_the_files(made: Path) -> None:
    """A digest with other rules is computed in Python too: it must be the core's."""
    tokenizer = Tokenizer.from_vocab_file(made / "1.txt")
    kept = json.loads((made / "records-1" / "dataset.json").read_text())["tokenizer"]
    assert {name: kept[name] for name in described(tokenizer)} == described(tokenizer)


def test_remasking_with_another_vocabulary(made: Path) -> None:
    first, second = (Tokenizer.from_vocab_file(made / f"{order}.txt") for order in (1, 2))
    records = made / "records-1"
    with pytest.raises(
        AlbertFastError, match=r"masker must have the tokenizer of the records: the records of .*records-1 were"
    ):
        RecordReader(records, 4, remask=True, masker=Masker(second))
    RecordReader(records, 4, remask=True, masker=Masker(second), allow_other_tokenizer=True).batch(0)
    RecordReader(records, 4, masker=Masker(second)).batch(0)
    right = RecordReader(records, 4, remask=True, masker=Masker(first)).batch(0)
    # Text rules do not matter to ids.
    lower = Masker(Tokenizer.from_vocab_file(made / "1.txt", lower_case=False))
    again = RecordReader(records, 4, remask=True, masker=lower).batch(0)
    assert all(np.array_equal(right[name], again[name]) for name in right)  # type: ignore[literal-required]
    for size, starts in ((155, np.ones(155, np.bool_)), (200, np.ones(200, np.bool_))):
        masker = Masker.from_vocab(size, starts, pad_id=0, cls_id=2, sep_id=3, mask_id=4)
        if size == first.vocab_size:
            RecordReader(records, 4, remask=True, masker=masker).batch(0)
        else:
            with pytest.raises(
                AlbertFastError,
                match="155 pieces, got 200 pieces; pass another masker, or allow_other_tokenizer=True to use it",
            ):
                RecordReader(records, 4, remask=True, masker=masker)


def test_records_of_two_tokenizers(made: Path) -> None:
    both = [made / "records-1", made / "records-2"]
    with pytest.raises(AlbertFastError, match=r"records-1 and those of .*records-2 were made with"):
        RecordReader(both, 4)
    assert len(RecordReader(both, 4, allow_other_tokenizer=True)) > len(RecordReader(both[0], 4))
    # Without what make-records wrote beside them nothing is known.
    shutil.copytree(both[1], made / "anyone's")
    (made / "anyone's" / "dataset.json").unlink()
    RecordReader([both[0], made / "anyone's"], 4).batch(0)


def test_a_stream_with_another_tokenizer(made: Path) -> None:
    store = TokenStore(made / "records-1" / "tokens")
    InstanceStream(store, 2, 32, tokenizer=Tokenizer.from_vocab_file(made / "1.txt"))
    with pytest.raises(
        AlbertFastError, match=r"made with another tokenizer, 1\.txt \(digest .*\), than .*2\.txt .* drop `tokenizer`"
    ):
        InstanceStream(store, 2, 32, tokenizer=Tokenizer.from_vocab_file(made / "2.txt"))


def test_links_to_records_keep_their_tokenizer(made: Path, command: Command) -> None:
    for order in (1, 2):
        (made / f"links-{order}").mkdir()
        for file in (made / f"records-{order}").glob("*.tfrecord*"):
            (made / f"links-{order}" / file.name).symlink_to(file)
            (made / f"again-{order}.tfrecord").symlink_to(Path(f"links-{order}") / file.name)
    second = Masker(Tokenizer.from_vocab_file(made / "2.txt"))
    for name in ("links-1", "again-1.tfrecord"):
        with pytest.raises(
            AlbertFastError, match=r"the records of .*records-1 were made with another tokenizer \(1\.txt"
        ):
            RecordReader(made / name, 4, remask=True, masker=second)
        assert command("inspect-records", name, "--vocab-file", "1.txt").code == 0
        assert "were made with another tokenizer" in command("inspect-records", name, "--vocab-file", "2.txt").error
    for both in (["links-1", "links-2"], ["records-1", "links-2"], ["again-1.tfrecord", "records-2"]):
        with pytest.raises(AlbertFastError, match="were made with different tokenizers"):
            RecordReader([made / name for name in both], 4)
    # A description that is linked too is the same one, so that what a run remembers of its data does not change.
    (made / "links-1" / "dataset.json").symlink_to(made / "records-1" / "dataset.json")
    files = [str(made / "links-1")]
    assert list(tokenizer_match.records_directories(find_files(files))) == [made / "links-1"]
    (made / "directory").symlink_to(made / "records-1")
    assert data.describe_records([str(made / "directory")]).sets == data.describe_records(files).sets
    assert len(data.describe_records(files).sets) == 1


def test_inspecting_with_another_tokenizer(made: Path, command: Command) -> None:
    words = ("inspect-records", "records-1", "--vocab-file")
    assert command(*words, "1.txt").code == 0
    done = command(*words, "2.txt")
    assert done.code == 1
    assert done.error.startswith("the records of records-1 were made with another tokenizer (1.txt (digest ")
    advice = "pass the tokenizer of the records, or --allow-other-tokenizer"
    assert done.error.endswith(f"the same id is a different piece in each; {advice}")
    assert command(*words, "2.txt", "--allow-other-tokenizer").code == 0
    assert command("inspect-records", "records-1").code == 0


# --- one vocabulary under several text rules -------------------------------------------------------------------------


@pytest.fixture
def rules(command: Command, tmp_path: Path) -> Path:
    """Records of one vocabulary: lowercase, cased, and lowercase as an older version described them."""
    vocabulary(tmp_path / "1.txt", 1)
    (tmp_path / "corpus.txt").write_text("\n".join(" ".join(WORDS[i : i + 9]) + "\n" * (i % 3) for i in range(120)))
    sizes = ["--max-seq-length", "32", "--max-predictions-per-seq", "5", "--dupe-factor", "1", "--keep-store"]
    for directory, flag in (("lower", "--do-lower-case"), ("cased", "--no-do-lower-case")):
        done = command("make-records", "corpus.txt", "--vocab-file", "1.txt", flag, "--output-dir", directory, *sizes)
        assert done.code == 0, done.err
    shutil.copytree(tmp_path / "lower", tmp_path / "older")
    made = json.loads((tmp_path / "older" / "dataset.json").read_text())
    del made["tokenizer"]["vocab_digest"]
    (tmp_path / "older" / "dataset.json").write_text(json.dumps(made))
    return tmp_path


def test_other_text_rules_are_no_other_tokenizer(rules: Path) -> None:
    both = RecordReader([rules / "lower", rules / "cased"], 4)
    assert len(both) == len(RecordReader(rules / "lower", 4)) + len(RecordReader(rules / "cased", 4))
    lower, cased = (json.loads((rules / name / "dataset.json").read_text())["tokenizer"] for name in ("lower", "cased"))
    assert compare_descriptions(lower, cased) == "rules"
    assert data.check_tokenizers(known(lower), data.describe_records([str(rules / "cased")])).endswith(
        f"({tokenizer_match.name(cased)} and {tokenizer_match.name(lower)})"
    )


def test_a_description_without_vocab_digest(rules: Path) -> None:
    """What an older version wrote cannot tell rules from pieces: the message must not claim to."""
    with pytest.raises(AlbertFastError, match="the tokenizers or only their text rules differ"):
        RecordReader([rules / "older", rules / "cased"], 4)
    RecordReader([rules / "older", rules / "lower"], 4)
    # The tokenizer itself can.
    for made_with in (True, False):
        assert compare(
            Tokenizer.from_vocab_file(rules / "1.txt", lower_case=made_with),
            json.loads((rules / "older" / "dataset.json").read_text())["tokenizer"],
        ) == ("same" if made_with else "rules")


def test_line_ends_and_a_byte_order_mark(rules: Path) -> None:
    """The digest is over the content that is kept, not over the bytes on disk."""
    text = (rules / "1.txt").read_text()
    for content in (text.replace("\n", "\r\n").encode(), b"\xef\xbb\xbf" + text.encode()):
        (rules / "odd.txt").write_bytes(content)
        lower, cased = (Tokenizer.from_vocab_file(rules / "odd.txt", lower_case=value) for value in (True, False))
        older = {key: value for key, value in described(cased).items() if key != "vocab_digest"}
        assert compare(lower, older) == compare(lower, described(cased)) == "rules"
        assert compare(lower, described(Tokenizer.from_vocab_file(rules / "1.txt"))) in {"same", "pieces"}


def test_a_rebuilt_model_has_another_digest(model: Path) -> None:
    own = described(Tokenizer.from_file(model))
    older = {key: value for key, value in own.items() if key != "vocab_digest"}
    rebuilt = {**older, "digest": "0" * 64, "rebuilt": True}
    assert compare_descriptions(rebuilt, older) == compare_descriptions(older, rebuilt) == "unknown"
    assert compare_descriptions({**own, "digest": "0" * 64}, own) == "pieces"


def test_a_store_calls_its_tokenizer_by_its_file(rules: Path, command: Command) -> None:
    store = TokenStore(rules / "lower" / "tokens")
    assert store.tokenizer().file_name == "1.txt"
    assert described(store.tokenizer()) == described(Tokenizer.from_vocab_file(rules / "1.txt"))
    done = command("make-records", "lower/tokens", "--output-dir", "from-store", "--max-seq-length", "32")
    assert done.code == 0, done.err
    assert json.loads((rules / "from-store" / "dataset.json").read_text())["tokenizer"]["file"] == "1.txt"
    vocabulary(rules / "2.txt", 2)
    done = command(
        "make-records",
        "lower/tokens",
        "--vocab-file",
        "2.txt",
        "--output-dir",
        "other",
        "--max-predictions-per-seq",
        "77",
    )
    assert done.code == 1
    assert "lower/tokens: made with another tokenizer, 1.txt (digest " in done.error
    assert "than 2.txt (digest " in done.error
    assert "{" not in done.error
    with pytest.raises(AlbertFastError, match="made with other text rules"):
        InstanceStream(store, 2, 32, tokenizer=Tokenizer.from_vocab_file(rules / "1.txt", lower_case=False))


# --- records and the tokenizer that a run keeps with the model -------------------------------------------------------


def kept_by_a_run(records: Path, tokenizer: Path, directory: Path) -> Tokenizer:
    """The tokenizer that `export` finds in a run that was started from these records with this tokenizer."""
    found = data.from_records([str(records)], 4, tokenizer=tokenizer)
    assert found.opened is not None
    assert found.tokenizer == described(found.opened)
    directory.mkdir()
    for name, content in found.tokenizer_files.items():
        (directory / name).write_bytes(content)
    chosen = model_tokenizer.choose(None, model_tokenizer.directories(directory))
    assert chosen.tokenizer is not None
    assert chosen.rules_known
    files = export.tokenizer_files(chosen.tokenizer, 512)
    tokenizer_check.check(found.opened, files)
    return chosen.tokenizer


def test_a_run_keeps_the_vocabulary_of_its_records(rules: Path) -> None:
    cached = rules / "models--me--mine"
    (cached / "snapshots" / "abc").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    shutil.copy(rules / "1.txt", cached / "snapshots" / "abc" / "vocab.txt")
    for number, given in enumerate((rules / "1.txt", cached / "snapshots" / "abc", cached)):
        # No file beside the vocabulary tells its text rules: they are those of the records.
        for records in ("lower", "cased"):
            found = kept_by_a_run(rules / records, given, rules / f"run-{records}-{number}")
            assert found.lower_case == (records == "lower")
            made_with = described(Tokenizer.from_vocab_file(rules / "1.txt", lower_case=found.lower_case))
            assert compare(found, made_with) == "same"
    vocabulary(rules / "2.txt", 2)
    with pytest.raises(TrainerError, match=r"another tokenizer \(1\.txt .*; pass the tokenizer that the records were"):
        data.from_records([str(rules / "lower")], 4, tokenizer=rules / "2.txt")
    other = data.from_records([str(rules / "lower")], 4, tokenizer=rules / "2.txt", allow_other_tokenizer=True)
    assert other.tokenizer_files["vocab.txt"] == (rules / "2.txt").read_bytes()
    # One that tells other rules than the records'.
    (rules / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    message = r'pass a copy of 1\.txt next to a tokenizer_config\.json with \{"do_lower_case": false\}$'
    with pytest.raises(TrainerError, match=message):
        data.from_records([str(rules / "cased")], 4, tokenizer=rules / "1.txt")
    shutil.copytree(rules, rules / "copy", ignore=lambda *_: {"copy"})
    (rules / "copy" / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert not kept_by_a_run(rules / "cased", rules / "copy" / "1.txt", rules / "run-copy").lower_case


def test_a_run_keeps_the_model_of_its_records(model: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("A sentence of Words.\nAnother one follows it here.\n\n" * 40)
    shutil.copy(model, tmp_path / "bare.model")
    for name, flags in (("lower", []), ("cased", ["--no-do-lower-case", "--keep-accents"])):
        words = (
            "make-records",
            "corpus.txt",
            "--tokenizer",
            "bare.model",
            "--output-dir",
            name,
            "--max-seq-length",
            32,
        )
        assert command(*words, *flags).code == 0
        found = kept_by_a_run(tmp_path / name, tmp_path / "bare.model", tmp_path / f"run-{name}")
        assert (found.lower_case, found.keep_accents) == (name == "lower", name == "cased")
    # One that its training says other rules of than the records'.
    digest = hashlib.sha256((tmp_path / "bare.model").read_bytes()).hexdigest()
    trained = {"model_sha256": digest, "lower_case": True, "keep_accents": False}
    (tmp_path / "bare.config.json").write_text(json.dumps(trained))
    message = (
        r"made with do_lower_case=False and keep_accents=True, .*; pass a copy of bare\.model without the text rules "
    )
    with pytest.raises(TrainerError, match=message):
        data.from_records([str(tmp_path / "cased")], 4, tokenizer=tmp_path / "bare.model")
    (tmp_path / "own").mkdir()
    shutil.copy(tmp_path / "bare.model", tmp_path / "own")
    found = kept_by_a_run(tmp_path / "cased", tmp_path / "own" / "bare.model", tmp_path / "run-own")
    assert (found.lower_case, found.keep_accents) == (False, True)


def test_advice_fits_commands_that_know_the_kind_by_the_suffix(rules: Path, model: Path) -> None:
    shutil.copy(rules / "1.txt", rules / "words.vocab")
    (rules / "model.txt").write_text("the\nof\n")
    for name, advice in (
        ("words.vocab", r"the name of a WordPiece vocabulary must end in \.txt\)$"),
        ("model.txt", r"the name of a SentencePiece model must end in \.model\)$"),
    ):
        with pytest.raises(AlbertFastError, match=advice):
            data.from_records([str(rules / "lower")], 4, tokenizer=rules / name)
        with pytest.raises(AlbertFastError, match=advice):
            model_tokenizer.open_file(rules / name)


def known(tokenizer: Mapping[str, Any]) -> data.Data:
    """Data to train on of which only the tokenizer counts."""
    return data.Data(None, "records", "train", tokenizer["vocab_size"], None, {}, {}, {}, tokenizer)  # type: ignore[arg-type]


def test_sizes_are_compared_before_records_are_opened(rules: Path) -> None:
    for file in (rules / "lower").glob("*.tfrecord*"):
        file.write_bytes(b"no record")
    with pytest.raises(
        TrainerError, match=r"lower: the tokenizer must have 99 pieces.* got 155; pass data made with the m"
    ):
        data.from_records([str(rules / "lower")], 4, vocab_size=99)
    held_out = data.describe_records([str(rules / "lower")])
    smaller = known({"vocab_size": 99, "file": "small.model"})
    with pytest.raises(TrainerError, match=r"\(1\.txt .* and small\.model\): the first has 155 pieces, the other 99"):
        data.check_tokenizers(smaller, held_out, allow_other_tokenizer=True)
