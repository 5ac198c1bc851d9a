r"""Raw text to ALBERT pretraining records: exact, fast, resumable.

The tokenizer, the token store, the masks and the record writer are the compiled module ``albert_fast._native``. This
package is its public interface. It imports neither TensorFlow nor the libraries of the command line.

Example:
    >>> from albert_fast import preprocess
    >>> preprocess("  Ein  schönes\tHaus ")
    'ein schones haus'
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from albert_fast._native import Tokenizer, TokenStore, __version__, preprocess, tokenize
    from albert_fast.batches import Batch, BatchSource, InstanceStream, RecordReader
    from albert_fast.errors import AlbertFastError
    from albert_fast.finishing import finish
    from albert_fast.inspection import inspect_records
    from albert_fast.masking import Masker
    from albert_fast.prepare import prepare_text
    from albert_fast.records import make_records
    from albert_fast.tokenizers.make import train_tokenizer

__all__ = [
    "AlbertFastError",
    "Batch",
    "BatchSource",
    "InstanceStream",
    "Masker",
    "RecordReader",
    "TokenStore",
    "Tokenizer",
    "__version__",
    "finish",
    "inspect_records",
    "make_records",
    "prepare_text",
    "preprocess",
    "tokenize",
    "train_tokenizer",
]

_HOMES = {
    **dict.fromkeys(("Batch", "BatchSource", "InstanceStream", "RecordReader"), "albert_fast.batches"),
    "AlbertFastError": "albert_fast.errors",
    "Masker": "albert_fast.masking",
    "finish": "albert_fast.finishing",
    "inspect_records": "albert_fast.inspection",
    "make_records": "albert_fast.records",
    "prepare_text": "albert_fast.prepare",
    "train_tokenizer": "albert_fast.tokenizers.make",
}
"""The modules of the names that do not come from the extension."""


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that the command line is ready for Ctrl-C before NumPy and the extension are loaded.
    if name not in __all__:
        return _submodule(name)
    value = getattr(importlib.import_module(_HOMES.get(name, "albert_fast._native")), name)
    globals()[name] = value
    return value


def _submodule(name: str) -> Any:
    """Returns the module of that name, so that `import albert_fast` is enough for `albert_fast.masking`."""
    missing = f"module {__name__!r} has no attribute {name!r}"
    if name.startswith("__"):
        raise AttributeError(missing)
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name == f"{__name__}.{name}":
            raise AttributeError(missing) from None
        raise AttributeError(f"{missing}: {error}") from error
    except ImportError as error:
        raise AttributeError(f"{missing}: {error}") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
