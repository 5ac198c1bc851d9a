"""The metrics log of a run, RUN/metrics.jsonl: one JSON object per line, for people, scripts and the report.

docs/training.md describes the lines. A training line holds means over the `steps` steps up to and including `step`, an
evaluation line its figures under "evaluation", and the line of a start "start": "new" or "resumed". Rates are those of
the steps that compiled nothing, or null if all steps compiled. `compile_seconds` is the time of compilation.
`tokens_per_second`, `tflops` and `mfu` count real tokens; `padding` is the fraction of the computed tokens that is
padding. A killed run leaves lines after its newest checkpoint, and maybe half a line. Both are removed when it resumes,
so that no step occurs twice. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from albert_fast import AlbertFastError
from albert_fast.files import write_atomic
from trainer.errors import TrainerError
from trainer.folder import METRICS

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the log at `path`, without an incomplete last one; none if the file does not exist.

    Raises:
        TrainerError: the file cannot be read, or another line is not a JSON object with an integer "step".
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TrainerError(f"cannot read {path}: {error.strerror or error}", kind="io", path=path) from None
    *whole, last = data.split(b"\n")
    lines = [_parse(text, path, number) for number, text in enumerate(whole, 1)]
    # A JSON object ends with its brace: if it can be parsed, it is complete, with or without its newline.
    if last:
        with contextlib.suppress(TrainerError):
            lines.append(_parse(last, path, len(lines) + 1))
    return lines


def _parse(text: bytes, path: Path, number: int) -> dict[str, Any]:
    place = f"{path}, line {number}"
    try:
        line = json.loads(text.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        message = f"{place}: the line must be JSON ({error}); fix or remove it"
        raise TrainerError(message, kind="data", path=path, line=number) from None
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        message = f'{place}: the line must be an object with a whole number as "step", got {text.decode()[:80]}; '
        raise TrainerError(f"{message}remove it", kind="data", path=path, line=number)
    return line


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def plain(value: Any) -> Any:
    """Return `value` for any JSON reader: NaN and infinities become null, and NumPy's scalars Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _encode(line: Mapping[str, Any]) -> bytes:
    return (json.dumps(plain(line), allow_nan=False) + "\n").encode()


class Journal:
    """RUN/metrics.jsonl, open for the lines of one start.

    Opening the log removes the training and evaluation lines after `step` and an incomplete last line, and writes the
    line of this start, all atomically. Lines of earlier starts are kept. Only one process at a time may write to it.

    Args:
        run: the directory of the run, which must exist.
        step: number of steps done at the checkpoint that training resumes from; 0 for a new run.
        about: further keys of the line of this start: the command line and the versions.

    Raises:
        TrainerError: the log cannot be written, or holds an invalid line.
    """

    def __init__(self, run: Path, step: int = 0, about: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.path = run / METRICS
        self.lines = [line for line in read(self.path) if "start" in line or line["step"] <= step]
        """The lines kept, then the first one of this start. Lines appended later are only in the file."""
        kept = b"".join(map(_encode, self.lines))
        try:
            if self.path.exists() and self.path.read_bytes() != kept:
                write_atomic(self.path, kept)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except AlbertFastError as error:
            raise TrainerError(str(error), kind="io", path=self.path) from None
        except OSError as error:
            raise self._unwritten(error) from None
        self._size = len(kept)
        start = {"step": step, "time": time.time(), "start": "resumed" if step else "new", **about}
        try:
            self.append(start)
        except BaseException:
            self.close()
            raise
        self.lines.append(start)

    @property
    def hours(self) -> float:
        """Return the hours of training up to the step that this start resumes from, over all starts; 0 if unknown."""
        known = [line["hours"] for line in self.lines if isinstance(line.get("hours"), int | float)]
        return float(known[-1]) if known else 0.0

    def append(self, line: Mapping[str, Any]) -> None:
        """Write `line` at once, so that a kill loses at most this line. NaN and infinities become null.

        Raises:
            TrainerError: it cannot be written completely, for example because the disk is full. The file is as it was
                before.
        """
        data = _encode(line)
        try:
            written = os.write(self._file, data)
            # A disk that becomes full first accepts a part, and reports the error only for the rest.
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise self._unwritten(error) from None
        self._size += len(data)

    def _unwritten(self, error: OSError) -> TrainerError:
        return TrainerError(f"cannot write {self.path}: {error.strerror or error}", kind="io", path=self.path)

    def close(self) -> None:
        """Close the file. Further calls do nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
