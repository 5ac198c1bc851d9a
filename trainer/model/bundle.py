"""Variables in the files of tf.train.Checkpoint, by name. TensorFlow is imported only when it is needed."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from trainer.errors import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import tensorflow as tf

    from trainer.errors import TrainerError

_KEY = re.compile(r"variables/(.+)/\.ATTRIBUTES/VARIABLE_VALUE")


def copies(variable: tf.Variable) -> tuple[tf.Variable, ...]:
    """Return the plain variables behind `variable` on this process's devices.

    These are the variable itself or, if it is distributed, its copies.
    """
    import tensorflow as tf

    if isinstance(variable, tf.distribute.DistributedValues):
        # Assigning to the copies, or saving one of them, needs no communication. Using the distributed variable might.
        return tuple(variable.distribute_strategy.experimental_local_results(variable))
    return (variable,)


class Reader:
    """Reads the variables that `tf.train.Checkpoint(variables={name: variable})` wrote.

    Args:
        prefix: the common prefix of the paths of the checkpoint's files.
        error: makes the exception to raise from the reason why a file cannot be read.
    """

    def __init__(self, prefix: Path, error: Callable[[str], TrainerError]) -> None:
        self.error = error
        with bundle_errors(error):
            import tensorflow as tf

            self.bundle = tf.train.load_checkpoint(str(prefix))
            dtypes = self.bundle.get_variable_to_dtype_map()
            shapes = self.bundle.get_variable_to_shape_map()
        self.keys: dict[str, str] = {}
        for key in dtypes:
            match = _KEY.fullmatch(key)
            # tf.train.Checkpoint writes "/" in a name as ".S" and "." as "..".
            name = re.sub(r"\.[.S]", lambda escape: "/" if escape[0] == ".S" else ".", match[1]) if match else ""
            if name:
                self.keys[name] = key
        self.shapes: dict[str, list[int]] = {name: shapes[key] for name, key in self.keys.items()}
        self.dtypes: dict[str, Any] = {name: dtypes[key] for name, key in self.keys.items()}

    def value(self, name: str) -> Any:
        """Return one variable as an array."""
        with bundle_errors(self.error):
            return self.bundle.get_tensor(self.keys[name])


@contextlib.contextmanager
def bundle_errors(error: Callable[[str], TrainerError]) -> Iterator[None]:
    """Turn errors of `tf.train.load_checkpoint` and its reader about their files into `error(reason)`."""
    import tensorflow as tf

    try:
        yield
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as cause:
        raise error(reason(cause)) from cause
