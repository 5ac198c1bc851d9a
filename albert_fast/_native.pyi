"""The compiled part of albert-fast.

Long calls release the GIL and respond to Ctrl-C within a second. If a rule comes from google-research/ALBERT, the
docstring names the reference's function.
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
    "finish",
    "forget_tokenizer_tasks",
    "instance_batches",
    "instances",
    "is_remote",
    "make_records",
    "masking_warning",
    "prepare_text",
    "preprocess",
    "public_path",
    "publish_tokenizer",
    "read_pieces",
    "record_batches",
    "refuse_output_in_input",
    "remote_download",
    "remote_list",
    "remote_read",
    "remote_records",
    "remote_remove",
    "remote_size",
    "remote_upload",
    "remote_write",
    "restore_tokenizer",
    "store_tokenizer",
    "text_changes",
    "text_rules_beside",
    "tokenize",
    "train_tokenizer",
    "train_tokenizer_task",
]

__version__: str

def defaults() -> dict[str, dict[str, Any]]:
    """Returns the core's own defaults by stage and option.

    The stages are "prepare", "tokenizer", "tokenize", "instances", "masks" and "records".
    """

def masking_warning(options_json: str) -> str | None:
    """Returns the warning of `make_records` if `max_predictions_per_seq` is too low for `masked_lm_prob`.

    Args:
        options_json: `InstanceOptions.to_json()`.
    """

def preprocess(text: str, *, lower_case: bool = True, keep_accents: bool = False) -> str:
    """Returns a line as the SentencePiece model gets it (tokenization.py: preprocess_text).

    Whitespace, as `str.split` defines it, becomes single spaces, and is removed at both ends. Unless `keep_accents` is
    set, NFKD decomposes characters, and those with a combining class other than 0 are dropped. Spaces that NFKD creates
    stay. Unless `lower_case` is False, `str.lower` comes last. Characters newer than Unicode 14 follow the Unicode
    tables of this module, not those of the running Python.

    Raises:
        UnicodeEncodeError: the text contains a surrogate.
    """

@final
class Tokenizer:
    """A SentencePiece unigram model or a WordPiece vocabulary. It is immutable and safe to share between threads.

    It can be pickled. The pickle holds the absolute path of its file and the digest; see `restore_tokenizer`.

    Each thread that is working has a cache of words, which takes at most 19 MiB whatever the input. Up to 8 caches are
    kept between calls. The properties for special ids raise `AlbertFastError` if the model has no such piece. Only a
    model with `text_rules="none"` can lack one.
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

        With `text_rules="albert"`, text goes through `preprocess`, and a piece of digits and a comma is split
        (tokenization.py: encode_pieces). With `"none"`, ids are those of `sentencepiece.SentencePieceProcessor.encode`,
        version 0.2.3, and `lower_case` and `keep_accents` have no effect.

        The text rules used in training apply here, as in every command. They come from files next to the model. For
        each rule, the first of these files that states it decides: `spiece.config.json` (for `spiece.model`), which
        `train-tokenizer` and `export` write; Hugging Face's `tokenizer_config.json` (`do_lower_case`, `keep_accents`);
        the normalizer of a `tokenizer.json` with the same pieces. A `spiece.config.json` with the digest of another
        model is ignored, with a `UserWarning`.

        Args:
            path: the model, or a directory that contains one, such as one of Hugging Face's cache.
            lower_case: whether to lowercase text. None: what the files next to the model say, otherwise True.
            keep_accents: whether to keep accents. None: what the files next to the model say, otherwise False.
            text_rules: `"albert"` or `"none"`.
            follow_config: whether to read these files. If not, only the arguments count.

        Raises:
            AlbertFastError: the file does not exist; a directory contains no model, or several; the model is a BPE,
                char or word model; the file is truncated or corrupt; with "albert", the model has no `[CLS]`, `[SEP]`,
                `[MASK]` or `<pad>`, or does not escape spaces; an argument contradicts the files next to the model;
                `spiece.config.json` or `tokenizer_config.json` is damaged.
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

        An entry is the first field of a line, and its id is the line's number, from 0. A byte-order mark before the
        first entry is skipped. An entry on two lines is an error, because programs number the lines after it
        differently.

        Args:
            path: the vocabulary, or a directory with a vocab.txt.
            lower_case: whether to lowercase text. None: what `do_lower_case` in the `tokenizer_config.json` next to the
                vocabulary says, otherwise True.
            keep_accents: whether to keep accents when text is lowercased. None: what `strip_accents` there says,
                otherwise False.
            follow_config: whether to read `tokenizer_config.json`. If not, only the arguments count.

        Raises:
            AlbertFastError: the file does not exist or is not UTF-8; an entry is on two lines; `[PAD]`, `[UNK]`,
                `[CLS]`, `[SEP]` or `[MASK]` is missing; an argument contradicts `tokenizer_config.json`;
                `tokenizer_config.json` is damaged.
        """

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text, without adding `[CLS]` or `[SEP]`.

        Raises:
            UnicodeEncodeError: the text contains a surrogate.
        """

    def encode_pieces(self, text: str) -> list[str]:
        """Returns the pieces of a text.

        A run of unknown characters is returned as it is, or as the pieces of its bytes. With WordPiece it is `[UNK]`.

        Raises:
            UnicodeEncodeError: the text contains a surrogate.
        """

    def encode_batch(
        self, texts: Sequence[str], *, num_threads: int | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """Returns the ids of many texts. It releases the GIL and uses `num_threads` threads (None: one per core).

        Returns:
            Ids, uint32 of shape [tokens], and offsets, uint64 of shape [texts + 1]. The ids of text i are
            `ids[offsets[i]:offsets[i + 1]]`, the same as from `encode`.

        Raises:
            TypeError: `texts` is not a sequence of `str`, or is a single `str`.
            UnicodeEncodeError: a text contains a surrogate.
            AlbertFastError: `num_threads` is 0.
        """

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of ids: pieces are joined, `▁` becomes a space, and an unknown piece becomes ` ⁇ `.

        Control symbols are skipped.

        Raises:
            AlbertFastError: an id is outside the vocabulary.
        """

    def preprocess(self, text: str) -> str:
        """Applies this tokenizer's text rules, the step before tokenizing. With `text_rules="none"` nothing changes."""

    def id_to_piece(self, id: int) -> str:
        """Returns the piece of an id.

        Raises:
            AlbertFastError: the id is outside the vocabulary.
        """

    def piece_to_id(self, piece: str) -> int | None:
        """Returns the id of a piece, which may be a control symbol, or None if the vocabulary does not contain it."""

    def word_starts(self, word_boundary: str = "unicode") -> NDArray[np.bool_]:
        """Returns whether each piece begins a word for whole-word masks: bool of shape [vocab_size].

        `"albert"` is the reference's rule (tokenization.py: is_start_piece): every piece begins a word unless it
        consists of ASCII letters and punctuation only. With `"unicode"`, a piece begins a word if it begins with `▁` or
        with a character of a script written without spaces, or if it consists of punctuation and symbols. With
        WordPiece, under either rule, a piece begins a word unless it begins with `##`.

        If the model marks the ends of words (`treat_whitespace_as_suffix`), a token also begins a word when the token
        before it ends one. See `word_ends` and `word_starts_in`.

        Raises:
            AlbertFastError: `word_boundary` is another name.
        """

    def word_ends(self, word_boundary: str = "unicode") -> NDArray[np.bool_]:
        """Returns whether a word begins after each piece: bool of shape [vocab_size].

        This is True for pieces that end in `▁`, in a model trained with `treat_whitespace_as_suffix`. It is False
        everywhere for other tokenizers, and with `"albert"`, because the reference only knows words that begin with
        `▁`.

        Raises:
            AlbertFastError: `word_boundary` is another name.
        """

    def word_starts_in(self, ids: Sequence[int], word_boundary: str = "unicode") -> NDArray[np.bool_]:
        """Returns whether each token of a text or an instance begins a word: bool of shape [len(ids)].

        A token begins a word if `word_starts` says so of its piece, or `word_ends` of the piece before it. The first
        token begins one too, and so does a token after a control symbol such as `[CLS]`.

        Raises:
            AlbertFastError: an id is outside the vocabulary, or `word_boundary` is another name.
        """

    def split_of_added(self, size: int) -> list[list[int]]:
        """Returns what the pieces from the id `size` on were split into by the model without them.

        `train-tokenizer --extend` adds such pieces. There is a list of ids below `size` for each, which is never empty:
        text that the smaller model does not know is its unknown piece.

        Raises:
            AlbertFastError: this is a WordPiece vocabulary, or `size` is out of range.
        """

    @property
    def content(self) -> bytes:
        """The model or vocabulary as a file from which other programs get the same ids.

        These are the bytes that were read, with one exception. A WordPiece vocabulary with a byte-order mark,
        whitespace around entries or CR LF line ends is written without them.
        """

    @property
    def marks_word_ends(self) -> bool:
        """Whether `▁` marks the end of a word (`treat_whitespace_as_suffix`)."""

    @property
    def vocab_size(self) -> int:
        """The number of pieces."""

    @property
    def pieces(self) -> list[str]:
        """The pieces in id order, as a new list each time."""

    @property
    def kind(self) -> str:
        """`"unigram"` or `"wordpiece"`."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the file and the text rules. Tokenizers with equal digests give equal ids."""

    @property
    def pad_id(self) -> int:
        """The id of `<pad>` or `[PAD]`."""

    @property
    def unk_id(self) -> int:
        """The id of the unknown piece."""

    @property
    def cls_id(self) -> int:
        """The id of `[CLS]`."""

    @property
    def sep_id(self) -> int:
        """The id of `[SEP]`."""

    @property
    def mask_id(self) -> int:
        """The id of `[MASK]`."""

    @property
    def lower_case(self) -> bool:
        """Whether text is lowercased."""

    @property
    def keep_accents(self) -> bool:
        """Whether accents are kept."""

    @property
    def text_rules(self) -> str:
        """`"albert"` or `"none"`."""

    @property
    def vocab_digest(self) -> str:
        """SHA-256 (hex) of the pieces in id order. With equal digests, an id means the same piece."""

    @property
    def file_name(self) -> str:
        """The name of the file as the user knows it: that of `path`, unless `path` is a token store's copy."""

    @property
    def path(self) -> Path:
        """The model or vocabulary file."""

    def __reduce__(self) -> tuple[Callable[..., Tokenizer], tuple[Path, str, str, bool, bool, str]]: ...

def read_pieces(model: bytes) -> list[tuple[str, float]]:
    """Returns the pieces of the content of a SentencePiece model, in id order, with their scores."""

def restore_tokenizer(
    path: str | os.PathLike[str], kind: str, text_rules: str, lower_case: bool, keep_accents: bool, digest: str
) -> Tokenizer:
    """Restores a `Tokenizer` that was pickled. `pickle.loads` calls it.

    Raises:
        AlbertFastError: the file no longer exists, or has changed since, so that its digest differs.
    """

def text_rules_beside(path: str | os.PathLike[str], kind: str) -> tuple[bool | None, bool | None, Path | None]:
    """Returns what the files next to a tokenizer say about its text rules.

    For `kind` "unigram" these are the files that `Tokenizer.from_file` follows, for "wordpiece" Hugging Face's
    `tokenizer_config.json`.

    Returns:
        `lower_case` and `keep_accents` (None if no file states them), and a file that was ignored because it contains
        the digest of another model (None if there is no such file).

    Raises:
        AlbertFastError: a file cannot be read, is not JSON, or contains a value of the wrong type.
    """

@final
class Masker:
    """Masks rows of ids. The docstrings of `albert_fast.Masker`, which uses it, say what is masked and returned.

    `options_json` is a JSON object of `max_predictions_per_seq` (null for no limit), `masked_lm_prob`, `ngram`,
    `favor_shorter_ngram`, `do_whole_word_mask`, `do_permutation`, `cross_segment_words` and `replace_with_special`. An
    option that is missing has its default.
    """

    @staticmethod
    def from_tokenizer(
        tokenizer: Tokenizer, options_json: str, word_boundary: str, special_ids: NDArray[np.uint32]
    ) -> Masker:
        """Returns a masker for a tokenizer's ids. The `special_ids`, of shape [ids], are never masked.

        Raises:
            AlbertFastError: an option is invalid; an id is outside the vocabulary; the tokenizer has no `[CLS]`,
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
        """Returns a masker for ids below the length of `word_starts`.

        The `ordinary` ids (None: all) may replace a masked token.

        Raises:
            AlbertFastError: an option is invalid; an id is outside the vocabulary; there is no ordinary piece.
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
            AlbertFastError: the dtype or shape is wrong, or an id is outside the vocabulary.
            MemoryError: the result does not fit in memory.
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
        """Masks rows, int32 of shape [rows, tokens]. It releases the GIL and uses `num_threads` threads.

        `num_threads` None means one thread per core. With both `lengths` and `attention_mask`, the latter counts. With
        neither, every `<pad>` is padding, unless it is also `[CLS]`, `[SEP]` or `[MASK]`.

        Raises:
            AlbertFastError: a dtype or shape is wrong; an id is outside the vocabulary; a length is outside the row;
                the attention mask contains numbers other than 0 and 1.
            MemoryError: the result does not fit in memory.
        """

    def predictions(self, tokens: int) -> int:
        """Returns the length of the `masked_lm_*` arrays for a row of `tokens` tokens."""

    @property
    def vocab_size(self) -> int:
        """The number of pieces."""

@final
class TokenStore:
    """A token store, open for reading: tokenized documents in memory-mapped files, written by `tokenize`.

    It can be pickled. Unpickling opens the same directory again, which must then have the same contents. `len` is the
    number of documents.
    """

    def __new__(
        cls,
        path: str | os.PathLike[str],
        *,
        verify: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_size: float | None = None,
        progress: Callable[[str, str, int, int], object] | None = None,
    ) -> Self:
        """Opens the store in a directory.

        With `verify`, every byte is read once and compared with the store's checksums. Without it, only the
        description, sizes, headers and borders are checked. Use that for stores that take long to read and have not
        been copied since they were last verified.

        A remote store is fetched into `cache_dir` unless it is there, and read from there. It stays there at least as
        long as this object lives. If copies would take more than `cache_size` GiB, those that nobody uses are removed,
        the least recently used ones first. `progress` is called with stage, unit, done and total.

        Raises:
            AlbertFastError: there is no store, or it is damaged, truncated or of another version. The message names the
                file. Or a remote store does not fit in the cache.
            KeyboardInterrupt: Ctrl-C was pressed.
        """

    def __len__(self) -> int:
        """Returns the number of documents."""

    def __reduce__(self) -> tuple[Callable[..., TokenStore], tuple[str, str, Path | None, float | None]]: ...
    @staticmethod
    def _reopen(
        path: str | os.PathLike[str],
        digest: str,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_size: float | None = None,
    ) -> TokenStore: ...
    def document(self, index: int) -> list[NDArray[np.uint16] | NDArray[np.uint32]]:
        """Returns the sentences of a document, each as an array of ids of shape [tokens].

        The dtype is uint16 if the vocabulary has at most 65,536 pieces, otherwise uint32.

        Raises:
            AlbertFastError: `index` is not from 0 to `num_documents` - 1.
        """

    def tokenizer(self) -> Tokenizer:
        """Returns the tokenizer that the store was made with, from the copy in the store.

        Raises:
            AlbertFastError: the store is from a version that kept no copy, or its copy has changed.
        """

    def verify(self) -> None:
        """Reads every byte and compares it with the checksums.

        Raises:
            AlbertFastError: the store is damaged. The message names the part.
            KeyboardInterrupt: Ctrl-C was pressed.
        """

    @property
    def path(self) -> Path:
        """The directory. For a remote store, it is that of the copy in the cache."""

    @property
    def address(self) -> str | None:
        """The address of a remote store. None if the store is local."""

    @property
    def num_documents(self) -> int:
        """The number of documents."""

    @property
    def num_sentences(self) -> int:
        """The number of sentences."""

    @property
    def num_tokens(self) -> int:
        """The number of tokens."""

    @property
    def vocab_size(self) -> int:
        """The number of pieces in the vocabulary. Every id is below it."""

    @property
    def tokenizer_digest(self) -> str:
        """The `Tokenizer.digest` of the tokenizer that the store was made with."""

    @property
    def digest(self) -> str:
        """Digest (hex) of the tokens and borders. Stores with equal digests have equal contents."""

@final
class Batches:
    """Numbered batches without end, which `albert_fast.BatchSource` wraps."""

    def __len__(self) -> int:
        """Returns the number of instances in the first epoch."""

    def batch(self, k: int, *, num_threads: int | None = None) -> Batch:
        """Returns batch `k`, from 0. It releases the GIL and uses `num_threads` threads (None: one per core).

        Raises:
            AlbertFastError: the data cannot be read, or `k` is too large.
            OverflowError: `k` does not fit in 64 bits.
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
        """Iterates over batches `start`, `start + step`, ... below `stop`, and makes up to `prefetch` of them ahead.

        Raises:
            AlbertFastError: `step`, `prefetch` or `num_threads` is 0.
            OverflowError: a number does not fit in 64 bits.
        """

    def shard(self, index: int, count: int) -> Batches:
        """Returns every `count`-th instance, starting with instance `index`, in batches of the same size.

        Raises:
            AlbertFastError: `index` is not below `count`.
            OverflowError: a number does not fit in 64 bits.
        """

    @property
    def shares(self) -> list[int]:
        """The number of instances from each store in a period of the mixture. Empty for records."""

    def drawn(self, first: int, end: int) -> list[int]:
        """Returns how many of the instances `first` to `end` - 1 of the whole source, from 0, are from each store.

        Raises:
            OverflowError: a number does not fit in 64 bits.
        """

    @property
    def batch_size(self) -> int:
        """B, the number of rows in a batch."""

    @property
    def has_token_boundary(self) -> bool:
        """Whether batches have `token_boundary`."""

    @property
    def max_seq_length(self) -> int:
        """S, the number of tokens in a row."""

    @property
    def max_predictions(self) -> int:
        """P, the number of predictions in a row."""

@final
class BatchIterator:
    """The batches of `Batches.ahead`. After a fork it continues in the child process, with its own threads."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Batch:
        """Returns the next batch, and releases the GIL while it waits.

        Raises:
            AlbertFastError: the data cannot be read. No more batches follow.
            KeyboardInterrupt: Ctrl-C was pressed.
        """

def refuse_output_in_input(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]
) -> None:
    """Checks that an output is not inside an input. Otherwise it would be read as input, now or by the next command.

    Raises:
        AlbertFastError: the output is inside an input.
    """

