"""The figures of the metrics log as TensorBoard scalars: RUN/tensorboard.

TensorBoard keeps the steps that a resumed run repeats. So every start writes the events of the whole log again, with
their old times, to a new file that replaces the old one.

`tf.summary` gives each event the time of writing, which would be wrong for all starts but the newest. The writer in the
package tensorboard computes checksums in Python, which takes a minute for a long log. An event file is a TFRecord file
of Event messages (tensorflow/core/util/event.proto), and TensorFlow writes those.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from albert_fast.files import whole_file
from trainer.errors import TrainerError
from trainer.folder import TENSORBOARD
from trainer.report.scalars import scalars

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

SUFFIX = ".albert-fast"
"""Suffix of the event files written here, so that no others are removed."""


class TensorBoard:
    """The event file of this start.

    Args:
        run: the directory of the run.
        lines: the lines of the metrics log so far, `Journal.lines`.

    Raises:
        TrainerError: the file cannot be written.
    """

    def __init__(self, run: Path, lines: Iterable[Mapping[str, Any]]) -> None:
        directory = run / TENSORBOARD
        # A new name each time, because a running TensorBoard continues to read a known file at its old position.
        self.path = directory / f"events.out.tfevents.{time.time_ns()}{SUFFIX}"
        temporary = directory / f".rebuilt{SUFFIX}.tmp"
        with self._errors():
            directory.mkdir(parents=True, exist_ok=True)
            self._writer = tf.io.TFRecordWriter(str(temporary))
            try:
                with whole_file(self.path, temporary):
                    self._writer.write(
                        tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()
                    )
                    for line in lines:
                        self._add(line)
                    self._writer.flush()
                    for old in directory.glob(f"events.out.tfevents.*{SUFFIX}"):
                        old.unlink()
            except BaseException:
                with contextlib.suppress(tf.errors.OpError):
                    self._writer.close()
                raise

    def write(self, line: Mapping[str, Any]) -> None:
        """Add the figures of a line of the metrics log, visible at once.

        Raises:
            TrainerError: they cannot be written.
        """
        with self._errors():
            self._add(line)
            self._writer.flush()

    def _add(self, line: Mapping[str, Any]) -> None:
        values = [tf.compat.v1.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(line).items()]
        if values:
            # An event without a time would be placed at 1970.
            event = tf.compat.v1.Event(
                wall_time=line.get("time") or time.time(),
                step=line["step"],
                summary=tf.compat.v1.Summary(value=values),
            )
            self._writer.write(event.SerializeToString())

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            # The message is "FILE; REASON", with the name that the file was opened under.
            raise self._unwritten(error.message.rsplit("; ", 1)[-1]) from None
        except OSError as error:
            raise self._unwritten(error.strerror or str(error)) from None

    def _unwritten(self, why: str) -> TrainerError:
        return TrainerError(f"cannot write {self.path}: {why}", kind="io", path=self.path)

    def close(self) -> None:
        """Close the file.

        Raises:
            TrainerError: the remaining events cannot be written.
        """
        with self._errors():
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
