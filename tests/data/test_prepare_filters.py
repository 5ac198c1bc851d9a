"""prepare-text: the language filter and the quality rules, from end to end."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from albert_fast import AlbertFastError, prepare_text
from albert_fast.options.prepare import QualityRule

if TYPE_CHECKING:
    from conftest import Command

GERMAN = (
    "Der Ausschuss traf sich am Dienstag und beschloss, dass sich vor dem Winter nichts ändern würde. Niemand wusste, "
    "woher das Geräusch kam, und am Abend gingen sie schweigend durch den Wald nach Hause."
)
ENGLISH = (
    "The committee met on Tuesday and decided that nothing at all would change before the winter. Nobody knew where "
    "the noise had come from, and in the evening they walked home through the woods with their dogs. On Friday the "
    "mayor read the report aloud, asked for questions, and thanked everybody who had helped to write it."
)
TEXTS = {
    "german": GERMAN,
    "english": ENGLISH,
    "chinese": "委员会星期二开会决定在冬天之前不作任何改变。没有人知道声音从哪里来。",
    "numbers": "12 34 56, 78 90",
    "spam": "Buy cheap watches now! " * 40,
    "short": "The cat of the house.",
    "menu": "".join(f"- item number {i} of the menu and that {'abcdefghij'[i % 10]}\n" for i in range(40)),
    "repeated": f"{ENGLISH}\n" * 3,
}


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw.jsonl").write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in TEXTS.items()))


def kept(**options: Any) -> list[str]:
    """The names of the texts that are kept."""
    prepare_text("raw.jsonl", "out.txt", overwrite=True, sentences=False, **options)
    documents = Path("out.txt").read_text().removesuffix("\n\n").split("\n\n")
    names = {text.strip(): name for name, text in TEXTS.items()}
    return [names[document] for document in documents]


def test_documents_in_the_languages_to_keep(command: Command) -> None:
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", "--keep-language", "de", "--dry-run")
    assert result.code == 0, result.err
    lines = result.err.splitlines()
    assert "albert-fast:   dropped 5 documents in other languages (--keep-language de)" in lines
    unknown = "dropped 2 documents whose language was not recognized (--min-language-confidence 0.5)"
    assert f"albert-fast:   {unknown}" in lines
    assert "albert-fast:     | 12 34 56, 78 90" in lines, "samples are shown"
    assert "would keep 1 document, 2 sentences" in result.err
    assert not any("warning" in line for line in lines), lines
    assert kept(keep_language=["deu"]) == ["german"]
    assert kept(keep_language=["zh", "de"]) == ["german", "chinese"]


def test_documents_are_split_by_the_rules_of_their_language() -> None:
    text = "Das geschah im 19. Jahrhundert, z. B. in der Stadt Köln. Der Rat der Stadt traf sich danach jeden Dienstag."
    Path("a.txt").write_text(f"{ENGLISH}\n\n{text}\n\n{ENGLISH} Again.\n")
    options: dict[str, Any] = {"documents": "blank-line", "keep_language": ["de"]}
    result = prepare_text("a.txt", "out.txt", **options)
    first, second = text.split(" Der Rat")
    assert Path("out.txt").read_text() == f"{first}\nDer Rat{second}\n\n"
    assert result["languages"] == {"de": 1, "en": 2}
    assert result["counts"]["other_languages"] == 2


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--keep-language", "gl"], ["--keep-language must be the code", 'got "gl"; pass one of af', "da, de, el"]),
        (["--keep-language", "German"], ["--keep-language must be the code", 'got "German"; pass de']),
        (["--keep-language", "en-US"], ['got "en-US"; pass en']),
        (
            ["--keep-language", "de,en"],
            ['got "de,en"; pass each code by itself: --keep-language de --keep-language en'],
        ),
        (["--keep-language", "de", "--min-language-confidence", "2"], ["--min-language-confidence", "got 2"]),
        (["--min-language-confidence", "0.2"], ["--min-language-confidence has no effect without --keep-language"]),
        (["--quality", "good"], ["--quality"]),
        (["--quality-skip", "words"], ["--quality-skip has no effect without --quality gopher"]),
        (["--quality", "gopher", "--quality-skip", "word"], ["--quality-skip"]),
        (
            ["--quality", "gopher", *(word for rule in get_args(QualityRule) for word in ("--quality-skip", rule))],
            ["--quality-skip names all rules of --quality gopher", "neither --quality nor --quality-skip"],
        ),
    ],
)
def test_bad_values_are_refused_before_anything_is_read(command: Command, flags: list[str], parts: list[str]) -> None:
    Path("raw.jsonl").write_text("{")
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", *flags)
    assert result.code == 2, result.err
    assert all(part in result.error for part in parts), result.error
    assert "JSON" not in result.error
    assert not Path("out.txt").exists()


def test_the_function_refuses_unknown_languages() -> None:
    with pytest.raises(AlbertFastError, match="can be recognized") as caught:
        prepare_text("raw.jsonl", "out.txt", keep_language=["gl"])
    assert (caught.value.kind, caught.value.option) == ("option", "keep_language")


def test_the_function_refuses_rules_without_a_set() -> None:
    with pytest.raises(AlbertFastError, match="quality_skip has no effect without quality='gopher'") as caught:
        prepare_text("raw.jsonl", "out.txt", quality_skip=["words"])
    assert (caught.value.kind, caught.value.option) == ("option", "quality_skip")


def test_quality_rules_are_counted_one_by_one(command: Command) -> None:
    flags = ["--quality", "gopher", "--language", "en", "--no-sentences", "--samples", 9]
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", *flags, "--dry-run")
    assert result.code == 0, result.err
    lines = result.err.splitlines()
    assert "albert-fast:   dropped 1 document with too many bullets (--quality gopher, rule bullets)" in lines
    assert "albert-fast:     | The cat of the house." in lines, "samples are shown"
    counts = prepare_text("raw.jsonl", "out.txt", quality="gopher", language="en")["counts"]
    found = {name: count for name, count in counts.items() if name.startswith("quality_") and count}
    assert found == {
        "quality_words": 4,
        "quality_stop_words": 1,
        "quality_bullets": 1,
        "quality_repeated_lines": 1,
    }
    assert kept(quality="gopher", language="en") == ["english"]


def test_a_rule_can_be_skipped() -> None:
    options: dict[str, Any] = {"quality": "gopher", "language": "en"}
    assert kept(**options, quality_skip=["repeated-lines", "repeated-ngrams"]) == ["english", "repeated"]
    assert kept(**options, quality_skip=["words"]) == ["english", "short"]
    assert kept(**options, quality_skip="bullets") == ["english"], "the n-grams of the menu are repeated, too"


def test_a_language_without_stop_words_is_said(command: Command) -> None:
    flags = ["--quality", "gopher", "--quality-skip", "words", "--language", "kn"]
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", *flags)
    assert "rule about stop words was not applied to 6 documents" in result.err, "two broke rules before"
    assert "(kn)" in result.err
    result = command("prepare-text", "raw.jsonl", "--output", "o.txt", *flags, "--quality-skip", "stop-words")
    assert "stop words" not in result.err


def test_dropped_documents_do_not_lack_stop_words(command: Command) -> None:
    """The note counts documents that no filter or rule before has dropped."""
    draw = random.Random(5)
    kannada = " ".join("".join(draw.choices("ಕಖಗಘಚಛಜಝಟಠಡಢಣತಥದಧನಪಫ", k=4)) for _ in range(80))
    rows = ["x y", "12345 67890 " * 60, "", kannada]
    Path("raw.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    flags = ["--quality", "gopher", "--language", "kn", "--no-sentences"]
    for output, more in (("out.txt", []), ("out", ["--shard-size", 1])):
        result = command("prepare-text", "raw.jsonl", "--output", output, *flags, *more)
        assert result.code == 0, result.err
        assert "rule about stop words was not applied to 1 document, because" in result.err
    Path("raw.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in [*rows[:3], ENGLISH]))
    result = command("prepare-text", "raw.jsonl", "--output", "en.txt", "--quality", "gopher", "--language", "each")
    assert result.code == 0, result.err
    assert "stop words" not in result.err


def test_when_nothing_is_left_the_filters_are_named(command: Command) -> None:
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", "--keep-language", "sv")
    assert result.code == 1
    assert "6 in other languages than those of --keep-language, 2 whose language was not recognized" in result.error
    Path("raw.jsonl").write_text(json.dumps({"text": "The cat of the house."}) + "\n")
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", "--quality", "gopher")
    assert "dropped: 1 with too few or too many words (--quality gopher)" in result.error


def test_tasks_write_what_one_command_writes() -> None:
    draw = random.Random(7)
    texts = list(TEXTS.values())
    Path("raw").mkdir()
    for number in range(4):
        rows = [f"{draw.choice(texts)} Number {draw.randrange(99)}." for _ in range(50)]
        Path(f"raw/{number}.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    options: dict[str, Any] = {"keep_language": ["en", "zh"], "quality": "gopher", "quality_skip": ["words"]}
    whole = prepare_text("raw", "whole.txt", num_threads=1, **options)
    again = prepare_text("raw", "again.txt", num_threads=3, **options)
    assert (whole["counts"], Path("whole.txt").read_bytes()) == (again["counts"], Path("again.txt").read_bytes())
    assert 0 < whole["documents"] < 200
    assert whole["counts"]["other_languages"] > 10
    assert whole["counts"]["quality_bullets"] > 10
    for _ in range(3):
        for task in range(2):
            result = prepare_text("raw", "parts", shard_size=0.01, num_tasks=2, task_id=task, **options)
    assert result["counts"] == whole["counts"]
    parts = sorted(Path("parts").glob("corpus-*"))
    assert len(parts) > 1
    assert b"".join(part.read_bytes() for part in parts) == Path("whole.txt").read_bytes()
