"""Batches for PyTorch and Hugging Face Transformers. Install PyTorch separately (`pip install torch`).

`dataset` feeds a `DataLoader` with the batches of an `InstanceStream` or a `RecordReader`, and `collate` passes them to
a Hugging Face `Trainer`. `Collator` masks your own tokens, in a `DataLoader` or a `Trainer`.

Example:
    >>> import albert_fast.torch
    >>> from albert_fast import InstanceStream
    >>> from torch.utils.data import DataLoader
    >>> def loader(store, step):  # to resume, pass the number of steps done
    ...     source = InstanceStream(store, batch_size=32)
    ...     return DataLoader(albert_fast.torch.dataset(source, start=step), batch_size=None, num_workers=2)
"""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from albert_fast import BatchSource, _arrays, _checks, _loaders
from albert_fast.errors import AlbertFastError, option_error
from albert_fast.text import number
from albert_fast.tokenizers.word_marks import word_ends, word_starts  # noqa: F401 - they can be found here

try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    msg = f"albert_fast.torch needs PyTorch (pip install torch): {error}"
    raise ImportError(msg) from error

from albert_fast._torch_collator import Collator  # after the check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from albert_fast import Batch

__all__ = ["BatchDataset", "Collator", "collate", "dataset", "huggingface"]

IGNORED = -100
"""The label of tokens that are not predicted. PyTorch's cross entropy ignores it by default."""

FORMS = ("huggingface", "albert")


