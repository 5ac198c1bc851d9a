"""What prepare-text writes: shards, threads, places, held-out text, kills, full disks."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import raw_text
from raw_text import (
    ROWS,
    json_lines,
    many,
    prepared,
    refusal,
    split,
    text_of,
)

from albert_fast import TokenStore, prepare_text

if TYPE_CHECKING:
    from conftest import Command


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Output


def test_threads_do_not_show(tmp_path: Path) -> None:
    Path("raw.jsonl").write_text(many(20_000))
    options: dict[str, Any] = {"dedup_lines": True, "eval_fraction": 0.1, "language": "en"}
    found = []
    for threads in (1, 2, 5):
        directory = f"out-{threads}"
        plain = prepare_text("raw.jsonl", directory, num_shards=3, num_threads=threads, compression="zstd", **options)
        assert len(plain["outputs"]) == len(plain["eval_outputs"]) == 3
        names = [*plain.pop("outputs"), *plain.pop("eval_outputs")]
        found.append(([(Path(name).name, Path(name).read_bytes()) for name in names], plain))
    assert found[0] == found[1] == found[2]


def numbered(number: int) -> list[tuple[tuple[str, ...], ...]]:
    """So many documents, no two alike, of paragraphs of sentences."""
    return [
        ((f"The river {i} rises in the north.", f"It is {i} miles long."), (f"{i} bridges cross it.",) * (i % 3))
        for i in range(number)
    ]


@pytest.mark.parametrize("kind", ["multistream", "parquet", "files"])
def test_threads_do_not_show_in_any_input(kind: str) -> None:
    documents = numbered(3000)
    if kind == "multistream":
        Path("raw").write_bytes(raw_text.multistream(documents))
    else:
        Path("raw").mkdir()
        for i, document in enumerate(documents[:600]):
            Path(f"raw/{i:03}.txt").write_text(raw_text.plain(document))
            if kind == "parquet":
                shutil.copy(ROWS, f"raw/{i:03}.parquet")
    found = []
    for threads in (1, 2, 5):
        options: dict[str, Any] = {"num_threads": threads, "dedup_documents": kind != "parquet", "overwrite": True}
        result = prepare_text("raw", "out.txt", eval_fraction=0.1, **options)
        found.append((Path("out.txt").read_bytes(), Path("eval-out.txt").read_bytes(), result))
    assert found[0] == found[1] == found[2]
    assert found[0][2]["documents_read"] == {"multistream": 3000, "parquet": 4 * 600, "files": 600}[kind]
    assert found[0][2]["eval_documents"] > 0


def test_shards(command: Command) -> None:
    Path("raw.jsonl").write_text(many(3000))
    assert command("prepare-text", "raw.jsonl", "--output", "one.txt", "--language", "en").code == 0
    for kind, suffix in (("none", ".txt"), ("gzip", ".txt.gz")):
        flags = ["--output", kind, "--num-shards", 4, "--compression", kind, "--language", "en"]
        result = command("prepare-text", "raw.jsonl", *flags)
        assert result.code == 0, result.err
        names = [f"corpus-{i:05}-of-00004{suffix}" for i in range(4)]
        beside = ["prepare-text.config.json", "prepare-text.summary.json"]
        assert sorted(path.name for path in Path(kind).iterdir()) == [*names, *beside]
        texts = [text_of(Path(kind, name)) for name in names]
        assert sorted(split("".join(texts))) == sorted(split(Path("one.txt").read_text()))
        assert all(split(text) for text in texts)


@pytest.mark.parametrize(
    ("name", "magic"), [("c.txt.gz", b"\x1f\x8b"), ("c.txt.zst", b"\x28\xb5\x2f\xfd")], ids=["gz", "zst"]
)
def test_compressed_outputs_are_inputs_of_the_other_commands(
    command: Command, model: Path, corpus: Path, name: str, magic: bytes
) -> None:
    flags = ["--documents", "blank-line"]
    assert command("prepare-text", corpus, "--output", "c.txt", *flags).code == 0
    assert command("prepare-text", corpus, "--output", name, *flags).code == 0
    assert Path(name).read_bytes().startswith(magic)
    assert command("prepare-text", name, "--output", "back.txt", *flags).code == 0
    assert Path("back.txt").read_bytes() == Path("c.txt").read_bytes()
    for source in ("c.txt", name):
        out = ["--output-dir", f"store-{source}"]
        assert command("tokenize", source, "--tokenizer", model, *out).code == 0
        assert command("train-tokenizer", source, "--output-dir", f"t-{source}", "--vocab-size", 500).code == 0
    parts = sorted(Path("store-c.txt").glob("part-*"))
    assert parts
    for part in parts:
        assert part.read_bytes() == Path(f"store-{name}", part.name).read_bytes()
    assert Path("t-c.txt/spiece.model").read_bytes() == Path(f"t-{name}/spiece.model").read_bytes()
    counts = []
    for source in ("c.txt", name):
        records = ["--max-predictions-per-seq", 77, "--output-dir", f"records-{source}", "--keep-store"]
        assert command("make-records", source, "--tokenizer", model, *records).code == 0
        store = TokenStore(f"records-{source}/tokens")
        counts.append((store.num_documents, store.num_sentences, store.num_tokens))
    assert counts[0] == counts[1]
    assert counts[0][0] == len(split(Path("c.txt").read_text()))


def test_what_lies_beside_shards_is_no_text(command: Command, model: Path) -> None:
    Path("raw.jsonl").write_text(many(200))
    assert command("prepare-text", "raw.jsonl", "--output", "out", "--num-shards", 2).code == 0
    assert command("prepare-text", "out/*.txt", "--documents", "blank-line", "--output", "a.txt").code == 0
    assert command("prepare-text", "out", "--documents", "blank-line", "--output", "b.txt").code == 0
    assert Path("a.txt").read_bytes() == Path("b.txt").read_bytes()
    for inputs, store in (("out/*.txt", "a"), ("out", "b")):
        assert command("tokenize", inputs, "--tokenizer", model, "--output-dir", store).code == 0
    assert Path("a/part-00000.tokens").read_bytes() == Path("b/part-00000.tokens").read_bytes()


def test_its_own_output_gives_itself() -> None:
    rows = many(200) + json_lines() + json.dumps({"text": 50 * "no end of it, "}) + "\n"
    first, result = prepared(rows, dedup_lines=True, max_sentence_bytes=64)
    assert result["counts"]["sentences_cut"] == 1
    again, result = prepared(first, documents="blank-line", dedup_lines=True, max_sentence_bytes=64)
    assert again == first
    assert not any(result["counts"].values())


@pytest.mark.parametrize(
    ("output", "more", "prefix"), [("out.txt", [], "out.txt."), ("out", ["--num-shards", 2], "out/")]
)
def test_an_output_without_its_counts_is_told(output: str, more: list[Any], prefix: str, command: Command) -> None:
    """As a command leaves it that is killed when the corpus is complete."""
    Path("raw.txt").write_text("One is here.\n")
    words = ["prepare-text", "raw.txt", "--output", output, *more]
    assert command(*words).code == 0
    complete = command(*words)
    assert complete.code == 1
    assert "There is no" not in complete.error
    for name in ("config", "summary"):
        Path(f"{prefix}prepare-text.{name}.json").unlink()
    told = command(*words).error
    assert told.startswith(complete.error)
    assert f". There is no {prefix}prepare-text.summary.json: if prepare-text wrote this output, it was" in told
    assert command(*words, "--overwrite").code == 0
    assert Path(f"{prefix}prepare-text.summary.json").exists()


def test_an_output_that_exists(command: Command) -> None:
    Path("raw.txt").write_text("One is here.\n")
    Path("out.txt").write_text("precious")
    result = command("prepare-text", "raw.txt", "--output", "out.txt")
    assert result.code == 1
    assert "--overwrite" in result.error
    assert Path("out.txt").read_text() == "precious"
    assert command("prepare-text", "raw.txt", "--output", "out.txt", "--overwrite").code == 0
    assert Path("out.txt").read_text() == "One is here.\n\n"
    # Shards of another run, of which some would stay beside the new ones.
    assert command("prepare-text", "raw.txt", "--output", "out", "--num-shards", 3).code == 0
    assert command("prepare-text", "raw.txt", "--output", "out", "--num-shards", 2).code == 1
    assert command("prepare-text", "raw.txt", "--output", "out", "--num-shards", 2, "--overwrite").code == 0
    assert len(list(Path("out").glob("corpus-*"))) == 2


@pytest.mark.parametrize("output", ["out/", "out.txt/", "new/out/"])
def test_a_slash_at_the_end_is_that_of_a_directory(command: Command, output: str) -> None:
    refusal("One is here.\n", "raw.txt", output=output)
    result = command("prepare-text", "raw.txt", "--output", output)
    assert result.code == 2
    assert output in result.error
    assert "--num-shards" in result.error
    assert not Path(output).exists()
    assert command("prepare-text", "raw.txt", "--output", output, "--num-shards", 2).code == 0
    assert len(list(Path(output).glob("corpus-*"))) == 2


@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("out.txt.bz2", {}),
        ("out.txt.xz", {}),
        ("out.txt.gz", {"compression": "zstd"}),
        ("out.txt.zst", {"compression": "gzip"}),
        ("out.gz", {"num_shards": 2}),
        ("out.zst", {"num_shards": 2, "compression": "zstd"}),
    ],
)
def test_suffixes_that_say_what_is_not_so(output: str, options: dict[str, Any]) -> None:
    assert output in refusal("One is here.\n", output=output, **options)


def test_an_output_that_is_an_input_is_refused(command: Command) -> None:
    Path("raw.txt").write_text("One is here.\n")
    result = command("prepare-text", "raw.txt", "--output", "raw.txt", "--overwrite")
    assert result.code == 2
    assert Path("raw.txt").read_text() == "One is here.\n"
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("One is here.\n")
    assert command("prepare-text", "texts", "--output", "texts", "--num-shards", 2).code == 1
    assert [path.name for path in Path("texts").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("flags", [[], ["--num-shards", 2], ["--shard-size", 1], ["--shard-size", 1, "--overwrite"]])
def test_an_output_is_refused_before_the_inputs_are_looked_for(command: Command, flags: list[Any]) -> None:
    Path("file").write_text("precious")
    Path("foreign").mkdir()
    Path("foreign/file").write_text("precious")
    for output in ("file", "foreign"):
        result = command("prepare-text", "missing.txt", "--output", output, *flags)
        assert result.code == 1
        assert "missing.txt" not in result.error, result.error
        assert output in result.error
    for held_out in ("file", "foreign") if flags else ("file",):
        more = ["--eval-fraction", 0.5, "--eval-output", held_out]
        result = command("prepare-text", "missing.txt", "--output", "new", *flags, *more)
        assert (result.code, held_out in result.error) == (1, True), result.error
        assert "missing.txt" not in result.error, result.error
    assert not Path("new").exists()


def test_places_that_cannot_be_written(command: Command) -> None:
    Path("raw.txt").write_text("One is here.\n")
    Path("file").write_text("precious")
    Path("directory").mkdir()
    for output, flags in (("file/out.txt", []), ("directory", []), ("file", ["--num-shards", 2])):
        result = command("prepare-text", "raw.txt", "--output", output, "--overwrite", *flags)
        assert result.code == 1, output
        assert output.split("/")[0] in result.error
        assert "pass a" in result.error
        assert "There is no" not in result.error
    assert Path("file").read_text() == "precious"
    assert list(Path("directory").iterdir()) == []
    assert command("prepare-text", "raw.txt", "--output", "new/directory/out.txt").code == 0
    assert Path("new/directory/out.txt").exists()


# The held-out split


def test_held_out_documents_are_in_one_of_both() -> None:
    rows = many(4000)
    _, result = prepared(rows, "raw.jsonl", eval_fraction=0.1)
    assert result["eval_outputs"] == ["eval-out.txt"]
    kept, held_out = split(text_of(Path("out.txt"))), split(text_of(Path("eval-out.txt")))
    whole = split(prepared(rows, "raw.jsonl")[0])
    assert not set(kept) & set(held_out)
    assert sorted([*kept, *held_out]) == sorted(whole)
    assert (result["documents"], result["eval_documents"]) == (len(kept), len(held_out))
    assert 0.08 * len(whole) < len(held_out) < 0.12 * len(whole)
    # A hash of the text decides: neither the order of the documents nor what else is there.
    lines = rows.splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    prepared("".join(lines[:2000]), "raw.jsonl", eval_fraction=0.1, eval_output="other.txt")
    assert set(split(text_of(Path("other.txt")))) <= set(held_out)
    # More is held out by holding out more.
    prepared(rows, "raw.jsonl", eval_fraction=0.2, eval_output="more.txt")
    assert set(held_out) < set(split(text_of(Path("more.txt"))))


def test_held_out_documents_that_repeat_go_too() -> None:
    rows = many(300)
    prepared(rows, "raw.jsonl", eval_fraction=0.5)
    once = text_of(Path("out.txt")), text_of(Path("eval-out.txt"))
    prepared(rows + rows, "raw.jsonl", eval_fraction=0.5)
    assert (text_of(Path("out.txt")), text_of(Path("eval-out.txt"))) == once
    prepared(rows + rows, "raw.jsonl", eval_fraction=0.5, dedup_documents=False)
    assert not set(split(text_of(Path("out.txt")))) & set(split(text_of(Path("eval-out.txt"))))


def test_a_held_out_text_of_an_earlier_run_is_named() -> None:
    rows = many(300)
    assert prepared(rows, "raw.jsonl", eval_fraction=0.2)[1]["warnings"] == []
    assert prepared(rows, "raw.jsonl", eval_fraction=0.1)[1]["warnings"] == []
    earlier = Path("eval-out.txt").read_bytes()
    (warning,) = prepared(rows, "raw.jsonl")[1]["warnings"]
    assert "eval-out.txt" in warning
    assert Path("eval-out.txt").read_bytes() == earlier


def test_an_evaluation_text_of_its_own_name(command: Command) -> None:
    Path("raw.jsonl").write_text(many(300))
    flags = ["--eval-fraction", 0.2, "--eval-output", "held-out.txt.gz"]
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", *flags)
    assert result.code == 0, result.err
    assert split(text_of(Path("held-out.txt.gz")))
    assert "held-out.txt.gz" in result.err.splitlines()[-1]
    flags = ["--eval-fraction", 0.2, "--eval-output", "out.txt", "--overwrite"]
    assert command("prepare-text", "raw.jsonl", "--output", "out.txt", *flags).code == 2


@pytest.mark.parametrize(("output", "held_out"), [("out", "out/eval"), ("eval/out", "eval")])
def test_outputs_within_each_other(command: Command, output: str, held_out: str) -> None:
    Path("raw.jsonl").write_text(many(100))
    for flags in ([], ["--num-shards", 2]):
        both = ["--output", output, "--eval-fraction", 0.2, "--eval-output", held_out]
        assert command("prepare-text", "raw.jsonl", *both, *flags).code == 2
        assert [path.name for path in Path().iterdir()] == ["raw.jsonl"]


# Faults


def start(*flags: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "albert_fast", "prepare-text", *map(str, flags)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [["--output", "out/corpus.txt.gz"], ["--output", "out", "--num-shards", 3]], ids=["file", "directory"]
)
def test_a_killed_run_leaves_no_half_file(flags: list[object]) -> None:
    Path("raw.jsonl").write_text(many(10_000))
    flags = ["raw.jsonl", *flags, "--eval-fraction", 0.2, "--dedup-lines", "--dedup-memory", 1, "--language", "en"]

    def finals() -> dict[str, bytes]:
        found = [path for path in Path().rglob("*.txt*") if path.is_file() and ".config." not in path.name]
        # What is being written lies in hidden directories.
        return {str(path): path.read_bytes() for path in found if not any(part[0] == "." for part in path.parts)}

    def run(*more: str) -> dict[str, bytes]:
        process = start(*flags, *more)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return finals()

    began = time.monotonic()
    whole = run()
    usual = time.monotonic() - began
    beside = sorted(str(path) for path in Path().rglob("*"))
    rng = random.Random(5)
    for _ in range(int(os.environ.get("ALBERT_FAST_KILL_TRIALS", "4"))):
        for directory in (Path("out"), Path("eval-out")):
            shutil.rmtree(directory, ignore_errors=True)
        process = start(*flags)
        time.sleep(usual * rng.uniform(0.2, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        left = finals()
        for name, data in left.items():
            assert data == whole[name], name
        # Where it was killed between its last steps, some outputs are there, and whole.
        assert run(*(["--overwrite"] if left else [])) == whole
        assert sorted(str(path) for path in Path().rglob("*")) == beside


def test_a_directory_with_a_temporary_file_of_a_killed_run_is_replaced(command: Command) -> None:
    Path("raw.jsonl").write_text(many(20))
    flags = ["prepare-text", "raw.jsonl", "--output", "out", "--num-shards", 2]
    assert command(*flags).code == 0
    for name in ("config", "summary"):
        Path("out", f".prepare-text.{name}.json.tmp").write_text('{"half')
    whole = command(*flags, "--overwrite")
    assert whole.code == 0, whole.err
    assert not list(Path("out").glob(".*"))
    Path("out", ".prepare-text.notes.json.tmp").write_text("")
    assert command(*flags, "--overwrite").code == 1


@pytest.mark.slow
def test_ctrl_c_leaves_nothing() -> None:
    # Six seconds of work: on a busy machine two have been over before this process took its turn.
    with Path("raw.jsonl").open("w") as file:
        file.writelines(many(100_000, seed) for seed in range(3))
    process = start("raw.jsonl", "--output", "out.txt", "--dedup-lines", "--num-threads", 1)
    deadline = time.monotonic() + 20
    while len(list(Path().iterdir())) == 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("albert-fast: stopped")
    assert [path.name for path in Path().iterdir()] == ["raw.jsonl"]


def test_a_full_disk_is_told_and_leaves_nothing(command: Command) -> None:
    Path("raw.jsonl").write_text(many(5000))

    def limit() -> None:
        # A write beyond the limit fails instead of ending the process.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    words = [sys.executable, "-m", "albert_fast", "prepare-text", "raw.jsonl", "--output", "out.txt"]
    done = subprocess.run(words, capture_output=True, check=False, preexec_fn=limit, text=True)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert "out.txt" in line
    assert [path.name for path in Path().iterdir()] == ["raw.jsonl"]


def test_progress_is_told_in_bytes() -> None:
    seen: list[tuple[str, str, int, int]] = []
    Path("raw.jsonl").write_text(many(20_000))
    size = Path("raw.jsonl").stat().st_size
    prepare_text("raw.jsonl", "out.txt", progress=lambda *call: seen.append(call))
    assert seen
    assert {(unit, total) for _, unit, _, total in seen if unit == "bytes"} == {("bytes", size)}
    assert all(done <= size for _, unit, done, _ in seen if unit == "bytes")
