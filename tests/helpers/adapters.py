"""What the tests of the adapters share."""

from __future__ import annotations

import doctest
import importlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from albert_fast import InstanceStream, Tokenizer, TokenStore, tokenize

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from albert_fast import Batch


def framework(name: str, *needs: str) -> Any:
    """The module `name`, imported whatever it warns of; skips where one of those that it needs is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in needs:
            pytest.importorskip(module, reason=f"{module} is not installed")
        return importlib.import_module(name)


def docstring_names(module: Any) -> dict[str, Any]:
    """What the examples of the module's docstrings define, those of a page one after the other."""
    names = dict(vars(module))
    for test in doctest.DocTestFinder().find(module):
        for example in test.examples:
            exec(example.source, names)
    return names


def make_source(model: Path, corpus: Path, directory: Path, **options: Any) -> InstanceStream:
    """Batches of 4 rows of 32 tokens of the test corpus."""
    tokenize([corpus], directory / "store", Tokenizer.from_file(model))
    return InstanceStream(TokenStore(directory / "store"), 4, 32, seed=5, **options)


def equal(tensors: Mapping[str, Any], batch: Batch | Mapping[str, Any]) -> bool:
    """Whether tensors and arrays have the same names, types and values."""
    arrays = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    return arrays.keys() == batch.keys() and all(
        array.dtype == np.asarray(batch[name]).dtype and np.array_equal(array, batch[name])  # type: ignore[literal-required]
        for name, array in arrays.items()
    )
