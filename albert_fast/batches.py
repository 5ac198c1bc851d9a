"""Batches for training: fresh instances from a token store, or the records of TFRecord files.

Both are endless sequences of numbered batches. Batch k is a pure function of the data, the options, the seed and k, so
a trainer that knows its step number knows everything that it needs to go on.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from os import PathLike, fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from albert_fast import _checks, _native
from albert_fast._native import AlbertFastError, Tokenizer, TokenStore
from albert_fast.inspection import find_files
from albert_fast.masking import Masker
from albert_fast.options import StreamOptions
from albert_fast.options.base import documented
from albert_fast.tokenizers import match as tokenizer_match

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import NotRequired, Self

    from albert_fast.options.instances import SingleSegment, WordBoundary


def _sorted(files: list[Path]) -> list[str]:
    """Absolute paths in an order that does not depend on how they were listed."""
    return [str(file) for file in sorted((file.absolute() for file in files), key=lambda file: file.parts)]


def _paths(files: Any) -> list[str]:
    """The paths that `files` names, one or many, as strings.

    Raises:
        AlbertFastError: one of them is no path.
    """
    if not isinstance(files, str | bytes | PathLike | Iterable):
        raise AlbertFastError(f"files must be a path, or a list of paths; it is {files!r:.200}")
    given = [files] if isinstance(files, str | bytes | PathLike) else [*files]
    for file in given:
        if not isinstance(file, str | bytes | PathLike):
            raise AlbertFastError(f"files must be paths: strings, bytes or pathlib.Path; one is {file!r:.200}")
    return [fsdecode(file) for file in given]


class Batch(TypedDict):
    """B instances of S tokens and P predictions, zero-padded, by the names of the records' features.

    Padding is 0 everywhere, whatever the id of `<pad>`, as in records.
    """

    input_ids: NDArray[np.int32]
    """[B, S]: `[CLS] A [SEP] B [SEP]`, masks in place."""
    input_mask: NDArray[np.int32]
    """[B, S]: 1 on tokens, 0 on padding."""
    segment_ids: NDArray[np.int32]
    """[B, S]: 0 up to and including the first `[SEP]`, then 1, on padding 0."""
    token_boundary: NotRequired[NDArray[np.int32]]
    """[B, S]: 1 where a word begins. Missing if `BatchSource.has_token_boundary` is False."""
    masked_lm_positions: NDArray[np.int32]
    """[B, P]: positions of the predictions, ascending."""
    masked_lm_ids: NDArray[np.int32]
    """[B, P]: the original ids there."""
    masked_lm_weights: NDArray[np.float32]
    """[B, P]: 1.0 on predictions, 0.0 on padding."""
    next_sentence_labels: NDArray[np.int32]
    """[B, 1]: 0 where A and B stand in order, 1 where they changed places (or B is a random document's)."""


class BatchSource(ABC):
    """Numbered batches without end: what `InstanceStream` and `RecordReader` have in common.

    Iterating gives batch 0, 1, 2, ... and never ends: epochs flow into each other. `len` is the number of instances of
    an epoch (of the first, where epochs differ), not of batches; that is `steps_per_epoch`. A source can be pickled,
    and used by several threads and after a fork.
    """

    def __init__(self, arguments: Mapping[str, Any], num_threads: int | None) -> None:
        """Opens the source that `arguments` describe.

        Args:
            arguments: what `_open` takes, and what is pickled.
            num_threads: threads that make batches; None for one a processor.
        """
        self.num_threads = _checks.threads(num_threads)
        self._arguments = dict(arguments)
        self._shards: tuple[tuple[int, int], ...] = ()
        self._batches = self._open(**self._arguments)
        self._instances = len(self._batches)

    @abstractmethod
    def _open(self, **arguments: Any) -> _native.Batches:
        """The compiled batches that `arguments` describe."""

    def __getstate__(self) -> tuple[dict[str, Any], int | None, tuple[tuple[int, int], ...], int]:
        return self._arguments, self.num_threads, self._shards, self._instances

    def __setstate__(self, state: tuple[dict[str, Any], int | None, tuple[tuple[int, int], ...], int]) -> None:
        self._arguments, self.num_threads, self._shards, self._instances = state
        self._batches = self._open(**self._arguments)
        if len(self._batches) != self._instances:
            msg = (
                f"{type(self).__name__}: it has {len(self._batches)} instances an epoch, and had {self._instances} "
                "when it was pickled: its files have changed"
            )
            raise AlbertFastError(msg)
        for index, count in self._shards:
            self._batches = self._batches.shard(index, count)

    def __len__(self) -> int:
        """Instances of the first epoch; of a shard, its own."""
        return len(self._batches)

    @property
    def batch_size(self) -> int:
        """B: rows of a batch. Every batch is full."""
        return self._batches.batch_size

    @property
    def max_seq_length(self) -> int:
        """S: tokens of a row, padding included."""
        return self._batches.max_seq_length

    @property
    def has_token_boundary(self) -> bool:
        """Whether batches have `token_boundary`: always, unless they are of records without it, such as BERT's."""
        return self._batches.has_token_boundary

    @property
    def max_predictions(self) -> int:
        """P: width of the `masked_lm_*` arrays; `max_predictions_per_seq`, or twice that with `do_permutation`."""
        return self._batches.max_predictions

    @property
    def steps_per_epoch(self) -> int:
        """Batches after which every instance of the first epoch has been seen: `len` / `batch_size`, rounded up.

        Of shards, the longest one's, so that it is the same for all shards of a whole.
        """
        longest = self._instances
        for _, count in self._shards:
            longest = -(-longest // count)
        return -(-longest // self.batch_size)

    @property
    def shards(self) -> tuple[tuple[int, int], ...]:
        """Index and count of each `shard` call that this source is of, the first one first; none for the whole."""
        return self._shards

    def batch(self, k: int) -> Batch:
        """Batch `k`, from 0, in any order and any number of times: the same bytes each time.

        Raises:
            AlbertFastError: `k` is negative or beyond what 64 bits count; the data cannot be read.
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
        """Batches `start`, `start + step`, ... below `stop` (None: without end), made ahead by threads of their own.

        Args:
            start: the first; what a trainer that goes on passes is its step.
            stop: where to end.
            step: from one to the next.
            prefetch: most finished batches that wait, at least 1.
            num_threads: threads; None for the source's.

        Raises:
            AlbertFastError: a number out of range; while iterating, as `batch`.
        """
        return self._batches.ahead(
            _checks.integer("start", start, 0),
            None if stop is None else _checks.integer("stop", stop, 0),
            _checks.integer("step", step, 1),
            prefetch=_checks.integer("prefetch", prefetch, 1, 2**16),
            num_threads=self.num_threads if num_threads is None else _checks.threads(num_threads),
        )

    def __iter__(self) -> Iterator[Batch]:
        """All batches from 0 on, without end."""
        return self.batches()

    def shard(self, index: int, count: int) -> Self:
        """Part `index` of `count`, for data parallelism, with batches of the same size.

        It has every `count`-th instance, from `index` on: row j of its batch k is row `index + count * j` of batch k of
        the whole with batches of `count * batch_size`. Together the shards are the whole, and no two of them ever share
        an instance.

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
            f"<{type(self).__name__}{shards}: {len(self)} instances an epoch, batches of {self.batch_size} x "
            f"{self.max_seq_length} tokens, {self.max_predictions} predictions>"
        )


@documented(StreamOptions)
class InstanceStream(BatchSource):
    """Batches made from a token store as they are asked for, with other splits, masks and order every epoch.

    Instances and masks are those of `make-records`: the first epochs are, but for the order, duplicates 0, 1, ... of
    the records of the same options and seed. Where documents are cut into chunks repeats after 16 epochs; where a chunk
    is split into A and B, whether these change places, the masks and the order never do. (With `random_next_sentence`
    the splits, on which the cuts depend there, repeat with them.)

    Args:
        store: a `TokenStore`, or its folder.
        batch_size: B, rows of a batch.
        tokenizer: the one that the store was made with; None for the store's own copy.
        {options}
        seed: from 0 to 2**64 - 1.
        num_threads: threads that make batches; None for one a processor. It never shows in what they are.

    Raises:
        AlbertFastError: no such store, a damaged one, or one made by another tokenizer; an option outside its rule; no
            document that gives an instance.
    """

    def __init__(
        self,
        store: TokenStore | str | os.PathLike[str],
        batch_size: int,
        max_seq_length: int = StreamOptions.max_seq_length,
        *,
        tokenizer: Tokenizer | None = None,
        max_predictions_per_seq: int | None = StreamOptions.max_predictions_per_seq,
        masked_lm_prob: float = StreamOptions.masked_lm_prob,
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
        seed: int = 12345,
        num_threads: int | None = None,
    ) -> None:
        chosen = StreamOptions.pick(locals())
        if not isinstance(store, TokenStore):
            store = TokenStore(store)
        if tokenizer is not None:
            _checks.instance("tokenizer", tokenizer, Tokenizer, "an albert_fast.Tokenizer")
        options = {**chosen.as_dict(), "max_predictions_per_seq": chosen.predictions, "random_seed": _checks.seed(seed)}
        arguments = {
            "store": store,
            "batch_size": _checks.integer("batch_size", batch_size, 1),
            "options": json.dumps(options),
            "tokenizer": tokenizer,
        }
        super().__init__(arguments, num_threads)

    def _open(self, **arguments: Any) -> _native.Batches:
        return _native.instance_batches(
            arguments["store"],
            arguments["batch_size"],
            arguments["options"],
            tokenizer=arguments["tokenizer"],
            num_threads=self.num_threads,
        )

    @property
    def store(self) -> TokenStore:
        """The store that the instances are made from."""
        store: TokenStore = self._arguments["store"]
        return store


class RecordReader(BatchSource):
    """Batches from TFRecord files of ALBERT records, ours or anyone's, plain or gzipped, every checksum verified.

    Record files are indexed when they are opened, so that any record can be read by itself: an epoch has every record
    once, in an order of its own, and batch k needs nothing of those before it. Gzipped files, in which nothing can be
    found, are decompressed once.

    With `remask` the original tokens are put back from the labels and masked anew each epoch, words from
    `token_boundary`: one duplicate of a corpus is enough for any number of epochs.

    Other features of a record are ignored. Records without `token_boundary`, such as BERT's, can be read; only new
    whole-word masks need it. If the first record of a file has none, no batch has it.

    Args:
        files: a file, a glob, a folder of `*.tfrecord*` files, or a sequence of these, in any order: files are sorted
            by their absolute paths, so that machines whose file systems list them in other orders agree. Each file is
            read once, also if several paths lead to it.
        batch_size: B, rows of a batch.
        seed: of the order and of new masks, from 0 to 2**64 - 1.
        shuffle: whether each epoch has an order of its own; otherwise that of the files.
        remask: whether records are masked anew; needs `masker`.
        masker: of the vocabulary that the records are of, with the options of the new masks. P is then the masker's,
            which may differ from the files'. Without `remask`, it is not used.
        allow_other_tokenizer: whether records of several tokenizers, and a masker of another one, are taken. Otherwise
            they are refused if the `dataset.json` beside the records tells.
        max_seq_length: S that the records must have; None for that of the first.
        vocab_size: pieces of the vocabulary, below which every id must be; None for the masker's, or none.
        index_dir: a folder that keeps indexes (8 bytes a record, mapped) and decompressed files for the next time; made
            where it is missing. None: an index is made each time and kept in memory, and what is decompressed in
            temporary files without names.
        num_threads: threads that make batches; None for one a processor. It never shows in what they are.

    Raises:
        AlbertFastError: nothing matches `files`; records or a masker of another tokenizer; a file that is no TFRecord
            file, damaged (file, record and byte are named) or of other lengths than the first; no records; an option
            outside its rule; `remask` of records without `token_boundary` with a masker of whole words. While reading
            too, where damage is met then.
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
        num_threads: int | None = None,
    ) -> None:
        if _checks.flag("remask", remask) and masker is None:
            msg = "remask=True needs masker=Masker(tokenizer, ...), of the tokenizer that the records were made with"
            raise AlbertFastError(msg)
        if masker is not None:
            _checks.instance("masker", masker, Masker, "an albert_fast.Masker")
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
        }
        super().__init__(arguments, num_threads)

    def _open(self, **arguments: Any) -> _native.Batches:
        masker: Masker | None = arguments["masker"]
        native = None if masker is None else masker.native
        return _native.record_batches(**{**arguments, "masker": native}, num_threads=self.num_threads)

    @property
    def files(self) -> list[str]:
        """The record files, sorted: the order in which their records are numbered."""
        files: list[str] = self._arguments["files"]
        return [*files]