def huggingface(batch: Batch) -> dict[str, torch.Tensor]:
    """Returns a batch under the names that transformers' `AlbertForPreTraining` takes, all int64.

    Returns:
        `input_ids`, `attention_mask` and `token_type_ids` [B, S]; `labels` [B, S], the original id of each prediction
        and -100 elsewhere; `sentence_order_label` [B], 0 if the segments are in order and 1 if they are swapped.
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
    """Yields the next batch of each part in turn, from the first to the last, until one part ends."""
    for part in itertools.cycle(parts):
        batch = next(part, None)
        if batch is None:
            return
        yield batch


class BatchDataset(IterableDataset):
    """What `dataset` returns. It can be pickled, so workers may be forked or spawned."""

    def __init__(self, source: BatchSource, start: int, stop: int | None, step: int, form: str, prefetch: int) -> None:
        super().__init__()
        self.source = _checks.instance("source", source, BatchSource, "an InstanceStream or a RecordReader")
        self.start = _checks.integer("start", start, 0)
        self.stop = None if stop is None else _checks.integer("stop", stop, 0)
        self.step = _checks.integer("step", step, 1)
        self.form = _checks.choice("form", form, FORMS)
        self.prefetch = _checks.integer("prefetch", prefetch, 1, 2**16)
        # Number of processes that accelerate deals batches to, in a worker that was spawned.
        self._dealt = 1

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_dealt": _loaders.processes(inspect.currentframe())}

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        # Frames are not kept in a variable: a frame that refers to itself would keep the iterators below alive.
        joins = _loaders.watch_collator(inspect.currentframe())
        if self.source.shards or self.step > 1:
            # A dataset that wraps this one may not forward set_epoch.
            self._check_shards(max(self._dealt, _loaders.processes(inspect.currentframe())))
        if get_worker_info() is None:
            batches = self.source.batches(
                self.start, self.stop, self.step, prefetch=self.prefetch, num_threads=self.source.num_threads
            )
        else:
            batches = self._of_worker(joins=joins)
        return self._tensors(batches)

    def _of_worker(self, *, joins: bool) -> Iterator[Batch]:
        """Returns the batches of this DataLoader worker.

        `joins` says whether its collator gets several of them at once. A DataLoader takes from its workers in turn, so
        these batches arrive in the order of a single process.
        """
        worker = get_worker_info()
        assert worker is not None  # __iter__ has checked
        # How many batches a worker makes in succession is only known when the first one is asked for.
        block = (_loaders.block(inspect.currentframe()) if joins else 1) or self._unknown_block(worker.num_workers)
        # Workers are processes. With one thread per core in each, they would slow each other down.
        num_threads, prefetch = self.source.num_threads or 1, max(1, self.prefetch // block)
        step = self.step * worker.num_workers * block
        parts = [
            self.source.batches(start, self.stop, step, prefetch=prefetch, num_threads=num_threads)
            for start in (self.start + (worker.id * block + item) * self.step for item in range(block))
        ]
        yield from _in_turn(parts)

    def _unknown_block(self, workers: int) -> int:
        if workers > 1:
            msg = (
                "num_workers of the DataLoader must be at most 1 if it has a batch_size and a dataset that wraps this "
                f"one reads it in a separate thread, got {workers}; pass batch_size=None, or num_workers=1"
            )
            raise AlbertFastError(msg, kind="option", option="num_workers", value=workers)
        return 1

    def _tensors(self, batches: Iterator[Batch]) -> Iterator[dict[str, torch.Tensor]]:
        for batch in batches:
            if self.form == "huggingface":
                yield huggingface(batch)
            else:
                yield {name: torch.from_numpy(array) for name, array in batch.items()}

    def set_epoch(self, epoch: int) -> None:  # noqa: ARG002  # accelerate passes it
        """Checks how accelerate, or a `Trainer`, deals out the batches. They call it before each iteration.

        The epoch changes nothing: each iteration begins at `start`.

        Raises:
            AlbertFastError: several processes divide the batches, and these are already a part of them, by a shard or a
                step; or the processes split batches into parts, and rows would be dropped.
        """
        dealing = _loaders.caller(inspect.currentframe())
        if dealing is None:
            return
        if dealing.processes > 1:
            self._check_dealing(dealing)

    def _check_shards(self, processes: int) -> None:
        shards = [f".shard({index}, {count})" for index, count in self.source.shards if count > 1]
        if processes > 1 and shards:
            msg = (
                f"source must be the whole stream if accelerate (or a Trainer) deals its batches out to {processes} "
                f"processes, got {''.join(shards)}, and the rest would not be read; pass the stream itself to "
                "albert_fast.torch.dataset, without .shard"
            )
            raise AlbertFastError(msg, kind="option", option="source", value=self.source)
        if processes > 1 and self.step > 1:
            msg = (
                f"step must be 1 if accelerate (or a Trainer) deals the batches out to {processes} processes, got "
                f"{self.step}, and the rest would not be read; pass the stream to albert_fast.torch.dataset without "
                "start=rank, step=world"
            )
            raise AlbertFastError(msg, kind="option", option="step", value=self.step)

    def _check_dealing(self, dealing: _loaders.Dealing) -> None:
        processes, items, rows = dealing.processes, dealing.items, self.source.batch_size
        self._check_shards(processes)
        if items is None and not dealing.dispatched:
            msg = (
                "batch_size of the DataLoader must be a number if dispatch_batches is False, got None; pass "
                "batch_size=1, collate_fn=albert_fast.torch.collate"
            )
            raise AlbertFastError(msg, kind="option", option="batch_size")
        if dealing.dispatched and dealing.split and (items or 1) * rows % processes:
            msg = (
                f"batch_size of the source must be a multiple of {processes}, the number of processes that "
                f"split_batches splits it for, got {rows}; pass another batch_size, or split_batches=False"
            )
            raise AlbertFastError(msg, kind="option", option="batch_size", value=rows)
        if self.stop is None or not dealing.first:
            return
        step = (items or 1) * (1 if dealing.split else processes)
        short = len(self) % step
        repeated = -short * rows % processes if dealing.dispatched else (step - short) * rows
        if short and (dealing.drop_last or repeated):
            dropped, again = number(short, "batch", "batches"), number(repeated, "row")
            what = f"drop {dropped} at the end" if dealing.drop_last else f"repeat {again} of the beginning"
            msg = (
                f"accelerate will {what}, so that its {processes} processes take the same number of steps: to avoid "
                f"it, pass a stop to albert_fast.torch.dataset that makes the number of batches, {len(self)}, a "
                f"multiple of {step}"
            )
            warnings.warn(msg, stacklevel=2)

    def __len__(self) -> int:
        """Returns the number of batches of all workers together.

        Raises:
            TypeError: the dataset has no end.
        """
        if self.stop is None:
            msg = "a dataset without end has no len; pass stop to albert_fast.torch.dataset"
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
    """Returns batches `start`, `start + step`, ... below `stop` as tensors, for a `DataLoader`.

    Pass the dataset with `batch_size=None`: an item is a whole batch. With any number of workers, forked or spawned,
    the DataLoader gives the same batches in the same order as with none, and each batch is made once (unless you pass
    `in_order=False`). Each iteration begins at `start` again. A `Trainer`, or a DataLoader with a `batch_size`, needs
    `collate` to join that many batches.

    Without workers, threads of `source` make the batches ahead, which is usually fast enough. A worker has one thread,
    unless `source` was given `num_threads`.

    Args:
        source: an `InstanceStream` or a `RecordReader`.
        start: the first batch. A trainer that resumes passes the number of batches that it has used.
        stop: the batch to end before. None: never end. With `stop`, the dataset has a `len`.
        step: the distance between batches.
        form: "huggingface" for what `huggingface` returns, or "albert" for the arrays of `albert_fast.Batch`, which are
            not copied: int32, and float32 for `masked_lm_weights`.
        prefetch: the maximum number of finished batches that wait in each worker, from 1 to 65536.

    Raises:
        AlbertFastError: `source` or `form` is invalid; a number is outside its range; while iterating, the data cannot
            be read, or a collator drops batches.

    Example:
        With data parallelism, each process takes its shard:

        >>> def shard_loader(source, steps_done=0):
        ...     shard = source.shard(torch.distributed.get_rank(), torch.distributed.get_world_size())
        ...     return DataLoader(albert_fast.torch.dataset(shard, start=steps_done), batch_size=None)

        This does not apply to Hugging Face accelerate or a `Trainer`, which deal out the batches themselves. They take
        the whole source, with `collate`; a shard is an error there.

        >>> def trainer(model, source, arguments):
        ...     data = albert_fast.torch.dataset(source)
        ...     return transformers.Trainer(model, arguments, albert_fast.torch.collate, train_dataset=data)
    """
    return BatchDataset(source, start, stop, step, form, prefetch)


def collate(batches: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Joins the rows of several batches into one: a `data_collator` for a `Trainer` or `DataLoader` with `batch_size`.

    An item of `dataset` is a batch. `per_device_train_batch_size`, `per_device_eval_batch_size` or `batch_size` is the
    number of items taken at once. A step therefore has that number times the source's `batch_size` rows.

    Args:
        batches: items of `dataset`, all with the same names and, apart from the number of rows, the same shapes.

    Returns:
        The rows of the first batch, then those of the second, and so on. A single batch is not copied.

    Raises:
        AlbertFastError: there is no batch; an item is not a batch; batches have different names or widths; one of
            several batches has a tensor without dimensions.
    """
    found: list[Any] = list(batches)
    for batch in found:
        if isinstance(batch, Mapping) and "input_ids" not in batch:
            msg = (
                f"batches must have input_ids, got {_arrays.one_line(sorted(batch))}: a Trainer removes what the "
                "model's forward does not name; pass TrainingArguments(remove_unused_columns=False), or name it there"
            )
            raise AlbertFastError(msg, kind="option", option="batches", value=sorted(batch))
    if not found or not all(_is_batch(batch) for batch in found):
        rule = "one or more batches of albert_fast.torch.dataset"
        advice = "use albert_fast.torch.Collator for rows of ids"
        raise option_error("batches", rule, batches, advice, got=_arrays.one_line(found))
    first = {name: list(tensor.shape[1:]) for name, tensor in found[0].items()}
    for index, batch in enumerate(found):
        shapes = {name: list(tensor.shape[1:]) for name, tensor in batch.items()}
        if shapes != first:
            msg = (
                f"batches must have the same names and widths, got {first} in batch 0 and {shapes} in batch {index}; "
                "pass batch_size=1 (a Trainer's per_device_train_batch_size and per_device_eval_batch_size)"
            )
            raise AlbertFastError(msg, kind="option", option="batches", value=shapes)
    if len(found) == 1:
        return dict(found[0])
    for name in first:
        if any(batch[name].ndim == 0 for batch in found):
            msg = (
                f"{name} must have a value for each row, or batches cannot be joined, got a single number; remove it "
                "from the batches, or pass batch_size=1 (a Trainer's per_device_train_batch_size and "
                "per_device_eval_batch_size)"
            )
            raise AlbertFastError(msg, kind="option", option="batches")
    return {name: torch.cat([batch[name] for batch in found]) for name in first}


def _is_batch(value: object) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in value.values()):
        return False
    ids = value.get("input_ids")
    return (
        ids is not None and ids.ndim == 2 and all(len(tensor) == len(ids) for tensor in value.values() if tensor.ndim)
    )
