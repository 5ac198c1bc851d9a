"""inspect-records: the guide's form, the words behind the masks, and that no bad record passes."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tfrecords
from conftest import GOLDEN, Command

from albert_fast import AlbertFastError, RecordReader, Tokenizer
from albert_fast.inspection import find_files, inspect

RECORDS = GOLDEN / "records" / "default-128-00000-of-00001.tfrecord.gz"
Record = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """The first records of the reference's own."""
    data = gzip.decompress(RECORDS.read_bytes())
    decoded = []
    for number, record in enumerate(tfrecords.unframe(data)):
        if number == 5:
            break
        decoded.append({name: list(values) for name, values in tfrecords.decode_example(record).items()})
    return decoded


def copy(record: Record) -> Record:
    return {name: list(values) for name, values in record.items()}


@pytest.mark.golden
@pytest.mark.parametrize("name", ["default-128", "permutation"])
def test_the_references_records_are_good(command: Command, model: Path, name: str) -> None:
    path = GOLDEN / "records" / f"{name}-00000-of-00001.tfrecord.gz"
    result = command("inspect-records", path, "--tokenizer", model, "-n", 0)
    assert result.code == 0, result.out
    assert "(0 bad)" in result.out
    assert command("inspect-records", path, "-n", 0).code == 0


def test_an_instance_is_shown_as_in_the_guide(command: Command, model: Path, records: list[Record]) -> None:
    record = records[0]
    Path("one.tfrecord").write_bytes(tfrecords.encode_file([record]))
    lines = command("inspect-records", "one.tfrecord", "--tokenizer", model).out.splitlines()
    assert lines[0] == "*** one.tfrecord, record 0 ***"
    assert [line.split(":")[0] for line in lines[1:10]] == [
        "tokens",
        "input_ids",
        "input_mask",
        "segment_ids",
        "token_boundary",
        "masked_lm_positions",
        "masked_lm_ids",
        "masked_lm_weights",
        "next_sentence_labels",
    ]
    pieces = Tokenizer.from_file(model).pieces
    length = sum(record["input_mask"])
    assert lines[1] == "tokens: " + " ".join(pieces[index] for index in record["input_ids"][:length])
    assert lines[2] == "input_ids: " + " ".join(map(str, record["input_ids"]))
    assert lines[8] == "masked_lm_weights: " + " ".join(map(str, record["masked_lm_weights"]))
    shown = [line for line in lines if line.startswith("  position")]
    hidden = "".join(line.split("'", 1)[1] for line in shown)
    count = int(sum(record["masked_lm_weights"]))
    for index in record["masked_lm_ids"][:count]:
        assert pieces[index].replace("▁", "") in hidden


def hide(record: Record, position: int, pieces: list[str]) -> None:
    record["input_ids"][position] = pieces.index("[MASK]")


Spoil = Callable[[Record], None]


def put(name: str, index: int, value: float) -> Spoil:
    def spoil(record: Record) -> None:
        record[name][index] = value

    return spoil


def drop(name: str) -> Spoil:
    return lambda record: record.pop(name)


def shorten(name: str) -> Spoil:
    return lambda record: record[name].pop()


def unmask(record: Record) -> None:
    record["masked_lm_weights"] = [0.0] * len(record["masked_lm_weights"])
    record["masked_lm_positions"] = [0] * len(record["masked_lm_positions"])
    record["masked_lm_ids"] = [0] * len(record["masked_lm_ids"])
    record["input_ids"][1] = 4


def move_segment(record: Record) -> None:
    record["segment_ids"][record["segment_ids"].index(1)] = 0


@pytest.mark.parametrize(
    "spoil",
    [
        drop("input_mask"),
        drop("next_sentence_labels"),
        shorten("segment_ids"),
        shorten("masked_lm_weights"),
        put("input_ids", 5, 2000),
        put("input_ids", 5, -1),
        put("masked_lm_ids", 0, 2000),
        put("masked_lm_positions", 0, 127_000),
        put("next_sentence_labels", 0, 2),
        put("input_mask", 3, 0),
        put("input_ids", 0, 5),
        put("masked_lm_ids", 0, 4),
        put("masked_lm_ids", 0, 0),
        move_segment,
        unmask,
    ],
)
def test_a_bad_record_is_found(command: Command, model: Path, records: list[Record], spoil: Spoil) -> None:
    spoiled = [copy(record) for record in records]
    spoil(spoiled[3])
    Path("bad.tfrecord").write_bytes(tfrecords.encode_file(spoiled))
    result = command("inspect-records", "bad.tfrecord", "--tokenizer", model, "-n", 5)
    assert result.code == 1
    assert "5 (1 bad)" in result.out
    assert "problem:          bad.tfrecord, record 3" in result.out
    assert result.out.count("PROBLEM: ") >= 1


def test_damaged_files_are_found_and_the_others_read(command: Command, model: Path, records: list[Record]) -> None:
    whole = tfrecords.encode_file(records)
    Path("whole.tfrecord").write_bytes(whole)
    Path("short.tfrecord").write_bytes(whole[:-3])
    Path("flipped.tfrecord").write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    Path("text.tfrecord").write_text("This is not a record file at all.\n" * 10)
    assert command("inspect-records", "whole.tfrecord", "-n", 0).code == 0
    for name in ("short", "flipped", "text"):
        result = command("inspect-records", f"{name}.tfrecord", "whole.tfrecord", "--tokenizer", model, "-n", 0)
        assert result.code == 1, name
        assert f"{name}.tfrecord, record" in result.out
        assert "files:            2" in result.out


