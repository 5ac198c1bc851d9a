"""`rng="fast"` from text to shards: the same bytes whatever the threads, the rules in the records, true totals."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import models
import pytest
import tfrecords
from conftest import GOLDEN

from albert_fast import AlbertFastError, Tokenizer, _native, reference
from albert_fast.reference import Instance, Options

PARTS = [str(GOLDEN / "corpus" / name) for name in ("part-a.txt", "part-b.txt")]
MODEL = GOLDEN / "tokenizer" / "spiece.model"
OPTIONS = {"max_seq_length": 64, "max_predictions_per_seq": 10, "dupe_factor": 3, "random_seed": 5}


def make(inputs: list[str], output: Path, options: dict[str, Any] = OPTIONS, **rest: Any) -> dict[str, Any]:
    tokenizer = rest.pop("tokenizer", None) or Tokenizer.from_file(MODEL)
    return _native.make_records(inputs, str(output), tokenizer, json.dumps(options), **rest)


def shards(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.glob("records-*"))}


def records(directory: Path) -> list[dict[str, Any]]:
    files = shards(directory)
    assert files
    return [
        tfrecords.decode_example(data)
        for name, file in files.items()
        for data in tfrecords.unframe(gzip.decompress(file) if name.endswith(".gz") else file)
    ]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The golden corpus and program text of some 600 documents: 400 kB."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    lines = models.training_lines()
    documents = ["\n".join(lines[start : start + 1 + start % 13]) for start in range(0, len(lines), 7)]
    path.write_text("\n\n".join([*(Path(part).read_text(encoding="utf-8") for part in PARTS), *documents]) + "\n")
    return str(path)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_threads_change_no_byte(text: str, compression: str, tmp_path: Path) -> None:
    for threads in (1, 2, 7):
        made = make([text], tmp_path / str(threads), num_shards=5, compression=compression, num_threads=threads)
        assert len(made["shards"]) == 5
    one = shards(tmp_path / "1")
    assert len(one) == 5
    assert sum(map(len, one.values())) > 300_000
    assert shards(tmp_path / "2") == shards(tmp_path / "7") == one


@pytest.mark.slow
def test_the_number_of_shards_changes_no_record(text: str, tmp_path: Path) -> None:
    make([text], tmp_path / "1", num_shards=1)
    make([text], tmp_path / "7", num_shards=7, compression="gzip")
    assert records(tmp_path / "1") == records(tmp_path / "7")


def test_the_seed_changes_the_records(text: str, tmp_path: Path) -> None:
    for seed in (5, 6):
        make([text], tmp_path / str(seed), {**OPTIONS, "random_seed": seed}, num_shards=1)
    assert shards(tmp_path / "5") != shards(tmp_path / "6")


class Made(NamedTuple):
    dataset: dict[str, Any]
    records: list[dict[str, Any]]
    instances: list[Instance]
    tokenizer: Tokenizer


@pytest.fixture(scope="module")
def made(text: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Records with the defaults, and the instances that they hold."""
    directory = tmp_path_factory.mktemp("made") / "out"
    make([text], directory, num_shards=3)
    found = records(directory)
    tokenizer = Tokenizer.from_file(MODEL)
    instances = []
    for record in found:
        length = sum(record["input_mask"])
        predictions = int(sum(record["masked_lm_weights"]))
        instances.append(
            Instance(
                record["input_ids"][:length],
                [bool(start) for start in record["token_boundary"][:length]],
                record["segment_ids"].index(1),
                bool(record["next_sentence_labels"][0]),
                record["masked_lm_positions"][:predictions],
                record["masked_lm_ids"][:predictions],
            )
        )
    return Made(json.loads((directory / "dataset.json").read_text()), found, instances, tokenizer)


def originals(made: Made) -> list[list[int]]:
    return [reference.restore(item.tokens, item.masked_positions, item.masked_labels) for item in made.instances]


def test_the_features(made: Made) -> None:
    options = Options(max_seq_length=64, max_predictions_per_seq=10)
    for record, item in zip(made.records, made.instances, strict=True):
        assert record == reference.features(item, options)


def test_no_special_piece_replaces_a_word(made: Made) -> None:
    special = {made.tokenizer.pad_id, made.tokenizer.cls_id, made.tokenizer.sep_id, made.tokenizer.unk_id}
    replacements: Counter[int] = Counter()
    for item in made.instances:
        for position, label in zip(item.masked_positions, item.masked_labels, strict=True):
            if item.tokens[position] not in (label, made.tokenizer.mask_id):
                replacements[item.tokens[position]] += 1
    # One in ten: with specials among them, 5 of 2,000 pieces would be seen a few times.
    assert replacements.total() > 2000
    assert special.isdisjoint(replacements)


def test_frames_and_word_starts(made: Made) -> None:
    starts = made.tokenizer.word_starts("unicode").tolist()
    cls, sep = made.tokenizer.cls_id, made.tokenizer.sep_id
    for item, original in zip(made.instances, originals(made), strict=True):
        frame = {0: cls, item.first_length - 1: sep, len(original) - 1: sep}
        assert {i: id_ for i, id_ in enumerate(original) if id_ in (cls, sep)} == frame
        assert item.word_starts == [starts[id_] for id_ in original]


def test_whole_words_are_masked_and_none_across_sep(made: Made) -> None:
    partial_at_sep = 0
    for item in made.instances:
        hidden = set(item.masked_positions)
        words: list[list[int]] = []
        for position in range(1, len(item.tokens) - 1):
            if position == item.first_length - 1:
                continue
            begins = item.word_starts[position] or position in (1, item.first_length)
            # What joins at the beginning of B is a word of its own, for the word before it is A's.
            if begins:
                words.append([])
            words[-1].append(position)
        partial_at_sep += len(hidden & {item.first_length - 2, item.first_length}) == 1
        for word in words:
            if word[0] in (1, item.first_length) and not item.word_starts[word[0]]:
                continue
            assert len(hidden.intersection(word)) in (0, len(word))
    assert partial_at_sep > 20


