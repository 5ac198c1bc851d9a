"""train-tokenizer: symbols that could never occur, and lines that SentencePiece drops."""

import re
from pathlib import Path

import pytest
from conftest import Command

from albert_fast import AlbertFastError, Tokenizer
from albert_fast.options import TokenizerTrainingOptions
from albert_fast.options.tokenizers import USER_DEFINED_SYMBOLS
from albert_fast.tokenizers.training import check_symbols

WORDS = [
    "apple tree by the river",
    "the miller grinds his corn",
    "a quiet question for zoe",
    "twelve boxers jump vividly",
]


def symbols(*given: str, lower_case: bool = True, keep_accents: bool = False) -> None:
    check_symbols(
        TokenizerTrainingOptions(
            vocab_size=60, user_defined_symbols=given, do_lower_case=lower_case, keep_accents=keep_accents
        )
    )


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        ("Foo", "'Foo' never matches: the text rules turn it into 'foo'; pass foo or do_lower_case=False"),
        ("BRCA1", "pass brca1 or do_lower_case=False"),
        ("é", "'é' never matches: the text rules turn it into 'e'; pass e or keep_accents=True"),
        ("Ä", "the text rules turn it into 'a'; pass a or do_lower_case=False and keep_accents=True"),
        ("ﬁ", "turn it into 'fi'; pass fi or keep_accents=True"),
        ("\u037e", "turn it into ';' (U+037E into U+003B); pass ';' (U+003B) or keep_accents=True"),
        ("\uf900", "(U+F900 into U+8C48); pass '\u8c48' (U+8C48) or keep_accents=True"),
        ("가\u0301", "turn it into '가'; pass '가' or keep_accents=True"),
        ("①", "turn it into '1'; pass 1 or keep_accents=True"),
        ("½", "it into '1⁄2'"),
        ("\u0301", "'́' never matches: the text rules remove it; pass keep_accents=True"),
        (
            "new york",
            "'new york' never matches: SentencePiece, which writes a space as ▁, turns it into 'new▁york'; pass",
        ),
        ("New York", "it into 'new▁york'"),
        ("a\u00a0b", "it into 'a▁b'"),
        ("new▁▁york", "it into 'new▁york'"),
        ("▁Foo", "it into '▁foo'"),
        (" ", "removes it; drop it"),
        ("\u3000", "removes it"),
        ("a\tb", r"without control characters, got 'a\tb', which has a control character (a tab)"),
        ("a\nb", "(a line end)"),
        ("\0", "(a NUL)"),
        ("\x1b[0m", "(U+001B)"),
        ("\x85", "(U+0085)"),
        ("\udcff", "invalid UTF-8"),
        ("", "must be one line of text each"),
        ("10,", "'10,' never matches: the text rules separate the comma from a number; pass 10"),
        ("a1,", "'a1,' never matches"),
        ("<pad>", "is already a special token"),
    ],
)
def test_a_symbol_that_never_occurs_is_refused(symbol: str, message: str) -> None:
    with pytest.raises(AlbertFastError, match=re.escape(message)):
        symbols(symbol)


@pytest.mark.parametrize(
    ("symbol", "rules"),
    [
        ("Foo", {"lower_case": False}),
        ("é", {"keep_accents": True}),
        ("Ä", {"lower_case": False, "keep_accents": True}),
        ("ﬁ", {"keep_accents": True}),
        ("foo", {}),
        ("각", {}),
        ("\u1100\u1161\u11a8", {}),
        ("▁각", {}),
        ("각▁나", {}),
        ("각", {"keep_accents": True}),
        ("ß", {}),
        ("new▁york", {}),
        ("▁foo", {}),
        ("foo▁", {}),
        ("a,b", {}),
        ('"', {}),
        ("…", {"keep_accents": True}),
        ("日本", {}),
        ("<s>", {}),
    ],
)
def test_a_symbol_that_may_occur_is_matched(symbol: str, rules: dict[str, bool], command: Command) -> None:
    """What passes the check is a piece of its own in a text that holds it."""
    symbols(symbol, **rules)
    text = symbol.replace("▁", " ")
    Path("text.txt").write_text("\n".join(f"{line} {text} it" for line in WORDS * 20) + "\n")
    flags = [f"--{'' if rules.get('lower_case', True) else 'no-'}do-lower-case"]
    flags += ["--keep-accents"] * rules.get("keep_accents", False)
    made = command(
        "train-tokenizer",
        "text.txt",
        "--output-dir",
        "tok",
        "--vocab-size",
        40,
        "--user-defined-symbols",
        symbol,
        *flags,
    )
    assert made.code == 0, made.err
    tokenizer = Tokenizer.from_file(
        "tok/spiece.model",
        lower_case=rules.get("lower_case", True),
        keep_accents=rules.get("keep_accents", False),
    )
    assert tokenizer.piece_to_id(symbol) == 5
    assert 5 in tokenizer.encode(f"so {text} it")


