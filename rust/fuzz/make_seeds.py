"""Writes the seeds in formats of other programs. Run `python rust/fuzz/make_seeds.py` in the repository's root."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tempfile
from pathlib import Path
from typing import Any

import sentencepiece

SEEDS = Path(__file__).parent / "seeds"
ROOT = Path(__file__).parent.parent.parent

TEXT = (
    "The cat saw the dog. It ran (fast!) to 3.14 houses, e.g. the old one.\n"
    "Donau-\ndampfschiff.\n\nDas ist „gut“. 東京は大きい。次。\n"
)
DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">
  <siteinfo><sitename>Wikipedia</sitename><dbname>enwiki</dbname>
    <namespaces><namespace key="0" /><namespace key="6">File</namespace></namespaces></siteinfo>
  <page><title>Cats</title><ns>0</ns><id>1</id><revision><id>2</id><model>wikitext</model>
    <text xml:space="preserve">{{Infobox|a=b}}'''Cats''' are [[animal|animals]].&lt;ref&gt;x&lt;/ref&gt;
They run {{convert|5|km}}.</text>
  </revision></page>
</mediawiki>
"""
WIKITEXT = {
    "article": "{{Infobox\n| a = {{b|c}}\n}}\n'''Cats''' are [[animal|animals]]<ref name=x>y</ref>.{{snd}}They run "
    "{{convert|5|km|mi}}.\n\n== History ==\n* one\n* two is a sentence.\n{| class=x\n|-\n| cell || cell\n|}\n",
    "links": "[[File:a.jpg|thumb|A [[cat]]]] text [http://x.org name] [[a|b]]s "
    "<nowiki>[[c]]</nowiki> <!-- d -->&nbsp;e&#8211;f",
    "math": "Let <math>x</math> be -{zh-hans:a;zh-hant:b}- and <br/> <pre>p</pre>\n:;indent\n#REDIRECT [[x]]\n----\n",
}
JSON = (
    '{"text": "The cat saw it. The dog ran.", "n": 1}\n'
    '{"text": "Old \\u00e9\\ud83d\\ude00 house.\\nNew line.", "meta": {"a": [1, null]}}\n'
)
WIKIEXTRACTOR = '<doc id="1" url="https://x.org?curid=1" title="Cats">\nCats\n\nCats are animals. They run.\n\n</doc>\n'


def small_model(**options: object) -> bytes:
    """A SentencePiece model of about 90 pieces, as ALBERT's are."""
    sentences = [line for line in (ROOT / "tests/golden/corpus/part-a.txt").read_text().splitlines() if line][:400]
    model = io.BytesIO()
    # NFKC's own table takes 240 KB.
    rules = Path(tempfile.gettempdir()) / "rules.tsv"
    rules.write_text("FB01\t66 69\n201E\t22\n65 301\tE9\n2026\t2E 2E 2E\nA0\t20\n")
    settings: dict[str, Any] = {
        "normalization_rule_tsv": str(rules),
        "vocab_size": 90,
        "pad_id": 0,
        "unk_id": 1,
        "eos_id": -1,
        "bos_id": -1,
        "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
        "character_coverage": 0.98,
        "minloglevel": 2,
        "num_threads": 1,
        "hard_vocab_limit": False,
        "user_defined_symbols": ["(", ")", '"', "-", ".", "–"],
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, **{**settings, **options}
    )
    return model.getvalue()


def write(reader: str, name: str, data: bytes | str) -> None:
    """Writes the seed `name` of a reader."""
    path = SEEDS / reader / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def with_text(text: str, file: bytes) -> bytes:
    """Returns a text with its length before it, and a file."""
    return struct.pack("<H", len(text.encode())) + text.encode() + file


