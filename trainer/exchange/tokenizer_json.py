"""Conversion of a SentencePiece model to tokenizer.json and its configuration, for `tokenizers` and transformers.

The files describe what `albert_fast.Tokenizer` does with ``text_rules="albert"``: the reference's ``preprocess_text``,
SentencePiece's normalizer, and its pieces with their scores. transformers' own conversion of a ``spiece.model`` follows
different rules. Nothing here needs TensorFlow, `tokenizers` or transformers.
"""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from albert_fast import preprocess
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SPACE = "▁"
"""U+2581, which represents a space in pieces."""

NFKC_RULES = frozenset(["nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"])
"""SentencePiece's character maps that compose characters: all but ``identity`` and those from a file."""

FINAL_SIGMA = r"(?<=\p{Cased}\p{Case_Ignorable}*)Σ(?!\p{Case_Ignorable}*\p{Cased})"
"""A Σ that `str.lower` turns into ς: one with a letter before it and none after it (Unicode's Final_Sigma)."""

TEXT_END = r"(?<=.)\z"
"""The end of a text that is not empty."""

WORDS_BY_THEIR_END = {
    "type": "Split",
    "pattern": {"String": SPACE},
    "behavior": "MergedWithPrevious",
    "invert": False,
}
"""The pre-tokenizer of a model that marks words at their end."""

CLS, SEP, MASK = "[CLS]", "[SEP]", "[MASK]"

TILDE = "\uff5e"
"""The only character that NFKC maps to another one but SentencePiece's ``nmt_`` maps keep."""


def files(model: bytes, *, lower_case: bool, keep_accents: bool, max_length: int = 512) -> dict[str, bytes]:
    """Return the tokenizer files of a Hugging Face model directory, by name.

    Args:
        model: the content of a SentencePiece unigram model, ``spiece.model``.
        lower_case: whether to lowercase text.
        keep_accents: whether to keep accents. Otherwise, text is decomposed by NFKD, and characters of a combining
            class other than 0 are removed.
        max_length: the largest number of tokens of an instance, including ``[CLS]`` and ``[SEP]``.

    Returns:
        ``tokenizer.json``, which `tokenizers` and transformers' `AutoTokenizer` load directly, and
        ``tokenizer_config.json``. Equal arguments give equal bytes.

    Raises:
        TrainerError: the model is not a SentencePiece unigram model, lacks ALBERT's special tokens, or has a setting
            that tokenizer.json cannot express.
    """
    parsed = parse(model)
    pieces = list(parsed.pieces)
    ids = {piece.piece: index for index, piece in enumerate(pieces)}
    unknown = next((piece.piece for piece in pieces if piece.type == piece.UNKNOWN), None)
    pad = next((name for name in ("<pad>", "[PAD]") if name in ids), None)
    missing = [name for name in (CLS, SEP, MASK) if name not in ids]
    if missing or pad is None or unknown is None:
        missing += ["<pad>"] * (pad is None) + ["<unk>"] * (unknown is None)
        raise _unusable(
            "the SentencePiece model must have the pieces [CLS], [SEP], [MASK], <pad> and <unk>, and lacks "
            f"{', '.join(missing)}; use the tokenizer that the model was trained with"
        )
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index} | _special(piece.piece)
            for index, piece in enumerate(pieces)
            if piece.type in (piece.CONTROL, piece.UNKNOWN)
        ],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(model, parsed, lower_case, keep_accents)},
        "pre_tokenizer": _pre_tokenizer(parsed),
        "post_processor": _template(ids),
        "decoder": _decoder(parsed),
        "model": {
            "type": "Unigram",
            "unk_id": ids[unknown],
            "vocab": [[piece.piece, score] for piece, score in zip(pieces, _scores(pieces), strict=True)],
            "byte_fallback": parsed.trainer_spec.byte_fallback,
        },
    }
    config = {
        # This class uses tokenizer.json unchanged. AlbertTokenizer would build its own rules from the pieces.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "do_lower_case": lower_case,
        "keep_accents": keep_accents,
        "remove_space": True,
        "clean_up_tokenization_spaces": False,
        "bos_token": CLS,
        "eos_token": SEP,
        "unk_token": unknown,
        "sep_token": SEP,
        "pad_token": pad,
        "cls_token": CLS,
        "mask_token": MASK,
    }
    return {"tokenizer.json": _json(tokenizer), "tokenizer_config.json": _json(config)}


