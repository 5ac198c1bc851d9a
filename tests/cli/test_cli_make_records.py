"""make-records and tokenize: what reaches the compiled part, what is written beside the output, warnings."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from albert_fast import _native
from albert_fast._native import masking_warning
from albert_fast.errors import AlbertFastError
from albert_fast.options import InstanceOptions, MakeRecords
from albert_fast.options.records import REFERENCE

BETTER = {name: getattr(InstanceOptions(), name) for name in REFERENCE}


class Native:
    """Stands in for `_native.make_records` and remembers its calls."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.rest: dict[str, Any] = {}
        self.tokenizer: _native.Tokenizer | None = None
        self.result: dict[str, Any] = {}

    def __call__(
        self, inputs: list[str], output_dir: str, tokenizer: _native.Tokenizer, options: str, **rest: Any
    ) -> dict[str, Any]:
        self.options, self.rest, self.tokenizer = json.loads(options), rest, tokenizer
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        return self.result


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Native:
    stand_in = Native()
    monkeypatch.setattr(_native, "make_records", stand_in)
    return stand_in


def instances(**given: Any) -> dict[str, Any]:
    """The instance options that `make-records` passes on, of those in REFERENCE."""
    chosen = MakeRecords(inputs=("a.txt",), output_dir=Path("out"), **given).instance_options()
    return {name: getattr(chosen, name) for name in REFERENCE}


def test_rng_decides_the_open_corrections() -> None:
    assert instances() == BETTER
    assert instances(rng="reference") == REFERENCE
    assert instances(word_boundary="albert") == {**BETTER, "word_boundary": "albert"}
    assert instances(rng="reference", **REFERENCE) == REFERENCE


@pytest.mark.parametrize("name", BETTER)
def test_rng_reference_refuses_what_contradicts_it(name: str) -> None:
    with pytest.raises(AlbertFastError) as caught:
        instances(rng="reference", **{name: BETTER[name]})
    assert f"rng='reference' has {name}={REFERENCE[name]!r}" in str(caught.value)
    assert (caught.value.kind, caught.value.option) == ("option", name)


def test_the_reference_is_one_flag(command: Command, native: Native, model: Path) -> None:
    arguments = ["make-records", "a.txt", "--tokenizer", model, "--output-dir", "out"]
    assert command(*arguments).code == 0
    assert native.options == {
        "max_seq_length": 512,
        "max_predictions_per_seq": 20,
        "masked_lm_prob": 0.15,
        "short_seq_prob": 0.2,
        "dupe_factor": 2,
        "random_seed": 12345,
        "ngram": 3,
        "favor_shorter_ngram": True,
        "do_whole_word_mask": True,
        "do_permutation": False,
        "random_next_sentence": False,
        "rng": "fast",
        "shuffle": "global",
        **BETTER,
    }
    assert command(*arguments, "--rng", "reference").code == 0
    assert {key: native.options[key] for key in REFERENCE} == REFERENCE
    assert command(*arguments, "--cross-segment-words", "--single-segment", "drop").code == 0
    assert (native.options["cross_segment_words"], native.options["single_segment"]) == (True, "drop")
    result = command(*arguments, "--rng", "reference", "--no-replace-with-special")
    assert result.code == 2
    assert "--rng reference has --replace-with-special" in result.error
    assert "--rng reference strips accents" in command(*arguments, "--rng", "reference", "--keep-accents").error


@pytest.mark.parametrize(
    ("length", "predictions", "share", "warning"),
    [
        (
            512,
            20,
            0.15,
            "only 3.9% of a full instance will be masked, not 15%: pass max_predictions_per_seq=77",
        ),
        (512, 77, 0.15, None),
        (512, 76, 0.15, "only 14.8% of a full instance"),
        (128, 20, 0.15, None),
        (512, 1, 0.0, None),
    ],
)
def test_the_cap_on_predictions_is_told(length: int, predictions: int, share: float, warning: str | None) -> None:
    options = InstanceOptions(max_seq_length=length, max_predictions_per_seq=predictions, masked_lm_prob=share)
    message = masking_warning(options.to_json())
    assert (message is None) == (warning is None)
    assert message is None or (warning or "") in message


def test_the_cap_is_told_once(command: Command, native: Native, model: Path) -> None:
    native.result = {"warnings": [masking_warning(InstanceOptions().to_json()), "something else"]}
    result = command("make-records", "a.txt", "--tokenizer", model, "--output-dir", "out")
    assert result.err.count("3.9%") == 1
    assert "albert-fast: warning: something else\n" in result.err


