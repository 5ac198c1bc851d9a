"""The journal of a run, RUN/metrics.jsonl: one JSON object a line, for people, scripts and the report.

docs/training.md describes the lines. A training line holds means over the `steps` steps up to and including `step`, an
evaluation line its figures under "evaluation", and a line of a start "start": "new" or "resumed". Rates are of the
steps that compiled nothing, and null if all did; `compile_seconds` is what compilation took. `tokens_per_second`,
`tflops` and `mfu` count real tokens; `padding` is the fraction of the computed tokens that is padding. A run that was
killed leaves lines beyond its newest checkpoint and maybe half a line; both go when it resumes, so that no step stands
there twice. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Mapping
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
    """The lines of the journal at `path`, without a last one that a kill cut short; none where there is no file.

    Raises:
        TrainerError: the file cannot be read, or another line is no JSON object with a whole number as "step".
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TrainerError(f"cannot read {path}: {error.strerror or error}") from None
    *whole, last = data.split(b"\n")
    lines = [_parse(text, f"{path}, line {number}") for number, text in enumerate(whole, 1)]
    # An object ends with its brace: what can be parsed is not cut, whether or not its line end arrived.
    if last:
        with contextlib.suppress(TrainerError):
            lines.append(_parse(last, ""))
    return lines


def _parse(text: bytes, place: str) -> dict[str, Any]:
    try:
        line = json.loads(text.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise TrainerError(f"{place}: not JSON ({error}); mend or remove the line") from None
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        shown = text.decode()[:80]
        raise TrainerError(f'{place}: must be an object with a whole number as "step", not {shown}; remove the line')
    return line


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def plain(value: Any) -> Any:
    """`value` as every JSON reader takes it: NaN and infinities as null, NumPy's scalars as Python's."""
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

    Opening drops the training and evaluation lines beyond `step` and a last line cut short, atomically, and writes a
    line of the start. Lines of earlier starts stay: they happened. One process writes a journal at a time.

    Args:
        run: the folder of the run; it must exist.
        step: steps done, those of the checkpoint that training goes on from; 0 for a new run.

    Raises:
        TrainerError: the journal cannot be written, or holds what is no line of a journal.
    """

    def __init__(self, run: Path, step: int = 0) -> None:
        self.path = run / METRICS
        self.lines = [line for line in read(self.path) if "start" in line or line["step"] <= step]
        """The lines kept, then this start's first; those appended later are in the file only."""
        kept = b"".join(map(_encode, self.lines))
        try:
            if self.path.exists() and self.path.read_bytes() != kept:
                write_atomic(self.path, kept)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except AlbertFastError as error:
            raise TrainerError(str(error)) from None
        except OSError as error:
            raise TrainerError(f"cannot write {self.path}: {error.strerror or error}") from None
        self._size = len(kept)
        start = {"step": step, "time": time.time(), "start": "resumed" if step else "new"}
        try:
            self.append(start)
        except BaseException:
            self.close()
            raise
        self.lines.append(start)

    @property
    def hours(self) -> float:
        """Hours of training up to the step this start goes on from, all starts together; 0 where none is known."""
        known = [line["hours"] for line in self.lines if isinstance(line.get("hours"), int | float)]
        return float(known[-1]) if known else 0.0

    def append(self, line: Mapping[str, Any]) -> None:
        """Writes `line` in one piece, so that a kill at any time costs at most this line; NaN and infinities as null.

        Raises:
            TrainerError: it cannot be written whole, the disk being full for one; the file is as it was before.
        """
        data = _encode(line)
        try:
            written = os.write(self._file, data)
            # A disk that fills up takes a part first, and says so only when asked to take the rest.
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise TrainerError(f"cannot write {self.path}: {error.strerror or error}") from None
        self._size += len(data)

    def close(self) -> None:
        """Closes the file; more than once does no harm."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
