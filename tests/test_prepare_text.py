"""prepare-text from end to end: every format, every step, bad inputs, threads, kills, full disks."""

from __future__ import annotations

import gzip
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
from raw_text import COMPRESSED, DOCUMENTS, FOOTER, HEADER, corpus, json_lines, many, split, text_of

from albert_fast import AlbertFastError, prepare_text

if TYPE_CHECKING:
    from conftest import Command

ROWS = Path(__file__).parent / "golden" / "raw" / "rows.parquet"


def prepared(text: str | bytes, name: str = "raw.txt", **options: Any) -> tuple[str, dict[str, Any]]:
    """What becomes of one input in the working folder, and the result."""
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    result = prepare_text(name, "out.txt", **{"language": "en", "overwrite": True, **options})
    return text_of(Path("out.txt")), result


def refusal(text: str | bytes, name: str = "raw.txt", **options: Any) -> str:
    """The error that one input ends with; nothing may be left."""
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    before = sorted(Path().iterdir())
    with pytest.raises(AlbertFastError) as caught:
        prepare_text(name, "out.txt", **options)
    assert sorted(Path().iterdir()) == before
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Formats


def test_a_folder_of_text_files(command: Command) -> None:
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
    assert "redirects of a wiki left out: 3\n" in result.err
    assert "pages of a wiki that are no articles left out: 3\n" in result.err
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

    assert documents() == [[*one, "***", "Four is last."]]
    assert documents(document_separator="***") == [one, ["Four is last."]]
    assert documents(document_separator="***", paragraphs="line") == [lines, ["Four is last."]]
    assert documents(documents="blank-line") == [lines[:3], ["Three is next."], ["***"], ["Four is last."]]
    assert documents(documents="blank-line", paragraphs="blank-line") == [
        one[:2],
        ["Three is next."],
        ["***"],
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
    assert prepared(text, language="und")[0].endswith("Gut.\n\n")
    assert "'xx'" in refusal(text, language="xx").replace('"', "'")


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
    assert "boilerplate lines left out: 3 (--boilerplate patterns.txt)" in result.err


@pytest.mark.parametrize("pattern", ["[", "(?<=a)b", "a{2"])
def test_a_pattern_that_is_none_is_named(command: Command, pattern: str) -> None:
    Path("raw.txt").write_text("Text.\n")
    Path("patterns.txt").write_text(f"# fine\n^a$\n\n{pattern}\n")
    result = command("prepare-text", "raw.txt", "--output", "c.txt", "--boilerplate", "patterns.txt")
    assert result.code == 1
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
    assert "document that repeats another left out: 1 (--dedup-documents)\nalbert-fast:     | It repeats" in result.err
    assert "few characters left out: 1 (--min-document-chars 5)\nalbert-fast:     | No." in result.err
    assert "would keep 2 documents" in result.err
    assert [path.name for path in Path().iterdir()] == ["raw.jsonl"]
    found = prepare_text("raw.jsonl", "c.txt", min_document_chars=100, dry_run=True, samples=1)
    assert {name: len(samples) for name, samples in found["samples"].items() if samples} == {"short_documents": 1}


# Bad input


def test_invalid_utf8() -> None:
    assert refusal(b"One line.\nAnd \xff one.\n").startswith("raw.txt, line 2, byte 5: invalid UTF-8 (0xFF)")
    message = refusal(b'{"text": "One."}\n{"text": "\xe4"}\n', "raw.jsonl")
    assert message.startswith("raw.jsonl, line 2, byte 11: invalid UTF-8 (0xE4)")
    assert "dump.xml" in refusal(raw_text.mediawiki().encode().replace(b"Grey", b"Gr\xe4y"), "dump.xml")
    for text in (b"One line.\nAnd \xff\xfe one.\n", b'{"text": "One \xff\xfe two."}\n'):
        replaced, result = prepared(text, on_bad_utf8="replace")
        assert replaced.count("\ufffd") == result["counts"]["replaced"] == 2


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ('{"text": "cut', ""),
        ('{"text": 7}', "text"),
        ('{"text": null}', "text"),
        ('{"title": "Cats", "body": "They sleep."}', "body"),
        ("[1]", ""),
        ('{"text": "\\ud800"}', ""),
    ],
)
def test_broken_records(row: str, part: str) -> None:
    rows = f'{{"text": "One is."}}\n\n{row}\n{{"text": "Two are."}}\n'
    message = refusal(rows, "raw.jsonl")
    assert message.startswith("raw.jsonl, line 3: ")
    assert part in message
    text, result = prepared(rows, "raw.jsonl", skip_bad=True)
    assert text == "One is.\n\nTwo are.\n\n"
    assert result["counts"]["bad_records"] == 1


