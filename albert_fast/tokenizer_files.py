"""The old name of `albert_fast.tokenizers.files`, which an extension that was built before the move asks for."""

from albert_fast.tokenizers.files import *  # noqa: F403
