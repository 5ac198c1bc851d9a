"""What accelerate, and with it a Hugging Face Trainer, does with a dataset's batches.

Hugging Face accelerate deals the items of an `IterableDataset` out to the processes itself, in one of two ways: the
first process reads all items and sends each process its part (`DataLoaderDispatcher`, the default), or every process
reads all items and keeps its own (`IterableDatasetShard`, with `dispatch_batches=False`). It has no way for a dataset
to say that it is a process's part already, and none to learn how many processes there are. But before each pass it
calls `set_epoch` of the dataset, and the object that calls is the one that deals out.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import FrameType


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


def dealing(caller: FrameType | None) -> Dealing | None:
    """How accelerate deals out, told from the frame that calls `set_epoch`; None if that is not accelerate's."""
    dealer = None if caller is None else caller.f_locals.get("self")
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
