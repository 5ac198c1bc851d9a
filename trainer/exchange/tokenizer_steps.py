"""The normalizer and the pre-tokenizer of a tokenizer.json, in SentencePiece's terms.

`trainer.exchange.tokenizer_model` uses them to rebuild a SentencePiece model. Two programs write normalizers for
ALBERT's tokenizers: `trainer.exchange.tokenizer_json`, and the ALBERT classes of transformers. Their steps are matched
in order; any other step is refused. Every ValueError has a message of one line with the rule and the value.
"""

from __future__ import annotations

import array
import base64
import re
import struct
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from trainer.exchange import tokenizer_json
from trainer.exchange.tokenizer_json import SPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Rules(NamedTuple):
    """The effect of the normalizer and the pre-tokenizer."""

    lower_case: bool
    keep_accents: bool
    charsmap: bytes
    """SentencePiece's character map; empty for none."""
    composed: bool | None
    """Whether characters were composed before the map; None if the file was not written by `export`.

    `export` composes them for SentencePiece's own maps.
    """
    dummy_prefix: bool
    """Whether a space is added before the text."""
    single_spaces: bool
    """Whether runs of spaces become one space, and spaces at both ends are removed."""
    word_ends: bool = False
    """Whether ▁ ends words instead of beginning them. The space is then added after the text."""


Step = tuple[Any, ...]


