"""prepare-text on MediaWiki dumps: what becomes of templates, and of the sentences that they are removed from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from raw_text import FOOTER, HEADER, page, text_of

from albert_fast import prepare_text

if TYPE_CHECKING:
    from conftest import Command


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


TEMPLATES = {"en": "Template", "de": "Vorlage", "fr": "Modèle", "ru": "Шаблон", "nl": "Sjabloon"}


def dump(*articles: str, language: str = "en") -> str:
    """A dump in this language of pages with these texts."""
    header = HEADER.replace('xml:lang="en"', f'xml:lang="{language}"')
    templates = f'<namespace key="10" case="first-letter">{TEMPLATES[language]}</namespace>'
    header = header.replace('      <namespace key="14"', f'      {templates}\n      <namespace key="14"')
    return header + "".join(page(f"Page {i}", text) for i, text in enumerate(articles)) + FOOTER


def sentences(*articles: str, language: str = "en", **options: Any) -> tuple[list[str], dict[str, Any]]:
    """The lines that come of these pages, and the counts."""
    Path("dump.xml").write_text(dump(*articles, language=language))
    result = prepare_text("dump.xml", "out.txt", overwrite=True, **options)
    return [line for line in text_of(Path("out.txt")).split("\n") if line], result["counts"]


def test_templates_that_stand_for_a_dash_or_a_space(command: Command) -> None:
    text = (
        "'''Ada Brook''' (11 August 1848{{snd}}27 June 1934) was a painter. The town{{snd}}a port{{snd}}is small. "
        "It is 5{{nbsp}}km away."
    )
    Path("dump.xml").write_text(dump(text))
    result = command("prepare-text", "dump.xml", "--output", "out.txt")
    assert result.code == 0, result.err
    assert Path("out.txt").read_text() == (
        "Ada Brook (11 August 1848 – 27 June 1934) was a painter.\nThe town – a port – is small.\nIt is 5 km away.\n\n"
    )
    assert "missing" not in result.err


@pytest.mark.parametrize(
    ("language", "text", "lines"),
    [
        (
            "de",
            (
                "Der Ort{{--}}ein Hafen{{--}}ist klein. Er hat 5{{0}}km {{nnbsp}}Küste{{Belege fehlen}}. "
                "Der Berg ist {{Höhe|1234|DE-NN}} hoch ({{enS|mountain}})."
            ),
            [
                "Der Ort – ein Hafen – ist klein.",
                "Er hat 5 km Küste.",
                "Der Berg ist 1234 m hoch (mountain).",
            ],
        ),
        (
            "fr",
            (
                "La ville date du {{s|XIII|e}}. Elle est à {{unité|5|km}} de la mer{{référence souhaitée}}, "
                "l{{'}}eau est {{citation|froide}}."
            ),
            ["La ville date du XIIIe siècle.", "Elle est à 5 km de la mer, l'eau est « froide »."],
        ),
        (
            "ru",
            "Город{{тире}}порт. Он стоит в {{nobr|5 км}} от моря{{нет АИ|2|3}}. Рядом есть {{нп5|Лес||en|Wood}}.",
            ["Город — порт.", "Он стоит в 5 км от моря.", "Рядом есть Лес."],
        ),
        (
            "nl",
            "De stad is van de 19{{e}} eeuw. Zij ligt {{Sjabloon:Nowrap|5 km}} verder{{snd}}daar is zee.",
            ["De stad is van de 19e eeuw.", "Zij ligt 5 km verder – daar is zee."],
        ),
    ],
)
def test_templates_of_other_languages(language: str, text: str, lines: list[str]) -> None:
    found, counts = sentences(text, language=language)
    assert found == lines
    assert counts["incomplete_sentences"] == 0


def test_numbers_units_and_names() -> None:
    text = (
        "The {{USS|Enterprise|CV-6}} sailed {{convert|5|to|10|km|mi|abbr=on}} with {{formatnum:2217}} men. "
        "They said {{lang|fr|merci}} and {{lang-de|danke}}, {{nowrap|over {{frac|1|2}} of them}}."
    )
    assert sentences(text)[0] == [
        "The USS Enterprise (CV-6) sailed 5 to 10 km with 2217 men.",
        "They said merci and danke, over 1/2 of them.",
    ]


def test_what_is_removed_between_words_leaves_a_space() -> None:
    text = (
        "The town{{unknown|x}}is small, the sea{{citation needed}}is near<ref>A book</ref>and cold{{unknown}}. "
        "A fire<!-- of 1901 -->place is<nowiki/>land."
    )
    lines, counts = sentences(text)
    assert lines == ["The town is small, the sea is near and cold.", "A fireplace island."]
    assert counts["incomplete_sentences"] == 1
    assert sentences("这座城{{unknown}}市很小。我们<ref>x</ref>去。")[0] == ["这座城市很小。", "我们去。"]


INCOMPLETE = (
    "The town has {{population of|x}} people. It is old.{{sfn|A|2012}} The length is <math>l</math> here. "
    "It was built{{when|date=May 2012}} by them ({{unknown}}).\n\n{{Infobox\n| a = b\n}}\nIt stands."
)
COMPLETE = ["It is old.", "It was built by them.", "It stands."]


def test_incomplete_sentences_are_counted_and_dropped(command: Command) -> None:
    lines, counts = sentences(INCOMPLETE)
    assert lines == ["The town has people.", COMPLETE[0], "The length is here.", *COMPLETE[1:]]
    assert counts["incomplete_sentences"] == 2
    lines, counts = sentences(INCOMPLETE, drop_incomplete_sentences=True)
    assert (lines, counts["incomplete_sentences"]) == (COMPLETE, 2)

    dropping = ["dump.xml", "--output", "c.txt", "--drop-incomplete-sentences"]
    result = command("prepare-text", *dropping)
    assert result.code == 0, result.err
    what = "found 2 sentences from which a template or formula is missing"
    assert f"{what} (--drop-incomplete-sentences)\n" in result.err
    assert Path("c.txt").read_text() == "\n".join(COMPLETE) + "\n\n"
    assert json.loads(Path("c.txt.prepare-text.summary.json").read_text())["counts"]["incomplete_sentences"] == 2
    config = "c.txt.prepare-text.config.json"
    assert command("prepare-text", "--config", config, "--output", "d.txt").code == 0
    assert Path("d.txt").read_text() == Path("c.txt").read_text()
    result = command(
        "prepare-text", "dump.xml", "--output", "e.txt", "--config", config, "--no-drop-incomplete-sentences"
    )
    assert f"{what} (--no-drop-incomplete-sentences)\n" in result.err
    assert Path("e.txt").read_text().count("\n") == 6
    result = command("prepare-text", *dropping, "--dry-run")
    assert "| The town has people.\n" in result.err


@pytest.mark.parametrize("options", [{"paragraphs": "blank-line"}, {"repair": False}, {"max_sentence_bytes": 64}])
def test_incomplete_sentences_are_found_however_text_is_read(options: dict[str, Any]) -> None:
    # What repair removes before them moves the places of the holes.
    text = f"A\u200b \xa0 B\u3000 C{{{{nbsp}}}} d\u200e.\n\n{INCOMPLETE}"
    lines, counts = sentences(text, drop_incomplete_sentences=True, **options)
    assert lines[-3:] == COMPLETE
    assert counts["incomplete_sentences"] == 2
    assert not any("people" in line or "length" in line for line in lines)


def test_without_sentences_whole_paragraphs_are_dropped() -> None:
    lines, counts = sentences(INCOMPLETE, sentences=False, drop_incomplete_sentences=True)
    assert (lines, counts["incomplete_sentences"]) == (["It stands."], 1)


def test_documents_of_incomplete_sentences_only() -> None:
    lines, counts = sentences(
        "It has {{x}} people.", "It is whole.", drop_incomplete_sentences=True, min_document_sentences=1
    )
    assert lines == ["It is whole."]
    assert (counts["incomplete_sentences"], counts["empty_documents"]) == (1, 1)


def test_marks_in_the_text_are_no_holes() -> None:
    # Noncharacters, private use and control characters of the input mean nothing.
    text = "It has \ufdd0 and \ue000 and \uf8ff and &#1; and &#xFFFE; signs."
    lines, counts = sentences(text, drop_incomplete_sentences=True)
    assert len(lines) == 1
    assert counts["incomplete_sentences"] == 0


def test_dropping_them_from_other_inputs_is_warned_of(command: Command) -> None:
    Path("a.txt").write_text("It is {{x}} here.\n")
    result = command("prepare-text", "a.txt", "--output", "out.txt", "--drop-incomplete-sentences")
    assert result.code == 0, result.err
    assert "--drop-incomplete-sentences has no effect: it applies only to MediaWiki dumps" in result.err
    assert Path("out.txt").read_text() == "It is {{x}} here.\n\n"


def test_the_same_for_any_number_of_threads() -> None:
    articles = [
        f"Town {i}{{{{snd}}}}a port{{{{x|{i}}}}}has {{{{formatnum:{i}}}}} ships. " * (1 + i % 7) for i in range(400)
    ]
    Path("dump.xml").write_text(dump(*articles))
    found = []
    for threads in (1, 3):
        result = prepare_text("dump.xml", f"{threads}.txt", num_threads=threads, drop_incomplete_sentences=threads > 9)
        found.append((Path(f"{threads}.txt").read_bytes(), result["counts"]))
    assert found[0] == found[1]
    assert found[0][1]["incomplete_sentences"] == sum(1 + i % 7 for i in range(400))
    assert "Town 5 – a port has 5 ships.\n" in found[0][0].decode()