def test_rows_of_parquet_that_cannot_be_used() -> None:
    shutil.copy(ROWS, "rows.parquet")

    def refused(**options: Any) -> str:
        return refusal(ROWS.read_bytes(), "rows.parquet", **options)

    message = refused(text_field="body")
    assert all(name in message for name in ("rows.parquet", "id", "text", "gaps", "latin", "page.body"))
    assert "int64" in refused(text_field="id").lower()
    assert "page" in refused(text_field="page")
    assert "rows.parquet, row 1: " in refused(text_field="gaps")
    assert "rows.parquet, row 1" in refused(text_field="latin")
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


def test_a_zstandard_archive_cut_short() -> None:
    Path("raw.jsonl").write_text(many(300))
    prepare_text("raw.jsonl", "whole.txt.zst", language="en")
    data = Path("whole.txt.zst").read_bytes()
    assert "cut.zst" in refusal(data[: len(data) // 2], "cut.zst", documents="blank-line")


def test_a_dump_cut_short() -> None:
    whole = raw_text.mediawiki()
    for text in (whole.removesuffix(FOOTER), whole[: whole.index("</text>", len(whole) // 2)], HEADER):
        assert "cut short" in refusal(text, "dump.xml")
    cut = raw_text.multistream()
    assert "dump.xml.bz2" in refusal(cut[:-20], "dump.xml.bz2")
    assert "cut short" in refusal(raw_text.wikiextractor().removesuffix("</doc>\n"), "wiki.txt")
    assert "rows.parquet" in refusal(ROWS.read_bytes()[:-100], "rows.parquet")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "zip"),
        ("A text.\n".encode("utf-16"), "UTF-16"),
        (b"\x7fELF\x02\x01\x01" + bytes(100), ""),
        (b'[{"text": "One."},\n {"text": "Two."}]\n', "JSON Lines"),
        (b'{\n  "text": "One."\n}\n', "JSON Lines"),
    ],
)
def test_what_is_no_text(data: bytes, part: str) -> None:
    message = refusal(data, "raw")
    assert message.startswith("raw")
    assert part in message


def test_a_format_that_is_not_the_files() -> None:
    assert "raw" in refusal("Just a text.\n", "raw", format="parquet")
    assert "raw" in refusal("Just a text.\n", "raw", format="mediawiki")
    assert "raw" in refusal("Just a text.\n", "raw", format="wikiextractor")
    assert "not JSON Lines" in refusal("Just a text.\n", "raw", format="jsonl")
    assert prepared('{"text": "One."}\n', format="text")[0] == '{"text": "One."}\n\n'


def test_nothing_to_read() -> None:
    with pytest.raises(AlbertFastError, match=r"none\.txt"):
        prepare_text("none.txt", "out.txt")
    for empty in ("", "\n \n", gzip.compress(b"")):
        assert "no document" in refusal(empty)
    assert not Path("out.txt").exists()


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"min_document_chars": 1000}, "--min-document-chars"),
        ({"min_document_sentences": 100}, "--min-document-sentences"),
        ({"max_non_letters": 0.0}, "--max-non-letters"),
        ({"boilerplate": ["."]}, "--boilerplate"),
    ],
)
def test_nothing_left_says_which_step_took_it(options: dict[str, Any], flag: str) -> None:
    message = refusal(json_lines(), "raw.jsonl", **options)
    assert flag in message or flag.removeprefix("--").replace("-", "_") in message


# Output


