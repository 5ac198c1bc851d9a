"""The Python functions of the commands: arguments, results, errors, and the same bytes as the commands write."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import albert_fast
from albert_fast import (
    AlbertFastError,
    InstanceStream,
    Masker,
    Tokenizer,
    inspect_records,
    make_records,
    prepare_text,
    train_tokenizer,
)
from albert_fast.options import (
    CorpusFormat,
    InstanceOptions,
    MaskOptions,
    PrepareOptions,
    PrepareOutput,
    RecordsOptions,
    StreamOptions,
    TokenizerTrainingOptions,
    options_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Command

STAGES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "prepare_text": (prepare_text, (PrepareOptions, PrepareOutput)),
    "train_tokenizer": (train_tokenizer, (TokenizerTrainingOptions, CorpusFormat)),
    "make_records": (make_records, (InstanceOptions, CorpusFormat, RecordsOptions)),
    "InstanceStream": (InstanceStream, (StreamOptions,)),
    "Masker": (Masker, (MaskOptions,)),
}
LENGTHS: dict[str, Any] = {"max_seq_length": 64, "max_predictions_per_seq": 10}
DECIDED_BY_RNG = {"single_segment", "word_boundary", "cross_segment_words", "replace_with_special"}


@pytest.mark.parametrize("name", STAGES)
def test_arguments_and_their_descriptions_are_those_of_the_stages(name: str) -> None:
    function, stages = STAGES[name]
    parameters = inspect.signature(function).parameters
    document = inspect.getdoc(function) or ""
    assert "{options}" not in document
    for stage in stages:
        for option in options_of(stage).values():
            if name == "InstanceStream" and option.name == "num_threads":
                continue
            assert option.name in parameters, option.name
            assert f"{option.name}: {option.help.split()[0]}" in document, option.name
            if not (name == "make_records" and option.name in DECIDED_BY_RNG):
                assert parameters[option.name].default == option.default, option.name
    assert not [line for line in document.splitlines() if " --" in line]


def test_make_records_writes_what_the_command_does(command: Command, model: Path, corpus: Path) -> None:
    tokenizer = Tokenizer.from_file(model)
    made = make_records(corpus, "one", tokenizer, **LENGTHS)
    flags = ["--max-seq-length", 64, "--max-predictions-per-seq", 10]
    assert command("make-records", corpus, "--tokenizer", model, "--output-dir", "two", *flags).code == 0
    assert [path.read_bytes() for path in made.shards] == [
        path.read_bytes() for path in sorted(Path("two").glob("*.tfrecord"))
    ]
    assert made.instances == made.described["totals"]["instances"] > 0
    assert made.tokens > 0
    assert (made.already_complete, made.store) == (False, None)
    assert make_records(
        [corpus], Path("one"), Tokenizer.from_file(model), max_seq_length=64, max_predictions_per_seq=10
    ).already_complete
    summary = inspect_records("one", Tokenizer.from_file(model))
    assert (summary.good, summary.records) == (True, made.instances)
    shown: list[str] = []
    inspect_records(made.shards, num_shown=1, emit=shown.append)
    assert any("input_ids" in line for line in shown)


def test_train_tokenizer_writes_what_the_command_does(command: Command, corpus: Path) -> None:
    given: dict[str, Any] = {"vocab_size": 300, "keep_accents": True, "user_defined_symbols": [".", "-"]}
    tokenizer = train_tokenizer(corpus, "one", **given)
    assert (tokenizer.vocab_size, tokenizer.keep_accents) == (300, True)
    flags = ["--vocab-size", 300, "--keep-accents", "--user-defined-symbols", ".", "--user-defined-symbols", "-"]
    assert command("train-tokenizer", corpus, "--output-dir", "two", *flags).code == 0
    for name in ("spiece.model", "spiece.vocab", "spiece.config.json"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()
    before = Path("one/spiece.model").read_bytes()
    with pytest.raises(AlbertFastError, match="pass overwrite=True to replace it, or another `output_dir`") as caught:
        train_tokenizer([corpus], Path("one"), vocab_size=310)
    assert (caught.value.kind, caught.value.path) == ("exists", Path("one/spiece.model"))
    assert Path("one/spiece.model").read_bytes() == before
    assert train_tokenizer(corpus, "one", vocab_size=310, user_defined_symbols=(), overwrite=True).piece_to_id(".") != 5
    done = command("train-tokenizer", corpus, "--output-dir", "two", *flags)
    assert done.code == 1
    assert done.error == "two/spiece.model exists: pass --overwrite to replace it, or another --output-dir"


def test_the_reference_is_one_argument(model: Path, corpus: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(model)
    made = make_records(corpus, tmp_path / "a", tokenizer, rng="reference", **LENGTHS)
    assert made.described["options"]["word_boundary"] == "albert"
    with pytest.raises(AlbertFastError, match="rng") as caught:
        make_records(corpus, tmp_path / "b", tokenizer, rng="reference", word_boundary="unicode")
    assert (caught.value.kind, caught.value.option) == ("option", "word_boundary")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"max_seq_length": 7}, "max_seq_length"),
        ({"masked_lm_prob": 1.5}, "masked_lm_prob"),
        ({"max_predictions_per_seq": 600}, "max_predictions_per_seq"),
        ({"rng": "quick"}, "rng"),
        ({"compression": "bzip2"}, "compression"),
        ({"num_threads": 0}, "num_threads"),
        ({"overwrite": 1}, "overwrite"),
    ],
)
def test_a_wrong_argument_is_named(given: dict[str, Any], option: str, model: Path, corpus: Path) -> None:
    with pytest.raises(AlbertFastError) as caught:
        make_records(corpus, "none", Tokenizer.from_file(model), **given)
    assert (caught.value.kind, caught.value.option) == ("option", option)
    assert str(caught.value).startswith(f"{option} must be ")


def test_errors_have_a_place(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "broken.txt"
    path.write_bytes(b"fine\n\nnot \xff fine\n")
    with pytest.raises(AlbertFastError) as caught:
        albert_fast.tokenize(path, tmp_path / "store", Tokenizer.from_file(model))
    error = caught.value
    assert (error.kind, error.path, error.line, error.byte) == ("data", path, 3, 5)
    with pytest.raises(AlbertFastError) as caught:
        Tokenizer.from_file(tmp_path / "no.model")
    assert (caught.value.kind, caught.value.path) == ("io", tmp_path / "no.model")


def test_every_kind_has_its_place_and_option(tmp_path: Path, model: Path, corpus: Path) -> None:
    tokenizer = Tokenizer.from_file(model)
    (tmp_path / "blank.txt").write_text("\n\n")
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_bytes(b"[PAD]\n[UNK]\n\xff\n")
    store = tmp_path / "store"
    albert_fast.tokenize(corpus, store, tokenizer)
    calls: list[tuple[Callable[[], object], tuple[object, ...]]] = [
        (lambda: Tokenizer.from_vocab_file(vocabulary), ("tokenizer", vocabulary, 3, 1, None, None)),
        (
            lambda: albert_fast.tokenize(tmp_path / "blank.txt", tmp_path / "none", tokenizer),
            ("input", tmp_path / "blank.txt", None, None, None, None),
        ),
        (
            lambda: make_records(store, tmp_path / "none", tokenizer, rng="reference"),
            ("option", store, None, None, "rng", None),
        ),
        (lambda: albert_fast.TokenStore(tmp_path), ("data", tmp_path, None, None, None, None)),
        (
            lambda: tokenizer.id_to_piece(-1),
            ("option", None, None, None, "id", f"an id of the vocabulary, from 0 to {tokenizer.vocab_size - 1}"),
        ),
    ]
    for call, wanted in calls:
        with pytest.raises(AlbertFastError) as caught:
            call()
        error = caught.value
        assert (error.kind, error.path, error.line, error.byte, error.option, error.rule) == wanted, str(error)