def test_the_tokenizers_text_rules_are_the_default(command: Command, native: Native, model: Path) -> None:
    own = Path("spiece.model")
    shutil.copy(model, own)
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    rules = {"lower_case": False, "keep_accents": True, "model_sha256": digest}
    Path("spiece.config.json").write_text(json.dumps(rules))
    arguments = ["make-records", "a.txt", "--tokenizer", own, "--output-dir", "out", "--max-predictions-per-seq", 77]

    result = command(*arguments)
    assert native.tokenizer is not None
    assert (native.tokenizer.lower_case, native.tokenizer.keep_accents) == (False, True)
    assert "warning" not in result.err

    result = command(*arguments, "--do-lower-case")
    assert (native.tokenizer.lower_case, native.tokenizer.keep_accents) == (True, True)
    assert "spiece.model was trained with --no-do-lower-case, and is used with --do-lower-case" in result.err

    assert "pass --no-keep-accents" in command(*arguments, "--rng", "reference").error
    assert command(*arguments, "--rng", "reference", "--no-keep-accents").code == 0

    Path("spiece.config.json").write_text(json.dumps({**rules, "model_sha256": "of another model"}))
    result = command(*arguments)
    assert (native.tokenizer.lower_case, native.tokenizer.keep_accents) == (True, False)
    assert "ignoring spiece.config.json: it describes another model than spiece.model" in result.err


def test_a_token_stores_text_rules_are_the_default(command: Command, native: Native, model: Path) -> None:
    Path("store").mkdir()
    Path("store/meta.json").write_text(json.dumps({"tokenizer": {"lower_case": False, "keep_accents": True}}))
    assert command("make-records", "store", "--tokenizer", model, "--output-dir", "out").code == 0
    assert native.tokenizer is not None
    assert (native.tokenizer.lower_case, native.tokenizer.keep_accents) == (False, True)


def test_an_output_that_is_complete_is_left_alone(command: Command, native: Native, model: Path) -> None:
    arguments = ["make-records", "a.txt", "--tokenizer", model, "--output-dir", "out"]
    assert command(*arguments).code == 0
    before = Path("out/make-records.config.json").read_bytes()
    native.result = {"already_complete": True}
    result = command(*arguments, "--num-threads", 2)
    assert "already complete" in result.err
    assert Path("out/make-records.config.json").read_bytes() == before


def test_a_stale_configuration_beside_complete_records_is_replaced(
    command: Command, native: Native, model: Path
) -> None:
    arguments = ["make-records", "a.txt", "--tokenizer", model, "--output-dir", "out"]
    assert command(*arguments).code == 0
    native.result = {"already_complete": True}
    assert command(*arguments, "--ngram", 1).code == 0
    assert json.loads(Path("out/make-records.config.json").read_text())["make-records"]["ngram"] == 1
    Path("out/make-records.config.json").write_text("[]")
    assert command(*arguments).code == 0
    assert json.loads(Path("out/make-records.config.json").read_text())["make-records"]["ngram"] == 3


def test_replaced_bytes_are_counted(command: Command, model: Path) -> None:
    Path("a.txt").write_bytes(b"One \xff two.\nThree \xff\xfe four.\n\nFive six seven.\n")
    flags = ["--tokenizer", model, "--on-bad-utf8", "replace"]
    for arguments in (["make-records"], ["tokenize"], ["make-records", "--rng", "reference"]):
        out = "-".join(arguments)
        result = command(*arguments, "a.txt", *flags, "--output-dir", out)
        assert result.code == 0, result.err
        assert "3 invalid UTF-8 sequences became U+FFFD" in result.err


def test_a_file_name_need_not_be_utf8(command: Command, model: Path, corpus: Path) -> None:
    name = os.fsdecode(b"a\xff.txt")
    try:
        shutil.copy(corpus, name)
    except OSError:
        pytest.skip("a file system of UTF-8 names")
    result = command("make-records", name, "--tokenizer", model, "--output-dir", "out")
    assert result.code == 0, result.err
    assert json.loads(Path("out/make-records.config.json").read_text())["make-records"]["inputs"] == [name]
    assert command("make-records", "--config", "out/make-records.config.json").code == 0


def test_an_output_that_would_become_input_is_refused(command: Command, model: Path, corpus: Path) -> None:
    Path("texts").mkdir()
    shutil.copy(corpus, "texts/a.txt")
    for name, where in (("texts", "texts"), ("texts", "texts/out"), (".", "out"), ("texts/*", "texts/out")):
        for kind in ("make-records", "tokenize"):
            result = command(kind, name, "--tokenizer", model, "--output-dir", where)
            assert result.code == 2
            assert "is inside the input" in result.err
    assert sorted(path.name for path in Path().rglob("*")) == ["a.txt", "texts"]


def test_a_failure_at_the_beginning_leaves_no_files(command: Command, model: Path) -> None:
    Path("a.txt").write_bytes(b"One.\n\xff\n")
    result = command("make-records", "a.txt", "--tokenizer", model, "--output-dir", "out")
    assert result.code == 1
    assert not Path("out").exists()