def test_lengths_must_agree(command: Command, records: list[Record]) -> None:
    other = copy(records[0])
    for name in ("input_ids", "input_mask", "segment_ids", "token_boundary"):
        other[name].append(0)
    Path("a.tfrecord").write_bytes(tfrecords.encode_file(records))
    Path("b.tfrecord").write_bytes(tfrecords.encode_file([other]))
    result = command("inspect-records", "a.tfrecord", "b.tfrecord", "-n", 0)
    assert result.code == 1
    assert "b.tfrecord, record 0" in result.out


def test_the_summary_counts(model: Path, records: list[Record], tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(tfrecords.encode_file(records))
    summary = inspect([path, path], Tokenizer.from_file(model))
    assert summary.good
    assert (summary.files, summary.records) == (2, 10)
    assert summary.tokens == 2 * sum(sum(record["input_mask"]) for record in records)
    assert summary.predictions == 2 * sum(int(sum(record["masked_lm_weights"])) for record in records)
    assert summary.label_one == 2 * sum(record["next_sentence_labels"][0] for record in records)
    shown = [
        (record["input_ids"][position], label)
        for record in records
        for position, label, weight in zip(
            record["masked_lm_positions"], record["masked_lm_ids"], record["masked_lm_weights"], strict=True
        )
        if weight
    ]
    assert summary.masks == 2 * sum(token == 4 for token, _ in shown)
    assert summary.kept == 2 * sum(token == label for token, label in shown)


def test_directories_globs_and_what_names_nothing(tmp_path: Path) -> None:
    for name in (
        "records-00001-of-00002.tfrecord",
        "records-00000-of-00002.tfrecord",
        ".x.tfrecord.tmp",
        "dataset.json",
    ):
        (tmp_path / name).touch()
    found = [tmp_path / f"records-0000{number}-of-00002.tfrecord" for number in (0, 1)]
    assert find_files([str(tmp_path)]) == found
    assert find_files([str(tmp_path / "rec*"), str(found[0])]) == found
    (tmp_path / "empty").mkdir()
    for path, message in (
        ("none", "no such file"),
        ("*.none", "no file matches"),
        ("empty", "the directory has no"),
        ("emp*", r"no \*\.tfrecord\* file in the directories that match, such as .*empty; pass the files"),
    ):
        with pytest.raises(AlbertFastError, match=message):
            find_files([str(tmp_path / path)])


@pytest.mark.parametrize("links", [{"loop": "loop"}, {"loop": "other", "other": "loop"}])
def test_a_link_that_leads_to_itself_is_no_record_file(links: dict[str, str], tmp_path: Path) -> None:
    for name, target in links.items():
        (tmp_path / f"{name}.tfrecord").symlink_to(f"{target}.tfrecord")
    link = tmp_path / "loop.tfrecord"
    for path in (tmp_path, link, tmp_path / "*"):
        with pytest.raises(AlbertFastError, match=r"Too many levels of symbolic links") as raised:
            RecordReader([str(path)], 4)
        assert str(link) in str(raised.value)
    summary = inspect(find_files([str(link)]))
    assert (summary.bad_files, summary.records) == (1, 0)


def test_a_glob_of_directories_stands_for_their_files(tmp_path: Path) -> None:
    files = [tmp_path / f"rec-{directory}" / f"records-0000{file}.tfrecord" for directory in (1, 2) for file in (0, 1)]
    for file in files:
        (file.parent / "tokens").mkdir(parents=True, exist_ok=True)
        (file.parent / "dataset.json").touch()
        file.touch()
    (tmp_path / "rec-2" / ".records.tfrecord").touch()
    (tmp_path / "rec-none").mkdir()
    assert find_files([str(tmp_path / "rec-[12]")]) == find_files([str(tmp_path / f"rec-{n}") for n in (1, 2)]) == files
    assert find_files([str(tmp_path / "rec-*")]) == files
    assert find_files([str(tmp_path / "**" / "rec-2")]) == files[2:]
    # Files and directories; a directory of a set, such as a token store, has no record files.
    (tmp_path / "rec-0.tfrecord").touch()
    assert find_files([str(tmp_path / "rec-[01]*")]) == [tmp_path / "rec-0.tfrecord", *files[:2]]
    assert find_files([str(tmp_path / "rec-1" / "[rt]*")]) == files[:2]


@pytest.mark.parametrize("change", [{"token_boundary": None}, {"guid": [3]}, {"token_boundary": None, "guid": [3]}])
def test_records_of_bert_are_good(change: dict[str, Any], records: list[Record], model: Path, command: Command) -> None:
    changed = [{key: values for key, values in {**row, **change}.items() if values is not None} for row in records]
    Path("bert.tfrecord").write_bytes(tfrecords.encode_file(changed))
    for arguments in (["-n", "1"], ["-n", "1", "--tokenizer", model]):
        result = command("inspect-records", "bert.tfrecord", *arguments)
        assert (result.code, "PROBLEM" in result.out) == (0, False), result.out
        assert f"records:          {len(records)} (0 bad)" in result.out
        assert ("no token_boundary" in result.out) == ("token_boundary" in change)
        assert ("other features:   guid" in result.out) == ("guid" in change)
    # With the pieces known, each mask is shown with its word all the same.
    assert "hides" in result.out


def test_an_empty_file_is_no_success(command: Command) -> None:
    Path("empty.tfrecord").touch()
    assert command("inspect-records", "empty.tfrecord").code == 1
