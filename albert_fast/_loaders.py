"""What stands between a dataset and a training loop: PyTorch's DataLoader, and accelerate, also in a Trainer.

Hugging Face accelerate deals the items of an `IterableDataset` out to the processes itself, in one of two ways: the
first process reads all items and sends each process its part (`DataLoaderDispatcher`, the default), or every process
reads all items and keeps its own (`IterableDatasetShard`, with `dispatch_batches=False`). It has no way for a dataset
to say that it is a process's part already, and none to learn how many processes there are. But before each pass it
calls `set_epoch` of the dataset, and the object that calls is the one that deals out.

A DataLoader does not tell a dataset what it does with the items either. The object that iterates over the dataset holds
the collator.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast._native import AlbertFastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

MAX_FRAMES = 12
"""How far from a dataset's iteration to look for the DataLoader's: accelerate's, or a dataset around it, is between."""


class Dealing(NamedTuple):
    """How items are dealt out."""

    processes: int
    """Processes that share the items."""
    items: int | None
    """Items that the DataLoader's collator gets at once, `batch_size` of the DataLoader; None: no collator."""
    dispatched: bool
    """Whether the first process reads for all of them; otherwise each reads everything and keeps its own items."""
    split: bool
    """Whether what a collator returns is cut by rows, a part for each process (`split_batches`)."""
    drop_last: bool
    """Whether the items that do not fill a step of all processes are dropped; otherwise others are repeated."""
    first: bool
    """Whether this is the first process."""

    @property
    def block(self) -> int:
        """Items in succession that must come from the same worker of a DataLoader, so that none is repeated."""
        items = self.items or 1
        return items if self.dispatched or self.split else items * self.processes


def caller(frame: FrameType | None) -> Dealing | None:
    """How accelerate deals out, if it calls the function that this frame is of."""
    return None if frame is None else _dealing(frame.f_back)


def _dealing(frame: FrameType | None) -> Dealing | None:
    """How accelerate deals out, told from a frame of its object that does; None if it is another's."""
    dealer = None if frame is None else frame.f_locals.get("self")
    if type(dealer).__module__ != "accelerate.data_loader":
        return None
    state = getattr(sys.modules.get("accelerate.state"), "PartialState", None)
    known = getattr(state, "_shared_state", {})
    # Defaults: a version of accelerate that calls these otherwise must still be known to deal out.
    loader = getattr(dealer, "base_dataloader", None)
    alone = type(dealer).__name__ == "DataLoaderShard"
    return Dealing(
        processes=1 if alone else getattr(dealer, "num_processes", known.get("num_processes", 1)),
        items=getattr(dealer if loader is None else loader, "batch_size", 1),
        dispatched=type(dealer).__name__ != "IterableDatasetShard",
        split=getattr(dealer, "split_batches", False),
        drop_last=getattr(dealer, "drop_last", False) if loader is None else getattr(dealer, "_drop_last", False),
        first=getattr(dealer, "process_index", known.get("process_index", 0)) == 0,
    )


def _frames(frame: FrameType | None, most: int = MAX_FRAMES) -> Iterator[FrameType]:
    """A frame and those that called it."""
    while frame is not None and most > 0:
        yield frame
        frame, most = frame.f_back, most - 1


def processes(frame: FrameType | None) -> int:
    """How many processes share what is being iterated over, if accelerate deals it out in this process; otherwise 1.

    A worker that was forked has the frames of the process that it is of, far behind its own.
    """
    found = next(filter(None, map(_dealing, _frames(frame, sys.maxsize))), None)
    return 1 if found is None else found.processes


class KeepsAll:
    """A collator, and a check that the rows of all batches are in what it makes of several."""

    def __init__(self, collate: Callable[[Sequence[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[Any]) -> Any:
        """What the collator makes of these batches.

        Raises:
            AlbertFastError: it drops some.
        """
        made = self.collate(items)
        if len(items) > 1:
            given, kept = [_rows(item) for item in items], _rows(made)
            if kept is not None and None not in given and kept < (wanted := sum(filter(None, given))):
                msg = (
                    f"the data_collator (collate_fn) must keep all {wanted} rows of {len(items)} batches, got {kept}: "
                    "pass albert_fast.torch.collate, or 1 as per_device_train_batch_size and "
                    "per_device_eval_batch_size (batch_size of a DataLoader)"
                )
                raise AlbertFastError(msg)
        return made


def _rows(batch: object) -> int | None:
    """Rows of a batch, or of batches that were stacked; None if it is something else."""
    shape = getattr(batch.get("input_ids"), "shape", ()) if isinstance(batch, Mapping) else ()
    rows = 1
    for size in shape[:-1]:
        rows *= size
    return rows if len(shape) > 1 else None


def watch_collator(frame: FrameType | None) -> bool:
    """Has the collator of the DataLoader that iterates over a dataset checked, if there is one; see `KeepsAll`.

    Returns:
        Whether it gets several items at once: the DataLoader has a `batch_size`.
    """
    fetcher = next(filter(None, map(_fetcher, _frames(frame))), None)
    if fetcher is None or not getattr(fetcher, "auto_collation", False):
        return False
    collate = getattr(fetcher, "collate_fn", None)
    if collate is not None and not isinstance(collate, KeepsAll):
        fetcher.collate_fn = KeepsAll(collate)
    return True


def block(frame: FrameType | None) -> int | None:
    """Items in succession that must come from this worker of a DataLoader, told while it asks for one of them.

    As many as its collator gets at once, so that it joins those that it would join without workers. Where accelerate
    has every process read all items, as many as all processes take at once.

    Returns:
        None if no DataLoader asks in this thread.
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
    """The object of a DataLoader that reads from a dataset, if this frame is of one of its methods."""
    found = frame.f_locals.get("self")
    return found if type(found).__name__.endswith("DatasetFetcher") else None
