"""Work in threads that the main thread waits for: Python handles no signal while it is inside TensorFlow."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_NAME = "albert-fast aside"


def aside(functions: Sequence[Callable[[], T]]) -> list[T]:
    """Run functions at the same time and return their results in order.

    The threads are daemons. If a signal handler raises an exception here, such as KeyboardInterrupt, it does not wait
    for them.

    Raises:
        BaseException: the exception of the first function that raised one, after all have ended.
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
    """Tell whether a function that nothing waits for is still running."""
    return any(thread.name.startswith(_NAME) for thread in threading.enumerate())