def is_remote(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path is remote: s3://, gs://, az://, abfs://, http(s):// or hf://."""

def public_path(path: str | os.PathLike[str]) -> str:
    """Returns a path as it may be shown and noted down: a web address without user, password and query.

    The process remembers them, so the result can still be read.

    Raises:
        AlbertFastError: this is not a complete address.
    """

def remote_read(path: str | os.PathLike[str]) -> bytes | None:
    """Returns all bytes of a remote file, or None if it does not exist.

    Raises:
        AlbertFastError: the server refuses or does not answer.
    """

def remote_size(path: str | os.PathLike[str]) -> int | None:
    """Returns the size of a remote file in bytes, or None if it does not exist.

    Raises:
        AlbertFastError: the server refuses or does not answer.
    """

def remote_write(path: str | os.PathLike[str], data: bytes, *, create: bool = False) -> bool:
    """Writes a remote file whole, and replaces what is there; with `create`, only if there is none.

    Returns:
        Whether it was written.

    Raises:
        AlbertFastError: the server refuses or does not answer, or nothing can be written there.
    """

def remote_upload(file: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Copies a local file to a remote one, which appears whole or not at all, in place of an existing one.

    Raises:
        AlbertFastError: the file cannot be read, the server refuses or does not answer, or nothing can be written
            there.
    """

def remote_download(path: str | os.PathLike[str], file: str | os.PathLike[str]) -> None:
    """Copies a remote file to a local one, which appears whole or not at all, in place of an existing one.

    Raises:
        AlbertFastError: there is no such remote file, the server refuses or does not answer, or the local file cannot
            be written.
    """

def remote_records(path: str | os.PathLike[str]) -> list[str]:
    """Returns the remote record files that a path names, sorted; there may be none.

    They are a file, the `*.tfrecord*` files in a directory, or what a glob matches, with directories in the same way. A
    web server has no listings. There, a directory is known by its `dataset.json`.

    Raises:
        AlbertFastError: the server refuses or does not answer, or this is not a glob.
    """

def remote_list(directory: str | os.PathLike[str]) -> list[tuple[str, int, str | None]]:
    """Returns the files below a remote directory, sorted by name.

    Returns:
        The name relative to the directory, the size in bytes, and the version (ETag) if the server tells it.

    Raises:
        AlbertFastError: the server refuses or does not answer, or has no listings.
    """

def remote_remove(path: str | os.PathLike[str]) -> None:
    """Removes a remote file. It is not an error if it does not exist.

    Raises:
        AlbertFastError: the server refuses or does not answer.
    """

def store_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Returns the tokenizer that a token store was made with. Nothing else of the store is read, even if it is remote.

    Raises:
        AlbertFastError: there is no store, or it is from a version that kept no copy, or its copy has changed.
    """

def train_tokenizer(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    options_json: str,
    normalizer: bytes,
    *,
    lower_case: bool = True,
    keep_accents: bool = False,
    on_bad_utf8: str = "error",
    format: str = "auto",
    num_threads: int | None = None,
    extend: Tokenizer | None = None,
    progress: Callable[[str, str, int, int], object] | None = None,
) -> dict[str, Any]:
    """Trains a unigram model on text inputs, one sentence per line.

    Args:
        inputs: files, globs and directories, plain or compressed with gzip, bzip2, xz or zstd, or `-`.
        options_json: the options of `TokenizerTrainingOptions` that the core has, by name.
        normalizer: a serialized SentencePiece model that has the normalization rules.
        lower_case: as in `preprocess`.
        keep_accents: as in `preprocess`.
        on_bad_utf8: `"error"` or `"replace"` (U+FFFD).
        format: `"auto"`, or `"text"` for inputs that look like other data.
        num_threads: number of threads, by default one per core. The model does not depend on it.
        extend: a tokenizer to add pieces to, up to `vocab_size` in all. It keeps its rules. `normalizer` may be empty.
        progress: called a few times a second with stage, unit, done and total (0 if unknown).

    Returns:
        "model", the content of spiece.model, or None if no line is left to train on; "lines", the number of lines that
        are not blank; "dropped", the numbers of those that were dropped, by reason; "notes" about the inputs.

    Raises:
        AlbertFastError: an option is invalid; an input cannot be read or is not a corpus; the vocabulary is too large
            or too small for the text.
        KeyboardInterrupt: Ctrl-C was pressed.
    """

def train_tokenizer_task(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    options_json: str,
    normalizer: bytes,
    kept: str,
    num_tasks: int,
    task_id: int,
    *,
    lower_case: bool = True,
    keep_accents: bool = False,
    on_bad_utf8: str = "error",
    format: str = "auto",
    num_threads: int | None = None,
    extend: Tokenizer | None = None,
    portion_bytes: int | None = None,
    progress: Callable[[str, str, int, int], object] | None = None,
) -> dict[str, Any]:
    """Does the share of one task in training a unigram model. It is in the first round that is not complete.

    Args:
        inputs: files, globs and directories that all tasks can read.
        output_dir: the directory in which tasks keep what they have done. It may be remote.
        options_json: as in `train_tokenizer`.
        normalizer: as in `train_tokenizer`.
        kept: any text. If tasks differ in it, that of the first is kept.
        num_tasks: the number of tasks.
        task_id: the number of this task, from 0.
        lower_case: as in `preprocess`.
        keep_accents: as in `preprocess`.
        on_bad_utf8: as in `train_tokenizer`.
        format: as in `train_tokenizer`.
        num_threads: as in `train_tokenizer`.
        extend: as in `train_tokenizer`.
        portion_bytes: bytes on disk of a portion of the input; all tasks must have the same. The default is 256 MiB.
        progress: as in `train_tokenizer`.

    Returns:
        "task" (see `albert_fast.tasks.of_task`), "notes", and "is_complete": whether no task has anything left to do.
        Then also "model", "lines" and "dropped", as in `train_tokenizer`, "kept", and "already_complete": whether the
        model is in its place. Otherwise, pass it to `publish_tokenizer`.

    Raises:
        AlbertFastError: as in `train_tokenizer`; the output was begun with other options; an input is no file.
        KeyboardInterrupt: Ctrl-C was pressed.
    """

def publish_tokenizer(output_dir: str | os.PathLike[str], model: bytes, kept: str) -> bool:
    """Writes spiece.model, which tasks have trained, and removes what they needed for it.

    All other files of the tokenizer must be there. Several tasks may do this at once. Tasks that run again find `kept`.

    Returns:
        Whether the model was already there.

    Raises:
        AlbertFastError: there is another model; a file cannot be written.
        KeyboardInterrupt: Ctrl-C was pressed.
    """

def forget_tokenizer_tasks(output_dir: str | os.PathLike[str]) -> None:
    """Removes what tasks of `train_tokenizer` have left in a directory, apart from a tokenizer."""

def text_changes(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    lower_case: bool = True,
    keep_accents: bool = False,
) -> dict[str, Any]:
    """Counts what the text rules change in a sample of text inputs.

    Returns:
        Counts of "letters", "marks" (letters that lose accents and the like), "capitals" (letters that are lowercased),
        "changed" (letters of either kind), "inner_words" and "inner_capitals" (words inside sentences, and those
        that begin with a capital letter), and "mark_examples" and "capital_examples", pairs of a word before and
        after.

    Raises:
        AlbertFastError: an input does not exist.
    """

@final
class OutputLock:
    """Keeps a second process from writing to an output; see `albert_fast.files.locked`."""

    def __new__(cls, path: str | os.PathLike[str], *, whole: bool = False) -> Self:
        """Takes the lock on a directory that is filled in place, or on the name of a `whole` output.

        A directory that does not exist is created.

        Raises:
            AlbertFastError: another process holds the lock, or the directory cannot be created.
        """

    @property
    def exclusive(self) -> bool:
        """Whether the lock excludes other processes. It does not if the file system has no locks."""

    def release(self) -> None:
        """Releases the lock, and removes what it created if that is still empty. It may be called more than once."""

@final
class Lines:
    """Iterates over the lines of text inputs that train a tokenizer: those not empty after `preprocess`.

    Inputs are files, globs and directories, plain or compressed with gzip, bzip2, xz or zstd, or `-`.
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
        """Finds the inputs. `on_bad_utf8` is `"error"` or `"replace"`, and `format` is `"auto"` or `"text"`.

        With `"auto"`, inputs that look like JSON Lines, markup or Parquet are refused when they are read.

        Raises:
            AlbertFastError: an input matches nothing or cannot be read.
        """

    @property
    def notes(self) -> list[str]:
        """What the user should know about the inputs, such as skipped files that describe the data of a directory."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> str:
        """Returns the next line, preprocessed.

        Raises:
            AlbertFastError: an input cannot be read; a line is too long, or is not UTF-8 (the message names file, line
                and byte).
        """

    @property
    def bytes_read(self) -> int:
        """The number of bytes read so far from the files, counted as they are on disk."""

    @property
    def total_bytes(self) -> int:
        """The number of bytes in all inputs, or 0 if one is a stream."""

@final
class RecordFile:
    """Iterates over the records of a TFRecord file by any tool, plain or gzip, and checks each record.

    A remote file is read from the server, a few megabytes ahead, without a copy on the disk.

    An item is `(number, features, problems)`. The number of the record counts from 0. The features, by name, are int64
    or float32 of shape [length], or None if the type is another. The problems list what is wrong with the record, and
    are empty if nothing is. They cover checksums, names and lengths of features and, if `vocab_size` and `cls_sep` (two
    ids) are given, ids and frames.
    """

    def __new__(
        cls, path: str | os.PathLike[str], *, vocab_size: int | None = None, cls_sep: tuple[int, int] | None = None
    ) -> Self:
        """Opens the file.

        Raises:
            AlbertFastError: the file cannot be read.
        """

    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[int, dict[str, NDArray[Any]], list[str]]:
        """Returns the next record. Iteration ends at damage that hides the beginning of the next record.

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
    shard_size: float | None = None,
    num_tasks: int | None = None,
    task_id: int | None = None,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Turns raw text into a corpus: one sentence per line, a blank line after each document.

    `albert_fast.prepare_text`, which calls this function, describes the options and what is returned. `options_json` is
    a JSON object of its other arguments. An option that is missing has its default. `progress` is as in `tokenize`.
    `"task"` is what `albert_fast.tasks.of_task` takes.

    Raises:
        AlbertFastError: an option is invalid; an input cannot be read, is damaged or truncated; a record is broken;
            text is not UTF-8; an output exists; no document is left; the disk is full.
        KeyboardInterrupt: Ctrl-C was pressed.
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
    num_tasks: int | None = None,
    task_id: int | None = None,
    portion_bytes: int | None = None,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Tokenizes a corpus into a token store. An interrupted call resumes when it is repeated with the same arguments.

    `inputs` are files, globs and directories, or one of these, plain or compressed with gzip, bzip2, xz or zstd. They
    have one sentence per line and a blank line between documents. Files that `output_dir` already contains stay, and
    the store's files are written next to them.

    With `num_tasks` and `task_id`, the call tokenizes a share of the corpus. Other calls tokenize the rest, on this
    machine or others. The last one completes the store; so does `finish`. The input is divided into portions of about
    `portion_bytes` bytes on disk (None: 256 MiB), at whose ends parts of the store end too. It is meant for tests.

    `progress` is called now and then with stage, unit, done and total (0 if unknown).

    Returns:
        What the store holds (`"files"`, `"documents"`, `"sentences"`, `"tokens"`, `"parts"`, `"bytes"`, `"replaced"`),
        `"already_complete"`, `"resumed_parts"` and `"warnings"`. A task returns `"is_complete"` too, which says whether
        all tasks have ended. Until they have, the counts are those of the task. And there is `"task"`: the numbers of
        its portions, `"first"` and (exclusive) `"end"`; how many there are in all, `"total"` and `"complete"`;
        `"round"` and `"rounds"`, which are 1.

    Raises:
        AlbertFastError: an input cannot be read; text is not UTF-8 (unless `on_bad_utf8="replace"`); the directory
            contains another store (unless `overwrite`); the disk is full.
        KeyboardInterrupt: Ctrl-C was pressed. The message says how to resume.
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
    cache_dir: str | os.PathLike[str] | None = None,
    cache_size: float | None = None,
    num_tasks: int | None = None,
    task_id: int | None = None,
    weights: Sequence[float] = ...,
    progress: Callable[[str, str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Turns text, one token store or several into TFRecord shards and `dataset.json` (create_pretraining_data.py).

    `options_json` is a JSON object of the fields of `albert_fast.reference.Options`, `rng` (`"fast"` or `"reference"`)
    and `word_boundary` (`"unicode"` or `"albert"`). An option that is missing has its default. The bytes of the shards
    depend on inputs, tokenizer, options, `num_shards` and `compression` (`"none"` or `"gzip"`), never on `num_threads`.
    An interrupted call resumes when it is repeated with the same arguments. `progress` is as in `tokenize`.

    With `weights`, the inputs are local token stores, each with one of these numbers above 0, and all with the same
    tokenizer. There are as many instances as `dupe_factor` passes over all stores have. The weights, divided by their
    sum, are the fractions that are from each store.

    Returns:
        The content of `dataset.json`, and `"already_complete"`, `"resumed_shards"`, `"replaced"` (the number of bad
        bytes replaced), `"store"` (the token store, if it was kept), `"seconds"` by stage, `"warnings"`. For a task,
        what is in `dataset.json` is only there if all shards are complete, and there is `"task"`: the numbers of its
        shards, `"first"` and (exclusive) `"end"`; how many there are in all, `"total"` and `"complete"`; `"round"` and
        `"rounds"`, which are 1; and what `dataset.json` says of the task's shards, `"shards"`.

    Raises:
        AlbertFastError: as in `tokenize`; an option is invalid; the token store is from another tokenizer.
        KeyboardInterrupt: Ctrl-C was pressed. The message says how to resume.
    """

def finish(
    directory: str | os.PathLike[str],
    *,
    num_tasks: int | None = None,
    num_threads: int | None = None,
    progress: Callable[[str, str, int, int], object] | None = None,
) -> dict[str, Any]:
    """Completes what the tasks of `prepare_text`, `train_tokenizer`, `tokenize` or `make_records` have written.

    Of `train_tokenizer`, it trains the model, which takes a while; `progress` is called then. The caller must write the
    files, unless the model was already complete: see `albert_fast.tokenizers.completing.complete`.

    Returns:
        `"kind"` (`"corpus"`, `"tokenizer"`, `"token store"` or `"records"`), and `"already_complete"`. Of a corpus,
        what `prepare_text` returns; of a tokenizer, `"model"`, `"lines"`, `"dropped"` and `"kept"`, as in
        `train_tokenizer_task`; of the others, the content of `meta.json` or `dataset.json`.

    Raises:
        AlbertFastError: something is missing; the directory holds something else.
        KeyboardInterrupt: Ctrl-C was pressed.
    """

def instance_batches(
    stores: Sequence[TokenStore],
    batch_size: int,
    options_json: str,
    *,
    weights: Sequence[float],
    starts: Sequence[int],
    fall: tuple[float, int] | None = None,
    tokenizer: Tokenizer | None = None,
    num_threads: int | None = None,
) -> Batches:
    """Returns the batches of all epochs of token stores, for `albert_fast.InstanceStream`.

    The stores are mixed by their `weights`. Each gives its instances from the one at its position in `starts` on.
    `options_json` is as in `make_records`. With `fall`, the fraction of masked tokens falls from `masked_lm_prob` to
    the first number, in as many batches as the second. Without `tokenizer`, the store's own copy decides which pieces
    begin words.

    Raises:
        AlbertFastError: a store was made with another tokenizer; a weight or an option is invalid; no document of a
            store gives an instance.
        KeyboardInterrupt: Ctrl-C was pressed.
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
    cache_dir: str | os.PathLike[str] | None = None,
    cache_size: float | None = None,
    num_threads: int | None = None,
    progress: Callable[[str, str, int, int], object] | None = None,
) -> Batches:
    """Returns the batches of all epochs of TFRecord files, for `albert_fast.RecordReader`.

    With `masker`, the tokens of each record are restored and masked again. Remote files are fetched as in `TokenStore`.

    Raises:
        AlbertFastError: a file cannot be read, is damaged, or contains other records; an option is invalid.
        KeyboardInterrupt: Ctrl-C was pressed.
    """

def instances(
    documents: Sequence[Sequence[Sequence[int]]],
    word_start: NDArray[np.bool_],
    ordinary: Sequence[int],
    special: Mapping[str, int],
    options_json: str,
    word_end: NDArray[np.bool_] | None = None,
) -> list[dict[str, Any]]:
    """Returns the instances of documents, in output order, as `albert_fast.reference` makes them.

    A document is a sequence of sentences, and a sentence a sequence of ids. `word_start` is bool of shape [vocab_size].
    `ordinary` lists the ids that may replace a masked token. `special` has the ids "pad", "unk", "cls", "sep", "mask".
    `word_end`, bool of shape [vocab_size], says after which ids a word begins; if it is given, a word also begins with
    each sentence. Bit 31 of an unknown id says that its surface does not begin a word.

    Returns:
        For each instance: `tokens` uint32 [length], `word_starts` bool [length], `first_length` (`[CLS]`, A and
        `[SEP]`), `is_random_next`, `masked_positions` and `masked_labels` uint32 [predictions].

    Raises:
        AlbertFastError: an option is invalid, or an id is outside the vocabulary.
    """
