"""`albert_fast.torch.Collator`, which turns rows of ids into masked batches of PyTorch tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from albert_fast import _arrays, _checks, _padding
from albert_fast._native import Tokenizer
from albert_fast.errors import AlbertFastError, option_error, shown
from albert_fast.masking import Masker, _ids
from albert_fast.tokenizers.word_marks import word_ends, word_starts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from typing_extensions import Self

MAX_TOKENS = 1 << 24
"""The maximum number of tokens in a row that a `Masker` takes."""

PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "special_tokens_mask")


def _array(value: object) -> NDArray[Any]:
    """Returns a list, array, tensor (on any device) or number as an array, and anything else as an object array."""
    try:
        return _arrays.read("", value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    except (AlbertFastError, RuntimeError):  # PyTorch raises the second if there are no values, as on "meta"
        return np.asarray(None)


def _row(name: str, value: object, number: int) -> NDArray[np.int32]:
    """Returns a list, array or tensor of integers as int32 of shape [tokens]: ids, or flags, which may be bools."""
    flags = name != "input_ids"
    wide = _array(value)
    if wide.ndim == 1 and wide.size == 0:
        return np.empty(0, dtype=np.int32)
    # NumPy takes the bools of [True, 5] as integers.
    hidden = isinstance(value, list | tuple) and not {bool, np.bool_}.isdisjoint(map(type, value))
    if wide.ndim == 1 and wide.dtype.kind in "biu" and (flags or not (hidden or wide.dtype.kind == "b")):
        narrow = wide.astype(np.int32, copy=False)
        if np.array_equal(narrow, wide) and not (flags and ((narrow < 0) | (narrow > 1)).any()):
            return narrow
    rule = "a list of 0 and 1" if flags else "a list of 32-bit integers"
    got = f"{_arrays.one_line(value)} in row {number}"
    raise option_error(name, f"{rule} for each row", value, got=got)


def _scalar(name: str, value: object, number: int) -> NDArray[Any]:
    array = _array(value)
    if array.dtype.kind == "u":
        signed = array.astype(np.int64)
        if (signed >= 0).all():
            array = signed
    if array.ndim != 0 or array.dtype.kind not in "bif":
        rule = "a number (a float, or a signed 64-bit integer) for each row"
        got = f"{_arrays.one_line(value)} in row {number}"
        raise option_error(name, rule, value, "remove it from the rows", got=got)
    return array


def _scalars(name: str, values: list[object]) -> torch.Tensor:
    found = np.asarray([_scalar(name, value, number) for number, value in enumerate(values)])
    wanted = {"b": np.bool_, "f": np.float32}.get(found.dtype.kind, np.int64)
    return torch.from_numpy(found.astype(wanted))


class Collator:
    """Pads rows of ids and masks them: a data collator for a `transformers.Trainer` and any `DataLoader`.

    A row is a mapping with `input_ids`, a list, array or tensor that includes the special tokens. It may also have,
    with the same length and only 0 and 1, `attention_mask` (0 for padding), `token_type_ids` and `special_tokens_mask`.
    The latter is 1 for tokens that are never masked, beyond those that the masker knows; they do not count towards the
    budget. `labels` are replaced. Numbers, such as `sentence_order_label`, become a tensor of shape [B].

    Rows may already be padded. Without `attention_mask`, the padding ids at both ends of a row are padding, and a
    padding id anywhere else is an error. With it, padding is what it says.

    A row gets new masks each time it is used. A call returns int64 tensors of shape [B, S]: `input_ids` with masks in
    place, `attention_mask`, `token_type_ids` (0 if a row has none), and `labels`, the original id of each prediction
    and -100 elsewhere. Calls raise `AlbertFastError` if rows contain something else, have different lengths, padding
    ids between tokens, or ids outside the vocabulary.

    Args:
        masker: the masker. For a tokenizer, a `Masker` with default options is made.
        pad_id: the id to pad with. None: the masker's `<pad>`.
        max_length: S, the number of tokens in every row, padding included, up to 16777216. None: that of the longest
            row.
        pad_to_multiple_of: S becomes a multiple of this number, such as 8 for tensor cores. Not with `max_length`.
        seed: None: each batch draws its seed from PyTorch's generator, so that `torch.manual_seed` and
            `transformers.set_seed` reproduce a run and the workers of a DataLoader differ. Otherwise PyTorch's
            generator is not used, and seeds follow from this number and the count of calls. In a DataLoader worker they
            also follow from the worker's own seed, which the DataLoader draws from PyTorch's generator whenever it
            starts workers. Epochs therefore differ, and `torch.manual_seed` reproduces them.

    Raises:
        AlbertFastError: an option is invalid, or a tokenizer has no `[CLS]`, `[SEP]`, `[MASK]` or `<pad>`.

    Example:
        >>> masker = Masker.from_vocab(100, [True] * 100, pad_id=0, cls_id=2, sep_id=3, mask_id=4)
        >>> batch = Collator(masker, seed=1)([{"input_ids": [2, 50, 51, 52, 3]}, {"input_ids": [2, 60, 3]}])
        >>> {name: list(tensor.shape) for name, tensor in batch.items()}
        {'input_ids': [2, 5], 'attention_mask': [2, 5], 'token_type_ids': [2, 5], 'labels': [2, 5]}
    """

    def __init__(
        self,
        masker: Masker | Tokenizer,
        pad_id: int | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        seed: int | None = None,
    ) -> None:
        made = Masker(masker) if isinstance(masker, Tokenizer) else masker
        self._masker = _checks.instance("masker", made, Masker, "an albert_fast.Masker or Tokenizer")
        self._pad_id = _checks.integer(
            "pad_id", self._masker.pad_id if pad_id is None else pad_id, 0, self._masker.vocab_size - 1
        )
        self._pad_ids = frozenset({self._pad_id, self._masker.pad_id})
        if max_length is not None and pad_to_multiple_of is not None:
            msg = "max_length and pad_to_multiple_of both set the length of rows; pass only one of them"
            raise AlbertFastError(msg, kind="option", option="pad_to_multiple_of", value=pad_to_multiple_of)
        self._max_length = None if max_length is None else _checks.integer("max_length", max_length, 1, MAX_TOKENS)
        multiple = 1 if pad_to_multiple_of is None else pad_to_multiple_of
        self._multiple = _checks.integer("pad_to_multiple_of", multiple, 1, MAX_TOKENS)
        self._seed = None if seed is None else _checks.seed(seed)
        self._calls = 0

    @property
    def masker(self) -> Masker:
        """The masker."""
        return self._masker

    @property
    def pad_id(self) -> int:
        """The id to pad with."""
        return self._pad_id

    @classmethod
    def from_hf(
        cls,
        tokenizer: Any,
        *,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> Self:
        """Returns a collator for the ids of a transformers tokenizer.

        Special tokens are never masked, apart from the unknown token. The vocabulary shows which pieces begin a word.
        With SentencePiece these are pieces that begin with `▁`, punctuation and symbols, and the scripts written
        without spaces, as in `Tokenizer.word_starts`. With WordPiece they are pieces that do not begin with `##`, and
        with byte-level BPE pieces that begin with `Ġ`. If words end in `▁` or `</w>`, a word begins after it.

        Args:
            tokenizer: a `transformers.PreTrainedTokenizerBase` with pad, cls, sep and mask tokens.
            max_length: as in the class.
            pad_to_multiple_of: as in the class.
            seed: as in the class.
            **options: options of `Masker`, such as `masked_lm_prob`. `special_ids` adds further ids.

        Raises:
            AlbertFastError: an option is invalid, or the tokenizer lacks one of these tokens.
        """
        named: dict[str, Any] = {}
        for name in ("pad", "cls", "sep", "mask"):
            id_ = getattr(tokenizer, f"{name}_token_id", None)
            if id_ is None:
                msg = f"tokenizer must have a {name} token, got {shown(tokenizer)}"
                raise AlbertFastError(msg, kind="tokenizer", option="tokenizer", rule=f"one with a {name} token")
            named[f"{name}_id"] = id_
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        pieces: list[str | None] = [None] * (max(vocabulary.values()) + 1)
        for piece, id_ in vocabulary.items():
            pieces[id_] = piece
        special = {
            *tokenizer.all_special_ids,
            *_ids("special_ids", options.pop("special_ids", ()), len(pieces)).tolist(),
        }
        plain = [
            id_
            for id_, piece in enumerate(pieces)
            # A piece without its own text is a gap, or stands for one byte, or has no meaning yet.
            if id_ not in special and piece and not piece.startswith(("[unused", "<0x"))
        ]
        masker = Masker.from_vocab(
            len(pieces),
            word_starts(pieces, special),
            **named,
            ordinary=plain,
            special_ids=sorted(special - {tokenizer.unk_token_id}),
            word_ends=word_ends(pieces, special),
            **options,
        )
        return cls(masker, named["pad_id"], max_length, pad_to_multiple_of, seed)

    def _next_seed(self) -> int:
        if self._seed is None:
            return int(torch.randint(2**63 - 1, ()))
        worker = get_worker_info()
        # A worker that is started again counts from 0 again, but has another seed.
        key = (0 if worker is None else worker.seed, self._calls)
        self._calls += 1
        return int(np.random.SeedSequence(self._seed, spawn_key=key).generate_state(1, np.uint64)[0])

    def _length(self, longest: int) -> int:
        if self._max_length is None:
            return -(-longest // self._multiple) * self._multiple
        if longest > self._max_length:
            rule = f"of at most max_length={self._max_length} tokens"
            raise option_error("rows", rule, longest, "pass shorter rows", got=f"{longest} tokens")
        return self._max_length

    def _attention(self, ids: NDArray[np.int32], number: int) -> NDArray[np.bool_]:
        """Returns which tokens of a row without attention_mask are not padding."""
        padding = np.zeros(len(ids), dtype=np.bool_)
        for id_ in self._pad_ids - self._masker.other_ids.keys():
            padding |= ids == id_
        tokens = np.flatnonzero(~padding)
        if len(tokens) and (inside := padding[tokens[0] : tokens[-1]]).any():
            place = int(tokens[0] + inside.argmax())
            msg = (
                f"rows without attention_mask must have padding only at their ends: in row {number}, id {ids[place]} "
                f"at position {place} is padding, and tokens follow it; pass attention_mask"
            )
            raise AlbertFastError(msg, kind="option", option="input_ids", value=int(ids[place]))
        return ~padding

    def __call__(self, rows: Iterable[Any]) -> dict[str, torch.Tensor]:
        """Returns the batch of these rows.

        Raises:
            AlbertFastError: rows contain something else, or have different lengths, padding ids between tokens, or ids
                outside the vocabulary.
        """
        features: list[Any] = [*rows] if hasattr(rows, "__iter__") else [rows]
        if not features or not all(isinstance(row, Mapping) and "input_ids" in row for row in features):
            raise option_error("rows", "one or more mappings with input_ids", rows, got=_arrays.one_line(features))
        names = features[0].keys()
        for number, row in enumerate(features):
            if row.keys() != names:
                msg = f"all rows must have the same keys: row 0 has {sorted(names)}, and row {number} has {sorted(row)}"
                raise AlbertFastError(msg, kind="option", option="rows", value=sorted(row))
        tokens = [_row("input_ids", row["input_ids"], number) for number, row in enumerate(features)]
        shape = len(tokens), self._length(max(1, *(len(row) for row in tokens)))

        def padded(name: str, padding: int) -> NDArray[np.int32]:
            array = np.full(shape, padding, dtype=np.int32)
            for number, (row, ids) in enumerate(zip(features, tokens, strict=True)):
                values = ids if name == "input_ids" else _row(name, row[name], number)
                _arrays.check_length(name, len(values), len(ids), number)
                array[number, : len(values)] = values
            return array

        ids = padded("input_ids", self._pad_id)
        if "attention_mask" in names:
            attention = padded("attention_mask", 0)
        else:
            _padding.check_ends(tokens, sorted(self._pad_ids), self._masker.other_ids, "pass attention_mask")
            lengths = np.array([len(row) for row in tokens])
            _padding.check_zeros(ids, lengths, self._pad_ids, "pass attention_mask, which is input_mask in a batch")
            attention = np.zeros(shape, dtype=np.int32)
            for number, row in enumerate(tokens):
                attention[number, : len(row)] = self._attention(row, number)
        types = padded("token_type_ids", 0) if "token_type_ids" in names else np.zeros(shape, dtype=np.int32)
        eligible = attention
        if "special_tokens_mask" in names:
            eligible = attention * (padded("special_tokens_mask", 1) == 0)
        masked = self._masker.mask_batch(ids, eligible, self._next_seed(), labels=True)
        arrays = {
            "input_ids": masked["input_ids"],
            "attention_mask": attention,
            "token_type_ids": types,
            "labels": masked["labels"],
        }
        batch = {name: torch.from_numpy(array.astype(np.int64, copy=False)) for name, array in arrays.items()}
        for name in names:
            if name not in PER_TOKEN and name != "labels":
                batch[name] = _scalars(name, [row[name] for row in features])
        return batch
