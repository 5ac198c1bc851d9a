"""Reads arrays as callers have them: NumPy's of any integer type, tensors of other libraries, and lists.

Errors name the argument, the rule, what was passed, and what to pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from albert_fast.errors import AlbertFastError, option_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BOOLS = frozenset({bool, np.bool_})

READABLE = "a NumPy array, a tensor in the CPU's memory, or a list"


def read(name: str, value: object) -> NDArray[Any]:
    """Returns `value` as an array of any type and shape, without a copy if it is an array in memory.

    Tensors of PyTorch, TensorFlow (eager) and JAX are read through `__array__`, others through DLPack.

    Raises:
        AlbertFastError: it cannot be read as an array, such as a tensor on a GPU, or rows of several lengths.
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # a foreign library may raise anything
        reason = " ".join(str(error).split())[:200]
        advice = remedy(name, value) or f"pass {READABLE}"
        msg = f"{name} cannot be read as an array: {type(value).__name__}: {reason}; {advice}"
        raise AlbertFastError(msg, kind="option", option=name.partition("[")[0], value=value) from error


def remedy(name: str, value: object) -> str | None:
    """Returns what to pass instead of an object of another library that is not an array, or None if unknown."""
    for method in ("to_list", "to_pylist"):  # ragged tensors and columns of tables
        if callable(getattr(value, method, None)):
            return f"pass {name}.{method}()"
    if type(value).__name__ in ("SymbolicTensor", "KerasTensor"):
        return f"it has no values yet: mask outside of tf.function, or in tf.numpy_function, and pass {READABLE}"
    if getattr(value, "is_nested", False) is True:  # PyTorch's ragged tensors
        return f"pass {name}.unbind()"
    return None


def one_line(value: object) -> str:
    """Returns a value for an error, on one line."""
    return " ".join(f"{value!r}".split())[:200]


def describe(value: object) -> str:
    """Returns what `value` is, for the end of an error."""
    if isinstance(value, np.ndarray) and (value.ndim or value.dtype.kind != "O"):
        return f"{value.dtype} of shape {list(value.shape)}"
    shown = value.item() if isinstance(value, np.ndarray) else value
    if shown is None or isinstance(shown, str | bytes | int | float):
        return f"{shown!r:.100}"
    return f"an object of type {type(shown).__name__}"


def _not_integers(name: str, found: NDArray[Any], given: object, wanted: str) -> AlbertFastError:
    """Returns the error for an array that does not contain integers."""
    shown = found if isinstance(given, np.ndarray) or found.ndim else given
    advice = remedy(name, given) or f"pass {READABLE} of integers"
    if isinstance(given, dict) or hasattr(given, "keys"):
        advice = f'pass its "{name}"'
    elif isinstance(given, np.ndarray) and found.dtype.kind == "f":
        advice = f"pass {name}.astype(np.int64)"
    elif found.dtype.kind in "US":
        advice = "pass ids, as Tokenizer.encode returns them"
    return option_error(name, wanted, given, advice, got=describe(shown))


def check_range(name: str, values: NDArray[Any], high: int, what: str, row: int | None = None) -> None:
    """Raises an AlbertFastError if a value is not from 0 to `high`. If `values` are one row, `row` is its number."""
    if values.size == 0 or (values.min() >= 0 and values.max() <= high):
        return
    place = np.argwhere((values < 0) | (values > high))[0]
    index = ", ".join(str(number) for number in ([] if row is None else [row]) + place.tolist())
    value = int(values[tuple(place)])
    raise option_error(name, f"from 0 to {high}{what}", value, got=f"{value} at {name}[{index}]")


def is_sequence(value: object) -> bool:
    """Returns whether `value` is a list of rows or numbers, not an array or tensor."""
    return isinstance(value, list | tuple) or (
        isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1
    )


def holds_integers(values: NDArray[Any]) -> bool:
    """Returns whether these are integers. Integers beyond 64 bits are objects."""
    if values.dtype.kind == "O" and values.ndim == 1 and values.size:
        return all(isinstance(value, int | np.integer) and not isinstance(value, bool) for value in values.tolist())
    return values.dtype.kind in "iu"


