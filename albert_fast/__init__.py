r"""Raw text to ALBERT pretraining records: exact, fast, restartable.

The tokenizer, the token store, the masks and the record writer are the compiled module ``albert_fast._native``; this
package is its public face. It imports neither TensorFlow nor the libraries of the command line.

Example:
    >>> from albert_fast import preprocess
    >>> preprocess("  Ein  schönes\tHaus ")
    'ein schones haus'
"""

from albert_fast._native import AlbertFastError, Tokenizer, TokenStore, __version__, preprocess, tokenize
from albert_fast.batches import Batch, BatchSource, InstanceStream, RecordReader
from albert_fast.corpus import prepare_text
from albert_fast.masking import Masker

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
    "prepare_text",
    "preprocess",
    "tokenize",
]
