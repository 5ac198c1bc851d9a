"""Looks at what is between a dataset and a training loop: PyTorch's DataLoader, and accelerate, also in a Trainer.

Hugging Face accelerate deals out the items of an `IterableDataset` to the processes itself, in one of two ways. Either
the first process reads all items and sends each process its part (`DataLoaderDispatcher`, the default), or every
process reads all items and keeps its own (`IterableDatasetShard`, with `dispatch_batches=False`). A dataset cannot tell
accelerate that it is already one process's part, and cannot learn how many processes there are. But before each
iteration accelerate calls `set_epoch` of the dataset, and the caller is the object that deals out.

A DataLoader does not tell a dataset what it does with the items either. The object that iterates over the dataset has
the collator.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast.errors import AlbertFastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

MAX_FRAMES = 12
"""How many frames to search for the DataLoader's iteration, behind those of accelerate or of a wrapping dataset."""


class Dealing(NamedTuple):
    """How items are dealt out."""

    processes: int
    """The number of processes that divide the items."""
    items: int | None
    """The number of items that the collator gets at once, the DataLoader's `batch_size`. None: no collator."""
    dispatched: bool
    """Whether the first process reads for all of them. Otherwise each reads everything and keeps its own items."""
    split: bool
    """Whether what a collator returns is split by rows, a part for each process (`split_batches`)."""
    drop_last: bool
    """Whether items that do not fill a step of all processes are dropped. Otherwise, others are repeated."""
    first: bool
    """Whether this is the first process."""

    @property
    def block(self) -> int:
        """The number of consecutive items that the same DataLoader worker must make, so that none is repeated."""
        items = self.items or 1
        return items if self.dispatched or self.split else items * self.processes


def caller(frame: FrameType | None) -> Dealing | None:
    """Returns how accelerate deals out, if it calls the function of this frame."""
    return None if frame is None else _dealing(frame.f_back)


def _dealing(frame: FrameType | None) -> Dealing | None:
    """Returns how accelerate deals out, from a frame of the object that does, or None for a frame of another object."""
    dealer = None if frame is None else frame.f_locals.get("self")
    if type(dealer).__module__ != "accelerate.data_loader":
        return None
    state = getattr(sys.modules.get("accelerate.state"), "PartialState", None)
    known = getattr(state, "_shared_state", {})
    # The defaults are for versions of accelerate with other names: these must still be known to deal out.
    loader = getattr(dealer, "base_dataloader", None)
    is_part = type(dealer).__name__ == "DataLoaderShard"
    return Dealing(
        processes=1 if is_part else getattr(dealer, "num_processes", known.get("num_processes", 1)),
        items=getattr(dealer if loader is None else loader, "batch_size", 1),
        dispatched=type(dealer).__name__ != "IterableDatasetShard",
        split=getattr(dealer, "split_batches", False),
        drop_last=getattr(dealer, "drop_last", False) if loader is None else getattr(dealer, "_drop_last", False),
        first=getattr(dealer, "process_index", known.get("process_index", 0)) == 0,
    )


def _frames(frame: FrameType | None, most: int = MAX_FRAMES) -> Iterator[FrameType]:
    """Yields a frame and those that called it."""
    while frame is not None and most > 0:
        yield frame
        frame, most = frame.f_back, most - 1


def processes(frame: FrameType | None) -> int:
    """Returns how many processes divide what is iterated over, if accelerate deals it out in this process, otherwise 1.

    A forked worker has the frames of its parent process, far behind its own.
    """
    found = next(filter(None, map(_dealing, _frames(frame, sys.maxsize))), None)
    return 1 if found is None else found.processes


class KeepsAll:
    """A collator that checks that it keeps the rows of all batches when it joins several."""

    def __init__(self, collate: Callable[[Sequence[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[Any]) -> Any:
        """Returns what the collator makes of these batches.

        Raises:
            AlbertFastError: it drops rows.
        """
        made = self.collate(items)
        if len(items) > 1:
            given, kept = [_rows(item) for item in items], _rows(made)
            if kept is not None and None not in given and kept < (wanted := sum(filter(None, given))):
                msg = (
                    f"the data_collator (collate_fn) must keep all {wanted} rows of {len(items)} batches, got {kept}; "
                    "pass albert_fast.torch.collate, or 1 as per_device_train_batch_size and "
                    "per_device_eval_batch_size (batch_size of a DataLoader)"
                )
                raise AlbertFastError(msg, kind="option", option="data_collator", value=kept)
        return made


def _rows(batch: object) -> int | None:
    """Returns the number of rows in a batch, or in stacked batches, or None if it is something else."""
    shape = getattr(batch.get("input_ids"), "shape", ()) if isinstance(batch, Mapping) else ()
    rows = 1
    for size in shape[:-1]:
        rows *= size
    return rows if len(shape) > 1 else None


def watch_collator(frame: FrameType | None) -> bool:
    """Makes the DataLoader that iterates over a dataset check its collator, if it has one; see `KeepsAll`.

    Returns:
        Whether the collator gets several items at once: the DataLoader has a `batch_size`.
    """
    fetcher = next(filter(None, map(_fetcher, _frames(frame))), None)
    if fetcher is None or not getattr(fetcher, "auto_collation", False):
        return False
    collate = getattr(fetcher, "collate_fn", None)
    if collate is not None and not isinstance(collate, KeepsAll):
        fetcher.collate_fn = KeepsAll(collate)
    return True


def block(frame: FrameType | None) -> int | None:
    """Returns how many consecutive items this DataLoader worker must make.

    Call it while the worker asks for one of them. The number is what the collator gets at once, so that it joins the
    same items as without workers. If accelerate makes every process read all items, it is what all processes take at
    once.

    Returns:
        The number, or None if no DataLoader asks in this thread.
    """
    for one in _frames(frame):
        dealing = _dealing(one)
        if dealing is not None and not dealing.dispatched:
            return dealing.block
        if _fetcher(one) is not None and one.f_code.co_name == "fetch":
            items = one.f_locals.get(one.f_code.co_varnames[1])
            return len(items) if isinstance(items, Sized) else None
    return None


def _fetcher(frame: FrameType) -> Any | None:
    """Returns the object of a DataLoader that reads from a dataset, if this frame is of one of its methods."""
    found = frame.f_locals.get("self")
    return found if type(found).__name__.endswith("DatasetFetcher") else None