class _Steps:
    """The steps of a normalizer, matched one after the other."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps, self._at = list(steps), 0

    def take(self, *wanted: Step) -> bool:
        """Tell whether these steps come next, and if so, consume them."""
        if self._steps[self._at : self._at + len(wanted)] != list(wanted):
            return False
        self._at += len(wanted)
        return True

    def take_any(self, suits: Callable[[Step], bool]) -> Step | None:
        """Consume and return the next step if it fits, otherwise return None."""
        if self._at == len(self._steps) or not suits(self._steps[self._at]):
            return None
        self._at += 1
        return self._steps[self._at - 1]

    def must(self, done: bool) -> None:
        """Refuse the next step, unless `done`."""
        if not done:
            got = short(self._steps[self._at]) if self._at < len(self._steps) else "the end"
            raise ValueError(
                f"normalizer step {self._at + 1} must be one that albert-fast or transformers' AlbertTokenizer writes, "
                f"got {got}"
            )

    def end(self) -> None:
        self.must(self._at == len(self._steps))


def rules(stored: Mapping[str, Any]) -> Rules:
    """Return what the normalizer and the pre-tokenizer of a tokenizer.json do.

    Raises:
        ValueError: a step is not one that `export` or transformers' AlbertTokenizer writes, or the character map is
            damaged.
    """
    plain = _flat(stored.get("normalizer"))
    steps = _Steps(plain)
    decoder = stored.get("decoder")
    # `export` writes this for a model that marks words at their end. All others have Metaspace.
    word_ends = isinstance(decoder, dict) and decoder.get("type") == "Sequence"
    before = stored.get("pre_tokenizer")
    if word_ends and before == tokenizer_json.WORDS_BY_THEIR_END:
        split, metaspace = False, "never"
    else:
        split, metaspace = _pre_tokenizer(before)
    if steps.take(_step(tokenizer_json.WHITE_SPACE)):
        return _our_rules(steps, split, metaspace, word_ends=word_ends)
    return _their_rules(steps, split, metaspace)


def _our_rules(steps: _Steps, split: bool, metaspace: str, *, word_ends: bool) -> Rules:
    """Return the rules as `tokenizer_json` writes them."""
    if split or metaspace != "never":
        raise ValueError(
            "pre_tokenizer must be Metaspace with prepend_scheme never after the normalizer of albert-fast, got "
            f"prepend_scheme {metaspace}{' after WhitespaceSplit' if split else ''}"
        )
    strip = ("Strip", True, True)
    steps.must(steps.take(strip))
    keep_accents = not steps.take(("NFKD",))
    if not keep_accents:
        steps.must(
            steps.take_any(lambda step: step[:2] == ("Replace", "Regex") and (step[2][:1], step[3]) == ("[", ""))
            is not None
        )
    lower_case = steps.take(("Replace", "Regex", tokenizer_json.FINAL_SIGMA, "ς"), ("Lowercase",))
    composed = steps.take(("NFC",)) or steps.take(("NFKC",))
    if not composed:
        composed = steps.take(*map(_step, tokenizer_json.composition("nmt_nfkc", keep_accents=True)))
    charsmap = _charsmap(steps)
    steps.must(bool(charsmap) or not composed)
    single_spaces = steps.take(("Replace", "Regex", " {2,}", " "), strip)
    dummy_prefix = not word_ends and steps.take(("Prepend", SPACE))
    steps.must(steps.take(("Replace", "String", " ", SPACE)))
    steps.must(steps.take(("Replace", "Regex", f"{SPACE}+$", "")) == single_spaces)
    dummy_prefix = dummy_prefix or (word_ends and steps.take(("Replace", "Regex", tokenizer_json.TEXT_END, SPACE)))
    # The places at which the digit-comma rule begins a number. The export finds them again.
    steps.take_any(lambda step: step[:2] == ("Replace", "Regex") and (step[2][:3], step[3]) == ("(?<", SPACE))
    steps.end()
    return Rules(lower_case, keep_accents, charsmap, composed, dummy_prefix, single_spaces, word_ends)


def _their_rules(steps: _Steps, split: bool, metaspace: str) -> Rules:
    """Return the rules as the ALBERT classes of transformers 4 and 5 write them."""
    for quotes in ("``", "''"):
        steps.must(steps.take(("Replace", "String", quotes, '"')))
    keep_accents = not steps.take(("NFKD",), ("StripAccents",))
    lower_case = steps.take(("Lowercase",))
    charsmap = _charsmap(steps)
    single_spaces = steps.take(("Replace", "Regex", " {2,}", " "))
    steps.end()
    return Rules(lower_case, keep_accents, charsmap, None, metaspace != "never", split or single_spaces)


def _flat(normalizer: Any) -> list[Step]:
    """Return the steps of a normalizer, including those of nested sequences."""
    if normalizer is None:
        return []
    if isinstance(normalizer, dict) and normalizer.get("type") == "Sequence":
        inner = normalizer.get("normalizers")
        if isinstance(inner, list):
            return [step for each in inner for step in _flat(each)]
    return [_step(normalizer)]


def _step(step: Any) -> Step:
    """Return a step as values that can be compared."""
    kind = step.get("type") if isinstance(step, dict) else None
    pattern = step.get("pattern") if kind == "Replace" else None
    if isinstance(pattern, dict) and len(pattern) == 1:
        ((how, text),) = pattern.items()
        if isinstance(text, str):
            return (kind, how, text, step.get("content"))
    if kind == "Strip":
        return (kind, step.get("strip_left"), step.get("strip_right"))
    if kind == "Prepend":
        return (kind, step.get("prepend"))
    if kind == "Precompiled":
        return (kind, step.get("precompiled_charsmap"))
    return (step if kind is None else kind,)


def _charsmap(steps: _Steps) -> bytes:
    """Return the character map of the next step, empty if it has none."""
    step = steps.take_any(lambda step: step[0] == "Precompiled")
    if step is None:
        return b""
    try:
        found = base64.b64decode(step[1], validate=True)
    except (ValueError, TypeError) as error:
        raise ValueError(f"precompiled_charsmap must be base64, got {short(step[1])} ({error})") from error
    _check_charsmap(found)
    return found


def _pre_tokenizer(stored: Any) -> tuple[bool, str]:
    """Return whether text is split at whitespace, and when Metaspace adds a space: always, first or never."""
    steps: Any = [stored]
    if isinstance(stored, dict) and stored.get("type") == "Sequence":
        steps = stored.get("pretokenizers")
    kinds = [step.get("type") if isinstance(step, dict) else step for step in steps] if isinstance(steps, list) else []
    if kinds not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        raise ValueError(
            "pre_tokenizer must be Metaspace, or WhitespaceSplit and Metaspace, as for ALBERT, got "
            f"{', '.join(short(kind) for kind in kinds) or short(stored)}"
        )
    metaspace = steps[-1]
    if metaspace.get("replacement") != SPACE:
        raise ValueError(f"the replacement of Metaspace must be {SPACE}, got {short(metaspace.get('replacement'))}")
    # Early versions had a switch instead of the scheme.
    scheme = metaspace.get("prepend_scheme", "never" if metaspace.get("add_prefix_space") is False else "always")
    if scheme not in ("always", "first", "never"):
        raise ValueError(f"the prepend_scheme of Metaspace must be always, first or never, got {short(scheme)}")
    return len(kinds) == 2, scheme


def map_name(rules: Rules) -> str:
    """Return SentencePiece's name of a character map, which a tokenizer.json does not contain.

    It decides only what `tokenizer_json` writes before the map.
    """
    if not rules.charsmap:
        return "identity"
    find = _Charsmap(rules.charsmap).find
    if rules.composed is False or (find("①"), find("e\u0301")) != ("1", "é"):
        return "user_defined"
    fold = "_cf" if find("A") == "a" else ""
    return f"{'nfkc' if find(tokenizer_json.TILDE) else 'nmt_nfkc'}{fold}"


class _Charsmap:
    """SentencePiece's character map: the size of a double-array trie, the trie, and replacements that end in NUL."""

    def __init__(self, content: bytes) -> None:
        (size,) = struct.unpack_from("<I", content)
        self._units = array.array("I", content[4 : 4 + size])
        if sys.byteorder == "big":
            self._units.byteswap()
        self._replacements = content[4 + size :]

    def find(self, text: str) -> str | None:
        """Return the replacement of `text`, if there is a rule for exactly that text.

        Raises:
            ValueError: the map is damaged.
        """
        try:
            return self._find(text)
        except (IndexError, ValueError) as error:
            raise ValueError(
                f"precompiled_charsmap must be a character map of SentencePiece, but is damaged ({error})"
            ) from error

    def _find(self, text: str) -> str | None:
        node, leaf = self._offset(0), 0
        for byte in text.encode():
            node ^= byte
            unit = self._units[node]
            if unit & 0x800000FF != byte:
                return None
            node ^= self._offset(node)
            leaf = unit >> 8 & 1
        if not leaf:
            return None
        start = self._units[node] & 0x7FFFFFFF
        return self._replacements[start : self._replacements.index(b"\0", start)].decode()

    def _offset(self, node: int) -> int:
        unit = self._units[node]
        return (unit >> 10) << ((unit & 1 << 9) >> 6)


def _check_charsmap(content: bytes) -> None:
    size = struct.unpack_from("<I", content)[0] if len(content) >= 4 else 0
    if not content:
        return
    if size < 4 or size % 4 or size >= len(content) - 4 or content[-1:] != b"\0":
        raise ValueError(
            "precompiled_charsmap must be a complete character map of SentencePiece (the size of a trie, the trie, and "
            f"the replacements), got {len(content):,} bytes with {size:,} as the size"
        )


def short(value: Any) -> str:
    """Return a value for a message, in one line."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    text = re.sub(r"\s+", " ", text)
    return f"{text[:60]}..." if len(text) > 60 else text
