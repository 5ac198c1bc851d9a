"""JSON Lines as they are found: what Python's json takes is read; what is refused is named with a remedy that works."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from raw_text import prepared, refusal

if TYPE_CHECKING:
    from conftest import Command

GOOD = '{"text": "One is here."}\n'


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        ('{"text": "First value is here.", "text": "Second value is here."}', {}, "Second value is here."),
        ('{"text": "One.", "a": 1, "text": "Two.", "a": 2, "text": "Three."}', {}, "Three."),
        ('{"text": null, "text": "Two."}', {}, "Two."),
        ('{"te\\u0078t": "One.", "text": "Two."}', {}, "Two."),
        ('{"a": {"b": "One.", "b": "Two."}}', {"text_field": "a.b"}, "Two."),
        ('{"a": {"b": "One."}, "a": {"b": "Two."}}', {"text_field": "a.b"}, "Two."),
        ('{"a": 7, "a": {"b": "Two."}}', {"text_field": "a.b"}, "Two."),
        ('{"a.b": "One.", "a": {"b": "Two."}, "a.b": "Three."}', {"text_field": "a.b"}, "Three."),
        ('{"a": {"b.c": "One."}, "a.b": {"c": "Two."}, "a": {"b.c": "Three."}}', {"text_field": "a.b.c"}, "Three."),
    ],
)
def test_the_last_value_of_a_key_counts(row: str, options: dict[str, Any], expected: str) -> None:
    assert prepared(f"{row}\n", "rows.jsonl", **options)[0] == f"{expected}\n\n"


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ('{"text": "One.", "text": null}', {}),
        ('{"a": {"b": "One."}, "a": {"c": "Two."}}', {"text_field": "a.b"}),
        ('{"a": {"b": "One.", "b": 7}}', {"text_field": "a.b"}),
    ],
)
def test_a_last_value_that_is_no_text_counts_too(row: str, options: dict[str, Any]) -> None:
    assert refusal(f"{row}\n", "rows.jsonl", **options).startswith("rows.jsonl, line 1: ")
    text, result = prepared(
        f'{row}\n{{"text": "Two.", "a": {{"b": "Two."}}}}\n', "rows.jsonl", skip_bad=True, **options
    )
    assert (text, result["counts"]["bad_records"]) == ("Two.\n\n", 1)


@pytest.mark.parametrize(
    "row",
    [
        '{"text": "One is here.", "score": NaN}',
        '{"score": [Infinity, -Infinity , NaN], "text": "One is here."}',
        '{"a": {"score":NaN}, "text": "One is here.", "b": "NaN"}',
    ],
)
@pytest.mark.parametrize("before", ["", GOOD])
def test_numbers_that_only_python_writes(row: str, before: str) -> None:
    text, result = prepared(f"{before}{row}\n", "rows.jsonl", dedup_documents=False)
    assert text == "One is here.\n\n" * (1 + bool(before))
    assert result["counts"]["bad_records"] == 0


def test_such_a_number_is_no_text() -> None:
    for value in ("NaN", "-Infinity", "Infinity"):
        message = refusal(f'{GOOD}{{"text": {value}}}\n', "rows.jsonl")
        assert message.startswith('rows.jsonl, line 2: the field "text" is a number, not a string; ')
    assert '(fields: "a", "score")' in refusal(f'{GOOD}{{"score": NaN, "a": 1}}\n', "rows.jsonl")
    for bad in ("-NaN", "nan", "inf", "1NaN", "NaN1", "+Infinity"):
        assert "line 2: not a JSON object: " in refusal(f'{GOOD}{{"text": "Two.", "a": {bad}}}\n', "rows.jsonl")


def test_marks_before_an_object_are_passed_over() -> None:
    expected = "One.\n\nTwo.\n\n"
    one, two = '{"text": "One."}\n', '{"text": "Two."}\n'
    for rows in (f"\x1e{one}\x1e{two}", f"\ufeff{one}\ufeff{two}", f"\ufeff\ufeff{one}{two}", f"{one}\ufeff\x1e{two}"):
        text, result = prepared(rows, "rows")
        assert (text, result["formats"]) == (expected, {"jsonl": 1})


def test_lone_surrogates_are_an_error_or_replaced() -> None:
    rows = GOOD + '{"text": "Two \\ud83d are \\ud83d\\ude00 here \\udc00."}\n'
    message = refusal(rows, "rows.jsonl")
    assert message.startswith("rows.jsonl, line 2: not a JSON object: the lone surrogate \\ud83d at byte 15 is half a ")
    assert "--on-bad-utf8 replace" in message
    text, result = prepared(rows, "rows.jsonl", on_bad_utf8="replace")
    assert text == "One is here.\n\nTwo \ufffd are \U0001f600 here \ufffd.\n\n"
    assert result["counts"]["replaced"] == 2
    # Elsewhere they are no matter.
    assert prepared('{"a": "\\ud83d", "text": "One."}\n', "rows.jsonl")[0] == "One.\n\n"


REMEDIES = {
    "a comma after each": ('{"text": "One is here."},\n{"text": "Two is here."}\n', "a comma follows the object"),
    "a comma, CRLF": ('{"text": "One is here."} ,\r\n{"text": "Two is here."},\r\n', "a comma follows the object"),
    "repr": ("{'text': 'One is here.'}\n{'text': 'Two is here.', 'a': None}\n", "a Python dictionary on each line"),
    "repr with an apostrophe": (
        '{"text": "One is here.", \'a\': True}\n\n{"text": "Two is here."}\n',
        "single quotes, as Python's repr writes them, at byte 26",
    ),
    "repr with a name": ('{"text": "One is here.", "a": None}\n{"text": "Two is here."}\n', "None, as Python's repr"),
    "pprint": ("{'text': 'One is here.'\n ' Two is here.',\n 'a': 1}\n", "a Python dictionary over several lines"),
    "a list of repr": ("[{'text': 'One is here.'}, {'text': 'Two is here.'}]\n", "a Python list of dictionaries"),
    "bare tabs": ('{"text": "One\tis here. Two is here."}\n', "a bare control character within a string at byte 14"),
    "several lines": (
        '{\n "text": "One is here."\n}\n{\n "text": "Two is here."\n}\n',
        "this is JSON over several lines",
    ),
    "several lines, commas": (
        '{\n "text": "One is here."\n},\n{\n "text": "Two is here."\n},\n',
        "JSON over several lines, with commas between the objects",
    ),
    "several lines, NaN": (
        '{\n "text": "One is here. Two is here.", "a": NaN\n}\n',
        "JSON over several lines, with NaN",
    ),
    "record separators": (
        '\x1e{\n "text": "One is here."}\n\x1e{\n "text": "Two is here."}\n',
        "a JSON text sequence with objects over several lines",
    ),
    "one line": ('{"text": "One is here."}{"text": "Two is here."}\n', "JSON with several objects on one line"),
    "array": ('[{"text": "One is here."},\n{"text": "Two is here."}]\n', "this is a JSON array"),
    "array, NaN": ('[{"text": "One is here."}, {"text": "Two is here.", "a": NaN}]\n', "a JSON array with NaN"),
    "array of strings": ('["One is here.", "Two is here."]\n', "a JSON array of strings"),
    "array of arrays": ('[["One is here.", 1], ["Two is here.", 2]]\n', "a JSON array of arrays"),
    "lines of arrays": ('["One is here."]\n["Two is here."]\n', "JSON Lines of arrays"),
    "a line that is an array": ('{"text": "One is here."}\n["Two is here."]\n', "the line is an array"),
    "a line that is a string": ('{"text": "One is here."}\n"Two is here."\n', "the line is a string"),
}


@pytest.mark.parametrize("kind", REMEDIES)
def test_the_remedy_works_on_that_very_input(kind: str) -> None:
    rows, what = REMEDIES[kind]
    message = refusal(rows, "rows.jsonl")
    assert what in message
    found = re.search(r"[:;,] ((?:sed|python3|jq|\(echo) .* > NEW)", message)
    assert found, message
    line = found[1].replace("FILE", "rows.jsonl").replace("NEW", "new.jsonl").replace("python3", sys.executable)
    if "jq" in line and not shutil.which("jq"):
        pytest.skip("there is no jq")
    subprocess.run(["bash", "-c", line], check=True)
    text, result = prepared(Path("new.jsonl").read_bytes(), "new.jsonl")
    assert text.split() == ["One", "is", "here.", "Two", "is", "here."]
    assert result["formats"] == {"jsonl": 1}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ('{"text": "Two.",}', "a trailing comma at byte 16"),
        ('{text: "Two."}', "a name without quotation marks at byte 2"),
        ('{"text": "Two." // why\n', "a comment at byte 17"),
        ('{"text": "C:\\dir"}', "an invalid escape"),
        ('{"text": "Two', "the object does not end on its line"),
        ('{"text": "Two."} {"text": "Three."}', "another object begins on the same line at byte 18"),
        ("Two.", "the line begins with 'T', not with {"),
    ],
)
def test_other_faults_are_named_and_skipped(row: str, what: str) -> None:
    message = refusal(f"{GOOD}{row}\n", "rows.jsonl")
    assert message.startswith(f"rows.jsonl, line 2: not a JSON object: {what}")
    assert message.endswith("or pass --skip-bad to skip such lines")
    assert "jq -c . " not in message
    text, result = prepared(f"{GOOD}{row}\n", "rows.jsonl", skip_bad=True)
    assert (text, result["counts"]["bad_records"]) == ("One is here.\n\n", 1)


@pytest.mark.parametrize(
    "rows", ['[{"text": "One."},\n{"text": "Two."},\n]\n', '[{"text": "One."}', '[{"text": "One."} {"text": "Two."}]']
)
def test_broken_arrays_are_no_text(rows: str, command: Command) -> None:
    message = refusal(rows, "rows.json")
    assert "a JSON array" in message
    assert "jq -c" not in message
    assert command("prepare-text", "rows.json", "--output", "out.txt", "--format", "text").code == 0


@pytest.mark.parametrize(
    "text", ["{One is here.}\n", "[1] One is here.\n", '["One" is here.]\n', "{'tis here: one.}\n"]
)
def test_prose_in_brackets_is_text(text: str) -> None:
    found, result = prepared(text)
    assert (found, result["formats"]) == (f"{text}\n", {"text": 1})
