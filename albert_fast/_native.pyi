"""The compiled part of albert-fast.

Long work runs without the GIL and answers Ctrl-C within a second. Where a rule comes from google-research/ALBERT, the
function of the reference is named.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from albert_fast.batches import Batch
from albert_fast.errors import AlbertFastError as AlbertFastError

__all__ = [
    "AlbertFastError",
    "BatchIterator",
    "Batches",
    "Lines",
    "Masker",
    "OutputLock",
    "RecordFile",
    "TokenStore",
    "Tokenizer",
    "__version__",
    "defaults",
    "instance_batches",
    "instances",
    "make_records",
    "prepare_text",
    "preprocess",
    "record_batches",
    "refuse_output_in_input",
    "restore_tokenizer",
    "text_changes",
    "text_rules_beside",
    "tokenize",
]

__version__: str

def defaults() -> dict[str, dict[str, Any]]:
    """The core's own defaults by stage ("prepare", "tokenize", "instances", "masks", "records") and by option."""

def preprocess(text: str, *, lower_case: bool = True, keep_accents: bool = False) -> str:
    """A line as the SentencePiece model gets it (tokenization.py: preprocess_text).

    White space, as `str.split` sees it, becomes single spaces, none at the ends. Unless `keep_accents`, NFKD takes
    characters apart and those of a combining class other than 0 are dropped; spaces that NFKD creates stay. Then
    `str.lower`, unless not `lower_case`. Characters newer than Unicode 14 follow the Unicode tables of this module,
    not those of the running Python.

    Raises:
        UnicodeEncodeError: the text holds a surrogate.
    """

