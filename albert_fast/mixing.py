"""Opens the token stores of a mixture, compares them, and gives them their weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeAlias

from albert_fast import _checks
from albert_fast._native import TokenStore
from albert_fast.errors import AlbertFastError, option_error, shown
from albert_fast.options.base import as_number
from albert_fast.options.mixtures import by_size, refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Store: TypeAlias = TokenStore | str | PathLike[str]
    Stores: TypeAlias = Store | Sequence[Store] | Mapping[Any, float]


def mixed(store: Stores, temperature: float | None) -> tuple[list[TokenStore], list[float]]:
    """Returns the stores, opened and compared, and the weight of each.

    Raises:
        AlbertFastError: a store cannot be opened, is given twice, or has another tokenizer; a weight is invalid.
    """
    if isinstance(store, TokenStore | str | PathLike):
        given: list[Any] = [store]
    elif not isinstance(store, bytes | set | frozenset) and isinstance(store, Iterable):
        given = [*store]
    else:
        raise option_error("store", "a token store, its directory, or several of them", store)
    if not given:
        raise option_error("store", "at least one token store", given)
    for one in given:
        if not isinstance(one, TokenStore | str | PathLike):
            advice = "pass weights in a mapping from stores to weights" if isinstance(one, tuple | list) else ""
            raise option_error("store", "token stores, or their directories", one, advice)
    weights: list[float] | None = None
    if isinstance(store, Mapping):
        weights = [_weight(one, weight) for one, weight in store.items()]
    if temperature is not None:
        temperature = _checks.number("mixture_temperature", temperature)
        if temperature <= 0:
            raise option_error("mixture_temperature", "a number above 0", temperature)
        if weights is not None or len(given) == 1:
            msg = "`mixture_temperature` has no effect without several stores that have no weights; remove it"
            raise AlbertFastError(msg, kind="option", option="mixture_temperature", value=temperature)
    stores = [one if isinstance(one, TokenStore) else TokenStore(one) for one in given]
    first = stores[0]
    seen: dict[str, TokenStore] = {}
    for one in stores:
        if (other := seen.setdefault(one.digest, one)) is not one or sum(it is one for it in stores) > 1:
            twice = "is given twice" if _name(one) == _name(other) else f"has the same documents as {_name(other)}"
            msg = f"{_name(one)} {twice}; remove one of them, or pass one with the sum of their weights"
            raise AlbertFastError(msg, kind="option", option="store", path=one.path)
        if one.tokenizer_digest != first.tokenizer_digest:
            msg = (
                f"{_name(one)} and {_name(first)} were made with different tokenizers; make all stores of a mixture "
                "with one tokenizer"
            )
            raise AlbertFastError(msg, kind="tokenizer", path=one.path)
    if weights is None:
        weights = by_size([one.num_tokens for one in stores], temperature or 1.0)
    return stores, weights


def _weight(store: Store, weight: Any) -> float:
    """Returns the weight of a store, checked."""
    found = as_number(weight)
    if found is not None and found > 0:
        return found
    raise AlbertFastError(refused(_name(store), shown(weight)), kind="option", option="store", value=weight)


def _name(store: Store) -> str:
    return store.address or str(store.path) if isinstance(store, TokenStore) else fspath(store)


@contextlib.contextmanager
def names_of_weights(
    stores: Sequence[TokenStore], weights: Sequence[float], temperature: float | None
) -> Iterator[None]:
    """Lets the core's error about a weight that is too small name the store and the fix.

    Args:
        stores: the stores of a mixture.
        weights: their weights.
        temperature: that of weights that come from sizes, otherwise None.
    """
    try:
        yield
    except AlbertFastError as error:
        if error.option != "weights":
            raise
        weight, store = min(zip(weights, map(_name, stores), strict=True))
        least = "at least 1/65,536 of the sum of all weights"
        if temperature is None:
            message = (
                f"the weight of {store} must be {least}, got {weight:g} of {sum(weights):g}; pass a larger weight, or "
                "remove the store"
            )
            raise AlbertFastError(message, kind="option", option="store", value=weight) from None
        message = (
            f"mixture_temperature={temperature:g} gives {store} a weight that is too small: it must be {least}; pass a "
            "larger temperature, or remove the store"
        )
        raise AlbertFastError(message, kind="option", option="mixture_temperature", value=temperature) from None
