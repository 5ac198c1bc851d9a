"""Batches for PyTorch and Hugging Face Transformers; needs PyTorch (`pip install torch`), which is not installed along.

`dataset` feeds a `DataLoader` with the batches of an `InstanceStream` or a `RecordReader`, and `collate` passes them
to a Hugging Face `Trainer`. `Collator` masks tokens of one's own, in a `DataLoader` or a `Trainer`.

Example:
    >>> import albert_fast.torch
    >>> from albert_fast import InstanceStream
    >>> from torch.utils.data import DataLoader
    >>> def loader(store, step):  # one that was stopped goes on with its step
    ...     source = InstanceStream(store, batch_size=32)
    ...     return DataLoader(albert_fast.torch.dataset(source, start=step), batch_size=None, num_workers=2)
"""

from __future__ import annotations

import inspect
import itertools
import unicodedata
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from albert_fast import BatchSource, _arrays, _checks, _loaders
from albert_fast._native import AlbertFastError, Tokenizer
from albert_fast.masking import Masker, _ids

try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    msg = f"albert_fast.torch needs PyTorch (pip install torch): {error}"
    raise ImportError(msg) from error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from albert_fast import Batch

__all__ = ["BatchDataset", "Collator", "collate", "dataset", "huggingface"]

IGNORED = -100
"""The label of what is not predicted: what PyTorch's cross entropy leaves out unless told otherwise."""

FORMS = ("huggingface", "albert")


def huggingface(batch: Batch) -> dict[str, torch.Tensor]:
    """A batch by the names that transformers' `AlbertForPreTraining` takes, all int64.

    Returns:
        `input_ids`, `attention_mask` and `token_type_ids` [B, S]; `labels` [B, S], the original id of each prediction
        and -100 elsewhere; `sentence_order_label` [B], 0 where the segments stand in order and 1 where they changed
        places.
    """
    labels = np.full(batch["input_ids"].shape, IGNORED, dtype=np.int64)
    rows, columns = np.nonzero(batch["masked_lm_weights"])
    labels[rows, batch["masked_lm_positions"][rows, columns]] = batch["masked_lm_ids"][rows, columns]
    arrays: dict[str, NDArray[Any]] = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["input_mask"],
        "token_type_ids": batch["segment_ids"],
        "labels": labels,
        "sentence_order_label": batch["next_sentence_labels"][:, 0],
    }
    return {name: torch.from_numpy(array.astype(np.int64, copy=False)) for name, array in arrays.items()}


def _in_turn(parts: list[Iterator[Batch]]) -> Iterator[Batch]:
    """The next one of each, from the first to the last, again and again until one has ended."""
    for part in itertools.cycle(parts):
        batch = next(part, None)
        if batch is None:
            return
        yield batch