@final
class Tokenizer:
    """A SentencePiece unigram model or a WordPiece vocabulary: immutable, safe to share between threads.

    It can be pickled: what is kept is the absolute path of its file, and the digest: see `restore_tokenizer`.

    It has a cache of words for each thread at work at a time, of 19 MiB at most whatever the input, and keeps up to 8
    from call to call. The properties for special ids raise `AlbertFastError` where the model has no such piece, which
    only a model with `text_rules="none"` can lack.
    """

    @staticmethod
    def from_file(
        path: str | os.PathLike[str],
        *,
        lower_case: bool | None = None,
        keep_accents: bool | None = None,
        text_rules: str = "albert",
        follow_config: bool = True,
    ) -> Tokenizer:
        """Loads a SentencePiece unigram model (`.model`), or the one in a directory.

        With `text_rules="albert"` text goes through `preprocess`, and a piece of digits and a comma is taken apart
        (tokenization.py: encode_pieces). With `"none"` ids are those of `sentencepiece.SentencePieceProcessor.encode`,
        version 0.2.3, and `lower_case` and `keep_accents` mean nothing.

        The text rules of the training apply here as in every command. The first of these files beside the model that
        tells a rule decides: `spiece.config.json` (for `spiece.model`), which `train-tokenizer` and `export` write;
        Hugging Face's `tokenizer_config.json` (`do_lower_case`, `keep_accents`); the normalizer of a `tokenizer.json`
        with the same pieces. A `spiece.config.json` that names another model's digest is ignored, with a `UserWarning`.

        Args:
            path: the model, or a directory (also one of Hugging Face's cache) with one.
            lower_case: whether to lower-case text; None: as the files beside the model say, otherwise True.
            keep_accents: whether accents stay; None: as the files beside the model say, otherwise False.
            text_rules: `"albert"` or `"none"`.
            follow_config: whether these files are read. If not, only the arguments count.

        Raises:
            AlbertFastError: no such file; a directory without a model, or with several; a BPE, char or word model; a
                file cut short or corrupt; with "albert", a model without `[CLS]`, `[SEP]`, `[MASK]` or `<pad>`, or one
                whose spaces are not escaped; an argument that contradicts the files beside the model, or a
                `spiece.config.json` or `tokenizer_config.json` that is damaged.
        """

    @staticmethod
    def from_vocab_file(
        path: str | os.PathLike[str],
        *,
        lower_case: bool | None = None,
        keep_accents: bool | None = None,
        follow_config: bool = True,
    ) -> Tokenizer:
        """Loads a WordPiece vocabulary (tokenization.py: load_vocab, FullTokenizer).

        An entry is a line's first field, and its id is the number of the line, from 0. A byte-order mark before the
        first entry is skipped. An entry on two lines is an error, because programs number the lines after it
        differently.

        Args:
            path: the vocabulary, or a directory with a vocab.txt.
            lower_case: whether to lower-case text; None: as `do_lower_case` in the `tokenizer_config.json` beside it
                says, otherwise True.
            keep_accents: whether accents stay where text is lower-cased; None: as `strip_accents` there says, otherwise
                False.
            follow_config: whether `tokenizer_config.json` is read. If not, only the arguments count.

        Raises:
            AlbertFastError: no such file, no UTF-8, an entry on two lines, or `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` or
                `[MASK]` is missing; an argument that contradicts `tokenizer_config.json`, or a `tokenizer_config.json`
                that is damaged.
        """

    def encode(self, text: str) -> list[int]:
        """The ids of a text; no `[CLS]` or `[SEP]` is added.

        Raises:
            UnicodeEncodeError: the text holds a surrogate.
        """

    def encode_pieces(self, text: str) -> list[str]:
        """The pieces of a text: a run of unknown characters is itself, or its bytes' pieces; `[UNK]` with WordPiece.

        Raises:
            UnicodeEncodeError: the text holds a surrogate.
        """

    def encode_batch(
        self, texts: Sequence[str], *, num_threads: int | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """The ids of many texts, without the GIL, on `num_threads` threads (None: one a processor).

        Returns:
            Ids, uint32 of shape [tokens], and offsets, uint64 of shape [texts + 1]: text i has
            `ids[offsets[i]:offsets[i + 1]]`, which is what `encode` gives.

        Raises:
            TypeError: `texts` is no sequence of `str`, or is a single one.
            UnicodeEncodeError: a text holds a surrogate.
            AlbertFastError: `num_threads` is 0.
        """

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids: pieces joined, `▁` as a space, control symbols left out, unknown pieces as ` ⁇ `.

        Raises:
            AlbertFastError: an id outside the vocabulary.
        """

    def preprocess(self, text: str) -> str:
        """The text under this tokenizer's text rules, before it is segmented; itself with `text_rules="none"`."""

    def id_to_piece(self, id: int) -> str:
        """The piece of an id.

        Raises:
            AlbertFastError: an id outside the vocabulary.
        """

    def piece_to_id(self, piece: str) -> int | None:
        """The id of a piece, control symbols included; None where it is none."""

    def word_starts(self, word_boundary: str = "unicode") -> NDArray[np.bool_]:
        """Whether each piece begins a word for whole-word masks: bool of shape [vocab_size].

        `"albert"` is the reference's rule (tokenization.py: is_start_piece): everything that is not all ASCII letters
        and punctuation does. `"unicode"`: `▁`, punctuation and symbols, and the scripts written without spaces. With
        WordPiece, either way, what does not begin with `##`.

        In a model that marks words at their end (`treat_whitespace_as_suffix`), a token also begins a word if the token
        before it ends one: see `word_ends` and `word_starts_in`.

        Raises:
            AlbertFastError: another name.
        """

    def word_ends(self, word_boundary: str = "unicode") -> NDArray[np.bool_]:
        """Whether what follows each piece begins a word: bool of shape [vocab_size].

        True for pieces that end in `▁`, in a model that was trained with `treat_whitespace_as_suffix`. All False for
        other tokenizers, and with `"albert"`: the reference knows only of words that begin with `▁`.

        Raises:
            AlbertFastError: another name.
        """

    def word_starts_in(self, ids: Sequence[int], word_boundary: str = "unicode") -> NDArray[np.bool_]:
        """Whether each token of a text or an instance begins a word: bool of shape [len(ids)].

        A token does if `word_starts` says so of it, or `word_ends` of the token before it. So does the first token, and
        one after a control symbol such as `[CLS]`.

        Raises:
            AlbertFastError: an id outside the vocabulary, or another name.
        """

    @property
    def content(self) -> bytes:
        """The model or vocabulary as a file of which other programs get the same ids.

        These are the bytes that were read, but for a WordPiece vocabulary with a byte-order mark, white space around
        entries or CR LF at line ends: such a file is written plainly.
        """

    @property
    def marks_word_ends(self) -> bool:
        """Whether `▁` stands at the end of words (`treat_whitespace_as_suffix`)."""

    @property
    def vocab_size(self) -> int:
        """Number of pieces."""

    @property
    def pieces(self) -> list[str]:
        """The pieces in id order: a new list each time."""

    @property
    def kind(self) -> str:
        """`"unigram"` or `"wordpiece"`."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the file and the text rules: equal digests give equal ids."""

    @property
    def pad_id(self) -> int:
        """Id of `<pad>` or `[PAD]`."""

    @property
    def unk_id(self) -> int:
        """Id of the unknown piece."""

    @property
    def cls_id(self) -> int:
        """Id of `[CLS]`."""

    @property
    def sep_id(self) -> int:
        """Id of `[SEP]`."""

    @property
    def mask_id(self) -> int:
        """Id of `[MASK]`."""

    @property
    def lower_case(self) -> bool:
        """Whether text is lower-cased."""

    @property
    def keep_accents(self) -> bool:
        """Whether accents stay."""

    @property
    def text_rules(self) -> str:
        """`"albert"` or `"none"`."""

    @property
    def vocab_digest(self) -> str:
        """SHA-256 (hex) over the pieces in id order: if it is equal, ids have one meaning."""

    @property
    def file_name(self) -> str:
        """The name of the file that the user knows: of `path`, unless that is a token store's copy."""

    @property
    def path(self) -> Path:
        """The model or vocabulary file."""

    def __reduce__(self) -> tuple[Callable[..., Tokenizer], tuple[Path, str, str, bool, bool, str]]: ...

def restore_tokenizer(
    path: str | os.PathLike[str], kind: str, text_rules: str, lower_case: bool, keep_accents: bool, digest: str
) -> Tokenizer:
    """The `Tokenizer` that was pickled: what `pickle.loads` calls.

    Raises:
        AlbertFastError: the file is gone, or has changed since: its digest is another.
    """

def text_rules_beside(path: str | os.PathLike[str], kind: str) -> tuple[bool | None, bool | None, Path | None]:
    """What the files beside a tokenizer say of its text rules.

    For `kind` "unigram" they are those that `Tokenizer.from_file` follows, for "wordpiece" Hugging Face's
    `tokenizer_config.json`.

    Returns:
        `lower_case` and `keep_accents` (None: not told), and a file that names another model's digest, so that it says
        nothing (None: there is none).

    Raises:
        AlbertFastError: a file cannot be read, is no JSON, or holds a value of another kind.
    """

@final
class Masker:
    """Masks rows of ids; behind `albert_fast.Masker`, whose docstrings say what is masked and what is returned.

    `options_json` is a JSON object of `max_predictions_per_seq` (null for no limit), `masked_lm_prob`, `ngram`,
    `favor_shorter_ngram`, `do_whole_word_mask`, `do_permutation`, `cross_segment_words` and `replace_with_special`;
    what is left out has its default.
    """

    @staticmethod
    def from_tokenizer(
        tokenizer: Tokenizer, options_json: str, word_boundary: str, special_ids: NDArray[np.uint32]
    ) -> Masker:
        """A masker of a tokenizer's ids; `special_ids`, of shape [ids], are never masked.

        Raises:
            AlbertFastError: an option outside its rule, an id outside the vocabulary, a tokenizer without `[CLS]`,
                `[SEP]`, `[MASK]` or `<pad>`.
        """

    @staticmethod
    def from_vocab(
        word_starts: NDArray[np.bool_],
        options_json: str,
        *,
        pad_id: int,
        cls_id: int,
        sep_id: int,
        mask_id: int,
        ordinary: NDArray[np.uint32] | None,
        special_ids: NDArray[np.uint32],
        word_ends: NDArray[np.bool_] | None = None,
    ) -> Masker:
        """A masker of ids below the length of `word_starts`, of which `ordinary` (None: all) may replace others.

        Raises:
            AlbertFastError: an option outside its rule, an id outside the vocabulary, no ordinary piece.
        """

    def mask(
        self,
        input_ids: NDArray[np.int32],
        *,
        seed: int,
        row: int = 0,
        labels: bool = False,
        word_starts: NDArray[np.bool_] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Masks one row, int32 of shape [tokens]. Every `<pad>` in it is padding.

        Raises:
            AlbertFastError: another dtype or shape, an id outside the vocabulary.
            MemoryError: no room for the result.
        """

    def mask_batch(
        self,
        input_ids: NDArray[np.int32],
        *,
        seed: int,
        lengths: NDArray[np.integer[Any]] | None = None,
        attention_mask: NDArray[np.integer[Any]] | NDArray[np.bool_] | None = None,
        first_row: int = 0,
        labels: bool = False,
        word_starts: NDArray[np.bool_] | None = None,
        num_threads: int | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Masks the rows of int32 of shape [rows, tokens], without the GIL, on `num_threads` threads.

        None: one a processor. With both `lengths` and `attention_mask` the latter counts; with neither, every `<pad>`
        is padding, unless it is also `[CLS]`, `[SEP]` or `[MASK]`.

        Raises:
            AlbertFastError: another dtype or shape, an id outside the vocabulary, a length outside the row, an
                attention mask of other numbers than 0 and 1.
            MemoryError: no room for the result.
        """

    def predictions(self, tokens: int) -> int:
        """Length of the `masked_lm_*` arrays of a row of so many tokens."""

    @property
    def vocab_size(self) -> int:
        """Number of pieces."""

@final
class TokenStore:
    """A token store, open for reading: tokenized documents in memory-mapped files, written by `tokenize`.

    It can be pickled: opened again from the same folder, it must hold the same. `len` is the number of documents.
    """

    def __new__(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Self:
        """Opens the store in a folder.

        With `verify`, every byte is read once and compared with the store's checksums. Without it only the description,
        sizes, headers and borders are checked: for stores that take long to read and have not been copied since they
        were last verified.

        Raises:
            AlbertFastError: no store, or one that is damaged, cut short or of another version; the file is named.
            KeyboardInterrupt: Ctrl-C.
        """

    def __len__(self) -> int:
        """Number of documents."""

    def __reduce__(self) -> tuple[Callable[[str, str], TokenStore], tuple[Path, str]]: ...
    @staticmethod
    def _reopen(path: str | os.PathLike[str], digest: str) -> TokenStore: ...
    def document(self, index: int) -> list[NDArray[np.uint16] | NDArray[np.uint32]]:
        """The sentences of a document: an array of ids, of shape [tokens], for each.

        uint16 where the vocabulary has at most 65,536 pieces, otherwise uint32.

        Raises:
            AlbertFastError: `index` is not from 0 to `num_documents` - 1.
        """

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the store was made with, from the copy that lies in the store.

        Raises:
            AlbertFastError: a store made before there was a copy, or one whose copy was changed.
        """

    def verify(self) -> None:
        """Reads every byte and compares it with the checksums.

        Raises:
            AlbertFastError: damage; the part is named.
            KeyboardInterrupt: Ctrl-C.
        """

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def num_documents(self) -> int:
        """Number of documents."""

    @property
    def num_sentences(self) -> int:
        """Number of sentences."""

    @property
    def num_tokens(self) -> int:
        """Number of tokens."""

    @property
    def vocab_size(self) -> int:
        """Pieces of the vocabulary; every id is below it."""

    @property
    def tokenizer_digest(self) -> str:
        """`Tokenizer.digest` of the tokenizer that made it."""

    @property
    def digest(self) -> str:
        """Digest (hex) of the tokens and borders: equal digests, equal contents."""

@final
class Batches:
    """Numbered batches without end: what `albert_fast.BatchSource` gives a face to."""

    def __len__(self) -> int:
        """Instances of the first epoch."""

    def batch(self, k: int, *, num_threads: int | None = None) -> Batch:
        """Batch `k`, from 0, without the GIL, on `num_threads` threads (None: one a processor).

        Raises:
            AlbertFastError: the data cannot be read; `k` is too large.
            OverflowError: `k` is no 64-bit number.
        """

    def ahead(
        self,
        start: int = 0,
        stop: int | None = None,
        step: int = 1,
        *,
        num_threads: int | None = None,
        prefetch: int = 4,
    ) -> BatchIterator:
        """Iterates over batches `start`, `start + step`, ... below `stop`, of which up to `prefetch` are made ahead.

        Raises:
            AlbertFastError: `step`, `prefetch` or `num_threads` is 0.
            OverflowError: a number that does not fit 64 bits.
        """

    def shard(self, index: int, count: int) -> Batches:
        """Every `count`-th instance, from `index` on, in batches of the same size.

        Raises:
            AlbertFastError: `index` is not below `count`.
            OverflowError: a number that does not fit 64 bits.
        """

    @property
    def batch_size(self) -> int:
        """B: rows of a batch."""

    @property
    def has_token_boundary(self) -> bool:
        """Whether batches have `token_boundary`."""

    @property
    def max_seq_length(self) -> int:
        """S: tokens of a row."""

    @property
    def max_predictions(self) -> int:
        """P: predictions of a row."""

@final
class BatchIterator:
    """The batches of `Batches.ahead`. After a fork it goes on in the child, with threads of its own."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Batch:
        """The next batch; waits for it without the GIL.

        Raises:
            AlbertFastError: the data cannot be read; there are no more batches then.
            KeyboardInterrupt: Ctrl-C.
        """

def refuse_output_in_input(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]
) -> None:
    """Refuses an output that lies in one of the inputs: it would be read as input, by this command or the next time.

    Raises:
        AlbertFastError: it does.
    """

def text_changes(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    lower_case: bool = True,
    keep_accents: bool = False,
) -> dict[str, Any]:
    """What the text rules change in a sample of text inputs.

    Returns:
        Counts of "letters", "marks" (those that lose accents and the like), "capitals" (that are lower-cased),
        "changed" (letters of either kind), "inner_words" and "inner_capitals" (words within sentences, and those that
        begin with a capital letter), and "mark_examples" and "capital_examples", pairs of a word before and after.

    Raises:
        AlbertFastError: an input that is not there.
    """

@final
class OutputLock:
    """Keeps a second run from writing to an output; see `albert_fast.files.locked`."""

    def __new__(cls, path: str | os.PathLike[str], *, whole: bool = False) -> Self:
        """Takes the lock: on a folder that is filled in place, which is created, or on the name of a `whole` output.

        Raises:
            AlbertFastError: another run has it, or the folder cannot be made.
        """

    @property
    def exclusive(self) -> bool:
        """Whether the lock keeps others out: not if the file system has no locks."""

    def release(self) -> None:
        """Ends the lock, and removes what it created if that is still empty. May be called again."""

@final
class Lines:
    """Iterates over the lines of text inputs that are not empty under `preprocess`: what a tokenizer is trained on.

    Inputs are files, globs and folders, plain, gzip, bzip2, xz or zstd, or `-`.
    """

    def __new__(
        cls,
        inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        lower_case: bool = True,
        keep_accents: bool = False,
        on_bad_utf8: str = "error",
        format: str = "auto",
    ) -> Self:
        """Finds the inputs; `on_bad_utf8` is `"error"` or `"replace"`, `format` `"auto"` or `"text"`.

        With `"auto"`, inputs that look like JSON Lines, markup or Parquet are refused when they are read.

        Raises:
            AlbertFastError: an input that matches nothing or cannot be read.
        """

    @property
    def notes(self) -> list[str]:
        """What the user should know of the inputs, such as files of a directory that are about its data and skipped."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> str:
        """The next line, preprocessed.

        Raises:
            AlbertFastError: an input cannot be read; a line is not UTF-8 (file, line and byte are named) or too long.
        """

    @property
    def bytes_read(self) -> int:
        """Bytes of the files read so far, as they lie on the disk."""

    @property
    def total_bytes(self) -> int:
        """Bytes of all inputs; 0 where one is a stream."""

@final
class RecordFile:
    """Iterates over the records of a TFRecord file, plain or gzip, whoever wrote it, and checks each.

    An item is `(number, features, problems)`: the record's number from 0; its features by name, int64 or float32 of
    shape [length], None for one of another type; and what is wrong with it, empty where nothing is: checksums, names,
    lengths of features, and, where `vocab_size` and `cls_sep` (two ids) are given, ids and frames.
    """

    def __new__(
        cls, path: str | os.PathLike[str], *, vocab_size: int | None = None, cls_sep: tuple[int, int] | None = None
    ) -> Self:
        """Opens the file.

        Raises:
            AlbertFastError: it cannot be read.
        """

    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[int, dict[str, NDArray[Any]], list[str]]:
        """The next record; after damage that hides where records begin, the end.

        Raises:
            AlbertFastError: the file cannot be read.
        """

def prepare_text(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    options_json: str,
    *,
    eval_output: str | os.PathLike[str] | None = None,
    num_shards: int | None = None,
    compression: str = "auto",
    num_threads: int | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Raw text to one sentence a line, a blank line after each document: behind `albert_fast.prepare_text`.

    `options_json` is a JSON object of the other arguments of `albert_fast.prepare_text`, which says what they do and
    what is returned; what is left out has its default. `progress` is as in `tokenize`.

    Raises:
        AlbertFastError: an option outside its rule; an input that cannot be read, is damaged or cut short; a broken
            record; text that is not UTF-8; an output that exists; no document left; a full disk.
        KeyboardInterrupt: Ctrl-C.
    """

def tokenize(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    tokenizer: Tokenizer,
    *,
    num_threads: int | None = None,
    on_bad_utf8: str = "error",
    format: str = "auto",
    overwrite: bool = False,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Tokenizes text into a token store. Stopped and called again with the same arguments it goes on where it was.

    `inputs` are files, globs and folders, or one of these; plain, gzip, bzip2, xz or zstd; one sentence a line, a blank
    line between documents. The store's files are put beside whatever else the folder holds.

    `progress` is called now and then with stage, unit, done and total (0 where unknown).

    Returns:
        What the store holds, and `"warnings"`.

    Raises:
        AlbertFastError: an input that cannot be read, text that is not UTF-8 (unless `on_bad_utf8="replace"`), a
            folder that holds a store of something else (unless `overwrite`), a full disk.
        KeyboardInterrupt: Ctrl-C; the message says how to go on.
    """

def make_records(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    tokenizer: Tokenizer,
    options_json: str,
    *,
    num_shards: int | None = None,
    compression: str = "none",
    num_threads: int | None = None,
    on_bad_utf8: str = "error",
    format: str = "auto",
    keep_store: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Text inputs, or one token store, to TFRecord shards and `dataset.json` (create_pretraining_data.py).

    `options_json` is a JSON object of the fields of `albert_fast.reference.Options`, `rng` (`"fast"` or `"reference"`)
    and `word_boundary` (`"unicode"` or `"albert"`); what is left out has its default. The bytes of the shards depend on
    inputs, tokenizer, options, `num_shards` and `compression` (`"none"` or `"gzip"`), never on `num_threads`. Stopped
    and called again with the same arguments it goes on where it was. `progress` is as in `tokenize`.

    Returns:
        What `dataset.json` says, and `"already_complete"`, `"resumed_shards"`, `"replaced"` (bad bytes replaced),
        `"store"` (the token store, where one was kept), `"seconds"` by stage, `"warnings"`.

    Raises:
        AlbertFastError: as `tokenize`; an option outside its rule; a token store of another tokenizer.
        KeyboardInterrupt: Ctrl-C; the message says how to go on.
    """

def instance_batches(
    store: TokenStore,
    batch_size: int,
    options_json: str,
    *,
    tokenizer: Tokenizer | None = None,
    num_threads: int | None = None,
) -> Batches:
    """The batches of all epochs of a token store: `albert_fast.InstanceStream`.

    `options_json` is as in `make_records`. Without `tokenizer` the store's own copy tells which pieces begin words.

    Raises:
        AlbertFastError: a tokenizer other than the one the store was made with; an option outside its rule; no document
            that gives an instance.
        KeyboardInterrupt: Ctrl-C.
    """

def record_batches(
    files: Sequence[str | os.PathLike[str]],
    batch_size: int,
    *,
    seed: int,
    shuffle: bool = True,
    masker: Masker | None = None,
    max_seq_length: int | None = None,
    vocab_size: int | None = None,
    index_dir: str | os.PathLike[str] | None = None,
    num_threads: int | None = None,
) -> Batches:
    """The batches of all epochs of TFRecord files: `albert_fast.RecordReader`.

    With `masker`, each record's tokens are restored and masked anew.

    Raises:
        AlbertFastError: a file that cannot be read, is damaged, or holds other records; an option outside its rule.
        KeyboardInterrupt: Ctrl-C.
    """

def instances(
    documents: Sequence[Sequence[Sequence[int]]],
    word_start: NDArray[np.bool_],
    ordinary: Sequence[int],
    special: Mapping[str, int],
    options_json: str,
    word_end: NDArray[np.bool_] | None = None,
) -> list[dict[str, Any]]:
    """The instances of documents of segments of ids, in output order, as `albert_fast.reference` makes them.

    `word_start` is bool of shape [vocab_size]; `ordinary` lists the ids that may replace a word; `special` has the ids
    "pad", "unk", "cls", "sep", "mask"; `word_end`, bool of shape [vocab_size], says after which ids a word begins, and
    then one begins with each segment. Bit 31 of an unknown id says that its surface begins no word.

    Returns:
        For each: `tokens` uint32 [length], `word_starts` bool [length], `first_length` (`[CLS]`, A and `[SEP]`),
        `is_random_next`, `masked_positions` and `masked_labels` uint32 [predictions].

    Raises:
        AlbertFastError: an option outside its rule, an id outside the vocabulary.
    """
