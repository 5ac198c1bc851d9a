"""Batches for training: fresh instances from a token store, or the records of TFRecord files.

Both are endless sequences of numbered batches. Batch k is a pure function of the data, the options, the seed and k, so
a trainer only needs its step number to resume.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from os import PathLike, fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from albert_fast import _checks, _native
from albert_fast._native import Tokenizer, TokenStore
from albert_fast.errors import AlbertFastError, option_error
from albert_fast.inspection import find_files
from albert_fast.masking import Masker
from albert_fast.mixing import mixed, names_of_weights
from albert_fast.options import CacheOptions, InstanceOptions, StreamOptions, options_of
from albert_fast.options.base import documented
from albert_fast.paths import is_remote
from albert_fast.text import number
from albert_fast.tokenizers import match as tokenizer_match

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import NotRequired, Self

    from albert_fast.mixing import Stores
    from albert_fast.options.instances import Shuffle, SingleSegment, WordBoundary


def _sorted(files: list[Path]) -> list[str]:
    """Returns absolute paths in an order that does not depend on how they were listed."""
    return [str(file) for file in sorted((file.absolute() for file in files), key=lambda file: file.parts)]


def _paths(files: Any) -> list[str]:
    """Returns the paths that `files` names, one or many, as strings.

    Raises:
        AlbertFastError: one of them is not a path.
    """
    if not isinstance(files, str | bytes | PathLike | Iterable):
        raise option_error("files", "a path or a list of paths", files)
    given = [files] if isinstance(files, str | bytes | PathLike) else [*files]
    for file in given:
        if not isinstance(file, str | bytes | PathLike):
            raise option_error("files", "paths (strings, bytes or pathlib.Path)", file)
    return [fsdecode(file) for file in given]


class Batch(TypedDict):
    """B instances of S tokens and P predictions. The names are those of the records' features.

    Arrays are padded with 0, whatever the id of `<pad>`, as in records.
    """

    input_ids: NDArray[np.int32]
    """[B, S]: `[CLS] A [SEP] B [SEP]`, with masks in place."""
    input_mask: NDArray[np.int32]
    """[B, S]: 1 for tokens, 0 for padding."""
    segment_ids: NDArray[np.int32]
    """[B, S]: 0 up to and including the first `[SEP]`, then 1, and 0 for padding."""
    token_boundary: NotRequired[NDArray[np.int32]]
    """[B, S]: 1 if the token begins a word. Missing if `BatchSource.has_token_boundary` is False."""
    masked_lm_positions: NDArray[np.int32]
    """[B, P]: positions of the predictions, in ascending order."""
    masked_lm_ids: NDArray[np.int32]
    """[B, P]: the original ids at these positions."""
    masked_lm_weights: NDArray[np.float32]
    """[B, P]: 1.0 for predictions, 0.0 for padding."""
    next_sentence_labels: NDArray[np.int32]
    """[B, 1]: 0 if A and B are in order, 1 if they are swapped (or B is from a random document)."""


class BatchSource(ABC):
    """Numbered batches without end, the base class of `InstanceStream` and `RecordReader`.

    Iterating gives batch 0, 1, 2, ... and never ends; a batch can span two epochs. `len` is the number of instances in
    an epoch (in the first, if epochs differ). The number of batches is `steps_per_epoch`. A source can be pickled, used
    by several threads, and used after a fork.
    """

    def __init__(
        self,
        arguments: Mapping[str, Any],
        num_threads: int | None,
        progress: Callable[[str, str, int, int], None] | None = None,
    ) -> None:
        """Opens the source that `arguments` describe.

        Args:
            arguments: the arguments of `_open`, which are also what is pickled.
            num_threads: number of threads that make batches. None: one per core.
            progress: called while the source is opened, if opening takes long. It is one more argument of `_open`.
        """
        self.num_threads = _checks.threads(num_threads)
        self._arguments = dict(arguments)
        self._shards: tuple[tuple[int, int], ...] = ()
        once = {} if progress is None else {"progress": progress}
        self._batches = self._open(**self._arguments, **once)
        self._instances = len(self._batches)

    @abstractmethod
    def _open(self, **arguments: Any) -> _native.Batches:
        """Returns the compiled batches that `arguments` describe."""

    def __getstate__(self) -> tuple[dict[str, Any], int | None, tuple[tuple[int, int], ...], int]:
        return self._arguments, self.num_threads, self._shards, self._instances

    def __setstate__(self, state: tuple[dict[str, Any], int | None, tuple[tuple[int, int], ...], int]) -> None:
        self._arguments, self.num_threads, self._shards, self._instances = state
        self._batches = self._open(**self._arguments)
        if len(self._batches) != self._instances:
            msg = (
                f"{type(self).__name__} has {len(self._batches)} instances per epoch, and had {self._instances} when "
                "it was pickled: its files have changed"
            )
            raise AlbertFastError(msg)
        for index, count in self._shards:
            self._batches = self._batches.shard(index, count)

    def __len__(self) -> int:
        """Returns the number of instances in the first epoch. A shard counts its own."""
        return len(self._batches)

    @property
    def batch_size(self) -> int:
        """B, the number of rows in a batch. Every batch is full."""
        return self._batches.batch_size

    @property
    def max_seq_length(self) -> int:
        """S, the number of tokens in a row, padding included."""
        return self._batches.max_seq_length

    @property
    def has_token_boundary(self) -> bool:
        """Whether batches have `token_boundary`. Only batches of records without it, such as BERT's, do not."""
        return self._batches.has_token_boundary

    @property
    def max_predictions(self) -> int:
        """P, the width of the `masked_lm_*` arrays: `max_predictions_per_seq`, or twice that with `do_permutation`."""
        return self._batches.max_predictions

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches that cover every instance of the first epoch: `len` / `batch_size`, rounded up.

        For a shard this is the number for the longest shard, so that all shards of a source agree.
        """
        longest = self._instances
        for _, count in self._shards:
            longest = -(-longest // count)
        return -(-longest // self.batch_size)

    @property
    def shards(self) -> tuple[tuple[int, int], ...]:
        """Index and count of each `shard` call that led to this source, in order. Empty for a whole source."""
        return self._shards

    def batch(self, k: int) -> Batch:
        """Returns batch `k`, from 0. Batches may be asked for in any order and more than once; the bytes are the same.

        Raises:
            AlbertFastError: `k` is negative or does not fit in 64 bits, or the data cannot be read.
        """
        return self._batches.batch(_checks.integer("k", k, 0), num_threads=self.num_threads)

    def batches(
        self,
        start: int = 0,
        stop: int | None = None,
        step: int = 1,
        *,
        prefetch: int = 4,
        num_threads: int | None = None,
    ) -> Iterator[Batch]:
        """Iterates over batches `start`, `start + step`, ... below `stop`, which separate threads make ahead.

        Args:
            start: the first batch. A trainer that resumes passes its step.
            stop: the batch to end before. None: never end.
            step: the distance between batches.
            prefetch: the maximum number of finished batches that wait, at least 1.
            num_threads: number of threads. None: that of the source.

        Raises:
            AlbertFastError: a number is out of range; while iterating, as in `batch`.
        """
        return self._batches.ahead(
            _checks.integer("start", start, 0),
            None if stop is None else _checks.integer("stop", stop, 0),
            _checks.integer("step", step, 1),
            prefetch=_checks.integer("prefetch", prefetch, 1, 2**16),
            num_threads=self.num_threads if num_threads is None else _checks.threads(num_threads),
        )

    def __iter__(self) -> Iterator[Batch]:
        """Iterates over all batches from 0, without end."""
        return self.batches()

    def shard(self, index: int, count: int) -> Self:
        """Returns shard `index` of `count`, for data parallelism, with batches of the same size.

        The shard has every `count`-th instance, starting with instance `index`. Row j of its batch k is row
        `index + count * j` of batch k of the whole source with batches of `count * batch_size`. Together the shards are
        the whole source, and no two of them contain the same instance.

        Raises:
            AlbertFastError: `index` is not below `count`.
        """
        part = object.__new__(type(self))
        index, count = _checks.integer("index", index, 0), _checks.integer("count", count, 1)
        part.__dict__.update(self.__dict__)
        part._shards = (*self._shards, (index, count))
        part._batches = self._batches.shard(index, count)
        return part

    def __repr__(self) -> str:
        shards = "".join(f".shard({index}, {count})" for index, count in self._shards)
        return (
            f"<{type(self).__name__}{shards}: {len(self)} instances per epoch, batches of {self.batch_size} x "
            f"{self.max_seq_length} tokens, {self.max_predictions} predictions>"
        )


@documented(StreamOptions)
class InstanceStream(BatchSource):
    """Batches made from token stores on demand, with new splits, masks and order in every epoch.

    Instances and masks are those of `make-records`, unless `masked_lm_prob` falls. Apart from the order, the first
    epochs equal passes 0, 1, ... of the records with the same options and seed. The chunks of documents repeat after 16
    epochs. The split of a chunk into A and B, whether these are swapped, the masks and the order never repeat. (With
    `random_next_sentence` the chunks depend on the splits, so the splits repeat with them.)

    Several stores are mixed by their weights. In any number of first instances, the count of each store is less than 1
    away from its weight (divided by the sum of all) times that number. A weight that is no fraction with a denominator
    of at most 65,536 is rounded to a multiple of 1/65,536. The order in which the stores take turns is drawn from
    `seed`. The instances of each store are, in their order, those of a stream from this store only, with epochs of
    their own. `len` is the sum of these epochs.

    Args:
        store: a `TokenStore`, or its directory; or several, in a sequence or in a mapping to their weights. In another
            order, the same stores give other batches.
        batch_size: B, the number of rows in a batch.
        tokenizer: the tokenizer that the store was made with. None: the store's own copy.
        mixture_temperature: T, which gives each of several stores without weights the weight of its number of tokens to
            the power of 1/T. None: 1, the weights of their sizes.
        starts: for each store, the number of its instances to skip. What `drawn` of an earlier stream returns, with the
            same options except weights and `masked_lm_prob`, lets this stream continue it. None: 0 for each.
        {options}
        num_steps: the number of batches, from 0, in which `masked_lm_prob` falls if it is FIRST:LAST (or a pair). Later
            batches have the last fraction. All batches have the P of the first.
        shuffle: "global" shuffles all instances of an epoch. "blocks" shuffles blocks of about a million tokens, and
            then the instances of each 64 blocks, for a store that is larger than the memory: batches that follow each
            other then read 128 MiB of it.
        seed: from 0 to 2**64 - 1.
        num_threads: number of threads that make batches. None: one per core. It does not affect the batches.

    Raises:
        AlbertFastError: there is no store, it is damaged, or it was made with another tokenizer; a store is given
            twice; a weight or an option is invalid; no document of a store gives an instance.
    """

    def __init__(
        self,
        store: Stores,
        batch_size: int,
        max_seq_length: int = StreamOptions.max_seq_length,
        *,
        tokenizer: Tokenizer | None = None,
        mixture_temperature: float | None = None,
        starts: Sequence[int] | None = None,
        max_predictions_per_seq: int | None = StreamOptions.max_predictions_per_seq,
        masked_lm_prob: float | str | tuple[float, float] = StreamOptions.masked_lm_prob,
        short_seq_prob: float = StreamOptions.short_seq_prob,
        ngram: int = StreamOptions.ngram,
        favor_shorter_ngram: bool = StreamOptions.favor_shorter_ngram,
        do_whole_word_mask: bool = StreamOptions.do_whole_word_mask,
        do_permutation: bool = StreamOptions.do_permutation,
        random_next_sentence: bool = StreamOptions.random_next_sentence,
        word_boundary: WordBoundary = StreamOptions.word_boundary,
        single_segment: SingleSegment = StreamOptions.single_segment,
        cross_segment_words: bool = StreamOptions.cross_segment_words,
        replace_with_special: bool = StreamOptions.replace_with_special,
        num_steps: int | None = None,
        shuffle: Shuffle = InstanceOptions.shuffle,
        seed: int = 12345,
        num_threads: int | None = None,
    ) -> None:
        chosen = StreamOptions.pick(locals())
        first, last = chosen.fractions
        fall = None
        if first != last:
            if num_steps is None:
                msg = f"masked_lm_prob={chosen.masked_lm_prob!r} falls in `num_steps` batches; pass `num_steps` too"
                raise AlbertFastError(msg, kind="option", option="num_steps")
            fall = (last, _checks.integer("num_steps", num_steps, 1))
        order = options_of(InstanceOptions)["shuffle"].check(shuffle)
        stores, weights = mixed(store, mixture_temperature)
        if tokenizer is not None:
            _checks.instance("tokenizer", tokenizer, Tokenizer, "an albert_fast.Tokenizer")
        options = {
            **chosen.as_dict(),
            "masked_lm_prob": first,
            "max_predictions_per_seq": chosen.predictions,
            "random_seed": _checks.seed(seed),
            "shuffle": order,
        }
        begins = [0] * len(stores)
        if starts is not None:
            rule = f"a list of {number(len(stores), 'number')}, one for each store"
            if isinstance(starts, str | bytes | Mapping) or not isinstance(starts, Iterable):
                raise option_error("starts", rule, starts)
            begins = [_checks.integer("starts", one, 0) for one in starts]
            if len(begins) != len(stores):
                raise option_error("starts", rule, begins)
        arguments = {
            "stores": stores,
            "weights": weights,
            "starts": begins,
            "batch_size": _checks.integer("batch_size", batch_size, 1),
            "options": json.dumps(options),
            "fall": fall,
            "tokenizer": tokenizer,
        }
        with names_of_weights(stores, weights, None if isinstance(store, Mapping) else mixture_temperature or 1.0):
            super().__init__(arguments, num_threads)

    def _open(self, **arguments: Any) -> _native.Batches:
        return _native.instance_batches(
            arguments["stores"],
            arguments["batch_size"],
            arguments["options"],
            weights=arguments["weights"],
            starts=arguments["starts"],
            fall=arguments["fall"],
            tokenizer=arguments["tokenizer"],
            num_threads=self.num_threads,
        )

    @property
    def store(self) -> TokenStore:
        """The store that the instances are made from, the first one of a mixture."""
        return self.stores[0]

    @property
    def stores(self) -> list[TokenStore]:
        """The stores that the instances are made from."""
        return [*self._arguments["stores"]]

    @property
    def shares(self) -> list[int]:
        """The number of instances from each store in a period of the mixture, which is their sum."""
        return self._batches.shares

    def drawn(self, stop: int, start: int = 0) -> list[int]:
        """Returns how many instances of batches `start` to `stop` - 1 are from each store.

        For a shard, it counts those of all shards together.

        Raises:
            AlbertFastError: 64 bits cannot count the instances.
        """
        rows = self.batch_size
        for _, count in self._shards:
            rows *= count
        most = (2**64 - 1) // rows
        for name, value in (("start", start), ("stop", stop)):
            if _checks.integer(name, value, 0) > most:
                raise option_error(name, f"at most {most:,}, because 64 bits count the instances", value)
        return self._batches.drawn(int(start) * rows, max(int(start), int(stop)) * rows)


@documented(CacheOptions)
class RecordReader(BatchSource):
    """Batches from TFRecord files of ALBERT records, made by any tool, plain or gzip. Every checksum is verified.

    Record files are indexed when they are opened, so that every record can be read separately. An epoch has every
    record once, in its own order, and batch k does not depend on the batches before it. Gzip files cannot be indexed,
    so they are decompressed once.

    With `remask`, the original tokens are restored from the labels and masked again in each epoch. Words come from
    `token_boundary`. Records of one pass over the corpus are then enough for any number of epochs.

    Other features of a record are ignored. Records without `token_boundary`, such as BERT's, can be read; only new
    whole-word masks need it. If the first record of a file has no `token_boundary`, no batch has it.

    Args:
        files: a file, a glob, a directory of `*.tfrecord*` files, or a sequence of these, in any order. Files are
            sorted by their absolute paths, because file systems list them in different orders. Each file is read once,
            even if several paths lead to it.
        batch_size: B, the number of rows in a batch.
        seed: the seed for the order and for new masks, from 0 to 2**64 - 1.
        shuffle: whether each epoch has its own order. Otherwise, all have the order of the files.
        remask: whether to mask the records again, which needs `masker`.
        masker: a masker for the records' vocabulary, with the options of the new masks. P is then the masker's, which
            may differ from that of the files. It is only used with `remask`.
        allow_other_tokenizer: whether to accept records of several tokenizers, or a masker of another tokenizer.
            Otherwise they are refused, if the `dataset.json` next to the records shows a difference.
        max_seq_length: S that the records must have. None: that of the first record.
        vocab_size: number of pieces in the vocabulary; every id must be below it. None: that of the masker, or no
            limit.
        index_dir: a directory that keeps indexes (8 bytes per record, memory-mapped) and decompressed files for the
            next time. It is created if needed. None: an index is made each time and kept in memory, and decompressed
            data goes to temporary files without names.
        {options}
        num_threads: number of threads that make batches. None: one per core. It does not affect the batches.
        progress: called a few times a second with stage, unit, done and total (0 if unknown) while files are fetched
            and indexed.

    Raises:
        AlbertFastError: nothing matches `files`; the records or the masker are of another tokenizer; a file is not a
            TFRecord file, is damaged (the message names file, record and byte) or has other lengths than the first;
            there are no records; an option is invalid; `remask` with a whole-word masker needs records with
            `token_boundary`. Damage that is only found while reading raises it then.
    """

    def __init__(
        self,
        files: str | bytes | os.PathLike[str] | Sequence[str | bytes | os.PathLike[str]],
        batch_size: int,
        *,
        seed: int = 12345,
        shuffle: bool = True,
        remask: bool = False,
        masker: Masker | None = None,
        allow_other_tokenizer: bool = False,
        max_seq_length: int | None = None,
        vocab_size: int | None = None,
        index_dir: str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_size: float | None = None,
        num_threads: int | None = None,
        progress: Callable[[str, str, int, int], None] | None = None,
    ) -> None:
        if _checks.flag("remask", remask) and masker is None:
            msg = "remask=True needs a masker: pass masker=Masker(tokenizer), with the tokenizer of the records"
            raise AlbertFastError(msg, kind="option", option="remask", value=remask)
        if masker is not None:
            _checks.instance("masker", masker, Masker, "an albert_fast.Masker")
        cache = CacheOptions.pick(locals())
        if index_dir is not None and is_remote(index_dir):
            raise option_error("index_dir", "a local directory", str(index_dir))
        found = find_files(_paths(files))
        if not _checks.flag("allow_other_tokenizer", allow_other_tokenizer):
            tokenizer_match.check_masker(found, masker if remask else None)
        arguments = {
            "files": _sorted(found),
            "batch_size": _checks.integer("batch_size", batch_size, 1),
            "seed": _checks.seed(seed),
            "shuffle": _checks.flag("shuffle", shuffle),
            "masker": masker if remask else None,
            "max_seq_length": None
            if max_seq_length is None
            else _checks.integer("max_seq_length", max_seq_length, 1, 65_536),
            "vocab_size": None if vocab_size is None else _checks.integer("vocab_size", vocab_size, 1, 2**31),
            "index_dir": None if index_dir is None else str(Path(index_dir).absolute()),
            "cache_dir": None if cache.cache_dir is None else str(cache.cache_dir.absolute()),
            "cache_size": cache.cache_size,
        }
        super().__init__(arguments, num_threads, progress)

    def _open(self, **arguments: Any) -> _native.Batches:
        masker: Masker | None = arguments["masker"]
        native = None if masker is None else masker.native
        return _native.record_batches(**{**arguments, "masker": native}, num_threads=self.num_threads)

    @property
    def files(self) -> list[str]:
        """The record files, sorted, remote ones by their addresses. Their records are numbered in this order."""
        files: list[str] = self._arguments["files"]
        return [*files]
