"""`prepare-text --dedup-near` from the command line: what is dropped, what is said, and bad options."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from albert_fast import AlbertFastError, prepare_text

if TYPE_CHECKING:
    from conftest import Command

SAMPLES = {
    "en": "river north town bridge winter committee grey cat bread flour hour evening market station letter",
    "de": "Fluss Norden Stadt Brücke Winter Ausschuss grau Katze Brot Mehl Stunde Abend Märkte Bahnhof Brief",
    "ar": "نهر شمال مدينة جسر شتاء لجنة قطة خبز طحين ساعة مساء سوق محطة رسالة كتاب",
    "zh": "河 北 城 桥 冬 会 猫 面 粉 时 晚 市 站 信 书 山 水 火 风 云",
    "th": "ก ข ค ง จ ฉ ช ซ ญ ด ต ถ ท ธ น บ ป ผ พ ฟ",
}
WORDS = {language: sample.split() for language, sample in SAMPLES.items()}


def text(language: str, seed: int, length: int = 200) -> list[str]:
    draw = random.Random(seed)
    return [draw.choice(WORDS[language]) for _ in range(length)]


def joined(language: str, words: list[str]) -> str:
    return ("" if language in ("zh", "th") else " ").join(words)


def write(documents: list[str], name: str = "raw.jsonl") -> str:
    rows = [json.dumps({"id": number, "text": document}) for number, document in enumerate(documents)]
    Path(name).write_text("\n".join(rows) + "\n")
    return name


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("language", WORDS)
def test_near_duplicates_are_dropped(language: str, command: Command) -> None:
    one, other = text(language, 1), text(language, 2)
    changed = [*one]
    changed[100] = WORDS[language][0] * 2
    longer = [*one, *text(language, 3, 5)]
    documents = [joined(language, words) for words in (one, other, changed, longer)]
    name = write(documents)
    flags = ["--no-sentences", "--max-sentence-bytes", 100_000, "--language", "und", "--samples", 1]
    result = command("prepare-text", name, "--output", "out.txt", "--dedup-near", *flags)
    assert result.code == 0, result.err
    assert Path("out.txt").read_text() == f"{documents[0]}\n\n{documents[1]}\n\n"
    assert "  dropped 2 near-duplicate documents (--dedup-near)\n" in result.err
    assert "  1 cluster of near-duplicates; the largest has 3 documents\n" in result.err
    summary = json.loads(Path("out.txt.prepare-text.summary.json").read_text())
    (cluster,) = summary["near_clusters"]["largest"]
    assert (cluster["documents"], len(cluster["dropped"])) == (3, 2)
    assert documents[0].startswith(cluster["kept"].removesuffix("…"))
    assert documents[2].startswith(cluster["dropped"][0].removesuffix("…"))
    result = command(
        "prepare-text", name, "--output", "longest.txt", "--dedup-near", "--dedup-near-keep", "longest", *flags
    )
    assert result.code == 0, result.err
    assert Path("longest.txt").read_text() == f"{documents[1]}\n\n{documents[3]}\n\n"
    assert command("prepare-text", name, "--output", "all.txt", "--no-dedup-near", *flags).code == 0
    assert Path("all.txt").read_text().count("\n\n") == 4
    assert "near_clusters" not in json.loads(Path("all.txt.prepare-text.summary.json").read_text())


def test_a_dry_run_shows_clusters(command: Command) -> None:
    one, other = " ".join(text("en", 1)), " ".join(text("en", 2))
    write([f"First. {one}", f"Second. {one}", f"Third. {other}", f"Fourth. {one}", f"Fifth. {other}"])
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", "--dedup-near", "--dry-run", "--samples", 1)
    assert result.code == 0, result.err
    lines = [line.removeprefix("albert-fast: ") for line in result.err.splitlines()]
    at = lines.index("  2 clusters of near-duplicates; the largest has 3 documents")
    assert lines[at + 1] == "    3 documents:"
    beginnings = [line[: line.index(".")] for line in lines[at + 2 : at + 5]]
    assert beginnings == ["    | kept: First", "    | dropped: Second", "    | dropped: Fourth"]
    assert lines[at + 5].startswith("would keep 2 documents"), "only as many clusters as --samples"
    assert [path.name for path in Path().iterdir()] == ["raw.jsonl"]


def test_short_and_empty_documents_are_no_cluster(command: Command) -> None:
    write(["Yes.", "No.", "", "Yes!", "Yes, no.", "...", "Maybe later."])
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", "--dedup-near", "--language", "en")
    assert result.code == 0, result.err
    assert Path("out.txt").read_text() == "Yes.\n\nNo.\n\nYes, no.\n\nMaybe later.\n\n"


@pytest.mark.parametrize("more", [[], ["--no-dedup-documents"], ["--no-dedup-documents", "--shard-size", 1]])
def test_copies_never_stay_with_a_threshold(more: list[Any], command: Command) -> None:
    """The first document of each of their bands is another one, which is not similar enough."""
    documents = [f"w{one} w{other}" for one in range(12) for other in range(one + 1, 12)]
    write([*documents, *(document if more else document.upper() for document in documents)])
    flags = ["--dedup-near-shingle", 1, "--dedup-near-bands", 8, "--dedup-near-rows", 1, "--dedup-near-threshold", 1]
    result = command("prepare-text", "raw.jsonl", "--output", "out", "--dedup-near", "--language", "en", *flags, *more)
    assert result.code == 0, result.err
    out = Path("out")
    text = "".join(path.read_text() for path in out.glob("corpus-*")) if out.is_dir() else out.read_text()
    kept = text.split("\n\n")[:-1]
    assert len(kept) > 60
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(documents)


def test_standard_input(command: Command) -> None:
    one = " ".join(text("en", 1))
    write([f"{one} {number}" for number in range(3)])
    assert command("prepare-text", "raw.jsonl", "--output", "file.txt", "--dedup-near").code == 0
    words = [sys.executable, "-m", "albert_fast", "prepare-text", "-", "--output", "piped.txt", "--dedup-near"]
    with Path("raw.jsonl").open("rb") as file:
        subprocess.run(words, stdin=file, check=True, capture_output=True)
    assert Path("piped.txt").read_bytes() == Path("file.txt").read_bytes()
    assert Path("piped.txt").read_text().count("\n\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dedup-near-bands", 20], "--dedup-near-bands has no effect without --dedup-near; pass --dedup-near, or no"),
        (["--dedup-near-rows", 7], "--dedup-near-rows has no effect without --dedup-near"),
        (["--dedup-near-shingle", 3], "--dedup-near-shingle has no effect without --dedup-near"),
        (["--dedup-near-keep", "longest"], "--dedup-near-keep has no effect without --dedup-near"),
        (["--dedup-near-threshold", 0.5], "--dedup-near-threshold has no effect without --dedup-near"),
        (["--dedup-near", "--dedup-near-threshold", 0], "--dedup-near-threshold must be "),
        (["--dedup-near", "--dedup-near-threshold", 1.1], "--dedup-near-threshold must be "),
        (["--dedup-near", "--dedup-near-keep", "last"], "--dedup-near-keep"),
        (["--dedup-near", "--dedup-near-bands", 0], "--dedup-near-bands must be "),
        (["--dedup-near", "--dedup-near-rows", 257], "--dedup-near-rows must be "),
        (["--dedup-near", "--dedup-near-shingle", "many"], "--dedup-near-shingle"),
        (
            ["--dedup-near", "--dedup-near-rows", 100, "--dedup-near-bands", 100],
            "--dedup-near-bands 100 times --dedup-near-rows 100 are 10000 hashes, more than 4096",
        ),
    ],
)
def test_bad_options(command: Command, flags: list[object], message: str) -> None:
    write(["One."])
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", *flags)
    assert (result.code, message in result.error) == (2, True), result.error
    assert [path.name for path in Path().iterdir()] == ["raw.jsonl"]


def test_the_function() -> None:
    one = " ".join(text("en", 1))
    write([f"{one} {number}" for number in range(3)])
    given: dict[str, Any] = {"language": "en", "dedup_near": True, "dedup_near_keep": "longest"}
    result = prepare_text("raw.jsonl", "out.txt", **given)
    assert result["counts"]["near_duplicate_documents"] == 2
    found = result["near_clusters"]
    assert (found["clusters"], found["documents"]) == (1, 3)
    result = prepare_text("raw.jsonl", "all.txt", **given, dedup_near_threshold=1)
    assert result["counts"]["near_duplicate_documents"] == 0
    for name, value in (("dedup_near_bands", 0), ("dedup_near_keep", "last"), ("dedup_near_rows", 1.5)):
        with pytest.raises(AlbertFastError) as caught:
            prepare_text("raw.jsonl", "new.txt", **{**given, name: value})
        assert (caught.value.kind, caught.value.option) == ("option", name)