def test_threads_do_not_show(tmp_path: Path) -> None:
    Path("raw.jsonl").write_text(many(20_000))
    options: dict[str, Any] = {"dedup_lines": True, "eval_fraction": 0.1, "language": "en"}
    found = []
    for threads in (1, 2, 5):
        folder = f"out-{threads}"
        plain = prepare_text("raw.jsonl", folder, num_shards=3, num_threads=threads, compression="zstd", **options)
        assert len(plain["outputs"]) == len(plain["eval_outputs"]) == 3
        names = [*plain.pop("outputs"), *plain.pop("eval_outputs")]
        found.append(([(Path(name).name, Path(name).read_bytes()) for name in names], plain))
    assert found[0] == found[1] == found[2]


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
    for part in Path("store-c.txt").glob("part-*"):
        assert part.read_bytes() == Path(f"store-{name}", part.name).read_bytes()
    assert Path("t-c.txt/spiece.model").read_bytes() == Path(f"t-{name}/spiece.model").read_bytes()
    records = ["--max-predictions-per-seq", 77, "--output-dir", "records"]
    assert command("make-records", name, "--tokenizer", model, *records).code == 0


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


def test_an_output_that_is_an_input_is_refused(command: Command) -> None:
    Path("raw.txt").write_text("One is here.\n")
    result = command("prepare-text", "raw.txt", "--output", "raw.txt", "--overwrite")
    assert result.code == 1
    assert Path("raw.txt").read_text() == "One is here.\n"
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("One is here.\n")
    assert command("prepare-text", "texts", "--output", "texts", "--num-shards", 2).code == 1
    assert [path.name for path in Path("texts").iterdir()] == ["a.txt"]


def test_places_that_cannot_be_written(command: Command) -> None:
    Path("raw.txt").write_text("One is here.\n")
    Path("file").write_text("precious")
    Path("folder").mkdir()
    for output, flags in (("file/out.txt", []), ("folder", []), ("file", ["--num-shards", 2])):
        result = command("prepare-text", "raw.txt", "--output", output, "--overwrite", *flags)
        assert result.code == 1, output
        assert output.split("/")[0] in result.error
    assert Path("file").read_text() == "precious"
    assert list(Path("folder").iterdir()) == []
    assert command("prepare-text", "raw.txt", "--output", "new/folder/out.txt").code == 0
    assert Path("new/folder/out.txt").exists()


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


def test_an_evaluation_text_of_its_own_name(command: Command) -> None:
    Path("raw.jsonl").write_text(many(300))
    flags = ["--eval-fraction", 0.2, "--eval-output", "held-out.txt.gz"]
    result = command("prepare-text", "raw.jsonl", "--output", "out.txt", *flags)
    assert result.code == 0, result.err
    assert split(text_of(Path("held-out.txt.gz")))
    assert "held-out.txt.gz" in result.err.splitlines()[-1]
    flags = ["--eval-fraction", 0.2, "--eval-output", "out.txt", "--overwrite"]
    assert command("prepare-text", "raw.jsonl", "--output", "out.txt", *flags).code == 1


@pytest.mark.parametrize(("output", "held_out"), [("out", "out/eval"), ("eval/out", "eval")])
def test_outputs_within_each_other(command: Command, output: str, held_out: str) -> None:
    Path("raw.jsonl").write_text(many(100))
    for flags in ([], ["--num-shards", 2]):
        both = ["--output", output, "--eval-fraction", 0.2, "--eval-output", held_out]
        assert command("prepare-text", "raw.jsonl", *both, *flags).code == 1
        assert [path.name for path in Path().iterdir()] == ["raw.jsonl"]


# Faults


def start(*flags: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "albert_fast", "prepare-text", *map(str, flags)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize(
    "flags", [["--output", "out/corpus.txt.gz"], ["--output", "out", "--num-shards", 3]], ids=["file", "folder"]
)
def test_a_killed_run_leaves_no_half_file(flags: list[object]) -> None:
    Path("raw.jsonl").write_text(many(10_000))
    flags = ["raw.jsonl", *flags, "--eval-fraction", 0.2, "--dedup-lines", "--dedup-memory", 1, "--language", "en"]

    def finals() -> dict[str, bytes]:
        found = [path for path in Path().rglob("*.txt*") if path.is_file() and ".config." not in path.name]
        # What is being written lies in hidden folders.
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
        for folder in (Path("out"), Path("eval-out")):
            shutil.rmtree(folder, ignore_errors=True)
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


def test_ctrl_c_leaves_nothing() -> None:
    Path("raw.jsonl").write_text(many(100_000))
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
