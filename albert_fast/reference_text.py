"""Turns text into tokens as the reference does, in slow, readable Python: the front end of `albert_fast.reference`.

Functions with a counterpart in google-research/ALBERT's tokenization.py have its name, or name it. They follow its
behavior under Python 3. This includes what follows from `str` methods and from the Unicode tables of the running
Python.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from albert_fast.reference import Document, Token, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike

    from sentencepiece import SentencePieceProcessor

# --- text with a SentencePiece model ---------------------------------------------------------------------------------


def preprocess_text(text: str, lower: bool, keep_accents: bool = False) -> str:
    """Returns a line as the SentencePiece model gets it (preprocess_text).

    Whitespace, as `str.split` defines it, becomes single spaces, and is removed at both ends. Then NFKD decomposes
    characters and accents are dropped, unless `keep_accents` is set. Spaces that NFKD creates stay.
    """
    text = " ".join(text.split())
    if not keep_accents:
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return text.lower() if lower else text


def encode_pieces(processor: SentencePieceProcessor, text: str) -> list[str]:
    """Returns the pieces of preprocessed text (encode_pieces).

    A piece such as `1,` is split, so that the comma is a token of its own and the digits are the pieces that they are
    without a comma. The digits are encoded as a text of their own and keep the `▁` that this puts before them, whether
    or not the piece began a word. The reference does the same under Python 3.
    """
    pieces = []
    for piece in processor.EncodeAsPieces(text):
        if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit():
            pieces += [*processor.EncodeAsPieces(piece[:-1].replace("▁", "")), ","]
        else:
            pieces.append(piece)
    return pieces


PUNCTUATION_PIECES = frozenset('!"#$%&()*+,-./:;?@[\\]^_`{|}~')
JOINING_CHARACTERS = PUNCTUATION_PIECES | frozenset("abcdefghijklmnopqrstuvwxyz")


def is_start_piece(piece: str) -> bool:
    """Returns whether a SentencePiece piece begins a word in the reference (_is_start_piece_sp).

    `▁` marks a word start. Every other piece also begins a word, unless it consists of ASCII letters and punctuation
    only. Digits, an apostrophe, and any other letter therefore begin one, and outside of English most pieces are words.
    `<` begins `<unk>` and similar pieces.
    """
    if piece.startswith(("▁", "<")) or piece in PUNCTUATION_PIECES:
        return True
    return not all(character.lower() in JOINING_CHARACTERS for character in piece)


def is_word_start(piece: str) -> bool:
    """Returns whether a SentencePiece piece begins a word with `word_boundary="unicode"`, which the reference lacks.

    `▁` marks a word start. Punctuation and symbols are words, except apostrophes, which are inside words. So is
    everything in the scripts that are written without spaces, of which this function knows the most common ones.
    """
    return piece.startswith("▁") or _is_word_by_itself(piece)


def is_suffix_word_start(piece: str) -> bool:
    """As `is_word_start`, for a model with `treat_whitespace_as_suffix`, in which `▁` ends words: see `ends_word`."""
    return _is_word_by_itself(piece.strip("▁"))


def ends_word(piece: str) -> bool:
    """Returns whether a word begins after a piece, in a model with `treat_whitespace_as_suffix`."""
    return piece.endswith("▁")


def _is_word_by_itself(text: str) -> bool:
    def is_mark(character: str) -> bool:
        return character not in "'’" and unicodedata.category(character)[0] in "PS"

    spaceless = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
    return bool(text) and (unicodedata.name(text[0], "").startswith(spaceless) or all(map(is_mark, text)))


def piece_vocabulary(processor: SentencePieceProcessor) -> Vocabulary:
    """Returns the `Vocabulary` of a SentencePiece model that has `[CLS]`, `[SEP]` and `[MASK]`."""
    p = processor
    size = p.GetPieceSize()
    tests = (p.IsControl, p.IsUnknown, p.IsUnused, p.IsByte)
    ordinary = [i for i in range(size) if not any(test(i) for test in tests)]
    return Vocabulary(size, p.PieceToId("[CLS]"), p.PieceToId("[SEP]"), p.PieceToId("[MASK]"), ordinary)


# --- text with a WordPiece vocabulary --------------------------------------------------------------------------------

UNKNOWN_WORD = "[UNK]"
MAX_WORD_LENGTH = 200
CJK_BLOCKS = (
    range(0x4E00, 0xA000),
    range(0x3400, 0x4DC0),
    range(0x20000, 0x2A6E0),
    range(0x2A700, 0x2B740),
    range(0x2B740, 0x2B820),
    range(0x2B820, 0x2CEB0),
    range(0xF900, 0xFB00),
    range(0x2F800, 0x2FA20),
)


def load_vocab(lines: Iterable[str]) -> dict[str, int]:
    """Returns WordPiece entries and their ids (load_vocab).

    An entry is the first field of a line. Each different entry has one id.
    """
    vocab: dict[str, int] = {}
    for line in lines:
        entry = line.split()[0] if line.strip() else " "
        vocab.setdefault(entry, len(vocab))
    return vocab


def wordpiece_vocabulary(vocab: dict[str, int]) -> Vocabulary:
    """Returns the `Vocabulary` of WordPiece entries that include `[CLS]`, `[SEP]` and `[MASK]`."""
    special = {"[PAD]", UNKNOWN_WORD, "[CLS]", "[SEP]", "[MASK]"}
    ordinary = [index for entry, index in vocab.items() if entry not in special]
    return Vocabulary(len(vocab), vocab["[CLS]"], vocab["[SEP]"], vocab["[MASK]"], ordinary)


def wordpiece_tokenize(vocab: dict[str, int], text: str, lower: bool) -> list[str]:
    """Returns the WordPiece entries of a text (FullTokenizer.tokenize without a SentencePiece model)."""
    return [piece for word in basic_tokenize(text, lower) for piece in split_word(vocab, word)]


def basic_tokenize(text: str, lower: bool) -> list[str]:
    """Returns words and single punctuation characters (BasicTokenizer.tokenize)."""
    spaced = "".join(f" {c} " if is_cjk(c) else c for c in text if not is_dropped(c))
    words = []
    for word in spaced.split():
        folded = strip_accents(word.lower()) if lower else word
        words += "".join(f" {c} " if is_punctuation(c) else c for c in folded).split()
    return words


def strip_accents(text: str) -> str:
    """Returns text without its non-spacing marks (_run_strip_accents)."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")


