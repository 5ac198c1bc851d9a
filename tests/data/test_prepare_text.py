"""prepare-text from end to end: every format, every step, bad inputs."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import raw_text
from raw_text import (
    COMPRESSED,
    DOCUMENTS,
    FOOTER,
    HEADER,
    ROWS,
    corpus,
    json_lines,
    many,
    prepared,
    refusal,
    split,
)

from albert_fast import AlbertFastError, prepare_text

if TYPE_CHECKING:
    from conftest import Command


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Formats


def test_a_directory_of_text_files(command: Command) -> None:
    Path("texts").mkdir()
    for i, document in enumerate(DOCUMENTS):
        Path(f"texts/{i}.txt").write_text(raw_text.plain(document))
    result = command("prepare-text", "texts", "--output", "corpus.txt")
    assert result.code == 0, result.err
    assert Path("corpus.txt").read_text() == corpus()
    assert "read 3 files (3 text)" in result.err
    assert "kept 3 documents, 7 sentences" in result.err
    assert command("prepare-text", "texts/*.txt", "--output", "again.txt").code == 0
    assert Path("again.txt").read_text() == corpus()


FORMATS = {
    "jsonl": raw_text.json_lines(),
    "wikiextractor": raw_text.wikiextractor(),
    "mediawiki": raw_text.mediawiki(),
    "text": "\n".join(text for document in DOCUMENTS for text in [*raw_text.paragraphs(document), "***"]),
}


def flags_of(kind: str) -> list[str]:
    return ["--document-separator", "***", "--paragraphs", "line"] if kind == "text" else []


@pytest.mark.parametrize("suffix", ["", *COMPRESSED])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_in_every_compression(command: Command, kind: str, suffix: str) -> None:
    data = FORMATS[kind].encode()
    # The name tells nothing: formats and compressions are known by their content.
    Path("raw").write_bytes(COMPRESSED[suffix](data) if suffix else data)
    result = command("prepare-text", "raw", "--output", "corpus.txt", *flags_of(kind))
    assert result.code == 0, result.err
    assert Path("corpus.txt").read_text() == corpus()
    assert f"read 1 file (1 {kind})" in result.err
    assert command("prepare-text", "raw", "--output", "c.txt", "--format", kind, *flags_of(kind)).code == 0
    assert Path("c.txt").read_text() == corpus()


@pytest.mark.parametrize("kind", FORMATS)
def test_standard_input(kind: str) -> None:
    words = [sys.executable, "-m", "albert_fast", "prepare-text", "-", "--output", "corpus.txt", *flags_of(kind)]
    done = subprocess.run(words, input=gzip.compress(FORMATS[kind].encode()), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert Path("corpus.txt").read_text() == corpus()


def test_the_last_line_needs_no_end() -> None:
    assert prepared(raw_text.wikiextractor().removesuffix("\n"))[0] == corpus()
    assert prepared(json_lines().removesuffix("\n"))[0] == corpus()


def test_json_lines_compressed_with_zstandard() -> None:
    # Our own output is the only Zstandard at hand: lines that prepare-text leaves as they are.
    as_they_are: dict[str, Any] = {"format": "text", "paragraphs": "line", "sentences": False, "repair": False}
    Path("raw").write_text(many(300))
    prepare_text("raw", "raw.zst", max_sentence_bytes=1 << 20, **as_they_are)
    assert Path("raw.zst").read_bytes().startswith(b"\x28\xb5\x2f\xfd")
    result = prepare_text("raw.zst", "out.txt", language="en")
    assert result["formats"] == {"jsonl": 1}
    assert Path("out.txt").read_text() == prepared(many(300), "plain", output="plain.txt")[0]


def test_wikiextractors_json(command: Command) -> None:
    row = {"id": "1", "url": "https://example.org", "title": "Cats", "text": "Grey cats sleep.\nThey hunt."}
    assert prepared(json.dumps(row) + "\n")[0] == "Grey cats sleep.\nThey hunt.\n\n"


def test_parquet(command: Command) -> None:
    result = command("prepare-text", ROWS, "--output", "corpus.txt")
    assert result.code == 0, result.err
    assert Path("corpus.txt").read_text() == corpus()
    assert "(1 parquet)" in result.err
    assert command("prepare-text", ROWS, "--output", "c.txt", "--text-column", "page.body").code == 0
    assert Path("c.txt").read_text() == corpus()


def test_pages_of_a_wiki_that_are_left_out(command: Command) -> None:
    Path("dump.xml.bz2").write_bytes(raw_text.multistream())
    result = command("prepare-text", "dump.xml.bz2", "--output", "corpus.txt")
    assert result.code == 0, result.err
    assert Path("corpus.txt").read_text() == corpus()
    assert "skipped 3 redirects of the wiki\n" in result.err
    assert "skipped 3 pages of the wiki that are not articles\n" in result.err
    assert "documents by language: en 3\n" in result.err


def test_formats_may_be_mixed(command: Command) -> None:
    Path("a.jsonl").write_text(json_lines(DOCUMENTS[:1]))
    Path("b.xml.bz2").write_bytes(raw_text.multistream(DOCUMENTS[1:2]))
    Path("c.txt.gz").write_bytes(gzip.compress(raw_text.plain(DOCUMENTS[2]).encode()))
    result = command("prepare-text", "a.jsonl", "b.xml.bz2", "c.txt.gz", "--output", "corpus.txt")
    assert result.code == 0, result.err
    assert Path("corpus.txt").read_text() == corpus()
    assert "read 3 files (1 jsonl, 1 mediawiki, 1 text)" in result.err


def test_where_documents_and_paragraphs_end() -> None:
    text = "One is a\nnumber. Two too.\n\nThree is next.\n  \n***\n\nFour is last.\n"
    one = ["One is a number.", "Two too.", "Three is next."]
    lines = ["One is a", "number.", "Two too.", "Three is next."]

    def documents(**options: Any) -> list[list[str]]:
        return [document.split("\n") for document in split(prepared(text, repair=True, **options)[0])]

    assert documents() == [[*one, "Four is last."]]
    assert documents(document_separator="***") == [one, ["Four is last."]]
    assert documents(document_separator="***", paragraphs="line") == [lines, ["Four is last."]]
    assert documents(documents="blank-line") == [lines[:3], ["Three is next."], ["Four is last."]]
    assert documents(documents="blank-line", paragraphs="blank-line") == [
        one[:2],
        ["Three is next."],
        ["Four is last."],
    ]


def test_a_field_within_a_field() -> None:
    rows = '{"a": {"b": "Inner text."}}\n{"a.b": "Outer text.", "a": {"b": "not this"}}\n'
    assert prepared(rows, text_field="a.b")[0] == "Inner text.\n\nOuter text.\n\n"


def test_line_ends_and_byte_order_marks_are_no_text() -> None:
    assert prepared(b"\xef\xbb\xbfOne is here.\r\nTwo is there.\r\n\r\nThree.\r\n")[0] == (
        "One is here.\nTwo is there.\nThree.\n\n"
    )


# Sentences


def test_paragraphs_may_stay_whole() -> None:
    assert prepared("One is here. Two is\nthere.\n\nThree.\n", sentences=False)[0] == (
        "One is here. Two is there.\nThree.\n\n"
    )


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Mr. Brown met Dr. Grey at 3.30 p.m. in St. Ives.", "It was not…", "They left… and waited."]),
        ("en", ["“Is it far?” he asked.", "“It is not.”", "They left."]),
        (
            "de",
            [
                "Das kostet z. B. 3.50 Euro.",
                "Am 3. Oktober ist frei.",
                "Im 19. Jahrhundert war es so.",
                "„Wirklich?“, fragte sie.",
            ],
        ),
        ("ja", ["これは文です。", "終わりですか？", "はい。"]),
        ("hi", ["यह एक वाक्य है।", "यह दूसरा है।"]),
    ],
)
def test_sentences(language: str, sentences: list[str]) -> None:
    joint = "" if language == "ja" else " "
    text, result = prepared(joint.join(sentences), language=language)
    assert text == "".join(f"{sentence}\n" for sentence in sentences) + "\n"
    assert result["languages"] == {language: 1}


def test_codes_of_three_letters_and_unknown_ones() -> None:
    text = "Das kostet z. B. drei Euro. Gut."
    assert prepared(text, language="deu") == prepared(text, language="de")
    assert prepared(text, language="de")[0] == "Das kostet z. B. drei Euro.\nGut.\n\n"
    assert prepared(text, language="und")[0] == "Das kostet z.\nB. drei Euro.\nGut.\n\n"
    assert refusal(text, language="xx").endswith('got "xx"')


GERMAN = "Die Katze schläft den ganzen Tag, und in der Nacht geht sie auf die Jagd. Am Morgen kommt sie zurück. "
ENGLISH = "The cat sleeps for the whole day, and in the night it goes out to hunt. It comes back in the morning. "


def test_the_language_is_guessed() -> None:
    for language, texts, found in (
        ("each", [GERMAN, ENGLISH], {"de": 1, "en": 1}),
        ("auto", [GERMAN, GERMAN + GERMAN], {"de": 2}),
        ("fr", [GERMAN, ENGLISH], {"fr": 2}),
    ):
        rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        assert prepared(rows, language=language)[1]["languages"] == found


GERMAN_WORDS = (
    "Der Bäcker|Die Schule|Das Rathaus|Unser Garten|Die Brücke|Mein Bruder|Das Wetter|Ihre Katze|Der Zug|Die Straße",
    "ist|wird|war|bleibt|wirkt|scheint",
    "alt|schön|spät|ruhig|größer",
)
SHORT_GERMAN = [
    f"{who} {is_so} z. B. {how}."
    for who, is_so, how in itertools.product(*(words.split("|") for words in GERMAN_WORDS))
]
"""300 documents, too short to tell their language by themselves; the abbreviation ends no sentence in German alone."""


def check_german(result: dict[str, Any]) -> None:
    assert result["languages"] == {"de": 300}
    assert result["warnings"] == []
    assert split(Path("out.txt").read_text()) == SHORT_GERMAN


def test_short_documents_are_guessed_together() -> None:
    rows = "".join(json.dumps({"text": text}) + "\n" for text in SHORT_GERMAN)
    check_german(prepared(rows, language="auto")[1])


def test_short_files_are_guessed_together() -> None:
    Path("raw").mkdir()
    for i, text in enumerate(SHORT_GERMAN):
        Path(f"raw/{i:03}.txt").write_text(text + "\n")
    check_german(prepare_text("raw", "out.txt"))


def test_a_language_that_is_not_told_is_warned_of() -> None:
    _, result = prepared("Ok. 7 x 8.", language="auto")
    assert result["languages"] == {"und": 1}
    (warning,) = result["warnings"]
    assert "was not recognized; pass language=CODE" in warning


def test_long_sentences_are_cut_at_a_word_boundary() -> None:
    words = [f"word{i}" for i in range(200)]
    text, result = prepared(" ".join(words) + ".", max_sentence_bytes=100)
    lines = text.splitlines()[:-1]
    assert " ".join(lines) == " ".join(words) + "."
    assert all(len(line.encode()) <= 100 for line in lines)
    assert result["counts"]["sentences_cut"] > 0
    # No boundary within reach: the cut keeps characters whole.
    text, _ = prepared("é" * 500, max_sentence_bytes=101)
    assert text.replace("\n", "") == "é" * 500
    assert all(len(line.encode()) <= 101 for line in text.splitlines())


# Cleaning


def test_repair() -> None:
    text = "A\u00a0cat\t\tsleeps.\u200b\u0007 It\u2028hunts\u00ad.\n"
    repaired, result = prepared(text)
    assert repaired == "A cat sleeps.\nIt hunts.\n\n"
    assert result["counts"]["repaired_characters"] > 0
    kept, result = prepared(text, repair=False)
    assert "\u0007" in kept
    assert result["counts"]["repaired_characters"] == 0


def test_boilerplate(command: Command) -> None:
    Path("raw.txt").write_text("Page 12\n\nThe first page. It is short.\n\nPage 13\nThe last page. © 2020 Someone\n")
    Path("patterns.txt").write_text("# page numbers\n^Page \\d+$\n\n©\n")
    result = command(
        "prepare-text", "raw.txt", "--output", "c.txt", "--boilerplate", "patterns.txt", "--language", "en"
    )
    assert result.code == 0, result.err
    assert Path("c.txt").read_text() == "The first page.\nIt is short.\n\n"
    assert "dropped 3 boilerplate lines (--boilerplate patterns.txt)" in result.err


@pytest.mark.parametrize("pattern", ["[", "(?<=a)b", "a{2"])
def test_a_pattern_that_is_none_is_named(command: Command, pattern: str) -> None:
    Path("raw.txt").write_text("Text.\n")
    Path("patterns.txt").write_text(f"# fine\n^a$\n\n{pattern}\n")
    result = command("prepare-text", "raw.txt", "--output", "c.txt", "--boilerplate", "patterns.txt")
    assert result.code == 2
    assert result.error.startswith("patterns.txt, line 4: ")
    with pytest.raises(AlbertFastError, match="boilerplate"):
        prepare_text("raw.txt", "c.txt", boilerplate=["^a$", pattern])


FILTERED = [
    ("short_documents", {"min_document_chars": 30}, ["Short.", "This one is long enough, and stays. It does."]),
    ("few_sentences", {"min_document_sentences": 2}, ["One sentence that is alone.", "Two are here. They stay."]),
    ("non_letters", {"max_non_letters": 0.3}, ["1 2 3 4 5 6 | 7 8 9 | a b", "Words and words only, nearly."]),
    ("duplicate_documents", {}, ["It repeats.", "It repeats."]),
]


@pytest.mark.parametrize(("count", "options", "texts"), FILTERED, ids=[name for name, _, _ in FILTERED])
def test_documents_that_go(count: str, options: dict[str, Any], texts: list[str]) -> None:
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    text, result = prepared(rows, **options)
    kept = texts[-1].replace(". ", ".\n")
    assert text == f"{kept}\n\n"
    assert {name: number for name, number in result["counts"].items() if number} == {count: 1}
    assert (result["documents_read"], result["documents"]) == (2, 1)
    assert len(split(prepared(rows, dedup_documents=False)[0])) == 2


def test_documents_without_text_are_counted() -> None:
    text, result = prepared('{"text": ""}\n{"text": " \\n\\t"}\n{"text": "One."}\n')
    assert text == "One.\n\n"
    assert result["counts"]["empty_documents"] == 2


def test_lines_that_repeat_go() -> None:
    rows = "".join(
        json.dumps({"text": text}) + "\n" for text in ("A one.\nShare this.", "B two.\nShare this.", "A one.")
    )
    assert prepared(rows)[0].count("Share this.") == 2
    text, result = prepared(rows, dedup_lines=True)
    assert text == "A one.\nShare this.\n\nB two.\n\n"
    assert result["counts"]["duplicate_lines"] == 2


def test_repetitions_are_found_where_memory_is_short() -> None:
    rows = many(8_000)
    Path("raw.jsonl").write_text(rows + rows)
    wide = prepare_text("raw.jsonl", "wide.txt", dedup_lines=True, language="en")
    tight = prepare_text("raw.jsonl", "tight.txt", dedup_lines=True, language="en", dedup_memory=1)
    assert (wide["spilled"], tight["spilled"]) == (False, True)
    assert Path("wide.txt").read_bytes() == Path("tight.txt").read_bytes()
    assert wide["counts"]["duplicate_documents"] == 8_000
    assert wide["counts"] == tight["counts"]
    assert sorted(path.name for path in Path().iterdir()) == ["raw.jsonl", "tight.txt", "wide.txt"]


def test_a_dry_run_shows_what_would_go(command: Command) -> None:
    Path("raw.jsonl").write_text(
        "".join(
            json.dumps({"text": text}) + "\n" for text in ("It repeats here.", "It repeats here.", "No.", "Fine one.")
        )
    )
    result = command("prepare-text", "raw.jsonl", "--output", "c.txt", "--min-document-chars", 5, "--dry-run")
    assert result.code == 0, result.err
    assert "dropped 1 duplicate document (--dedup-documents)\nalbert-fast:     | It repeats" in result.err
    assert "dropped 1 document with too few characters (--min-document-chars 5)\nalbert-fast:     | No." in result.err
    assert "would keep 2 documents" in result.err
    assert [path.name for path in Path().iterdir()] == ["raw.jsonl"]
    found = prepare_text("raw.jsonl", "c.txt", min_document_chars=100, dry_run=True, samples=1)
    assert {name: len(samples) for name, samples in found["samples"].items() if samples} == {"short_documents": 1}


# Bad input


def test_invalid_utf8() -> None:
    assert refusal(b"One line.\nAnd \xff one.\n").startswith("raw.txt, line 2, byte 5: invalid UTF-8 (0xFF)")
    message = refusal(b'{"text": "One."}\n{"text": "\xe4"}\n', "raw.jsonl")
    assert message.startswith("raw.jsonl, line 2, byte 11: invalid UTF-8 (0xE4)")
    dump = raw_text.mediawiki().encode().replace(b"Grey", b"Gr\xe4y")
    before = dump[: dump.index(b"\xe4")].split(b"\n")
    message = refusal(dump, "dump.xml")
    assert message.startswith(f"dump.xml, line {len(before)}, byte {len(before[-1]) + 1}: invalid UTF-8 (0xE4)")
    for text in (b"One line.\nAnd \xff\xfe one.\n", b'{"text": "One \xff\xfe two."}\n'):
        replaced, result = prepared(text, on_bad_utf8="replace")
        assert replaced.count("\ufffd") == result["counts"]["replaced"] == 2


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ('{"text": "cut', "not a JSON object: "),
        ('{"text": 7}', 'the field "text" is a number, not a string; '),
        ('{"text": null}', 'the field "text" is null, not a string; '),
        ('{"title": "Cats", "body": "They sleep."}', 'no field "text" (fields: "body", "title"); '),
        ("[1]", "not a JSON object: "),
        ('{"text": "\\ud800"}', "not a JSON object: "),
    ],
)
def test_broken_records(row: str, part: str) -> None:
    rows = f'{{"text": "One is."}}\n\n{row}\n{{"text": "Two are."}}\n'
    message = refusal(rows, "raw.jsonl")
    assert message.startswith(f"raw.jsonl, line 3: {part}")
    assert message.endswith("--skip-bad to skip such lines")
    text, result = prepared(rows, "raw.jsonl", skip_bad=True)
    assert text == "One is.\n\nTwo are.\n\n"
    assert result["counts"]["bad_records"] == 1


@pytest.mark.parametrize("row", ['{"text": "cut', '{"text": 7}', '{"body": "One is."}'])
def test_a_first_line_that_is_broken(row: str) -> None:
    rows = f'{row}\n{{"text": "Two are."}}\n'
    assert refusal(rows, "raw").startswith("raw, line 1: ")
    text, result = prepared(rows, "raw", skip_bad=True)
    assert (text, result["counts"]["bad_records"]) == ("Two are.\n\n", 1)
    assert result["formats"] == {"jsonl": 1}


def test_rows_of_parquet_that_cannot_be_used() -> None:
    shutil.copy(ROWS, "rows.parquet")

    def refused(**options: Any) -> str:
        return refusal(ROWS.read_bytes(), "rows.parquet", **options)

    message = refused(text_field="body")
    assert all(name in message for name in ("rows.parquet", "id", "text", "gaps", "latin", "page.body"))
    assert "int64" in refused(text_field="id").lower()
    assert "page" in refused(text_field="page")
    assert "rows.parquet, row 2: " in refused(text_field="gaps")
    assert "rows.parquet, row 2" in refused(text_field="latin")
    result = prepare_text("rows.parquet", "out.txt", text_field="gaps", skip_bad=True)
    assert (result["documents"], result["counts"]["bad_records"]) == (2, 1)
    result = prepare_text("rows.parquet", "out.txt", text_field="latin", on_bad_utf8="replace", overwrite=True)
    assert (result["documents"], result["counts"]["replaced"]) == (3, 1)


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_archives_cut_short(suffix: str) -> None:
    data = COMPRESSED[suffix](many(300).encode())
    message = refusal(data[: len(data) * 2 // 3], f"raw.jsonl.{suffix}")
    assert f"raw.jsonl.{suffix}" in message
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0xFF
    assert f"raw.jsonl.{suffix}" in refusal(bytes(damaged), f"raw.jsonl.{suffix}")


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_zeros_after_compressed_data_are_padding(suffix: str) -> None:
    compress = COMPRESSED[suffix]
    parts = [compress(b"One is here.\n"), bytes(509), compress(b"Two is here.\n"), bytes(70_001)]
    assert prepared(b"".join(parts), f"raw.txt.{suffix}")[0] == "One is here.\nTwo is here.\n\n"
    whole = b"".join(parts[:3])
    message = refusal(whole + bytes(5) + b"garbage", f"raw.txt.{suffix}", "none.txt")
    assert message.startswith(f"raw.txt.{suffix}: byte {len(whole) + 6}: only ")
    # What comes before is not lost without a word, and there is a way to keep it.
    assert "-dc FILE > NEW" in message


def test_zeros_after_zstandard_data_are_padding() -> None:
    Path("raw.jsonl").write_text(many(300))
    prepare_text("raw.jsonl", "whole.txt.zst", language="en")
    data = Path("whole.txt.zst").read_bytes()
    once, _ = prepared(data, "once.zst", dedup_documents=False, documents="blank-line")
    twice, _ = prepared(data + bytes(777) + data + bytes(3), "x.zst", dedup_documents=False, documents="blank-line")
    assert twice == once * 2
    assert "may follow the zstd data" in refusal(data + b"\0garbage", "x.zst", "none.txt", documents="blank-line")


def test_a_zstandard_archive_cut_short() -> None:
    Path("raw.jsonl").write_text(many(300))
    prepare_text("raw.jsonl", "whole.txt.zst", language="en")
    data = Path("whole.txt.zst").read_bytes()
    assert "cut.zst" in refusal(data[: len(data) // 2], "cut.zst", documents="blank-line")


def test_a_dump_cut_short() -> None:
    whole = raw_text.mediawiki()
    for text in (whole.removesuffix(FOOTER), whole[: whole.index("</text>", len(whole) // 2)]):
        assert "truncated" in refusal(text, "dump.xml")
    # The first part of a dump in several holds no page.
    assert "contains no document" in refusal(HEADER, "dump.xml")
    cut = raw_text.multistream()
    assert "dump.xml.bz2" in refusal(cut[:-20], "dump.xml.bz2")
    assert "truncated" in refusal(raw_text.wikiextractor().removesuffix("</doc>\n"), "wiki.txt")
    assert "rows.parquet" in refusal(ROWS.read_bytes()[:-100], "rows.parquet")


@pytest.mark.parametrize("between", [raw_text.mediawiki(), '<pages id="7">\n</pages>\n', "One is here.\n"])
def test_text_between_the_pages_of_a_dump(between: str) -> None:
    whole = raw_text.mediawiki()
    at = len(whole) if between == whole else whole.index("  <page>", len(whole) // 2)
    message = refusal(whole[:at] + between + whole[at:], "dump.xml")
    assert message.startswith("dump.xml")
    assert "byte" in message


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "zip"),
        ("A text.\n".encode("utf-16"), "UTF-16"),
        (b"\x7fELF\x02\x01\x01" + bytes(100), "a program"),
        (b"{\\rtf1\\ansi One is here.}\n", "RTF"),
        (b'<?xml version="1.0"?>\n<feed><entry>One is here.</entry></feed>\n', "XML"),
        (b'[{"text": "One."},\n {"text": "Two."}]\n', "JSON Lines"),
        (b'{\n  "text": "One."\n}\n', "JSON Lines"),
    ],
)
def test_what_is_no_text(data: bytes, part: str) -> None:
    message = refusal(data, "raw")
    assert message.startswith("raw: ")
    assert part in message.removeprefix("raw: ")


def test_a_format_that_is_not_the_files() -> None:
    assert "raw" in refusal("Just a text.\n", "raw", format="parquet")
    assert "raw" in refusal("Just a text.\n", "raw", format="mediawiki")
    assert "raw" in refusal("Just a text.\n", "raw", format="wikiextractor")
    assert "--format jsonl must describe the data" in refusal("Just a text.\n", "raw", format="jsonl")
    assert prepared('{"text": "One."}\n', format="text")[0] == '{"text": "One."}\n\n'


def test_nothing_to_read() -> None:
    with pytest.raises(AlbertFastError, match=r"none\.txt"):
        prepare_text("none.txt", "out.txt")
    for empty in ("", "\n \n", gzip.compress(b"")):
        assert "no document" in refusal(empty)
    assert not Path("out.txt").exists()


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        ({"min_document_chars": 1000}, "3 shorter than --min-document-chars 1000"),
        ({"min_document_sentences": 100}, "3 with fewer sentences than --min-document-sentences 100"),
        ({"max_non_letters": 0.0}, "3 with a larger fraction of non-letters than --max-non-letters 0"),
        ({"boilerplate": ["."]}, "3 without text; also dropped: 4 lines that match --boilerplate"),
    ],
)
def test_nothing_left_says_which_step_took_it(options: dict[str, Any], reasons: str) -> None:
    assert refusal(json_lines(), "raw.jsonl", **options) == f"no document is left of 3; dropped: {reasons}"
