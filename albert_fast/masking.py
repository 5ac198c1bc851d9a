"""Masks for a custom training loop: NumPy arrays of ids in, masked ids and predictions out.

The rules, and the code, are those of the records that ``make-records`` writes. Masks are n-grams of whole words, of
length n with probability (1/n) / sum(1/k) (ALBERT, Lan et al. 2019, section 4.1). Of their tokens, 80% become
``[MASK]``, 10% stay and 10% become a random piece (BERT, Devlin et al. 2018, section 3.1). In google-research/ALBERT
this is create_pretraining_data.py: create_masked_lm_predictions, which ``albert_fast.reference`` explains line by line.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from albert_fast import _arrays, _checks, _native, _padding
from albert_fast._native import Tokenizer
from albert_fast.errors import AlbertFastError, option_error
from albert_fast.options import MaskOptions, options_of
from albert_fast.options.base import documented

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

    from albert_fast.options.instances import WordBoundary

__all__ = ["Masker"]


def _ids(name: str, values: object, vocab_size: int) -> NDArray[np.uint32]:
    """Returns ids of the vocabulary, given as any sequence, as a new array."""
    try:
        ids = _arrays.read(name, values)
    except AlbertFastError:
        ids = np.empty((0, 0))
    _arrays.check_no_bools(name, values, "a sequence of ids")
    if ids.size == 0 and ids.ndim == 1:
        return np.empty(0, dtype=np.uint32)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise option_error(name, "a sequence of ids", values)
    outside = (ids < 0) | (ids >= vocab_size)
    if outside.any():
        raise option_error(name, f"ids of the vocabulary, from 0 to {vocab_size - 1}", int(ids[outside][0]))
    return ids.astype(np.uint32)


def _word_starts(
    value: object, dims: int, shape: str, lengths: Sequence[int] | NDArray[np.int64] = ()
) -> NDArray[np.bool_] | None:
    """Returns word starts as bools. Errors name `shape`; `lengths` are the lengths of the rows of ids."""
    if value is None:
        return None
    starts = _arrays.zeros_and_ones("word_starts", value, dims, shape, lengths)
    _arrays.check_zeros_and_ones("word_starts", starts)
    return starts.astype(np.bool_, copy=False)


def _attention(value: object, shape: str, rows: _arrays.Rows, lengths: NDArray[np.int64]) -> NDArray[Any]:
    """Returns an attention mask. `lengths` are the lengths of the rows of ids before they were filled up."""
    found = _arrays.zeros_and_ones("attention_mask", value, 2, shape, lengths)
    if rows.lengths is not None and found.shape == rows.ids.shape:
        beyond = (found != 0) & (np.arange(found.shape[1]) >= lengths[:, np.newaxis])
        if beyond.any():
            row, place = np.argwhere(beyond)[0]
            rule, value = f"0 after the {lengths[row]} tokens of input_ids[{row}]", int(found[row, place])
            raise option_error("attention_mask", rule, value, got=f"{value} at attention_mask[{row}, {place}]")
    return found


def _lengths(value: object, rows: _arrays.Rows) -> NDArray[np.int64]:
    """Returns the number of tokens at the beginning of each row."""
    found = _arrays.read("lengths", value)
    _arrays.check_no_bools("lengths", value, "integers of shape [rows]")
    if found.size == 0 and found.ndim == 1:
        found = found.astype(np.int64)
    if found.ndim != 1 or not _arrays.holds_integers(found):
        advice = "pass the number of tokens in each row, or an attention mask of shape [rows, tokens]"
        raise option_error("lengths", "integers of shape [rows]", value, advice, got=_arrays.describe(found))
    count, width = rows.ids.shape
    if len(found) != count:
        advice = "for the offsets of rows, pass np.diff(offsets)" if len(found) == count + 1 else ""
        got = f"{len(found)} numbers"
        raise option_error("lengths", f"one number for each of the {count} rows", value, advice, got=got)
    _arrays.check_range("lengths", found, width, ", the length of the rows")
    found = found.astype(np.int64)
    if rows.lengths is not None and (longer := found > rows.lengths).any():
        row = int(longer.argmax())
        rule, value = f"at most {rows.lengths[row]}, the tokens of input_ids[{row}]", int(found[row])
        raise option_error("lengths", rule, value, got=f"{value} at lengths[{row}]")
    return found


def _table(name: str, values: object, size: int) -> NDArray[np.bool_]:
    """Returns a flag for each id, as bools."""
    try:
        table = _arrays.zeros_and_ones(name, values, 1, "[vocab_size]")
        _arrays.check_zeros_and_ones(name, table)
        # Copied, because the caller's array may change.
        table = np.array(table, dtype=np.bool_)
    except AlbertFastError:
        table = _arrays.read(name, values)
    if table.dtype != np.bool_ or table.shape != (size,):
        rule = f"bools, or integers 0 and 1, of shape [{size}], one for each id"
        raise option_error(name, rule, values, got=f"{table.dtype} of shape {list(table.shape)}")
    return table


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of masks as the compiled part takes them, and as they are pickled."""
    options = MaskOptions.pick(given).as_dict()
    # The compiled part takes it together with the tokenizer.
    del options["word_boundary"]
    return options