def check_no_bools(name: str, value: object, wanted: str) -> None:
    """Refuses True and False among the numbers of a list, because NumPy takes them as 1 and 0.

    Raises:
        AlbertFastError: there is one. The message names its index.
    """
    if isinstance(value, list | tuple) and not _BOOLS.isdisjoint(map(type, value)):
        place = next(index for index, entry in enumerate(value) if type(entry) in _BOOLS)
        found = bool(value[place])
        raise option_error(name, wanted, found, "pass integers only", got=f"{found} at index {place}")


def dimensions(value: object) -> int:
    """Returns the number of dimensions of an array or tensor, or of a list by its first entry."""
    if is_sequence(value) and len(value):  # type: ignore[arg-type]
        return 1 + dimensions(value[0])  # type: ignore[index]
    number = getattr(value, "ndim", 1 if is_sequence(value) else 0)
    return number if isinstance(number, int) else 0


def integers(name: str, value: object, high: int, what: str) -> NDArray[Any]:
    """Returns the integers of one row, from 0 to `high`: of shape [tokens] and of any integer type.

    An int32 array is returned as it is. Its range is not checked, because the compiled part does that.

    Raises:
        AlbertFastError: values or shape are wrong, or a value is out of range.
    """
    wanted = "integers of shape [tokens]"
    if is_sequence(value) and dimensions(value) > 1:
        got = f"a {type(value).__name__} of rows"
        raise option_error(name, wanted, value, "pass one of them, or use mask_batch", got=got)
    found = read(name, value)
    if found.ndim == 1 and found.size == 0 and not isinstance(value, np.ndarray):
        return np.empty(0, np.int32)
    check_no_bools(name, value, wanted)
    if not holds_integers(found):
        raise _not_integers(name, found, value, wanted)
    if found.ndim != 1:
        advice = f"pass one row, {name}[0], or use mask_batch" if found.ndim == 2 else "pass one row"
        raise option_error(name, wanted, value, advice, got=describe(found))
    if found.dtype == np.int32:
        return found
    check_range(name, found, high, what)
    return found.astype(np.int32)


class Rows(NamedTuple):
    """Rows of one length."""

    ids: NDArray[Any]
    """Array of shape [rows, tokens]."""
    lengths: NDArray[np.int64] | None
    """Array of shape [rows]: the tokens that each row had before it was filled up. None if the rows were not a list."""


def rows(name: str, value: object, high: int, what: str, fill: int) -> Rows:
    """Returns rows of integers from 0 to `high`. Shorter rows of a list are filled up with `fill`.

    An int32 array is returned as it is. Its range is not checked, because the compiled part does that.

    Raises:
        AlbertFastError: values or shape are wrong, or a value is out of range.
    """
    wanted = "integers of shape [rows, tokens]"
    if is_sequence(value) and len(value):  # type: ignore[arg-type]
        return _stack(name, value, high, what, fill, wanted)  # type: ignore[arg-type]
    found = read(name, value)
    if found.size == 0 and found.ndim == 1:
        raise option_error(name, wanted, value, "pass np.empty((0, tokens), np.int32)", got="no rows")
    if found.dtype.kind not in "iu":
        raise _not_integers(name, found, value, wanted)
    if found.ndim != 2:
        advice = f"pass [{name}] for a single row" if found.ndim == 1 else "pass rows of ids"
        raise option_error(name, wanted, value, advice, got=describe(found))
    if found.dtype == np.int32:
        return Rows(found, None)
    check_range(name, found, high, what)
    return Rows(found.astype(np.int32), None)


def _row(name: str, value: object) -> NDArray[Any]:
    """Returns one row of a list. NumPy takes an empty list as one of floats."""
    if isinstance(value, list | tuple) and not value:
        return np.empty(0, np.int32)
    return read(name, value)