def main() -> None:
    """Writes all of them."""
    model = small_model()
    write(".", "small.model", model)
    for name, data in {
        "plain": TEXT.encode(),
        "gzip": gzip.compress(TEXT.encode(), mtime=0),
        "bzip2": bz2.compress(TEXT.encode()),
        "xz": lzma.compress(TEXT.encode()),
        "utf-16": TEXT.encode("utf-16"),
        "jsonl": JSON.encode(),
        "dump": DUMP.encode(),
        "page": DUMP[DUMP.index("<page>") :].encode(),
        "wikiextractor": WIKIEXTRACTOR.encode(),
        "csv": b'id,text\n1,"The cat, the ""dog"".\nIt ran."\n2,Old.\n',
        "tsv": b"id\ttext\n1\tThe cat.\n",
        "html": b"<!DOCTYPE html><html><body><p>Hello</p></body></html>",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12\n",
        "wet": b"WARC/1.0\r\nWARC-Type: conversion\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 9\r\n\r\nThe cat.\n\r\n\r\n",
        "parquet": (ROOT / "tests/golden/raw/rows.parquet").read_bytes(),
    }.items():
        write("prepare_auto", name, data)
    write("prepare_text", "plain", TEXT)
    write(
        "prepare_text",
        "hyphens",
        "Donau-\ndampf\u00ad\nschiff\r\n\r\n* \u2014 *\r\nwww.x.org/a?b=c&d!e \x00 \x0c \u200d\u202e.\n",
    )
    write("prepare_jsonl", "two", JSON)
    write(
        "prepare_jsonl",
        "odd",
        '{"text": 1}\n{"text": null}\n{"text": "a", "text": "b", "x": NaN}\n[1]\n{"text":"\\ud800"}\n',
    )
    write("prepare_mediawiki", "dump", DUMP)
    write("prepare_mediawiki", "bare", DUMP[DUMP.index("<page>") :])
    write("prepare_wikiextractor", "one", WIKIEXTRACTOR)
    write("prepare_wikiextractor", "line", '<doc title="a" id="1">Cats run.</doc>\n')
    write("prepare_parquet", "rows", (ROOT / "tests/golden/raw/rows.parquet").read_bytes())
    write("prepare_csv", "quoted", b'id,text\n1,"The cat, the ""dog"".\nIt ran."\n2,Old.\n')
    write("prepare_csv", "semicolons", b"sep=;\r\nid;text\r\n1;Der Hund.\r\n;\r\n")
    write("prepare_tsv", "plain", b"id\ttext\n1\tThe cat.\n2\t\n")
    write("prepare_arrow", "stream", (ROOT / "tests/golden/raw/rows.arrow").read_bytes())
    write("prepare_arrow", "file", (ROOT / "tests/golden/raw/rows-file.arrow").read_bytes())
    record = (
        b"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nThe cat.\n\r\n\r\n"
    )
    write("prepare_wet", "two", b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n" + record)
    write("prepare_wet", "one", record)
    for name, text in WIKITEXT.items():
        write("wikitext", name, text)
    line = "The Cat, saw 3,000 dogs – „naïve“ ﬁne\n\n東京"
    write("sentencepiece_model", "albert", with_text(line, model))
    write("sentencepiece_model", "suffix", with_text(line, small_model(treat_whitespace_as_suffix=True)))
    write("sentencepiece_model", "bytes", with_text(line, small_model(byte_fallback=True, vocab_size=350)))
    write(
        "sentencepiece_model",
        "identity",
        with_text(line, small_model(normalization_rule_tsv="", normalization_rule_name="identity")),
    )
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "a", "##a", "é", "3", ",", "東"]
    write("wordpiece_vocabulary", "small", with_text(line, "\n".join(entries).encode() + b"\n"))
    write("wordpiece_vocabulary", "odd", with_text(line, ("\ufeff" + "\r\n".join([*entries, "a", " ", ""])).encode()))
    write("encode", "plain", line)
    write("encode", "odd", "\u2581a  b\t\u3000c\u00a0<unk>[MASK] \ufffd \u0301e '' `` 1,2 ,3, \u1100\u1161\n\x00\x85")


if __name__ == "__main__":
    main()