@pytest.mark.parametrize(
    ("characters", "rules", "message"),
    [
        (
            "aäb",
            {},
            "`required_chars`: 'ä' never matches: the text rules turn it into 'a'; pass a or keep_accents=True",
        ),
        ("Ä", {"keep_accents": True}, "turn it into 'ä'; pass 'ä' or do_lower_case=False"),
        ("a b", {}, "required_chars must be characters other than spaces, control characters and ▅ (U+2585)"),
        ("▅", {}, "got '▅'; remove it"),
        ("\0", {}, "got '\\x00'; remove it"),
    ],
)
def test_a_required_character_that_never_occurs_is_refused(
    characters: str, rules: dict[str, bool], message: str
) -> None:
    with pytest.raises(AlbertFastError, match=re.escape(message)) as caught:
        check_symbols(TokenizerTrainingOptions(required_chars=characters, **rules))  # type: ignore[arg-type]
    assert caught.value.option == "required_chars"
    check_symbols(TokenizerTrainingOptions(required_chars="äÄ§", do_lower_case=False, keep_accents=True))


def test_the_default_symbols_occur_under_all_rules() -> None:
    for lower_case in (True, False):
        for keep_accents in (True, False):
            symbols(*USER_DEFINED_SYMBOLS, lower_case=lower_case, keep_accents=keep_accents)


@pytest.mark.parametrize(("symbol", "instead"), [("Foo", "foo"), ("Größe", "große")])
def test_the_command_refuses_before_it_trains(symbol: str, instead: str, command: Command) -> None:
    Path("text.txt").write_text("\n".join(WORDS) + "\n")
    words = ["train-tokenizer", "text.txt", "--output-dir", "tok", "--vocab-size", 40]
    refused = command(*words, "--user-defined-symbols", symbol)
    assert refused.code == 2
    assert f"turn it into '{instead}'" in refused.error
    assert not Path("tok").exists()
    assert command(*words, "--user-defined-symbols", instead).code == 0


# --- dropped lines ---------------------------------------------------------------------------------------------------


def train(command: Command, lines: list[str], *flags: object) -> str:
    Path("text.txt").write_text("\n".join(lines) + "\n")
    done = command("train-tokenizer", "text.txt", "--output-dir", "tok", "--no-user-defined-symbols", *flags)
    assert done.code == 0, done.err
    return done.err


@pytest.mark.parametrize("extra", ["quiz ▅ box", "▅", "quiz▅"])
def test_lines_with_the_reserved_character_are_counted(extra: str, command: Command) -> None:
    said = train(command, [*WORDS * 10, *[extra] * 7], "--vocab-size", 40)
    assert "warning: dropped 7 lines with U+2585 (▅), which SentencePiece reserves" in said
    assert "40 pieces, trained on 40 of 47 lines" in said


@pytest.mark.parametrize("extra", ["\u200b", "\u200b \ufeff", "\x01\x02", "▁ ▁"])
def test_lines_of_removed_characters_are_counted(extra: str, command: Command) -> None:
    said = train(command, [*WORDS * 10, *[extra] * 3], "--vocab-size", 40)
    assert "dropped 3 lines with only characters that SentencePiece removes" in said


def test_every_reason_is_counted_by_itself(command: Command) -> None:
    lines = [*WORDS * 10, "x ▅", "y ▅", "z " * 100, "\u200b", "(", "—", "日本", "▅" * 90]
    said = train(command, lines, "--vocab-size", 45, "--max-sentence-length", 100)
    assert "dropped 2 lines longer than 100 bytes (--max-sentence-length)" in said
    assert "dropped 2 lines with U+2585" in said
    assert "on 43 of 48 lines" in said
    assert "dropped 1 line with only characters" in said
    assert "dropped" not in train(command, WORDS * 10, "--vocab-size", 40, "--overwrite")


def test_what_is_counted_is_what_sentencepiece_drops(command: Command) -> None:
    """Each line has a letter of its own, which is in the vocabulary if the line was read."""
    cases = {"q": "q▅", "ж": "ж\u200b", "ф": "ф ▁", "ш": "ш" + "x" * 50, "щ": "щ\x00", "ю": "ю\t", "я": "[CLS] я"}
    said = train(
        command,
        [*WORDS[:2] * 30, *list(cases.values()) * 5],
        "--vocab-size",
        36,
        "--character-coverage",
        1,
        "--max-sentence-length",
        40,
    )
    found = Path("tok/spiece.vocab").read_text()
    assert [letter for letter in cases if letter not in found] == ["q", "ш"]
    assert "dropped 5 lines longer than 40 bytes" in said
    assert "dropped 5 lines with U+2585" in said


def test_the_lines_of_a_sample_are_counted(command: Command) -> None:
    said = train(command, [*WORDS * 10, "x ▅"], "--vocab-size", 40, "--input-sentence-size", 30)
    assert "40 pieces, trained on 30 of 41 lines" in said


@pytest.mark.parametrize(
    ("lines", "flags", "reason"),
    [
        (["a ▅ b"] * 3, [], "no line is left to train on: SentencePiece's rules drop 3 lines with U+2585 (▅)"),
        (["word " * 10] * 2, ["--max-sentence-length", 20], "drop 2 lines longer than 20 bytes"),
        (["\u200b"] * 4, [], "drop 4 lines with only characters that SentencePiece removes"),
        (
            ["▅", "▅", "\u200b"],
            [],
            "drop 2 lines with U+2585 (▅), which SentencePiece reserves, and 1 line with only",
        ),
        (["", " "], [], "the input has no text to train on"),
    ],
)
def test_nothing_left_gives_the_reason(lines: list[str], flags: list[object], reason: str, command: Command) -> None:
    Path("text.txt").write_text("\n".join(lines) + "\n")
    refused = command("train-tokenizer", "text.txt", "--output-dir", "tok", "--vocab-size", 40, *flags)
    assert refused.code == 1
    assert reason in refused.error
    assert not Path("tok").exists()
