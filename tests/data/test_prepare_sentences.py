"""Where sentences end, which lines are none, and hyphens at the ends of lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from raw_text import prepared, refusal

if TYPE_CHECKING:
    from conftest import Command


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines(text: str, language: str = "en", **options: Any) -> list[str]:
    return prepared(text, language=language, **options)[0].splitlines()[:-1]


# Ends within words


@pytest.mark.parametrize("language", ["en", "de", "fr", "ru", "tr", "und"])
@pytest.mark.parametrize(
    "word",
    [
        "https://example.org/find?q=cats&lang=en",
        "www.a.b/c?d=e&f=g!h",
        "Yahoo!Mail",
        "what?!no",
        "foo.bar",
        "std::io::Result!Macro",
        "println!(x)",
        "user@host.org",
        "C:\\a.B",
        "3.Teil",
        "a!=b",
        "x?.Y",
        "Ende!Привет",
        "Wer…Was",
        "Was‼Wie",
    ],
)
def test_no_boundary_inside_a_word(word: str, language: str) -> None:
    sentences = [f"Open {word} to see it.", "The page is short."]
    assert lines(" ".join(sentences), language) == sentences


@pytest.mark.parametrize(
    ("language", "sentences", "space"),
    [
        ("en", ["It ended.[1]", "Then he came!²", "Great!😀", "She left?*", "So did he."], " "),
        ("en", ['He said "no."', "Then (why not?)", "All left."], " "),
        ("en", ["They left...", "Then we slept."], ""),
        ("en", ["It ended!</p>", "<p>Then he came."], " "),
        ("hi", ["वह आया।", "वह गया।"], ""),
        ("ur", ["وہ آیا۔", "وہ گیا۔"], ""),
        ("ar", ["هل جاء؟", "نعم جاء."], ""),
        ("hy", ["Նա եկավ։", "Նա գնաց։"], ""),
        ("am", ["እሱ መጣ።", "እሷ ሄደች።"], ""),
        ("ja", ["これはYahoo!です。", "次です。"], ""),
        ("ja", ["本当?", "はい!", "これはAです。"], ""),
        ("ja", ["検索はhttps://x.jp/検索?q=nekoです。", "次です。"], ""),
        ("zh", ["他来了!", "真的吗?", "我喜欢Python.", "它很好。"], ""),
        ("ko", ["이것은 Yahoo!메일이다.", "다음."], " "),
        ("my", ["သူလာသည်။", "သူသွားသည်။"], ""),
        ("km", ["គាត់មក។", "គាត់ទៅ។"], ""),
    ],
)
def test_signs_and_scripts(language: str, sentences: list[str], space: str) -> None:
    assert lines(space.join(sentences), language) == sentences


# Lines without letters


def test_lines_without_a_letter_or_a_digit_are_dropped(command: Command) -> None:
    kept = ["One is here. ***", "½", "Ⅳ", "①", "々", "ก", "⠓⠊", "٣", "\U0001d800"]
    gone = ["***", "—", "§§", "| --- | --- |", "😀 👍🏽", "…", "?!", "\u0301", "=" * 50, "← →"]
    Path("raw.txt").write_text("\n\n".join([*kept, *gone, "Two is here."]))
    result = command("prepare-text", "raw.txt", "--output", "out.txt", "--language", "en")
    assert result.code == 0, result.err
    assert Path("out.txt").read_text() == "\n".join([*kept, "Two is here.", "", ""])
    assert f"dropped {len(gone)} lines without a letter or a digit" in result.err
    summary = json.loads(Path("out.txt.prepare-text.summary.json").read_text())
    assert summary["counts"]["letterless_lines"] == len(gone)


@pytest.mark.parametrize("sentences", [True, False])
def test_such_lines_of_other_formats(sentences: bool) -> None:
    rows = "".join(json.dumps({"text": text}) + "\n" for text in ("One is here.\n* * *\nTwo is here.", "—\n•"))
    text, result = prepared(rows, "rows.jsonl", sentences=sentences, dry_run=False)
    assert text == "One is here.\nTwo is here.\n\n"
    assert (result["counts"]["letterless_lines"], result["counts"]["empty_documents"]) == (3, 1)
    message = refusal("***\n\n—\n", output="none.txt")
    lines = "2 lines without letters or digits"
    assert message == f"no document is left of 1; dropped: 1 without text; also dropped: {lines}"


def test_marks_stay_with_their_neighbors() -> None:
    assert lines("He came. ??? ! Then he left. *") == ["He came. ??? !", "Then he left. *"]
    assert lines("... ! He came. Then he left.") == ["He came.", "Then he left."]
    long, result = prepared("=" * 192 + " One is here.", max_sentence_bytes=64)
    assert long == "One is here.\n\n"
    assert result["counts"]["letterless_lines"] == 3


# Hyphens at the ends of lines

GERMAN = """Die Donau-
dampfschifffahrt ist alt, und die Haupt-
und Nebenwege sind da. In Schleswig-
Holstein gibt es 3-
fache Soft\u00ad
ware -
und Dampf-

schiffe.
"""


def test_hyphens_at_the_ends_of_lines(command: Command) -> None:
    assert lines(GERMAN, "de", join_hyphens=True) == [
        "Die Donaudampfschifffahrt ist alt, und die Haupt- und Nebenwege sind da.",
        "In Schleswig-Holstein gibt es 3-fache Software - und Dampf-",
        "schiffe.",
    ]
    assert lines(GERMAN, "de") == [
        "Die Donau- dampfschifffahrt ist alt, und die Haupt- und Nebenwege sind da.",
        "In Schleswig- Holstein gibt es 3- fache Software - und Dampf-",
        "schiffe.",
    ]
    result = command("prepare-text", "raw.txt", "--output", "joined.txt", "--language", "de", "--join-hyphens")
    assert "joined 4 hyphens at the end of a line" in result.err
    summary = json.loads(Path("joined.txt.prepare-text.summary.json").read_text())
    assert summary["counts"]["joined_hyphens"] == 4
    Path("config.yaml").write_text("join_hyphens: true\nlanguage: de\n")
    assert command("prepare-text", "raw.txt", "--output", "again.txt", "--config", "config.yaml").code == 0
    assert Path("again.txt").read_bytes() == Path("joined.txt").read_bytes()


def test_hyphens_in_english_and_between_pages() -> None:
    text = "An intro-\n\x0c12\nduction to pre-\r\nand post-war state-of-the-\r\nart twenty-\r\nOne.\n"
    assert lines(text, join_hyphens=True, boilerplate=[r"^\d+$"]) == [
        "An introduction to pre- and post-war state-of-the-art twenty-One."
    ]


def test_joining_hyphens_needs_lines_to_join() -> None:
    rows = json.dumps({"text": "An intro-\nduction is here."}) + "\n"
    text, result = prepared(rows, "rows.jsonl", join_hyphens=True)
    assert text == "An intro-\nduction is here.\n\n"
    assert any("join_hyphens=True has no effect" in warning for warning in result["warnings"])
    text, result = prepared(rows, "rows.jsonl", join_hyphens=True, paragraphs="blank-line")
    assert (text, result["warnings"]) == ("An introduction is here.\n\n", [])
    assert "--join-hyphens must not be set with --paragraphs line" in refusal(
        rows, join_hyphens=True, paragraphs="line"
    )