class BatchDataset(IterableDataset):
    """What `dataset` gives; it can be pickled, so workers may be forked or spawned."""

    def __init__(self, source: BatchSource, start: int, stop: int | None, step: int, form: str, prefetch: int) -> None:
        super().__init__()
        self.source = _checks.instance("source", source, BatchSource, "an InstanceStream or a RecordReader")
        self.start = _checks.integer("start", start, 0)
        self.stop = None if stop is None else _checks.integer("stop", stop, 0)
        self.step = _checks.integer("step", step, 1)
        self.form = _checks.choice("form", form, FORMS)
        self.prefetch = _checks.integer("prefetch", prefetch, 1, 2**16)
        # Batches in succession that one worker makes.
        self._block = 1

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        # Frames are not kept in a variable: one that holds itself would keep the iterators below.
        _loaders.watch_collator(inspect.currentframe())
        if self.source.shards:
            # A dataset around this one may not pass set_epoch on.
            self._check_shards(_loaders.processes(inspect.currentframe()))
        worker = get_worker_info()
        if worker is None:
            return self._tensors(self._batches(self.start, self.step))
        # A DataLoader takes from its workers in turn, so that these shares give the order of a single process.
        starts = [self.start + (worker.id * self._block + item) * self.step for item in range(self._block)]
        parts = [self._batches(start, self.step * worker.num_workers * self._block, worker=True) for start in starts]
        return self._tensors(_in_turn(parts))

    def _batches(self, start: int, step: int, *, worker: bool = False) -> Iterator[Batch]:
        # Workers are processes: with a thread for every processor in each they would stand in each other's way.
        num_threads = (self.source.num_threads or 1) if worker else self.source.num_threads
        prefetch = max(1, self.prefetch // self._block) if worker else self.prefetch
        return self.source.batches(start, self.stop, step, prefetch=prefetch, num_threads=num_threads)

    def _tensors(self, batches: Iterator[Batch]) -> Iterator[dict[str, torch.Tensor]]:
        for batch in batches:
            if self.form == "huggingface":
                yield huggingface(batch)
            else:
                yield {name: torch.from_numpy(array) for name, array in batch.items()}

    def set_epoch(self, epoch: int) -> None:  # noqa: ARG002  # accelerate passes it
        """Checks how accelerate, or a `Trainer`, deals the batches out; it calls this before each pass.

        The epoch changes nothing: each pass begins at `start`.

        Raises:
            AlbertFastError: several processes share the batches, and the source is a shard already; or they cut batches
                into parts that would leave rows out.
        """
        dealing = _loaders.caller(inspect.currentframe())
        if dealing is None:
            return
        if dealing.processes > 1:
            self._check_dealing(dealing)
        self._block = dealing.block

    def _check_shards(self, processes: int) -> None:
        shards = [f".shard({index}, {count})" for index, count in self.source.shards if count > 1]
        if processes > 1 and shards:
            msg = (
                f"source must be the whole stream if accelerate (or a Trainer) deals its batches out to {processes} "
                f"processes, got {''.join(shards)}, and the rest would not be read: pass the stream itself to "
                "albert_fast.torch.dataset, without .shard"
            )
            raise AlbertFastError(msg)

    def _check_dealing(self, dealing: _loaders.Dealing) -> None:
        processes, items, rows = dealing.processes, dealing.items, self.source.batch_size
        self._check_shards(processes)
        if items is None and not dealing.dispatched:
            msg = (
                "batch_size of the DataLoader must be a number if dispatch_batches is False, got None: pass "
                "batch_size=1, collate_fn=albert_fast.torch.collate"
            )
            raise AlbertFastError(msg)
        if dealing.dispatched and dealing.split and (items or 1) * rows % processes:
            msg = (
                f"batch_size of the source must be a multiple of the {processes} processes that split_batches cuts it "
                f"for, got {rows}: pass another batch_size, or split_batches=False"
            )
            raise AlbertFastError(msg)
        if self.stop is None or not dealing.first:
            return
        step = (items or 1) * (1 if dealing.split else processes)
        short = len(self) % step
        repeated = -short * rows % processes if dealing.dispatched else (step - short) * rows
        if short and (dealing.drop_last or repeated):
            what = f"drops the last {short} batches" if dealing.drop_last else f"repeats {repeated} of the first rows"
            msg = (
                f"accelerate {what}, so that {processes} processes take as many steps each: pass a stop to "
                f"albert_fast.torch.dataset with which the number of batches, {len(self)}, is a multiple of {step}"
            )
            warnings.warn(msg, stacklevel=2)

    def __len__(self) -> int:
        """Number of batches, in all workers together.

        Raises:
            TypeError: there is no end.
        """
        if self.stop is None:
            msg = "batches without end have no len; pass stop to albert_fast.torch.dataset"
            raise TypeError(msg)
        return len(range(self.start, self.stop, self.step))


def dataset(
    source: BatchSource,
    *,
    start: int = 0,
    stop: int | None = None,
    step: int = 1,
    form: str = "huggingface",
    prefetch: int = 4,
) -> BatchDataset:
    """Batches `start`, `start + step`, ... below `stop` (None: without end), as tensors, for a `DataLoader`.

    Pass it with `batch_size=None`: an item is a whole batch. With any number of workers, forked or spawned, the
    DataLoader gives the same batches in the same order as with none, each made once (unless it is told
    `in_order=False`). Each iteration begins at `start` again. A `Trainer`, or a DataLoader with a `batch_size`, needs
    `collate` to join so many batches.

    Without workers the batches are made ahead by threads of `source`, which is usually fast enough. In a worker there
    is one thread, unless `source` was given `num_threads`.

    Args:
        source: an `InstanceStream` or a `RecordReader`.
        start: the first batch; what a trainer that goes on passes is the number of batches that it has had.
        stop: where to end; with it the dataset has a `len`.
        step: from one to the next.
        form: "huggingface" for what `huggingface` returns; "albert" for the arrays of `albert_fast.Batch`, which are
            not copied: int32, `masked_lm_weights` float32.
        prefetch: most finished batches that wait, in each worker, from 1 to 65536.

    Raises:
        AlbertFastError: another source, a number outside its range, another form; while iterating, the data cannot be
            read, or a collator drops batches.

    Example:
        With data parallelism each process takes its shard:

        >>> def shard_loader(source, steps_done=0):
        ...     shard = source.shard(torch.distributed.get_rank(), torch.distributed.get_world_size())
        ...     return DataLoader(albert_fast.torch.dataset(shard, start=steps_done), batch_size=None)

        Not so with Hugging Face accelerate or a `Trainer`, which deal the batches out themselves: they take the whole
        source, with `collate`, and a shard is an error there.

        >>> def trainer(model, source, arguments):
        ...     data = albert_fast.torch.dataset(source)
        ...     return transformers.Trainer(model, arguments, albert_fast.torch.collate, train_dataset=data)
    """
    return BatchDataset(source, start, stop, step, form, prefetch)


def collate(batches: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """One batch of all rows of some, for a `Trainer` or `DataLoader` that has a `batch_size`: their `data_collator`.

    An item of `dataset` is a batch, and `per_device_train_batch_size`, `per_device_eval_batch_size` or `batch_size` is
    the number of items that are taken at once. So a step has that many times the source's `batch_size` of rows.

    Args:
        batches: of `dataset`, all of the same names and, but for the number of rows, the same shapes.

    Returns:
        The rows of the first batch, then those of the second, and so on. A single batch is not copied.

    Raises:
        AlbertFastError: no batch; something else; batches of different names or widths.
    """
    found: list[Any] = list(batches)
    for batch in found:
        if isinstance(batch, Mapping) and "input_ids" not in batch:
            msg = (
                f"batches must have input_ids, got {_shown(sorted(batch))}: a Trainer removes what the model's forward "
                "does not name; pass TrainingArguments(remove_unused_columns=False), or name it there"
            )
            raise AlbertFastError(msg)
    if not found or not all(_is_batch(batch) for batch in found):
        msg = (
            f"collate takes the batches of albert_fast.torch.dataset, at least one of them; got {_shown(found)}: for "
            "rows of ids pass an albert_fast.torch.Collator"
        )
        raise AlbertFastError(msg)
    first = {name: list(tensor.shape[1:]) for name, tensor in found[0].items()}
    for number, batch in enumerate(found):
        shapes = {name: list(tensor.shape[1:]) for name, tensor in batch.items()}
        if shapes != first:
            msg = (
                f"batches must have the same names and widths, got {first} in batch 0 and {shapes} in batch {number}: "
                "pass batch_size=1 (a Trainer's per_device_train_batch_size and per_device_eval_batch_size)"
            )
            raise AlbertFastError(msg)
    if len(found) == 1:
        return dict(found[0])
    return {name: torch.cat([batch[name] for batch in found]) for name in first}


def _is_batch(value: object) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in value.values()):
        return False
    ids = value.get("input_ids")
    return (
        ids is not None and ids.ndim == 2 and all(len(tensor) == len(ids) for tensor in value.values() if tensor.ndim)
    )


def _shown(value: object) -> str:
    """A value in an error, on one line."""
    return " ".join(f"{value!r}".split())[:200]


def _array(value: object) -> NDArray[Any]:
    """A list, array, tensor (on any device) or number as an array; an object if it is none of them."""
    try:
        return _arrays.read("", value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    except AlbertFastError:
        return np.asarray(None)


def _row(name: str, value: object, number: int) -> NDArray[np.int32]:
    """A list, array or tensor of integers as int32 of shape [tokens]: ids, or flags, which may be bools."""
    flags = name != "input_ids"
    wide = _array(value)
    if wide.ndim == 1 and wide.size == 0:
        return np.empty(0, dtype=np.int32)
    # NumPy takes the bools of [True, 5] for integers.
    hidden = isinstance(value, list | tuple) and not {bool, np.bool_}.isdisjoint(map(type, value))
    if wide.ndim == 1 and wide.dtype.kind in "biu" and (flags or not (hidden or wide.dtype.kind == "b")):
        narrow = wide.astype(np.int32, copy=False)
        if np.array_equal(narrow, wide) and not (flags and ((narrow < 0) | (narrow > 1)).any()):
            return narrow
    rule = "a list of 0 and 1" if flags else "a list of integers of 32 bits"
    msg = f"{name} must be {rule} for each row; in row {number} it is {_shown(value)}"
    raise AlbertFastError(msg)


def _scalar(name: str, value: object, number: int) -> NDArray[Any]:
    array = _array(value)
    if array.dtype.kind == "u":
        signed = array.astype(np.int64)
        if (signed >= 0).all():
            array = signed
    if array.ndim != 0 or array.dtype.kind not in "bif":
        msg = (
            f"beside lists of tokens a row may hold numbers, integers of 64 bits with a sign; "
            f"in row {number} {name} is {_shown(value)}: remove it from the rows"
        )
        raise AlbertFastError(msg)
    return array


def _scalars(name: str, values: list[object]) -> torch.Tensor:
    found = np.asarray([_scalar(name, value, number) for number, value in enumerate(values)])
    wanted = {"b": np.bool_, "f": np.float32}.get(found.dtype.kind, np.int64)
    return torch.from_numpy(found.astype(wanted))


SPACELESS_SCRIPTS = (
    "BALINESE", "BOPOMOFO", "CJK", "HALFWIDTH KATAKANA LETTER", "HANGZHOU", "HENTAIGANA", "HIRAGANA",
    "IDEOGRAPHIC ITERATION", "IDEOGRAPHIC NUMBER", "JAVANESE", "KANGXI", "KATAKANA", "KHMER", "LAO", "MYANMAR",
    "NEW TAI LUE", "NUSHU", "TAI LE", "TAI THAM", "TAI VIET", "TANGUT", "THAI", "TIBETAN", "YI",
)  # fmt: skip
"""How the names of the characters begin that are written without spaces between words."""


def _is_mark(character: str) -> bool:
    """Punctuation or a symbol, but no apostrophe: these stand inside words."""
    return character not in "'’" and unicodedata.category(character)[0] in "PS"


def word_starts(pieces: Sequence[str | None], special_ids: Collection[int] = ()) -> NDArray[np.bool_]:
    """Whether each piece of a vocabulary begins a word for whole-word masks: bool of shape [len(pieces)].

    The mark that most pieces carry decides: `▁` (SentencePiece) and `Ġ` (byte-level BPE) stand at the start of a word,
    and `##` (WordPiece) on every piece that does not start one; see `word_ends` for marks at the end of words. Except
    with WordPiece, punctuation and symbols start words too. With `▁`, so do pieces that begin with a character of a
    script without spaces. Special pieces and gaps (None) count as starts.
    """
    mark, at_end = _word_mark(pieces)

    def begins(piece: str) -> bool:
        if mark == "##":
            return not piece.startswith(mark)
        text = piece.strip("▁") if at_end and mark == "▁" else piece.removesuffix(mark) if at_end else piece
        spaceless = mark == "▁" and unicodedata.name(text[:1] or "a", "").startswith(SPACELESS_SCRIPTS)
        return (not at_end and piece.startswith(mark)) or spaceless or (bool(text) and all(map(_is_mark, text)))

    return np.array([not piece or id_ in special_ids or begins(piece) for id_, piece in enumerate(pieces)])


def word_ends(pieces: Sequence[str | None], special_ids: Collection[int] = ()) -> NDArray[np.bool_] | None:
    """Whether a word begins after each piece of a vocabulary: bool of shape [len(pieces)].

    None unless most pieces say that words are marked at their end: by `▁` (SentencePiece's
    `treat_whitespace_as_suffix`) or by `</w>` (BPE as in XLM).
    """
    mark, at_end = _word_mark(pieces)
    if not at_end:
        return None
    return np.array(
        [piece is not None and id_ not in special_ids and piece.endswith(mark) for id_, piece in enumerate(pieces)]
    )


def _word_mark(pieces: Sequence[str | None]) -> tuple[str, bool]:
    """What marks words, and whether at their end."""
    marks = Counter(
        (mark, at_end)
        for piece in pieces
        for mark, at_end in (("▁", False), ("Ġ", False), ("##", False), ("▁", True), ("</w>", True))
        if piece and piece != mark and (piece.endswith(mark) if at_end else piece.startswith(mark))
    )
    (found, _), *_ = marks.most_common(1) or [(("##", False), 0)]
    return found


MAX_TOKENS = 1 << 24
"""Most tokens of a row that a `Masker` takes."""

PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "special_tokens_mask")


class Collator:
    """Pads rows of ids and masks them: a data collator for a `transformers.Trainer` and any `DataLoader`.

    A row is a mapping with `input_ids`, a list, array or tensor with the special tokens in place. It may have, of the
    same length and only of 0 and 1, `attention_mask` (0 for padding), `token_type_ids` and `special_tokens_mask` (1
    for what is never to be masked beyond what the masker knows; such tokens do not count towards the budget); `labels`
    are replaced; numbers, such as `sentence_order_label`, become a tensor of shape [B].

    Rows may be padded already. Without `attention_mask`, the padding ids at both ends of a row are padding, and an
    error anywhere else; with it, padding is what it says.

    Masks are drawn anew each time a row is seen. A call returns int64 tensors of shape [B, S]: `input_ids` with masks
    in place, `attention_mask`, `token_type_ids` (0 where a row has none), and `labels`, the original id of each
    prediction and -100 elsewhere. Calls raise `AlbertFastError` for rows of other things, other lengths, padding ids
    between tokens, or ids outside the vocabulary.

    Args:
        masker: what masks; of a tokenizer a `Masker` with its defaults is made.
        pad_id: the id to pad with; None: that of the masker's `<pad>`.
        max_length: tokens S of every row, padding included, up to 16777216; None: those of the longest row.
        pad_to_multiple_of: of what S shall be a multiple, such as 8 for tensor cores. Not with `max_length`.
        seed: None: each batch draws its seed from PyTorch's generator, so that `torch.manual_seed` and
            `transformers.set_seed` reproduce a run and the workers of a DataLoader differ. Otherwise PyTorch's
            generator is left alone, and seeds follow from this number and the count of calls; in a worker of a
            DataLoader also from the worker's own seed, which the DataLoader draws from PyTorch's generator whenever it
            starts workers: epochs differ, and `torch.manual_seed` reproduces them.

    Raises:
        AlbertFastError: an option outside its rule; a tokenizer without `[CLS]`, `[SEP]`, `[MASK]` or `<pad>`.

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
        if max_length is not None and pad_to_multiple_of is not None:
            msg = "max_length and pad_to_multiple_of both say how long rows are; only one of them can be given"
            raise AlbertFastError(msg)
        self._max_length = None if max_length is None else _checks.integer("max_length", max_length, 1, MAX_TOKENS)
        multiple = 1 if pad_to_multiple_of is None else pad_to_multiple_of
        self._multiple = _checks.integer("pad_to_multiple_of", multiple, 1, MAX_TOKENS)
        self._seed = None if seed is None else _checks.seed(seed)
        self._calls = 0

    @property
    def masker(self) -> Masker:
        """What masks."""
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
        """A collator for the ids of a transformers tokenizer.

        Special tokens are never masked, the unknown piece apart. Which pieces begin a word is read off the vocabulary:
        with SentencePiece `▁`, punctuation and symbols, and the scripts written without spaces, as with
        `Tokenizer.word_starts`; with WordPiece what does not begin with `##`; with byte-level BPE what begins with `Ġ`.
        Where `▁` or `</w>` stands at the end of words, a word begins after it.

        Args:
            tokenizer: a `transformers.PreTrainedTokenizerBase` with pad, cls, sep and mask tokens.
            max_length: as in the class.
            pad_to_multiple_of: as in the class.
            seed: as in the class.
            **options: those of `Masker`, such as `masked_lm_prob`; `special_ids` are further ones.

        Raises:
            AlbertFastError: an option outside its rule; a token that the tokenizer lacks.
        """
        named: dict[str, Any] = {}
        for name in ("pad", "cls", "sep", "mask"):
            id_ = getattr(tokenizer, f"{name}_token_id", None)
            if id_ is None:
                msg = f"masking needs a {name} token, which the tokenizer lacks: {tokenizer!r:.200}"
                raise AlbertFastError(msg)
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
            # Without its own text a piece is a gap, or stands for one byte, or for nothing yet.
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
        # A worker that is started anew counts from 0 again, but its seed is another.
        key = (0 if worker is None else worker.seed, self._calls)
        self._calls += 1
        return int(np.random.SeedSequence(self._seed, spawn_key=key).generate_state(1, np.uint64)[0])

    def _length(self, longest: int) -> int:
        if self._max_length is None:
            return -(-longest // self._multiple) * self._multiple
        if longest > self._max_length:
            msg = f"a row has {longest} tokens; max_length is {self._max_length}"
            raise AlbertFastError(msg)
        return self._max_length

    def _attention(self, ids: NDArray[np.int32], number: int) -> NDArray[np.bool_]:
        """What of a row without attention_mask is no padding."""
        names, advice = self._masker.other_ids, "pass attention_mask"
        padding = np.zeros(len(ids), dtype=np.bool_)
        for id_ in {self._pad_id, self._masker.pad_id}:
            found = ids == id_
            if id_ not in names:
                padding |= found
            elif len(ids) > 1 and (found[:2].all() or found[-2:].all()):
                msg = (
                    f"rows without attention_mask must not begin or end in several of id {id_}, which is pad_id and "
                    f"{names[id_]}: row {number} does, and which of them are padding is not known; {advice}"
                )
                raise AlbertFastError(msg)
        tokens = np.flatnonzero(~padding)
        if len(tokens) and (inside := padding[tokens[0] : tokens[-1]]).any():
            place = int(tokens[0] + inside.argmax())
            msg = (
                f"rows without attention_mask must have padding only at their ends; in row {number}, id {ids[place]} "
                f"at position {place} is padding, and tokens follow it: {advice}"
            )
            raise AlbertFastError(msg)
        return ~padding

    def __call__(self, rows: Iterable[Any]) -> dict[str, torch.Tensor]:
        """The batch of these rows.

        Raises:
            AlbertFastError: rows of other things, other lengths, padding ids between tokens, or ids outside the
                vocabulary.
        """
        features: list[Any] = [*rows] if hasattr(rows, "__iter__") else [rows]
        if not features or not all(isinstance(row, Mapping) and "input_ids" in row for row in features):
            msg = f"rows must be mappings with input_ids, at least one of them; they are {_shown(features)}"
            raise AlbertFastError(msg)
        names = features[0].keys()
        for number, row in enumerate(features):
            if row.keys() != names:
                msg = f"all rows must have the same keys; row 0 has {sorted(names)}, row {number} {sorted(row)}"
                raise AlbertFastError(msg)
        tokens = [_row("input_ids", row["input_ids"], number) for number, row in enumerate(features)]
        shape = len(tokens), self._length(max(1, *(len(row) for row in tokens)))

        def padded(name: str, padding: int) -> NDArray[np.int32]:
            array = np.full(shape, padding, dtype=np.int32)
            for number, (row, ids) in enumerate(zip(features, tokens, strict=True)):
                values = ids if name == "input_ids" else _row(name, row[name], number)
                if len(values) != len(ids):
                    msg = f"{name} must be as long as input_ids, {len(ids)}; in row {number} it has {len(values)}"
                    raise AlbertFastError(msg)
                array[number, : len(values)] = values
            return array

        ids = padded("input_ids", self._pad_id)
        if "attention_mask" in names:
            attention = padded("attention_mask", 0)
        else:
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