def test_what_a_kill_at_the_very_end_leaves_is_removed(command: Command, model: Path, corpus: Path) -> None:
    arguments = ["make-records", corpus, "--tokenizer", model, "--output-dir", "out"]
    assert command(*arguments).code == 0
    before = sorted(path.name for path in Path("out").iterdir())
    Path("out/make-records.partial.jsonl").write_text("{}\n")
    Path("out/.dataset.json.tmp").write_text("{")
    assert "already complete" in command(*arguments).err
    assert sorted(path.name for path in Path("out").iterdir()) == before


def test_a_store_on_the_way_is_taken_over_where_it_is_to_be_kept(command: Command, model: Path, corpus: Path) -> None:
    assert command("tokenize", corpus, "--tokenizer", model, "--output-dir", "out/.tokens").code == 0
    Path("out/.tokens/tokenize.config.json").unlink()
    result = command("make-records", corpus, "--tokenizer", model, "--output-dir", "out", "--keep-store")
    assert result.code == 0, result.err
    assert Path("out/tokens/meta.json").exists()
    assert not Path("out/.tokens").exists()


def test_two_runs_do_not_tokenize_into_one_directory(command: Command, model: Path, corpus: Path) -> None:
    import fcntl

    Path("store").mkdir()
    handle = os.open("store", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        result = command("tokenize", corpus, "--tokenizer", model, "--output-dir", "store")
    finally:
        os.close(handle)
    assert result.code == 1
    assert "another command is writing to this directory" in result.error
    assert list(Path("store").iterdir()) == []


def test_an_output_that_is_refused_is_left_alone(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise _native.AlbertFastError("out holds records of other options: ngram")

    monkeypatch.setattr(_native, "make_records", refuse)
    Path("out").mkdir()
    Path("out/make-records.config.json").write_text("{}")
    assert command("make-records", "a.txt", "--tokenizer", model, "--output-dir", "out").code == 1
    assert Path("out/make-records.config.json").read_text() == "{}"


def test_text_to_store_to_records(command: Command, model: Path, corpus: Path) -> None:
    lengths = ["--max-seq-length", 64, "--max-predictions-per-seq", 10]
    assert command("tokenize", corpus, "--tokenizer", model, "--output-dir", "store").code == 0
    assert command("make-records", corpus, "--tokenizer", model, "--output-dir", "direct", *lengths).code == 0
    result = command("make-records", "store", "--tokenizer", model, "--output-dir", "stored", *lengths)
    assert result.code == 0, result.err
    shards = sorted(path.name for path in Path("direct").glob("*.tfrecord"))
    assert shards
    for name in shards:
        assert Path("direct", name).read_bytes() == Path("stored", name).read_bytes()
    assert Path("store/tokenize.config.json").exists()
    result = command("inspect-records", "direct", "--tokenizer", model, "-n", 2)
    assert result.code == 0, result.out
    assert result.out.count("*** ") == 2


def test_other_options_are_refused_until_overwrite(command: Command, model: Path, corpus: Path) -> None:
    arguments = ["make-records", corpus, "--tokenizer", model, "--output-dir", "out", "--max-seq-length", 64]
    arguments += ["--max-predictions-per-seq", 10]
    assert command(*arguments).code == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir() if path.is_file()}
    assert "already complete" in command(*arguments).err
    result = command(*arguments, "--ngram", 1)
    assert result.code == 1
    assert result.error == (
        "out: made with --ngram 3, not 1; pass 3 to keep it, --overwrite to replace it, or another --output-dir"
    )
    assert {path.name: path.read_bytes() for path in Path("out").iterdir() if path.is_file()} == before
    assert command(*arguments, "--ngram", 1, "--overwrite").code == 0
    assert json.loads(Path("out/make-records.config.json").read_text())["make-records"]["ngram"] == 1


def test_the_result_is_told_in_a_line(command: Command, native: Native, model: Path) -> None:
    native.result = {
        "totals": {
            "instances": 1000,
            "tokens": 120_000,
            "labels": {"in_order": 600, "swapped_or_random": 400},
            "masked_share": 0.1488,
            "documents": 70,
            "documents_too_short": 3,
        },
        "shards": [{}, {}],
        "seconds": {"tokenizing": 0.4, "writing": 65.0},
    }
    flags = ["--max-predictions-per-seq", 77]
    result = command("make-records", "a.txt", "--tokenizer", model, "--output-dir", "out", *flags)
    assert result.err == (
        "albert-fast: wrote 1,000 instances (120,000 tokens) to out: 2 shards, 14.88% masked, 40.0% with label 1, "
        "3 of 70 documents too short to use\nalbert-fast: time: tokenizing 0s, writing 1m 05s\n"
    )