def test_labels_and_masked_share(made: Made) -> None:
    share = sum(item.is_random_next for item in made.instances) / len(made.instances)
    assert len(made.instances) > 3000
    assert share == pytest.approx(0.5, abs=0.03)
    full = [item for item in made.instances if len(item.tokens) == 64]
    assert sum(len(item.masked_positions) for item in full) / len(full) == pytest.approx(9.9, abs=0.2)


def test_dataset_json_says_what_is_there(made: Made, text: str) -> None:
    totals = made.dataset["totals"]
    tokens = sum(len(item.tokens) for item in made.instances)
    masked = sum(len(item.masked_positions) for item in made.instances)
    swapped = sum(item.is_random_next for item in made.instances)
    assert totals["instances"] == len(made.instances)
    assert totals["tokens"] == tokens
    assert totals["masked_tokens"] == masked
    assert totals["masked_share"] == pytest.approx(masked / tokens)
    assert totals["labels"] == {"in_order": len(made.instances) - swapped, "swapped_or_random": swapped}
    for name in ("records", "tokens", "masked_tokens", "swapped_or_random", "truncated_tokens", "bytes"):
        total = {"records": "instances"}.get(name, name)
        wanted = totals["labels"][name] if name == "swapped_or_random" else totals[total]
        assert sum(shard[name] for shard in made.dataset["shards"]) == wanted

    documents: list[int] = [0]
    for line in Path(text).read_text(encoding="utf-8").split("\n"):
        if made.tokenizer.preprocess(line):
            documents[-1] += len(made.tokenizer.encode(line))
        else:
            documents.append(0)
    documents = [length for length in documents if length]
    assert totals["documents"] == len(documents)
    assert totals["documents_too_short"] == documents.count(1)
    # Each token is in a record once a pass, or truncated; what is left over is a last chunk of a single token.
    used = tokens - 3 * totals["instances"] + totals["truncated_tokens"]
    assert 0 <= 3 * sum(documents) - used <= 0.001 * used


def test_a_document_of_one_segment_is_split(tmp_path: Path) -> None:
    """In two parts of itself, in either order, cut before a word."""
    source = tmp_path / "single.txt"
    lines = [line for line in Path(PARTS[1]).read_text(encoding="utf-8").split("\n") if len(line.split()) > 3][:200]
    source.write_text("\n\n".join(lines) + "\n")
    tokenizer = Tokenizer.from_file(MODEL)
    starts = tokenizer.word_starts().tolist()
    whole = {tuple(tokenizer.encode(line)) for line in lines}
    for choice, share in (("split", 0.5), ("random", 1.0)):
        options = {**OPTIONS, "max_seq_length": 512, "short_seq_prob": 0.0, "single_segment": choice}
        make([str(source)], tmp_path / choice, options)
        found = records(tmp_path / choice)
        assert len(found) == 3 * len(lines)
        labels = [record["next_sentence_labels"][0] for record in found]
        assert sum(labels) / len(labels) == pytest.approx(share, abs=0.07)
        if choice == "random":
            continue
        for record, label in zip(found, labels, strict=True):
            length = sum(record["input_mask"])
            count = int(sum(record["masked_lm_weights"]))
            ids = reference.restore(
                record["input_ids"][:length], record["masked_lm_positions"][:count], record["masked_lm_ids"][:count]
            )
            cut = record["segment_ids"].index(1)
            first, second = ids[1 : cut - 1], ids[cut:-1]
            if label:
                first, second = second, first
            assert (*first, *second) in whole
            assert starts[second[0]]
    make([str(source)], tmp_path / "drop", {**options, "single_segment": "split"})
    assert shards(tmp_path / "drop") == shards(tmp_path / "split")


def test_records_from_the_store_that_was_kept(text: str, tmp_path: Path) -> None:
    made = make([text], tmp_path / "direct", num_shards=2, keep_store=True)
    store = made["store"]
    assert store
    assert Path(store).is_dir()
    make([store], tmp_path / "stored", num_shards=2)
    assert shards(tmp_path / "stored") == shards(tmp_path / "direct")
    tokenizer = Tokenizer.from_file(MODEL)
    _native.tokenize([text], str(tmp_path / "store"), tokenizer, num_threads=7)
    make([str(tmp_path / "store")], tmp_path / "tokenized", num_shards=2)
    assert shards(tmp_path / "tokenized") == shards(tmp_path / "direct")


def test_a_store_of_another_tokenizer_is_refused(text: str, tmp_path: Path) -> None:
    _native.tokenize([text], str(tmp_path / "store"), Tokenizer.from_file(MODEL))
    other = tmp_path / "other.model"
    other.write_bytes(models.train())
    for tokenizer in (Tokenizer.from_file(other), Tokenizer.from_file(MODEL, lower_case=False)):
        with pytest.raises(AlbertFastError, match="store") as caught:
            make([str(tmp_path / "store")], tmp_path / "out", tokenizer=tokenizer)
        assert "tokenizer" in str(caught.value)
        assert not list(tmp_path.glob("out/records-*"))


def test_the_bytes_of_this_version(tmp_path: Path) -> None:
    """What the same input and options gave before, they give again: a change of this is one of `format_version`."""
    make(PARTS, tmp_path, num_shards=1)
    (file,) = shards(tmp_path).values()
    assert hashlib.sha256(file).hexdigest() == FAST_SHA256


FAST_SHA256 = "bb98d0c7fb720467f1e6dc34da0b3205f5faa35f80d16f3f068e3d1f31cfbe63"