def _pre_tokenizer(parsed: Any) -> dict[str, Any]:
    """Return a pre-tokenizer into words if no piece spans more than one.

    The spaces are already ▁, and the one before or after the text has been added.
    """
    if not parsed.trainer_spec.treat_whitespace_as_suffix:
        return _metaspace("never", split=not any(SPACE in piece.piece[1:] for piece in parsed.pieces))
    if any(SPACE in piece.piece[:-1] for piece in parsed.pieces):
        return _metaspace("never", split=False)
    return WORDS_BY_THEIR_END


def _decoder(parsed: Any) -> dict[str, Any]:
    has_space = parsed.normalizer_spec.add_dummy_prefix
    if not parsed.trainer_spec.treat_whitespace_as_suffix:
        return _metaspace("always" if has_space else "never", split=True)
    # Not Strip at the end: it panics if there is no text.
    last = [_replace(r" \z", "")] if has_space else []
    return {"type": "Sequence", "decoders": [_literal(SPACE, " "), {"type": "Fuse"}, *last]}


def is_digits_and_comma(piece: str) -> bool:
    """Tell whether the reference splits the piece wherever text yields it (tokenization.py: encode_pieces)."""
    return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()


def user_defined_score(piece: str) -> float:
    """Return the score of a user-defined symbol. SentencePiece prefers it to its parts, and longer ones to shorter."""
    return 0.1 * (len(piece.encode()) - 1)