def _stack(name: str, value: Sequence[Any], high: int, what: str, fill: int, wanted: str) -> Rows:
    """Returns a list of rows as one array, and their lengths."""
    parts = [_row(f"{name}[{row}]", part) for row, part in enumerate(value)]
    of_a_row = "integers of shape [tokens]"
    for row, part in enumerate(parts):
        if part.ndim == 0 and part.dtype.kind in "iu":
            raise option_error(name, wanted, value, f"pass [{name}] for a single row", got="a list of numbers")
        check_no_bools(f"{name}[{row}]", value[row], of_a_row)
        if not holds_integers(part):
            raise _not_integers(f"{name}[{row}]", part, value[row], of_a_row)
        if part.ndim != 1:
            raise option_error(f"{name}[{row}]", of_a_row, value[row], got=describe(part))
    if isinstance(value, tuple) and _are_ids_and_offsets(parts):
        got = "ids and the offsets of their rows"
        raise option_error(name, wanted, value, "pass np.split(ids, offsets[1:-1])", got=got)
    stacked = np.full((len(parts), max(map(len, parts))), fill, np.int32)
    for row, part in enumerate(parts):
        check_range(name, part, high, what, row)
        stacked[row, : len(part)] = part
    return Rows(stacked, np.array([len(part) for part in parts], np.int64))


def _are_ids_and_offsets(parts: list[NDArray[Any]]) -> bool:
    """Returns whether these are what `Tokenizer.encode_batch` returns, not two rows."""
    if len(parts) != 2 or parts[0].dtype == parts[1].dtype:
        return False
    ids, offsets = parts
    return (
        len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(ids) and bool(np.all(offsets[:-1] <= offsets[1:]))
    )


def zeros_and_ones(
    name: str, value: object, dims: int, shape: str, lengths: Sequence[int] | NDArray[np.int64] = ()
) -> NDArray[Any]:
    """Returns bools, or integers that are 0 or 1, of any type: of shape [tokens] or [rows, tokens].

    Bools, int32 and int64 are returned as they are and unchecked. Others are returned as bools.

    Args:
        name: the name of the argument, for errors.
        value: what was passed.
        dims: the number of dimensions that it must have.
        shape: what an error calls the shape.
        lengths: number of tokens in each row of `input_ids`. The rows of a list must be as long. They are filled up
            with 0.

    Raises:
        AlbertFastError: values, the number of dimensions or the lengths of rows are wrong.
    """
    if dims == 2 and is_sequence(value) and len(value):  # type: ignore[arg-type]
        given: Sequence[Any] = value  # type: ignore[assignment]
        parts = [zeros_and_ones(f"{name}[{row}]", part, 1, "[tokens]") for row, part in enumerate(given)]
        for row, (part, length) in enumerate(zip(parts, lengths, strict=False)):
            check_length(name, len(part), int(length), row)
        stacked = np.zeros((len(parts), max(map(len, parts))), np.int64)
        for row, part in enumerate(parts):
            stacked[row, : len(part)] = part
        return stacked
    found = _row(name, value)
    if found.ndim != dims or found.dtype.kind not in "biu":
        is_float = found.dtype.kind == "f" and found.ndim == dims
        advice = _as_bools(name, value) if is_float else remedy(name, value) or f"pass {READABLE} of them"
        shown = found if found.ndim or isinstance(value, np.ndarray) else value
        rule = f"bools, or integers 0 and 1, of shape {shape}"
        raise option_error(name, rule, value, advice, got=describe(shown))
    if found.dtype in (np.bool_, np.int32, np.int64):
        return found
    check_zeros_and_ones(name, found)
    return found.astype(np.bool_)


def _as_bools(name: str, value: object) -> str:
    """Returns what to pass instead of floats. `name` may be that of one row of a list."""
    whole, in_list, _ = name.partition("[")
    if in_list:
        return f"pass [np.asarray(row, np.bool_) for row in {whole}]"
    return f"pass {name}.astype(np.bool_)" if isinstance(value, np.ndarray) else f"pass np.asarray({name}, np.bool_)"


def check_length(name: str, found: int, length: int, row: int) -> None:
    """Raises an AlbertFastError if what belongs to a row of ids has another length."""
    if found != length:
        rule = f"as long as input_ids, which has {length} tokens in row {row}"
        raise option_error(name, rule, found, got=f"{found}")


def check_zeros_and_ones(name: str, values: NDArray[Any]) -> None:
    """Raises an AlbertFastError if an integer is neither 0 nor 1."""
    if values.dtype.kind != "b" and values.size and not (values.min() >= 0 and values.max() <= 1):
        place = np.argwhere((values != 0) & (values != 1))[0]
        index = ", ".join(str(number) for number in place.tolist())
        value = int(values[tuple(place)])
        raise option_error(name, "0 or 1", value, got=f"{value} at {name}[{index}]")