def split_word(vocab: dict[str, int], word: str) -> list[str]:
    """Returns the longest entries from left to right, all but the first with `##` (WordpieceTokenizer.tokenize)."""
    if len(word) > MAX_WORD_LENGTH:
        return [UNKNOWN_WORD]
    pieces = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in vocab)
        end = next(ends, None)
        if end is None:
            return [UNKNOWN_WORD]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def is_dropped(character: str) -> bool:
    """Returns whether this is NUL, U+FFFD or a control character other than whitespace (_clean_text)."""
    if character in "\t\n\r":
        return False
    return character in "\0\ufffd" or unicodedata.category(character) in ("Cc", "Cf")


def is_cjk(character: str) -> bool:
    """Returns whether this is a CJK ideograph. Each is a word (_is_chinese_char)."""
    return any(ord(character) in block for block in CJK_BLOCKS)


def is_punctuation(character: str) -> bool:
    """Returns whether this is Unicode punctuation, or ASCII but no letter, digit or space (_is_punctuation)."""
    if character in "$+<=>^`|~":
        return True
    return unicodedata.category(character).startswith("P")


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PieceTokenizer:
    """Turns lines into tokens with a SentencePiece model."""

    processor: SentencePieceProcessor
    lower: bool = True
    keep_accents: bool = False
    starts_word: Callable[[str], bool] = is_start_piece
    ends_word: Callable[[str], bool] | None = None
    """Whether a word begins after each piece, if `▁` ends words. A word then also begins with each line."""

    def clean(self, line: str) -> str:
        """Returns the text of a line, which is empty if the line ends a document."""
        return preprocess_text(line, self.lower, self.keep_accents)

    def tokens(self, text: str) -> list[Token]:
        """Returns the tokens of cleaned text. The characters of an unknown run decide whether it begins a word."""
        pieces = encode_pieces(self.processor, text)
        starts = [self.starts_word(piece) for piece in pieces]
        if self.ends_word is not None:
            follows = [True, *map(self.ends_word, pieces)]
            starts = [begins or after for begins, after in zip(starts, follows, strict=False)]
        return [(self.processor.PieceToId(piece), begins) for piece, begins in zip(pieces, starts, strict=True)]


@dataclass(frozen=True)
class WordPieceTokenizer:
    """Turns lines into tokens with a WordPiece vocabulary."""

    vocab: dict[str, int]
    lower: bool = True

    def clean(self, line: str) -> str:
        """Returns the text of a line, which is empty if the line ends a document."""
        return line.strip()

    def tokens(self, text: str) -> list[Token]:
        """Returns the tokens of cleaned text."""
        pieces = wordpiece_tokenize(self.vocab, text, self.lower)
        return [(self.vocab[piece], not piece.startswith("##")) for piece in pieces]


def read_documents(
    paths: Iterable[str | PathLike[str]], tokenizer: PieceTokenizer | WordPieceTokenizer
) -> list[Document]:
    """Returns the documents of UTF-8 text files with one sentence per line and a blank line between documents.

    The files are one stream. If a file does not end in a blank line, its last document continues in the next file.

    Raises:
        UnicodeDecodeError: a line is not UTF-8.
    """
    documents: list[Document] = [[]]
    for path in paths:
        # Only "\n" ends a line. Cleaning removes other whitespace at the end of a line.
        with Path(path).open(encoding="utf-8", newline="\n") as file:
            for line in file:
                text = tokenizer.clean(line)
                if not text:
                    documents.append([])
                elif tokens := tokenizer.tokens(text):
                    documents[-1].append(tokens)
    return [document for document in documents if document]
