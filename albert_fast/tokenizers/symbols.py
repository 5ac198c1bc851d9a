"""Checks user-defined symbols and required characters. One that never occurs under the text rules is never used."""

import functools
import unicodedata
from collections.abc import Sequence
from typing import Any

from albert_fast._native import preprocess
from albert_fast.errors import AlbertFastError, option_error
from albert_fast.tokenizers.combining_marks import code_points

OPTION = "user_defined_symbols"
CHARACTERS = "required_chars"

SPACE = "▁"
"""What SentencePiece writes instead of a space."""


def check(symbols: Sequence[str], special: Sequence[str], *, lower_case: bool, keep_accents: bool) -> None:
    """Checks the symbols of a tokenizer that is trained on text under these rules.

    Args:
        symbols: the user-defined symbols.
        special: the pieces that every model has.
        lower_case: whether the text is lowercased.
        keep_accents: whether accents are kept.

    Raises:
        AlbertFastError: a symbol is empty, a duplicate or a special token; contains whitespace or a control character;
            or can never occur in the text. The message says what to pass.
    """
    seen = set(special)
    for symbol in symbols:
        if not symbol:
            raise option_error(OPTION, "one line of text each", symbol, "drop the empty one")
        if found := next((c for c in symbol if unicodedata.category(c) in {"Cc", "Cs"}), None):
            name = {"\t": "a tab", "\n": "a line end", "\0": "a NUL"}.get(found, f"U+{ord(found):04X}")
            kind = "invalid UTF-8" if unicodedata.category(found) == "Cs" else f"a control character ({name})"
            rule, got = "one line of text each, without control characters", f"{symbol!r}, which has {kind}"
            raise option_error(OPTION, rule, symbol, "drop it, or pass it without that", got=got)
        if symbol in seen:
            raise _error(symbol, "is already a special token" if symbol in special else "is given twice", "drop it")
        seen.add(symbol)
        if len(symbol) > 1 and symbol[-1] == "," and symbol[-2].isdigit():
            why = "never matches: the text rules separate the comma from a number"
            raise _error(symbol, why, f"pass {_quoted(symbol[:-1])}")
        if (becomes := form(symbol, lower_case=lower_case, keep_accents=keep_accents)) != symbol:
            raise _unmatched(symbol, becomes, lower_case=lower_case, keep_accents=keep_accents)


def check_characters(characters: str, *, lower_case: bool, keep_accents: bool) -> None:
    """Checks the required characters of a tokenizer that is trained on text under these rules.

    Raises:
        AlbertFastError: a character is a space, a control character or U+2585, which SentencePiece reserves, or can
            never occur in the text. The message says what to pass.
    """
    for character in characters:
        if character.isspace() or character == "▅" or unicodedata.category(character) in {"Cc", "Cs"}:
            rule = "characters other than spaces, control characters and ▅ (U+2585)"
            raise option_error(CHARACTERS, rule, character, "remove it")
        if (becomes := form(character, lower_case=lower_case, keep_accents=keep_accents)) != character:
            raise _unmatched(character, becomes, lower_case=lower_case, keep_accents=keep_accents, option=CHARACTERS)


def _error(symbol: str, why: str, advice: str, option: str = OPTION) -> AlbertFastError:
    return AlbertFastError(f"`{option}`: {symbol!r} {why}; {advice}", kind="option", option=option, value=symbol)


def form(symbol: str, *, lower_case: bool, keep_accents: bool) -> str:
    """Returns what the rules leave of a symbol in a text: itself if it can occur there. A space becomes `SPACE`.

    SentencePiece looks for a symbol twice: in the text that it gets, and in what its own normalizer makes of the rest.
    """
    text = _preprocessed(symbol, lower_case=lower_case, keep_accents=keep_accents)
    return text if text == symbol else _normalizer().normalize(text).replace(" ", SPACE)


@functools.cache
def _normalizer() -> Any:
    """Returns the normalizer of models from `train-tokenizer`: NFKC, which composes what the text rules decompose."""
    import sentencepiece

    return sentencepiece.SentencePieceNormalizer(
        rule_name="nmt_nfkc", escape_whitespaces=False, add_dummy_prefix=False, remove_extra_whitespaces=False
    )


def _preprocessed(symbol: str, *, lower_case: bool, keep_accents: bool) -> str:
    before = None
    text = symbol
    # Removing one thing may reveal another.
    while text != before:
        before = text
        text = preprocess(text.replace(SPACE, " "), lower_case=lower_case, keep_accents=keep_accents)
        # SentencePiece also joins spaces that the rules make.
        words = text.split()
        lead = SPACE if before.startswith(SPACE) else ""
        trail = SPACE if len(before) > 1 and before.endswith(SPACE) and words else ""
        text = lead + SPACE.join(words) + trail
    return text


def _unmatched(
    symbol: str, becomes: str, *, lower_case: bool, keep_accents: bool, option: str = OPTION
) -> AlbertFastError:
    """Returns the error for a symbol that the text rules turn into something else."""
    rules = {"lower_case": lower_case, "keep_accents": keep_accents}
    remedies = []
    if becomes.strip(SPACE):
        remedies.append(_quoted(becomes))
        if _difference(symbol, becomes):
            remedies[0] += f" ({code_points(becomes)})"
    wider = [
        (
            [
                option
                for option, on in (("do_lower_case=False", lower and lower_case), ("keep_accents=True", accents))
                if on
            ],
            rule,
        )
        for lower, accents in ((True, False), (False, True), (True, True))
        if (rule := {"lower_case": lower_case and not lower, "keep_accents": keep_accents or accents}) != rules
    ]
    for words, rule in wider:
        if form(symbol, **rule) == symbol:
            remedies.append(" and ".join(words))
            break
    who, verb = "the text rules", "turn"
    if any(c.isspace() for c in symbol):
        who, verb = f"SentencePiece, which writes a space as {SPACE},", "turns"
    what = (
        f"{verb} it into {becomes!r}{_difference(symbol, becomes)}"
        if becomes.strip(SPACE)
        else f"{'removes' if verb == 'turns' else 'remove'} it"
    )
    advice = f"pass {' or '.join(remedies)}" if remedies else "drop it"
    return _error(symbol, f"never matches: {who} {what}", advice, option)


def _difference(symbol: str, becomes: str) -> str:
    """Returns the code points of both, if they look the same."""
    if unicodedata.normalize("NFC", symbol) != unicodedata.normalize("NFC", becomes):
        return ""
    return f" ({code_points(symbol)} into {code_points(becomes)})"


def _quoted(symbol: str) -> str:
    plain = symbol.isascii() and all(c.isalnum() or c in "._-+:@%/," for c in symbol)
    return symbol if plain else repr(symbol)