@documented(MaskOptions)
class Masker:
    """Masks rows of ids, one or many at a time. It is immutable, safe to share between threads, and can be pickled.

    What is masked depends only on the row's ids, its padding, the seed and the row's number. It does not depend on the
    other rows, on threads, or on the machine.

    - The *budget* of a row is `masked_lm_prob` times its number of tokens, special tokens included and padding
      excluded. Halves round to even. It is at least 1 and at most `max_predictions_per_seq`. If `masked_lm_prob` is 0,
      nothing is masked. If no n-gram fits into the rest of the budget, less is masked.
    - *Never masked* are `[CLS]`, `[SEP]`, `[MASK]`, `<pad>`, `special_ids`, and padding. An unknown token is treated
      like any other, as in the reference.
    - A *word* is a token that begins one and the tokens after it that do not, by `Tokenizer.word_starts` and, if `▁`
      ends words, `Tokenizer.word_ends`. A word begins after every special token and after padding. Words and n-grams do
      not cross these. With `cross_segment_words` they do cross `[CLS]` and `[SEP]`.

    `Masker(...)` takes a tokenizer, and `Masker.from_vocab(...)` any vocabulary.

    Args:
        tokenizer: the tokenizer of the ids in the rows.
        {options}
        special_ids: further ids that are never masked.
        num_threads: number of threads of `mask_batch`. None: one per core. The calling thread masks small batches
            itself.

    Raises:
        AlbertFastError: an option is invalid; an id is outside the vocabulary; the tokenizer has no `[CLS]`, `[SEP]`,
            `[MASK]` or `<pad>`.

    Example:
        >>> masker = Masker.from_vocab(100, [True] * 100, pad_id=0, cls_id=2, sep_id=3, mask_id=4, masked_lm_prob=0.5)
        >>> masked = masker.mask([2, 50, 51, 52, 53, 3], seed=1)
        >>> masked["input_ids"].shape, masked["masked_lm_positions"].shape, int(masked["masked_lm_weights"].sum())
        ((6,), (3,), 3)
        >>> sorted(masker.mask_batch(np.full((8, 128), 7, dtype=np.int32), seed=1))
        ['input_ids', 'masked_lm_ids', 'masked_lm_positions', 'masked_lm_weights']
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_predictions_per_seq: int | None = MaskOptions.max_predictions_per_seq,
        masked_lm_prob: float = MaskOptions.masked_lm_prob,
        ngram: int = MaskOptions.ngram,
        favor_shorter_ngram: bool = MaskOptions.favor_shorter_ngram,
        do_whole_word_mask: bool = MaskOptions.do_whole_word_mask,
        do_permutation: bool = MaskOptions.do_permutation,
        word_boundary: WordBoundary = MaskOptions.word_boundary,
        cross_segment_words: bool = MaskOptions.cross_segment_words,
        replace_with_special: bool = MaskOptions.replace_with_special,
        special_ids: Sequence[int] = (),
        num_threads: int | None = None,
    ) -> None:
        if not isinstance(tokenizer, Tokenizer):
            raise option_error(
                "tokenizer", "an albert_fast.Tokenizer", tokenizer, "for other tokenizers, use Masker.from_vocab"
            )
        options = _options(locals())
        boundary = options_of(MaskOptions)["word_boundary"].check(word_boundary)
        special = _ids("special_ids", special_ids, tokenizer.vocab_size)
        native = _native.Masker.from_tokenizer(tokenizer, json.dumps(options), boundary, special)
        options |= {"word_boundary": boundary, "special_ids": special}
        named = {name: getattr(tokenizer, name) for name in ("pad_id", "cls_id", "sep_id", "mask_id")}
        self._set(native, type(self), (tokenizer,), options, num_threads, named)

    @classmethod
    def from_vocab(  # noqa: D417  # the others are explained with the class
        cls,
        vocab_size: int,
        word_starts: Sequence[bool] | NDArray[np.bool_],
        *,
        pad_id: int,
        cls_id: int,
        sep_id: int,
        mask_id: int,
        ordinary: Sequence[int] | NDArray[np.integer[Any]] | None = None,
        word_ends: Sequence[bool] | NDArray[np.bool_] | None = None,
        max_predictions_per_seq: int | None = MaskOptions.max_predictions_per_seq,
        masked_lm_prob: float = MaskOptions.masked_lm_prob,
        ngram: int = MaskOptions.ngram,
        favor_shorter_ngram: bool = MaskOptions.favor_shorter_ngram,
        do_whole_word_mask: bool = MaskOptions.do_whole_word_mask,
        do_permutation: bool = MaskOptions.do_permutation,
        cross_segment_words: bool = MaskOptions.cross_segment_words,
        replace_with_special: bool = MaskOptions.replace_with_special,
        special_ids: Sequence[int] = (),
        num_threads: int | None = None,
    ) -> Self:
        """Returns a masker for any vocabulary. The class describes the other options.

        Args:
            vocab_size: number of pieces. Ids are from 0 to `vocab_size` - 1.
            word_starts: whether the piece of each id begins a word: bool of shape [vocab_size].
            pad_id: the id of `<pad>`.
            cls_id: the id of `[CLS]`.
            sep_id: the id of `[SEP]`.
            mask_id: the id of `[MASK]`.
            ordinary: ids that may replace a masked token. None: all. Special ones among them are ignored.
            word_ends: whether a word begins after the piece of each id, bool of shape [vocab_size], for vocabularies
                that mark the ends of words. None: False for every piece.

        Raises:
            AlbertFastError: an option is invalid; an id is outside the vocabulary; there is no ordinary piece.
        """
        options = _options(locals())
        size = _checks.integer("vocab_size", vocab_size, 1, 2**31 - 1)
        starts = _table("word_starts", word_starts, size)
        ends = None if word_ends is None else _table("word_ends", word_ends, size)
        named = {"pad_id": pad_id, "cls_id": cls_id, "sep_id": sep_id, "mask_id": mask_id}
        named = {name: _checks.integer(name, id_, 0, size - 1) for name, id_ in named.items()}
        special = _ids("special_ids", special_ids, size)
        choice = None if ordinary is None else _ids("ordinary", ordinary, size)
        native = _native.Masker.from_vocab(
            starts, json.dumps(options), **named, ordinary=choice, special_ids=special, word_ends=ends
        )
        options |= {**named, "ordinary": choice, "special_ids": special, "word_ends": ends}
        masker = cls.__new__(cls)
        masker._set(  # noqa: SLF001
            native, cls.from_vocab, (size, starts), options, num_threads, named
        )
        return masker

    def _set(
        self,
        native: _native.Masker,
        make: Callable[..., Masker],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        num_threads: int | None,
        named: dict[str, int],
    ) -> None:
        """Keeps the compiled part, and `make(*arguments, **options)` for pickling and `repr`."""
        num_threads = _checks.threads(num_threads)
        self._native = native
        self._pad_id = named["pad_id"]
        self._other_ids = {id_: name for name, id_ in reversed(named.items()) if name != "pad_id"}
        self._num_threads = num_threads
        self._recipe = functools.partial(make, **options, num_threads=num_threads), arguments

    @property
    def native(self) -> _native.Masker:
        """The compiled masker that does the work."""
        return self._native

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer of the ids, or None after `from_vocab`."""
        of = self._recipe[1][0]
        return of if isinstance(of, Tokenizer) else None

    @property
    def pad_id(self) -> int:
        """The id of `<pad>`."""
        return self._pad_id

    @property
    def other_ids(self) -> dict[int, str]:
        """The ids of `[CLS]`, `[SEP]` and `[MASK]`, each with the name of its option, such as "cls_id"."""
        return dict(self._other_ids)

    @property
    def vocab_size(self) -> int:
        """The number of pieces."""
        return self._native.vocab_size

    def predictions(self, tokens: int) -> int:
        """Returns P, the length of the `masked_lm_*` arrays for a row of `tokens` tokens.

        P is `max_predictions_per_seq` if set, otherwise `max(1, round(masked_lm_prob * tokens))`, and twice that with
        `do_permutation`. Padding counts as tokens.

        Raises:
            AlbertFastError: `tokens` is not an integer from 1 to 16777216.
        """
        return self._native.predictions(_checks.integer("tokens", tokens, 1, 1 << 24))

    def mask(
        self,
        input_ids: ArrayLike,
        seed: int,
        *,
        row: int = 0,
        labels: bool = False,
        word_starts: ArrayLike | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Masks one row.

        Args:
            input_ids: ids of shape [S], in any form that `mask_batch` takes. Every `<pad>` is padding.
            seed: from 0 to 2**64 - 1.
            row: the row's number, from 0. `mask(ids[r], seed, row=r)` is row r of `mask_batch(ids, None, seed)`.
            labels: whether to return `labels` too.
            word_starts: whether each token begins a word, of shape [S], if the vocabulary cannot tell. Takes bools, or
                integers 0 and 1, such as the `token_boundary` of a batch.

        Returns:
            What `mask_batch` returns, in arrays of one dimension.

        Raises:
            AlbertFastError: a type or shape is wrong; an id is outside the vocabulary; a number is outside its range.
            MemoryError: the result does not fit in memory.
        """
        ids = _arrays.integers("input_ids", input_ids, self.vocab_size - 1, ", the ids of the vocabulary")
        _padding.check_ends([ids], [self._pad_id], self._other_ids, "pass the row without padding")
        _padding.check_zeros(
            ids[np.newaxis],
            len(ids),
            [self._pad_id],
            "pass the row without its padding; if they are tokens, use mask_batch with lengths",
        )
        return self._native.mask(
            ids,
            seed=_checks.seed(seed),
            row=_checks.integer("row", row, 0, 2**63 - 1),
            labels=_checks.flag("labels", labels),
            word_starts=_word_starts(word_starts, 1, f"[{len(ids)}]"),
        )

    def mask_batch(
        self,
        input_ids: ArrayLike,
        lengths: ArrayLike | None = None,
        seed: int | None = None,
        *,
        attention_mask: ArrayLike | None = None,
        first_row: int = 0,
        labels: bool = False,
        word_starts: ArrayLike | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Masks B rows of S tokens, in parallel and without the GIL.

        All arguments may be NumPy arrays of any integer type, byte order and strides, tensors of PyTorch, TensorFlow or
        others in CPU memory, or lists. They are never changed. int32 arrays are read in place; others are converted
        first.

        Args:
            input_ids: ids of shape [B, S], or a list of rows, which are filled up with `<pad>` to S, the length of the
                longest.
            lengths: what is not padding: the number of tokens at the beginning of each row, of shape [B], or an
                attention mask of shape [B, S]. None: every token, except `<pad>` and what fills up the rows of a list.
                (If the `<pad>` of a vocabulary is also `[CLS]`, `[SEP]` or `[MASK]`, padding cannot be recognized
                otherwise, and rows must not begin or end with several of them.)
            seed: from 0 to 2**64 - 1. It is required.
            attention_mask: an alternative to `lengths`, of shape [B, S]: 1 for a token and 0 for padding, which may be
                anywhere, as bools or integers. The rows of a list must be as long as those of `input_ids`.
            first_row: number of the first row. `mask_batch(ids[a:b], lengths[a:b], seed, first_row=a)` returns rows a
                to b of `mask_batch(ids, lengths, seed)`.
            labels: whether to return `labels` too.
            word_starts: whether each token begins a word, of shape [B, S], if the vocabulary cannot tell. Takes bools,
                or integers 0 and 1, such as the `token_boundary` of a batch. The rows of a list must be as long as
                those of `input_ids`.

        Returns:
            New arrays, with P from `predictions(S)`. The predictions of a row are in ascending order and zero-padded.
            `input_ids` is int32 [B, S], with replacements in place. `masked_lm_positions` is int32 [B, P].
            `masked_lm_ids` is int32 [B, P], the original ids at these positions. `masked_lm_weights` is float32
            [B, P], 1.0 for a prediction and 0.0 for padding. With `labels`, `labels` is int64 [B, S], as Hugging Face's
            models take it: the original id of each prediction, and -100 elsewhere.

        Raises:
            AlbertFastError: a type or shape is wrong; an id is outside the vocabulary; a length is outside the row; an
                attention mask contains other numbers than 0 and 1; a number is outside its range.
            MemoryError: the result does not fit in memory.
        """
        if seed is None:
            message = "seed is required: call mask_batch(input_ids, lengths, seed)"
            raise AlbertFastError(message, kind="option", option="seed")
        if lengths is not None and attention_mask is not None:
            message = "lengths and attention_mask both mark the padding; pass only one of them"
            raise AlbertFastError(message, kind="option", option="lengths")
        rows = _arrays.rows("input_ids", input_ids, self.vocab_size - 1, ", the ids of the vocabulary", self._pad_id)
        ids = rows.ids
        tokens = np.broadcast_to(ids.shape[1], ids.shape[0]) if rows.lengths is None else rows.lengths
        if lengths is not None:
            lengths = lengths if _arrays.is_sequence(lengths) else _arrays.read("lengths", lengths)
            if _arrays.dimensions(lengths) == 2:
                lengths, attention_mask = None, lengths
        if lengths is None and attention_mask is None:
            _padding.check_zeros(
                ids, tokens, [self._pad_id], "pass attention_mask, which is input_mask in a batch, or lengths"
            )
        if lengths is None and attention_mask is None and self._pad_id in self._other_ids:
            passed = (row[:length] for row, length in zip(ids, tokens, strict=True))
            _padding.check_ends(passed, [self._pad_id], self._other_ids, "pass lengths or an attention_mask")
            lengths = rows.lengths  # only these show what was filled up, not the id
        shape = f"[{ids.shape[0]}, {ids.shape[1]}]"
        return self._native.mask_batch(
            ids,
            seed=_checks.seed(seed),
            lengths=None if lengths is None else _lengths(lengths, rows),
            attention_mask=None if attention_mask is None else _attention(attention_mask, shape, rows, tokens),
            first_row=_checks.integer("first_row", first_row, 0, 2**63 - 1),
            labels=_checks.flag("labels", labels),
            word_starts=_word_starts(word_starts, 2, shape, tokens),
            num_threads=self._num_threads,
        )

    def __repr__(self) -> str:
        again, (of, *_) = self._recipe
        # Tables are long, so they are not shown. special_ids are few.
        shown = {**again.keywords, "special_ids": again.keywords["special_ids"].tolist()}
        options = [f"{name}={value!r}" for name, value in shown.items() if name not in ("ordinary", "word_ends")]
        name = "Masker" if isinstance(of, Tokenizer) else "Masker.from_vocab"
        return f"{name}({', '.join([repr(of), *options])})"

    def __reduce__(self) -> tuple[Callable[..., Masker], tuple[Any, ...]]:
        return self._recipe
