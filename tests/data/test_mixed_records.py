"""`make-records` of several token stores, with and without weights."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from albert_fast import AlbertFastError, RecordReader, Tokenizer, TokenStore, make_records, tokenize

if TYPE_CHECKING:
    from conftest import Command

SHAPE: dict[str, Any] = {"max_seq_length": 64, "max_predictions_per_seq": 10, "num_shards": 3}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, model: Path) -> dict[str, TokenStore]:
    """Stores of different sizes, whose words say which one they are, one of another tokenizer, and an empty one."""
    directory = tmp_path_factory.mktemp("mixed-records")
    rng = np.random.default_rng(1)
    words = {"sea": ["sea", "ship", "river"], "land": ["tree", "stone", "king"]}
    for name, own in words.items():
        count = {"sea": 300, "land": 60}[name]
        texts = ["\n".join(" ".join(rng.choice(own, size=9)) + "." for _ in range(5)) for _ in range(count)]
        (directory / f"{name}.txt").write_text("\n\n".join(texts) + "\n")
        tokenize(directory / f"{name}.txt", directory / name, Tokenizer.from_file(model))
    (directory / "short.txt").write_text("sea\n\nland\n")
    tokenize(directory / "short.txt", directory / "short", Tokenizer.from_file(model))
    wordpiece = Tokenizer.from_vocab_file(model.parent / "wordpiece.txt")
    tokenize(directory / "sea.txt", directory / "other", wordpiece)
    return {path.name: TokenStore(path) for path in directory.iterdir() if path.is_dir()}


@pytest.fixture
def here(stores: dict[str, TokenStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the stores."""
    for name, store in stores.items():
        shutil.copytree(store.path, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drawn(directory: Path | str, stores: dict[str, TokenStore]) -> dict[str, int]:
    """Returns how many records are from each store, by their words."""
    own = {
        name: {int(token) for number in range(20) for sentence in stores[name].document(number) for token in sentence}
        for name in ("sea", "land")
    }
    only = {name: tokens - own[{"sea": "land", "land": "sea"}[name]] for name, tokens in own.items()}
    reader = RecordReader(directory, 1, shuffle=False)
    found: Counter[str] = Counter()
    for number in range(len(reader)):
        tokens = reader.batch(number)["input_ids"][0].tolist()
        # Not every one: a mask may be any piece.
        found[max(only, key=lambda name: sum(token in only[name] for token in tokens))] += 1
    return dict(found)


def files(directory: Path | str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def test_weights_are_fractions_of_the_instances(stores: dict[str, TokenStore], tmp_path: Path) -> None:
    tokenizer = stores["sea"].tokenizer()
    sizes = {}
    for name in ("sea", "land"):
        sizes[name] = make_records(stores[name].path, tmp_path / name, tokenizer, **SHAPE).instances
    total = sum(sizes.values())
    for weights in ({"sea": 3, "land": 1}, {"sea": 0.1, "land": 0.9}):
        inputs = {stores[name].path: weight for name, weight in weights.items()}
        made = make_records(inputs, tmp_path / "mixed", tokenizer, overwrite=True, **SHAPE)
        assert made.instances == total
        found = drawn(tmp_path / "mixed", stores)
        for name, weight in weights.items():
            assert abs(found[name] - total * weight / sum(weights.values())) <= 1
    assert made.described["totals"]["documents"] == 360
    assert [one["instances"] for one in made.described["drawn"]] == [found["sea"], found["land"]]
    opened = {stores[name]: weight for name, weight in {"sea": 1, "land": 9}.items()}
    again = make_records(opened, tmp_path / "mixed", tokenizer, **SHAPE)
    assert again.already_complete


def test_without_weights_sizes_count(stores: dict[str, TokenStore], tmp_path: Path) -> None:
    paths = [stores["sea"].path, stores["land"].path]
    tokens = [stores["sea"].num_tokens, stores["land"].num_tokens]
    for temperature in (None, 5.0):
        make_records(
            paths, tmp_path / "out", stores["sea"].tokenizer(), mixture_temperature=temperature, overwrite=True, **SHAPE
        )
        found = drawn(tmp_path / "out", stores)
        sea, land = (size ** (1 / (temperature or 1)) for size in tokens)
        assert found["sea"] / sum(found.values()) == pytest.approx(sea / (sea + land), abs=0.002)


def test_tasks_and_resumed_commands_write_the_same_bytes(command: Command, here: Path) -> None:
    inputs = ["sea=0.6", "land=0.4", "--max-seq-length", 64, "--max-predictions-per-seq", 10, "--num-shards", 3]
    done = command("make-records", *inputs, "--output-dir", "one")
    assert done.code == 0, done.err
    lines = done.err.splitlines()
    (sea,) = [line for line in lines if line.startswith("albert-fast: from sea: ")]
    assert sea.endswith(" passes over it")
    assert "instances (60.0%), " in sea
    whole = files("one")
    again = command("make-records", *inputs, "--output-dir", "one")
    assert (again.code, "these records are already complete" in again.err, sea in again.err) == (0, True, True)
    assert files("one") == whole
    for task in (1, 2, 0):
        done = command("make-records", *inputs, "--output-dir", "tasks", "--num-tasks", 3, "--task-id", task)
        assert done.code == 0, done.err
    shards = {name: content for name, content in whole.items() if "config" not in name}
    assert {name: content for name, content in files("tasks").items() if "config" not in name} == shards
    # As after a kill: the journal is there, and one shard is not.
    described = json.loads(whole["dataset.json"])
    assert len(described["input"]["mixture"]) == 2
    Path("one", described["shards"][1]["file"]).unlink()
    done = command("make-records", *inputs, "--output-dir", "one")
    assert done.code == 0, done.err
    assert files("one") == whole


def test_a_configuration_has_a_mapping(command: Command, here: Path) -> None:
    Path("make.yaml").write_text("inputs: {sea: 1, land: 3}\nmax_seq_length: 64\n")
    done = command("make-records", "--config", "make.yaml", "--output-dir", "out")
    assert done.code == 0, done.err
    assert "albert-fast: from land: " in done.err
    again = command("make-records", "--config", "out/make-records.config.json", "--output-dir", "again")
    assert again.code == 0, again.err
    shards = {name: content for name, content in files("out").items() if "config" not in name}
    assert {name: content for name, content in files("again").items() if "config" not in name} == shards


def test_one_store_may_have_a_weight(command: Command, here: Path) -> None:
    for number, name in enumerate(("sea=0.5", "sea")):
        assert command("make-records", name, "--output-dir", f"out{number}").code == 0
    assert files("out0")["dataset.json"] == files("out1")["dataset.json"]


def test_what_does_not_fit_is_refused(command: Command, here: Path) -> None:
    Path("text.txt").write_text("One sentence.\nAnother one.\n")
    made = ("--max-predictions-per-seq", 77, "--output-dir", "made")
    assert command("make-records", "sea=0.6", "land=0.4", *made).code == 0
    for inputs, code, told in (
        (
            ["sea", "land=1"],
            2,
            "the store sea has no weight, and others have; give each a weight (STORE=WEIGHT), or none",
        ),
        (["sea=1", "nowhere=1"], 2, "nowhere is not a token store, but sea is; pass only token stores, or only text"),
        (["text.txt", "sea"], 2, "text.txt is not a token store, but sea is; pass only token stores, or only text"),
        (["text.txt=1", "sea=1"], 2, "text.txt is not a token store, and only token stores have a weight; tokenize"),
        (["text.txt=1"], 2, "text.txt is not a token store, and only token stores have a weight; tokenize it first"),
        (["sea=1/3", "land=1"], 2, "the weight of sea must be a number above 0, got 1/3; pass a number such as 0.3"),
        (["sea=", "land=1"], 2, "the weight of sea must be a number above 0, got nothing; pass a number such as 0.3"),
        (["sea=70%", "land=1"], 2, "the weight of sea must be a number, got 70%; pass sea=0.7"),
        (["sea=60000", "land=1"], 1, "land: none of the 795 instances is from this store; give it a larger weight"),
        (["sea", "./sea"], 2, "the store ./sea is given twice; remove one, or pass one with the sum of their weights"),
        (["sea=1", "other=1"], 1, "were made with different tokenizers"),
        (
            ["sea=1", "short=1", "--single-segment", "drop"],
            1,
            "short: no instances: none of its documents is long enough",
        ),
        (["sea=1", "land=1", "--rng", "reference"], 2, "--rng reference makes records of one corpus; omit it to mix"),
        (["sea=1", "land=1", "--shuffle", "blocks"], 2, "--shuffle blocks makes records of one token store; omit it"),
        (["sea=1", "land=1", "--mixture-temperature", 2], 2, "stores with weights have no temperature; remove"),
        (["sea", "--mixture-temperature", 2], 2, "--mixture-temperature has no effect without several token stores"),
        (
            ["sea=1", "land=0.0000001"],
            2,
            "land must be at least 1/65,536 of the sum of all weights, got 1e-07 of 1; pass",
        ),
        (
            ["sea", "land", "--mixture-temperature", 0.001],
            2,
            " a weight that is too small: it must be at least 1/65,536",
        ),
    ):
        refused = command("make-records", *inputs, "--max-predictions-per-seq", 77, "--output-dir", "out")
        assert refused.code == code, refused.err
        assert told in refused.error
        assert not Path("out").exists()
    for inputs in (["sea=1", "land=1"], ["sea"]):
        refused = command("make-records", *inputs, *made[:2], "--output-dir", "sea/out")
        assert (refused.code, refused.error) == (2, "sea/out is inside the token store sea; pass another path")
    refused = command("make-records", "sea=0.5", "land=0.5", *made)
    assert refused.code == 1
    assert refused.error.startswith("made: made with another input; pass --overwrite to replace it, or another")


def test_what_the_function_refuses(stores: dict[str, TokenStore], tmp_path: Path) -> None:
    sea, land = stores["sea"], stores["land"]
    for inputs, told in (
        ({sea.path, land.path}, "inputs must be a sequence, because its order counts, got "),
        ({sea: 1, land: 0}, f"the weight of {land.path} must be a number above 0, got 0; to draw nothing from"),
        ({sea: 1, land: "1"}, f"the weight of {land.path} must be a number above 0, got '1'"),
        ([5], "inputs must be a list of strings"),
    ):
        with pytest.raises(AlbertFastError, match=re.escape(told)) as caught:
            make_records(inputs, tmp_path / "out", sea.tokenizer())  # type: ignore[arg-type]
        assert caught.value.option == "inputs"
    with pytest.raises(AlbertFastError, match=r"the store .* is given twice"):
        make_records([stores["sea"].path] * 2, tmp_path / "out", stores["sea"].tokenizer())
    shutil.copytree(stores["sea"].path, tmp_path / "copy")
    with pytest.raises(AlbertFastError, match="has the same documents as"):
        make_records([stores["sea"].path, tmp_path / "copy"], tmp_path / "out", stores["sea"].tokenizer())
