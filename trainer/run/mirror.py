"""A copy of a run in another place, which outlives the machine: `mirror_dir`.

    MIRROR/pretrain.config.json           written first: it marks the directory as the mirror of a run
    MIRROR/metrics.jsonl and so on        `trainer.folder.MIRRORED`, as in the directory of the run
    MIRROR/checkpoints/step-00000500/     a checkpoint; it counts if it has its checkpoint.json, which comes last

A thread copies. It never stops training: if it fails, it says so, and tries again at the next checkpoint. Nothing here
imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from albert_fast.errors import AlbertFastError
from albert_fast.files import whole_directory
from albert_fast.text import quantity
from trainer import folder
from trainer.errors import TrainerError, reason
from trainer.model import checkpoints
from trainer.model.checkpoints import DESCRIPTION, EVALUATION, METRIC, DamagedError
from trainer.model.signed import parsed
from trainer.run import resume
from trainer.run.mirror_place import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

TICK = 0.2
"""Seconds after which a waiting main thread looks for signals."""


class _Stored(NamedTuple):
    """A checkpoint in the mirror."""

    name: str
    content: Mapping[str, Any]
    """Its description."""
    description: bytes

    @property
    def step(self) -> int:
        return int(self.content["step"])


class Mirror:
    """The mirror of a run. Only the chief uses it.

    Args:
        run: the directory of the run.
        path: that of the mirror.
        keep: number of newest checkpoints that the run keeps.
        say: called with messages for the user, also by the thread that copies.
    """

    def __init__(self, run: Path, path: Path, keep: int, say: Callable[[str], None]) -> None:
        self.run, self.path, self.keep, self.say = run, path, keep, say
        self._place = place(path)
        self._names: set[str] = set()
        """The files that are in the mirror."""
        self._copied: dict[str, tuple[int, int]] = {}
        """Size and time of the files of the run that were copied, by name."""
        self._whole: dict[str, bytes] = {}
        """The descriptions of the checkpoints known to be in the mirror, by name."""
        self._changed = threading.Condition()
        self._asked = self._done = 0
        self._finished = False
        self._error: Exception | None = None

    # --- when a run starts ---

    def restore(self, facts: Mapping[str, Any], warn: Callable[[str], None]) -> None:
        """Fetch the newest checkpoint, the best one and the metrics, unless the run has a checkpoint that is as new.

        Args:
            facts: what decides what this run computes, as `trainer.run.resume.facts` returns it.
            warn: called with a line of warning.

        Raises:
            TrainerError: the mirror is that of another run or of something else, or all its checkpoints are damaged.
            AlbertFastError: it cannot be read.
        """
        self._look()
        own = checkpoints.listing(self.run / folder.CHECKPOINTS)
        newest = checkpoints.step_of(own[0]) if own else -1
        damages: list[str] = []
        for name in sorted(self._steps(), key=_number, reverse=True):
            if (stored := self._read(name)) is None:
                damages.append(f"checkpoint {self._shown(name)} is damaged ({DESCRIPTION} is not what was written)")
                continue
            resume.check_facts(self.path, stored.content["facts"], facts, stored.step)
            if stored.step <= newest:
                return
            try:
                self._fetch(stored)
            except DamagedError as error:
                damages.append(str(error))
                self._whole[name] = b""  # so that it is copied again when the run comes to this step
                continue
            for damage in damages:
                warn(f"{damage}: using {name}")
            self._fetch_best(stored, warn)
            return
        if damages and not own:
            raise TrainerError(
                f"every checkpoint in {self.path} is damaged (the newest: {damages[0]}); restore one from a backup, or "
                "pass another `mirror_dir` to start over",
                kind="data",
                path=self.path,
                option="mirror_dir",
            )

    def _fetch_best(self, newest: _Stored, warn: Callable[[str], None]) -> None:
        """Fetch the best checkpoint too, so that the run knows what a better one has to reach."""
        name = self._best(self._steps())
        if name is None or name == newest.name or (self.run / folder.CHECKPOINTS / name).exists():
            return
        try:
            if (stored := self._read(name)) is not None:
                self._fetch(stored)
        except DamagedError as error:
            warn(str(error))

    def _look(self) -> None:
        """List the mirror.

        Raises:
            TrainerError: it contains something else.
        """
        self._names = self._place.names()
        if self._names and folder.OPTIONS not in self._names:
            raise TrainerError(
                f"{self.path} is not empty, and is not the mirror of a run; pass another `mirror_dir`",
                kind="exists",
                path=self.path,
                option="mirror_dir",
            )

    def _fetch(self, stored: _Stored) -> None:
        files = stored.content["files"]
        size = sum(each["size"] for each in files.values())
        self.say(f"fetching {stored.name} ({quantity(size, 'bytes')}) from {self.path}")
        # The options make the directory that of a run. The checkpoint comes last: with it, the run resumes.
        for name in (folder.OPTIONS, folder.METRICS, folder.TRACKERS):
            if name in self._names:
                self._place.fetch(name, self.run / name)
        final = self.run / folder.CHECKPOINTS / stored.name
        try:
            with whole_directory(final) as temporary:
                for name in files:
                    if f"{folder.CHECKPOINTS}/{stored.name}/{name}" not in self._names or "/" in name:
                        message = f"checkpoint {self._shown(stored.name)} is damaged ({name} is missing)"
                        raise DamagedError(message, kind="data", path=self.path)
                    self._place.fetch(f"{folder.CHECKPOINTS}/{stored.name}/{name}", temporary / name)
                (temporary / DESCRIPTION).write_bytes(stored.description)
                evaluation = self._place.read(f"{folder.CHECKPOINTS}/{stored.name}/{EVALUATION}")
                if evaluation is not None:
                    (temporary / EVALUATION).write_bytes(evaluation)
                try:
                    checkpoints.read(temporary)
                except DamagedError as error:
                    message = str(error).replace(str(temporary), self._shown(stored.name))
                    raise DamagedError(message, kind="data", path=self.path) from None
        except OSError as error:
            raise TrainerError(
                f"cannot write the checkpoint {final}: {reason(error)}", kind="io", path=final
            ) from error

    def _read(self, name: str) -> _Stored | None:
        """Return a checkpoint of the mirror, or None if its description is damaged."""
        data = self._place.read(f"{folder.CHECKPOINTS}/{name}/{DESCRIPTION}")
        content = None if data is None else parsed(data)
        if data is None or content is None or content["step"] != _number(name):
            return None
        return _Stored(name, content, data)

    def begin(self, *, over: bool) -> None:
        """Write the options to the mirror, and start to copy the rest.

        Args:
            over: whether the run starts over, so that what an earlier one left is removed.

        Raises:
            TrainerError: the mirror contains something else than the copy of a run.
            AlbertFastError: it cannot be written.
        """
        self._look()
        if over:
            # The marks come first: half a checkpoint must not count.
            for name in sorted(self._names, key=lambda name: not name.endswith(f"/{DESCRIPTION}")):
                if _is_ours(name) and name != folder.OPTIONS:
                    self._place.remove(name)
                    self._names.discard(name)
        self._copy(folder.OPTIONS)
        threading.Thread(target=self._work, name="albert-fast mirror", daemon=True).start()
        self.say(f"the run is copied to {self.path} at each checkpoint")
        self.copy()

    # --- while it trains ---

    def copy(self) -> None:
        """Ask the thread to copy what has changed."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()

    def finish(self) -> None:
        """Copy what has changed, and wait until that is done. Nothing is copied later.

        Raises:
            TrainerError: it could not be copied.
        """
        with self._changed:
            self._asked += 1
            self._finished = True
            self._changed.notify_all()
            while self._done < self._asked:
                self._changed.wait(TICK)
            error = self._error
        if error is not None:
            raise TrainerError(
                f"the run is saved in {self.run}, but its copy in {self.path} is not complete: {error}; run the same "
                "command again to copy the rest",
                kind="io",
                path=self.path,
                option="mirror_dir",
            )

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._done == self._asked:
                    if self._finished:
                        return
                    self._changed.wait()
                asked = self._asked
            error: Exception | None = None
            try:
                self._copy_all()
            except Exception as caught:  # noqa: BLE001 - nothing may stop the thread
                error = caught
                self.say(
                    f"warning: cannot copy the run to {self.path}: {caught}; the next checkpoint is another attempt"
                )
            with self._changed:
                self._error, self._done = error, asked
                self._changed.notify_all()

    def _copy_all(self) -> None:
        for name in folder.MIRRORED:
            if name != folder.METRICS:
                self._copy(name)
        self._copy_metrics()
        events = {f"{folder.TENSORBOARD}/{path.name}" for path in (self.run / folder.TENSORBOARD).glob("events.*")}
        for name in sorted(events):
            self._copy(name)
        for name in [name for name in self._names if name.startswith(f"{folder.TENSORBOARD}/") and name not in events]:
            self._remove(name)
        for path in checkpoints.listing(self.run / folder.CHECKPOINTS):
            self._copy_checkpoint(path)
        self._remove_old()

    def _copy(self, name: str) -> None:
        """Copy a file of the run if it exists and has changed."""
        file = self.run / name
        try:
            found = file.stat()
        except FileNotFoundError:
            return
        state = (found.st_size, found.st_mtime_ns)
        if self._copied.get(name) != state:
            self._place.put(file, name)
            self._names.add(name)
            self._copied[name] = state

    def _copy_metrics(self) -> None:
        """Copy the whole lines of the metrics, which the run appends to."""
        with contextlib.suppress(FileNotFoundError):
            data = (self.run / folder.METRICS).read_bytes()
            data = data[: data.rfind(b"\n") + 1]
            if self._copied.get(folder.METRICS) != (len(data), hash(data)):
                self._place.write(folder.METRICS, data)
                self._names.add(folder.METRICS)
                self._copied[folder.METRICS] = (len(data), hash(data))

    def _copy_checkpoint(self, path: Path) -> None:
        try:
            self._copy_files(path)
        except (FileNotFoundError, AlbertFastError):
            # Otherwise, the run has removed it meanwhile.
            if path.exists():
                raise

    def _copy_files(self, path: Path) -> None:
        description = (path / DESCRIPTION).read_bytes()
        mark = f"{folder.CHECKPOINTS}/{path.name}/{DESCRIPTION}"
        if path.name not in self._whole and mark in self._names:
            self._whole[path.name] = self._place.read(mark) or b""
        if self._whole.get(path.name) != description:
            self._remove(mark)
            for file in sorted(path.iterdir()):
                if file.name not in {DESCRIPTION, EVALUATION} and not file.name.startswith("."):
                    name = f"{folder.CHECKPOINTS}/{path.name}/{file.name}"
                    self._place.put(file, name)
                    self._names.add(name)
            self._place.write(mark, description)
            self._names.add(mark)
            self._whole[path.name] = description
        self._copy(f"{folder.CHECKPOINTS}/{path.name}/{EVALUATION}")

    # --- old checkpoints ---

    def _steps(self) -> set[str]:
        """Return the names of the checkpoints that are whole."""
        return {name.split("/")[1] for name in self._names if name.endswith(f"/{DESCRIPTION}") and _is_ours(name)}

    def _remove_old(self) -> None:
        """Remove the checkpoints that the run has removed, or would have: it may not have fetched all of them."""
        own = {path.name for path in checkpoints.listing(self.run / folder.CHECKPOINTS)}
        known = sorted(own | self._steps(), key=_number, reverse=True)
        kept = {*own, *known[: self.keep], self._best(known)}
        gone = [name for name in self._names if _is_of_checkpoint(name) and name.split("/")[1] not in kept]
        for name in sorted(gone, key=lambda name: not name.endswith(f"/{DESCRIPTION}")):
            self._remove(name)

    def _best(self, steps: Iterable[str]) -> str | None:
        """Return the best checkpoint, the newest of equal ones, or None if none was evaluated."""
        found = {name: figure for name in steps if (figure := self._figure(name)) is not None}
        return max(found, key=lambda name: (found[name], _number(name)), default=None)

    def _figure(self, step: str) -> float | None:
        """Return what decides whether a checkpoint is the best one, or None if it is not known."""
        name = f"{folder.CHECKPOINTS}/{step}/{EVALUATION}"
        data = None
        with contextlib.suppress(FileNotFoundError):
            data = (self.run / name).read_bytes()
        if data is None and name in self._names:
            data = self._place.read(name)
        content = None if data is None else parsed(data)
        figure = None if content is None else content["evaluation"].get(METRIC, math.nan)
        return None if figure is None or math.isnan(figure) else float(figure)

    def _remove(self, name: str) -> None:
        if name in self._names:
            self._place.remove(name)
            self._names.discard(name)
            self._copied.pop(name, None)
            if name.endswith(f"/{DESCRIPTION}"):
                self._whole.pop(name.split("/")[1], None)

    def _shown(self, step: str) -> str:
        return f"{self.path}/{folder.CHECKPOINTS}/{step}"


def _number(step: str) -> int:
    return int(step.rpartition("-")[2])


def _is_of_checkpoint(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[0] == folder.CHECKPOINTS and checkpoints.is_name(parts[1])


def _is_ours(name: str) -> bool:
    """Tell whether a file of the mirror is one that is written here."""
    return name in folder.MIRRORED or name.startswith(f"{folder.TENSORBOARD}/events.") or _is_of_checkpoint(name)