def parse(model: bytes) -> Any:
    """Return the ModelProto of `model`, if tokenizer.json can express it.

    Raises:
        TrainerError: it is not a SentencePiece unigram model, or has a setting that tokenizer.json cannot express.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from sentencepiece import sentencepiece_model_pb2

    schema: Any = sentencepiece_model_pb2  # its classes are created on import
    parsed = schema.ModelProto()
    try:
        parsed.ParseFromString(model)
    except DecodeError as error:
        raise _unusable(f"not a SentencePiece model, or a damaged one ({error}); use the spiece.model file") from error
    if not parsed.pieces or not parsed.HasField("trainer_spec") or not parsed.HasField("normalizer_spec"):
        what = "no settings after its pieces" if parsed.pieces else "no pieces"
        raise _unusable(f"not a SentencePiece model, or a truncated one: it has {what}; use the spiece.model file")
    trainer = parsed.trainer_spec
    if trainer.model_type != trainer.UNIGRAM:
        kind = trainer.ModelType.Name(trainer.model_type).lower()
        raise _unusable(f"the SentencePiece model must be a unigram model, as ALBERT's tokenizers are, got {kind}")
    if not parsed.normalizer_spec.escape_whitespaces:
        raise _unusable(
            "the SentencePiece model must have escape_whitespaces=true, got false, which tokenizer.json cannot "
            "express; train it again without this setting, or with `albert-fast train-tokenizer`"
        )
    return parsed


def _unusable(message: str) -> TrainerError:
    return TrainerError(message, kind="tokenizer")


def _normalizers(model: bytes, parsed: Any, lower_case: bool, keep_accents: bool) -> list[dict[str, Any]]:
    """Return the normalizers, in order.

    They are the reference's text rules, SentencePiece's normalizer, and as much of the digit-comma rule as possible.
    """
    spec = parsed.normalizer_spec
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    # preprocess_text: Python's whitespace, which includes more than \s of the regular expressions.
    steps = [WHITE_SPACE, strip]
    if not keep_accents:
        # Not StripAccents: it drops every mark, including the vowel signs of Indic scripts.
        steps += [{"type": "NFKD"}, _replace(_characters(_combining()), "")]
    if lower_case:
        # Lowercase converts one character at a time, so it cannot handle the final sigma.
        steps += [_replace(FINAL_SIGMA, "ς"), {"type": "Lowercase"}]
    if spec.precompiled_charsmap:
        if spec.name in NFKC_RULES:
            steps += composition(spec.name, keep_accents=keep_accents)
        charsmap = base64.b64encode(spec.precompiled_charsmap).decode("ascii")
        steps += [{"type": "Precompiled", "precompiled_charsmap": charsmap}]
    if spec.remove_extra_whitespaces:
        # NFKD and the character map can produce more spaces.
        steps += [_replace(" {2,}", " "), strip]
    suffix = parsed.trainer_spec.treat_whitespace_as_suffix
    if spec.add_dummy_prefix and not suffix:
        # Here and not in Metaspace, which omits it if the text itself begins with ▁.
        steps += [{"type": "Prepend", "prepend": SPACE}]
    steps += [_literal(" ", SPACE)]
    if spec.remove_extra_whitespaces:
        # SentencePiece does not distinguish ▁ at the end of the text from a space.
        steps += [_replace(f"{SPACE}+$", "")]
    if spec.add_dummy_prefix and suffix:
        steps += [_replace(TEXT_END, SPACE)]
    if spec.add_dummy_prefix and (places := _starts_of_numbers(model, parsed)):
        steps += [_replace(places, SPACE)]
    return steps


def _processor(model: bytes) -> Any:
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        message = f"SentencePiece cannot load the model ({str(error).rstrip('.')}); use the spiece.model file"
        raise _unusable(message) from error


def _starts_of_numbers(model: bytes, parsed: Any) -> str:
    """Return a regular expression for the places in a word at which the digit-comma rule adds ▁, or "" for none.

    If text yields a piece such as ``12,``, the reference encodes ``12`` as a separate text. This puts ▁ before it, or
    after it if ▁ ends words, even inside a word. The text shows this if the piece is a whole number. If it is the end
    of a number, the scores decide.
    """
    processor = _processor(model)
    pieces = [piece.piece for piece in parsed.pieces if piece.type == piece.NORMAL]
    numbers = sorted({piece[:-1] for piece in pieces if is_digits_and_comma(piece) and piece[:-1].isdecimal()})
    after = ["", *"0123456789", "00", "000"]

    def begun(before: str, number: str) -> list[bool]:
        texts = [f"{before}{number},{end}" for end in after]
        # Inside a word, the piece has no ▁.
        return [f"{number}," in pieces for pieces in processor.EncodeAsPieces(texts)]

    # Characters that pieces join with digits may each behave differently; x represents all other characters.
    joined = {a for piece in pieces for a, b in pairwise(piece) if b.isdecimal() and not a.isdecimal()} - {SPACE}
    rest = "".join(re.escape(character) for character in sorted(joined))
    suffix = parsed.trainer_spec.treat_whitespace_as_suffix
    beginning = rf"(?:\A|{SPACE})" if suffix else SPACE
    before = {rf"[^\p{{Nd}}{SPACE}{rest}]": "x", beginning: ""} | {re.escape(c): f"x{c}" for c in sorted(joined)}
    places = []
    for left, sample in before.items():
        found = {number: begun(sample, number) for number in numbers}
        always = [number for number, where in found.items() if all(where)]
        at_end = [number for number, where in found.items() if where[0] and not all(where)]
        for some, right in ((always, ""), (at_end, r"(?!\p{Nd})")):
            if some and suffix:
                places.append(f"(?<={left}(?:{'|'.join(some)}))(?=,{right})")
            elif some:
                places.append(f"(?<={left})(?=(?:{'|'.join(some)}),{right})")
    return "|".join(places)


def composition(name: str, *, keep_accents: bool) -> list[dict[str, Any]]:
    """Return normalizers for the rules of the character map `name` that `Precompiled` does not apply.

    `Precompiled` looks at one user-perceived character at a time, and at most at 5 bytes of it. Hangul in separate
    letters would not be composed, and a mark after a character with a rule would be lost. So both are handled before
    it.
    """
    if not keep_accents:
        return [{"type": "NFC"}]
    if not name.startswith("nmt_"):
        return [{"type": "NFKC"}]
    # These maps leave only this one character unchanged. Its substitute is from the private use area.
    instead = "\U0010fffd"
    return [_literal(TILDE, instead), {"type": "NFKC"}, _literal(instead, TILDE)]


def _scores(pieces: Sequence[Any]) -> list[float]:
    """Return the score of each piece as SentencePiece 0.2.3 uses it."""
    lowest = min((piece.score for piece in pieces if piece.type == piece.NORMAL), default=0.0)
    # Lower than any other path through the longest piece. It is for pieces that text never yields: special tokens,
    # which lowercased text may spell ("<PAD>"), and those that the reference splits. The latter keep their score below
    # this value, for `trainer.exchange.tokenizer_model`.
    never = min(lowest, -1.0) * (1 + max(len(piece.piece) for piece in pieces))

    def score(piece: Any) -> float:
        if piece.type == piece.USER_DEFINED:
            return user_defined_score(piece.piece)
        if piece.type != piece.NORMAL:
            return never
        return float(piece.score) + (never if is_digits_and_comma(piece.piece) else 0)

    return [score(piece) for piece in pieces]


def _special(name: str) -> dict[str, Any]:
    # As in transformers: [MASK] includes the space before it, so the word after it is one after a space.
    return {
        "content": name,
        "single_word": False,
        "lstrip": name == MASK,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _template(ids: dict[str, int]) -> dict[str, Any]:
    def special(name: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    def text(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    first = [special(CLS, 0), text("A", 0), special(SEP, 0)]
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": [*first, text("B", 1), special(SEP, 1)],
        "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in (CLS, SEP)},
    }


def _metaspace(prepend_scheme: str, *, split: bool) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": prepend_scheme, "split": split}


def _replace(expression: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": expression}, "content": content}


def _literal(text: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": text}, "content": content}


def _white_space() -> list[int]:
    """Return the characters that `str.split` splits at. The last one is U+3000."""
    return [code for code in range(0x3001) if chr(code).isspace()]


def _combining() -> list[str]:
    """Return the characters that the text rules drop, by the Unicode tables of the compiled extension, not Python's."""
    # Unicode has combining characters only in its first two planes. U+E000 separates them and is not a letter.
    wall = "\ue000"
    codes = (code for code in range(0x80, 0x20000) if not 0xD800 <= code <= 0xE000)
    characters = [chr(code) for code in codes if not chr(code).isspace()]
    text = wall.join(f"a{character}" for character in characters)
    kept = preprocess(text, lower_case=False, keep_accents=False).split(wall)
    return [character for character, left in zip(characters, kept, strict=True) if left == "a"]


def _characters(characters: Iterable[str]) -> str:
    """Return a regular expression for one of these characters, given in order. None of them is special in brackets."""
    ranges: list[list[int]] = []
    for code in map(ord, characters):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(chr(a) if a == b else f"{chr(a)}-{chr(b)}" for a, b in ranges) + "]"


WHITE_SPACE = _replace(_characters(map(chr, _white_space())) + "+", " ")
"""The first step of every normalizer: Python's whitespace becomes a space."""


def _json(content: dict[str, Any]) -> bytes:
    # ASCII, because some editors damage isolated combining characters.
    return (json.dumps(content, indent=2) + "\n").encode("ascii")
