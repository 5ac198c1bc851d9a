"""Work in threads that the main thread waits for: Python hears no signal while it is inside TensorFlow."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_NAME = "albert-fast aside"


def aside(functions: Sequence[Callable[[], T]]) -> list[T]:
    """The results of functions that run at the same time, in their order.

    The threads are daemons: an exception that a signal's handler raises here, such as KeyboardInterrupt, leaves them
    to themselves and does not wait for them.

    Raises:
        BaseException: what the first of them raised, when all have ended.
    """
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}

    def run(index: int) -> None:
        try:
            results[index] = functions[index]()
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
            errors[index] = error

    threads = [
        threading.Thread(target=run, args=(index,), name=f"{_NAME} {index}", daemon=True)
        for index in range(len(functions))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return [results[index] for index in range(len(functions))]


def working() -> bool:
    """Whether a function that nothing waits for any more is still running."""
    return any(thread.name.startswith(_NAME) for thread in threading.enumerate())
