"""What prepare-text makes of files that are not plain text: read as what they are, or refused by name."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import raw_text
from raw_text import FOOTER, prepared, text_of

from albert_fast import AlbertFastError, prepare_text

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "raw"


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(text: str | bytes, name: str = "raw.txt", **options: Any) -> str:
    """The error that one input ends with, whatever was written before."""
    Path("out.txt").unlink(missing_ok=True)
    return raw_text.refusal(text, name, **options)


def page(title: str, text: str, ns: int = 0) -> str:
    return (
        f"  <page>\n    <title>{title}</title>\n    <ns>{ns}</ns>\n    <revision>\n"
        f'      <text xml:space="preserve">{text}</text>\n    </revision>\n  </page>\n'
    )


PAGES = page("A", "The first page has text.") + page("B", "The last page has text.")
PAGES_TEXT = "The first page has text.\n\nThe last page has text.\n\n"


def test_one_stream_of_a_dump() -> None:
    for text in (PAGES, PAGES + FOOTER, f"<!-- cut out -->\n{PAGES}"):
        corpus, result = prepared(text, "stream.xml")
        assert corpus == PAGES_TEXT
        assert result["formats"] == {"mediawiki": 1}
    corpus, result = prepared(page("Talk", "Talk.", 1) + PAGES)
    assert (corpus, result["counts"]["other_pages"]) == (PAGES_TEXT, 1)
    assert "truncated" in refusal(PAGES[:-20])


@pytest.mark.parametrize("between", ["<!-- filtered -->", "<?note x?>", "<!-- <page><title>C</title></page> -->"])
def test_comments_between_the_pages_of_a_dump(between: str) -> None:
    whole = raw_text.mediawiki()
    expected = prepared(whole)[0]
    for mark in ("  <page>", "<mediawiki", "</mediawiki>", "<siteinfo>"):
        assert prepared(whole.replace(mark, between + mark))[0] == expected
    assert prepared(whole + between)[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '<doc id="1" url="u" title="Grey cats" language="en" revision="77">\nGrey cats\n\nThey sleep.\n</doc>\n',
            "They sleep.\n\n",
        ),
        ("<doc title='A &amp; B' id='1'>\nA &amp; B\n\nThey sleep.\n</doc>\n", "They sleep.\n\n"),
        ('<doc id="1" url="u" title="Cats">Grey cats sleep. They hunt.</doc>', "Grey cats sleep.\nThey hunt.\n\n"),
        (
            '<doc id="1" title="A">One is.</doc>\n<doc id="2" title="B">Two is.\nThree is.</doc>\n',
            "One is.\n\nTwo is.\nThree is.\n\n",
        ),
    ],
)
def test_headers_of_wikiextractor(text: str, expected: str) -> None:
    corpus, result = prepared(text, "wiki_00")
    assert (corpus, result["formats"]) == (expected, {"wikiextractor": 1})


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(("name", "fields"), [("rows.arrow", ["text"]), ("rows-file.arrow", ["text", "view"])])
def test_arrow(name: str, fields: list[str], compress: Callable[[bytes], bytes]) -> None:
    data = compress((GOLDEN / name).read_bytes())
    for field in fields:
        corpus, result = prepared(data, text_field=field)
        assert (corpus, result["formats"]) == (raw_text.corpus(), {"arrow": 1})
        assert prepared(data, text_field=field, num_threads=1)[0] == prepared(data, text_field=field, num_threads=3)[0]
    assert "truncated" in refusal((GOLDEN / name).read_bytes()[:-700])


def test_columns_that_are_no_text() -> None:
    message = refusal((GOLDEN / "list.parquet").read_bytes(), "list.parquet")
    assert message.startswith('list.parquet: the column "text" is a list, not text; pass --text-field NAME')
    message = refusal((GOLDEN / "rows-file.arrow").read_bytes(), "rows.arrow", text_field="tags")
    assert message.startswith('rows.arrow: the column "tags" is a list, not text')
    message = refusal((GOLDEN / "rows.arrow").read_bytes(), text_field="body")
    assert 'no column "body" (columns: "id" (int64), "text" (text))' in message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables(delimiter: str) -> None:
    rows = [("id", "text"), ("1", f'"One is{delimiter} ""here"".\r\nTwo is."'), ("2", "Three is here.")]
    text = "".join(delimiter.join(row) + "\r\n" for row in rows)
    corpus, result = prepared(text, "raw.csv")
    assert corpus == f'One is{delimiter} "here".\nTwo is.\n\nThree is here.\n\n'.replace("\t ", " ")
    kind = "tsv" if delimiter == "\t" else "csv"
    assert result["formats"] == {kind: 1}
    assert prepared(text, format=kind)[0] == corpus
    assert prepared("\ufeff" + text)[0] == corpus
    assert prepared(text.split("\n", 1)[1], format=kind, text_field="2")[0] == corpus
    assert '(columns: "id", "text"); pass --text-field' in refusal(text, text_field="body")
    broken = text + delimiter.join("3ab") + "\n" + delimiter.join("4c") + "\n"
    assert refusal(broken).startswith("raw.txt, line 5: the row must have 2 fields, as the first row has, got 3")
    assert prepared(broken, skip_bad=True, sentences=False)[1]["counts"]["bad_records"] == 1


def test_what_only_looks_like_a_table_names_the_way_around() -> None:
    text = "apple,banana,cherry\n" + "pear,fig,plum\n" * 6
    message = refusal(text)
    assert message.endswith("; if this is not a table, pass --format text")
    assert prepared(text, format="text")[0].startswith("apple,banana,cherry pear,fig,plum")
    # Text with commas and without quotes makes no table of it, and no text either.
    message = refusal("id,text\n1,Hello, world is here.\n2,Three, four, five.\n")
    assert message.startswith("raw.txt, line 2: the row must have 2 fields, as the first row has, got 3")
    assert message.endswith("; if this is not a table, pass --format text")


def test_many_rows() -> None:
    text = "id,text\n" + "".join(f'{i},"Row {i} is here,\nand is a text."\n' for i in range(60_000))
    one, result = prepared(text, num_threads=1, paragraphs="blank-line")
    assert result["documents"] == 60_000
    assert prepared(text, num_threads=3, paragraphs="blank-line")[0] == one
    assert one.startswith("Row 0 is here, and is a text.\n\n")
    message = refusal(text.replace('59,"', '59,""x"'))
    assert "raw.txt, line " in message


def test_a_quote_that_is_not_closed() -> None:
    text = "id,text\n1,One is here.\n" + '2,"Two is here.\n' + "3,Three is here.\n"
    assert refusal(text).startswith("raw.txt, line 3: the quote that opens a field here must be closed")
    corpus, result = prepared(text, skip_bad=True)
    assert (corpus, result["counts"]["bad_records"]) == ("One is here.\n\nThree is here.\n\n", 1)


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world\nGood, evil\nUp, down\n",
        "One, two and three.\nFour, five.\n",
        "1,234\n5,678\n",
        "Text\n",
        "Dear reader,\nthis is a letter, and it is long,\nas letters are.\n",
    ],
)
def test_prose_with_commas_is_text(text: str) -> None:
    assert prepared(text)[1]["formats"] == {"text": 1}


def test_web_archives() -> None:
    def record(kind: str, body: str) -> str:
        size = len(body.encode())
        return f"WARC/1.0\r\nWARC-Type: {kind}\r\nContent-Length: {size}\r\n\r\n{body}\r\n\r\n"

    parts = [
        record("warcinfo", "a: b\r\n"),
        record("conversion", "Öne is here.\n"),
        record("conversion", "Two is here."),
    ]
    for data in ("".join(parts).encode(), b"".join(gzip.compress(part.encode()) for part in parts)):
        corpus, result = prepared(data)
        assert (corpus, result["formats"]) == ("Öne is here.\n\nTwo is here.\n\n", {"wet": 1})
        assert result["counts"]["other_records"] == 0
    others = record("metadata", "x") + parts[1].replace("Content-L", "Content-Type: text/html\r\nContent-L")
    assert prepared("".join(parts) + others)[1]["counts"]["other_records"] == 2
    response = record("response", "HTTP/1.1 200 OK\r\n\r\n<html>One is here.</html>")
    assert "a server's response, not text; extract the text first" in refusal(parts[0] + response)
    assert prepared(parts[0] + response + parts[1], skip_bad=True)[0] == "Öne is here.\n\n"


@pytest.mark.parametrize("length", [3, 60, 10**9])
def test_a_wrong_length_costs_one_record(length: int) -> None:
    def record(body: str, size: int | None = None, kind: str = "conversion") -> str:
        return f"WARC/1.0\r\nWARC-Type: {kind}\r\nContent-Length: {size or len(body)}\r\n\r\n{body}\r\n\r\n"

    text = record("One is here.") + record("Two is here today.", length) + record("Three is here.")
    message = refusal(text)
    assert f"must lead to the next record, got {length}; " in message
    assert "byte 71: " in message
    assert "--skip-bad" in message
    corpus, result = prepared(text, skip_bad=True)
    assert (corpus, result["counts"]["bad_records"]) == ("One is here.\n\nThree is here.\n\n", 1)
    other = record("{}", kind="metadata") * 5 + record("GET", kind="request")
    assert "6 WARC records of other types (metadata 5, request 1); use the WET files" in refusal(other)


def test_quotes_that_quote_nothing_in_tab_separated_values() -> None:
    rows = [f"{i}\tText number {i} is here." for i in range(1, 401)]
    rows[9], rows[299] = '10\t"Quoted start without an end', '300\tText 300 with "inner" marks'
    corpus, result = prepared("id\ttext\n" + "\n".join(rows) + "\n", "lit.tsv", dedup_documents=False)
    assert result["documents"] == 400
    assert '"Quoted start without an end\n' in corpus


def test_a_stray_quote_costs_one_row() -> None:
    rows = [f"{i},Text number {i} is here.,web" for i in range(1, 4001)]
    rows[9], rows[2499] = '10,"An inch sign here: 5,web', '2500,"Text, and a comma.",web'
    text = "id,text,source\n" + "\n".join(rows) + "\n"
    assert refusal(text).startswith("raw.txt, line 11: the quote that closes the field must be followed by ','")
    result = prepared(text, skip_bad=True)[1]
    assert (result["documents"], result["counts"]["bad_records"]) == (3999, 1)


def test_a_name_of_a_table_without_a_header_is_refused() -> None:
    message = refusal("1\tOne.\n2\tTwo.\n", "a.tsv")
    assert "its name is that of a table, but no header was found; pass --format tsv" in message
    assert prepared("text\nOne is here.\n", "a.csv")[0] == "One is here.\n\n"
    assert "raw.txt: --text-field has no effect on plain text" in refusal("1,One.\n", text_field="2")


def office() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<document/>")
    return file.getvalue()


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 147000000\n"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (POINTER.format("ab" * 32), "a Git LFS pointer, not the data; fetch the data with git lfs pull"),
        ("/annex/objects/SHA256E-s1--ab\n", "a git-annex pointer, not the data; fetch the data with git annex get"),
        (
            "<feed>\n<doc>\n<title>A</title>\n<abstract>One is.</abstract>\n</doc>\n</feed>\n",
            "XML other than a MediaWiki dump",
        ),
        (
            '<TEI xmlns="http://www.tei-c.org/ns/1.0"><text>One is here.</text></TEI>\n',
            "XML other than a MediaWiki dump",
        ),
        ("<div>\n<p>One is here.</p>\n</div>\n", "HTML; extract its text first"),
        (b"SQLite format 3\0" + bytes(84), "a SQLite database; "),
        (b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00", "a Python pickle; "),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<i8'}", "a NumPy array; "),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "an image; "),
        (b"7z\xbc\xaf'\x1c\0\x04", "a 7z archive; unpack it first"),
        ("A text without a mark.\n".encode("utf-16-le"), "UTF-16 text without a byte-order mark; convert it first"),
        ("A text without a mark.\n".encode("utf-32-be"), "UTF-32 text without a byte-order mark; convert it first"),
    ],
)
def test_what_is_refused_by_name(data: str | bytes, what: str) -> None:
    message = refusal(data, "raw")
    assert message.startswith(f"raw: this is {what}")
    assert refusal(gzip.compress(data if isinstance(data, bytes) else data.encode()), "raw") == message
    # What may be wrong about text names the way around itself.
    if isinstance(data, str):
        assert message.endswith("or pass --format text to read it as it is")
        assert prepared(data, format="text")[0]


def test_pointers_in_a_directory() -> None:
    Path("data").mkdir()
    for i in range(2):
        Path(f"data/train-{i}.parquet").write_text(POINTER.format("cd" * 32))
    with pytest.raises(AlbertFastError, match=r"^data/train-0\.parquet: this is a Git LFS pointer"):
        prepare_text("data", "out.txt", text_field="text")


def bad_line(text: str) -> str:
    return f'{{"text": "One {text} is here."}}\n'


@pytest.mark.parametrize("before", [0, 1, 9000])
@pytest.mark.parametrize("options", [{}, {"format": "jsonl"}])
def test_a_bad_record_counts_as_one_wherever_it_stands(before: int, options: dict[str, Any]) -> None:
    lines = [f'{{"text": "Line {i} is ok."}}\n' for i in range(before)]
    text = "".join(lines) + bad_line("\0") + '{"text": "Two is here."}\n'
    corpus, result = prepared(text, skip_bad=True, **options)
    assert (result["counts"]["bad_records"], result["documents"]) == (1, before + 1)
    assert corpus.endswith("Two is here.\n\n")
    assert refusal(text, **options).startswith(f"raw.txt, line {before + 1}: not a JSON object")


@pytest.mark.parametrize("before", [0, 100_000])
@pytest.mark.parametrize("options", [{}, {"format": "text"}])
def test_a_nul_byte_in_text_counts_as_a_character_wherever_it_stands(before: int, options: dict[str, Any]) -> None:
    text = "One is here.\n" * (before // 13) + "Two \0is here.\n"
    corpus, result = prepared(text, sentences=False, paragraphs="line", **options)
    assert corpus.endswith("Two is here.\n\n")
    assert result["counts"]["repaired_characters"] == 1


def test_files_about_the_data_are_skipped_and_named() -> None:
    directory = Path("wiki")
    directory.mkdir()
    for name in ("README.md", "dataset_infos.json", "LICENSE", "0.jsonl.crc"):
        (directory / name).write_text("About the data.\n")
    (directory / "0.jsonl").write_text(raw_text.json_lines())
    result = prepare_text("wiki", "out.txt", language="en")
    assert text_of(Path("out.txt")) == raw_text.corpus()
    assert result["inputs"] == 1
    (note,) = result["notes"]
    assert note.startswith("skipped files about the data: wiki/0.jsonl.crc, wiki/LICENSE, wiki/README.md, wiki/dataset")
    # A file that is named is read.
    result = prepare_text(["wiki/README.md", "wiki/0.jsonl"], "out.txt", language="en", overwrite=True)
    assert (result["inputs"], result["notes"]) == (2, [])


def test_texts_that_are_called_like_files_about_data() -> None:
    for name in ("a", "b"):
        Path("docs", name).mkdir(parents=True)
        Path("docs", name, "README.md").write_text(f"The text of {name} is here.\n")
    result = prepare_text("docs", "out.txt", language="en")
    assert (result["documents"], result["notes"]) == (2, [])


@pytest.mark.parametrize("text", ["< a", "<p", "{a", "a", "a,b", "a\tb\n", "<docs>", "PAR"])
def test_the_shortest_texts(text: str) -> None:
    assert prepared(text, format="auto", sentences=False)[1]["formats"] == {"text": 1}


@pytest.mark.parametrize("text", ["PAR1", "WARC/", "<mediawiki", "ARROW1\0\0", '<doc id="1">', "\xff\xff\xff\xff"])
def test_the_shortest_files_cut_short(text: str) -> None:
    assert refusal(text.encode("latin-1"), "raw").startswith("raw")


def test_office_documents() -> None:
    message = refusal(office(), "raw.docx")
    assert message.startswith("raw.docx: this is an Office document (.docx, .xlsx or .pptx); save it as text first")
    assert refusal(gzip.compress(office()), "raw.docx") == message


def test_columns_without_a_header_are_refused_and_read_by_number() -> None:
    text = "".join(f"{i}\tSentence number {i} is here.\n" for i in range(1, 13))
    message = refusal(text, "news-sentences.txt")
    assert "a table of tab-separated values without a header" in message
    assert "--format tsv --text-field N" in message
    corpus, result = prepared(text, "news-sentences.txt", format="tsv", text_field="2")
    assert corpus.split("\n\n")[:2] == ["Sentence number 1 is here.", "Sentence number 2 is here."]
    assert result["formats"] == {"tsv": 1}
    corpus, _ = prepared(text, "news-sentences.txt", format="text")
    assert "Sentence number 12 is here." in corpus
