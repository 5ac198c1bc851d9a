"""What the tests of prepare-text share: the same documents in every format, and a reader of what is written."""

from __future__ import annotations

import bz2
import gzip
import html
import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from albert_fast import AlbertFastError, cli, prepare_text
from albert_fast.options import PrepareText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOCUMENTS = (
    (("Grey cats sleep all day.", "They hunt at night."),),
    (("The river rises in the north.", "It flows to the sea."), ("A bridge crosses it.",)),
    (("Bread is made of flour.", "It is baked for an hour."),),
)
"""Paragraphs of sentences; those of `golden/raw/rows.parquet`."""

ROWS = Path(__file__).parents[1] / "golden" / "raw" / "rows.parquet"

Texts: TypeAlias = "Sequence[Sequence[Sequence[str]]]"


def corpus(documents: Texts = DOCUMENTS) -> str:
    """What prepare-text should write."""
    return "".join("".join(f"{line}\n" for part in document for line in part) + "\n" for document in documents)


def paragraphs(document: Sequence[Sequence[str]]) -> list[str]:
    return [" ".join(part) for part in document]


def plain(document: Sequence[Sequence[str]]) -> str:
    """A text file whose lines are broken anywhere and whose paragraphs stand between blank lines."""
    return "\n\n".join(paragraph.replace(" in ", "\nin ") for paragraph in paragraphs(document)) + "\n"


def json_lines(documents: Texts = DOCUMENTS, field: str = "text") -> str:
    rows = ({"id": i, field: "\n".join(paragraphs(document))} for i, document in enumerate(documents))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def wikiextractor(documents: Texts = DOCUMENTS) -> str:
    """As `wikiextractor` writes it: the title is the first line of the text, &, < and > are escaped."""
    return "".join(
        f'<doc id="{i}" url="https://example.org/?curid={i}" title="Title {i}">\nTitle {i}\n\n'
        + "".join(f"{html.escape(text, quote=False)}\n" for text in paragraphs(document))
        + "\n</doc>\n"
        for i, document in enumerate(documents)
    )


HEADER = """\
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <namespaces>
      <namespace key="-2" case="first-letter">Media</namespace>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
      <namespace key="6" case="first-letter">File</namespace>
      <namespace key="14" case="first-letter">Category</namespace>
    </namespaces>
  </siteinfo>
"""
FOOTER = "</mediawiki>\n"

MARKUP = """\
{{{{Infobox|name={{{{PAGENAME}}}}|image=[[File:x.jpg|thumb|A [[caption]].]]}}}}
[[File:Photo.jpg|thumb|left|Not a [[sentence]] of the text.]]
{body}

== References ==
* [http://example.org A book]
{{| class="wikitable"
| cell || another
|}}
[[Category:Things]]
"""


def page(title: str, wikitext: str, *, namespace: int = 0, redirect: str = "") -> str:
    target = f'    <redirect title="{redirect}" />\n' if redirect else ""
    return f"""\
  <page>
    <title>{html.escape(title, quote=False)}</title>
    <ns>{namespace}</ns>
    <id>7</id>
{target}    <revision>
      <id>8</id>
      <model>wikitext</model>
      <format>text/x-wiki</format>
      <text bytes="{len(wikitext.encode())}" xml:space="preserve">{html.escape(wikitext, quote=False)}</text>
    </revision>
  </page>
"""


def pages(documents: Texts = DOCUMENTS) -> list[str]:
    """Articles full of markup, each followed by a redirect and a page of another namespace."""
    found = []
    for i, document in enumerate(documents):
        body = "\n\n".join(paragraphs(document))
        body = body.replace("river", "'''[[river (water)|river]]'''", 1).replace(".", ".<ref>{{cite|a}}</ref>", 1)
        found += [
            page(f"Title {i}", MARKUP.format(body=body)),
            page(f"Old title {i}", f"#REDIRECT [[Title {i}]]", redirect=f"Title {i}"),
            page(f"Talk:Title {i}", "This is no article. It is talk.", namespace=1),
        ]
    return found


def mediawiki(documents: Texts = DOCUMENTS) -> str:
    return HEADER + "".join(pages(documents)) + FOOTER


def multistream(documents: Texts = DOCUMENTS) -> bytes:
    """As Wikipedia's dumps are: a bzip2 stream for the header, one for every two pages, one for the end."""
    found = pages(documents)
    parts = ["".join(found[i : i + 2]) for i in range(0, len(found), 2)]
    return b"".join(bz2.compress(part.encode()) for part in [HEADER, *parts, FOOTER])


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
"""By suffix. Zstandard is not in the standard library: our own output is."""


def text_of(path: Path) -> str:
    """The text of a file, plain or gzip."""
    data = path.read_bytes()
    return (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode()


def split(text: str) -> list[str]:
    """The documents of a corpus."""
    assert text.endswith("\n\n")
    assert not text.startswith("\n")
    assert "\n\n\n" not in text
    return text.removesuffix("\n\n").split("\n\n")


def many(number: int, seed: int = 0) -> str:
    """JSON Lines of so many documents, no two alike, of 1 to 40 sentences each."""
    rows = []
    for i in range(number):
        size = 1 + (i * 7919 + seed) % 40
        lines = [f"Sentence {j} of document {i} says that {seed} is a number." for j in range(size)]
        rows.append(json.dumps({"text": "\n".join(" ".join(lines[j : j + 5]) for j in range(0, size, 5))}) + "\n")
    return "".join(rows)


def prepared(text: str | bytes, name: str = "raw.txt", **options: Any) -> tuple[str, dict[str, Any]]:
    """What becomes of one input in the working directory, and the result."""
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    output = options.pop("output", "out.txt")
    result = prepare_text(name, output, **{"language": "en", "overwrite": True, **options})
    return text_of(Path(output)), result


def refusal(text: str | bytes, name: str = "raw.txt", output: str = "out.txt", **options: Any) -> str:
    """The error that one input ends with, in the words of the command line; nothing may be left."""
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    before = sorted(Path().iterdir())
    with pytest.raises(AlbertFastError) as caught:
        prepare_text(name, output, **options)
    assert sorted(Path().iterdir()) == before
    message = str(caught.value)
    assert "\n" not in message
    assert "--" not in message.replace("jq --seq", ""), "the library names no flags"
    cli.flags.begin(PrepareText)
    return cli.flags.in_flags(message, caught.value.option)
