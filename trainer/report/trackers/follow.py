"""A thread per tracker, which reads the metrics log of a run while the run writes it, and sends what is new.

Nothing that a tracker does stops or delays training. If it fails, the thread says so once and tries again, after longer
and longer pauses. After `MOST_FAILURES` failures in a row it gives up. The end of the run waits for all trackers
together, for a limited time. What has not been sent by then is sent when the run is started again.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from trainer import folder
from trainer.errors import TrainerError, reason, some
from trainer.report.scalars import scalars
from trainer.report.trackers.base import Point, Tracker, UnreachableError
from trainer.report.trackers.mlflow import Mlflow
from trainer.report.trackers.quiet import THREAD, our_words, quiet_threads
from trainer.report.trackers.sent import Sent, SentFile
from trainer.report.trackers.trackio import Trackio
from trainer.report.trackers.wandb import Wandb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from typing_extensions import Self

TRACKERS: Mapping[str, type[Tracker]] = {one.name: one for one in (Wandb, Mlflow, Trackio)}
"""The trackers by name. TensorBoard is none of them: its events are written for every run."""

POLL = 2.0
"""Seconds between two looks at the metrics log."""
CHUNK = 50
"""Number of lines that are sent at a time."""
MOST_FAILURES = 10
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds after the first failure, which double with each one, and their maximum: 20 minutes in all."""
END_SECONDS, STOP_SECONDS = 30.0, 10.0
"""Seconds that the end of a run waits for the trackers; the second if it was stopped and may have little time."""
TICK = 0.2
"""Seconds after which a waiting main thread looks for signals."""


class Tail:
    """Reads the new lines of the metrics log that have figures."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> Iterator[Point]:
        """Yield the lines that were completed since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for text in whole.splitlines():
            if (point := _point(text)) is not None:
                yield point


def _point(text: bytes) -> Point | None:
    """Return a line of the metrics log, or None if it has no figures or is damaged: the others must still be sent."""
    try:
        line = json.loads(text)
        figures = scalars(line)
        if not figures:
            return None
        seconds = line.get("time") or time.time()
        return Point(int(line["step"]), float(seconds), "evaluation" in line, figures)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None


class Follower(threading.Thread):
    """Sends the metrics log to one tracker.

    Args:
        tracker: the tracker.
        sent: what the trackers have been sent.
        say: called with messages for the user.
    """

    def __init__(self, tracker: Tracker, sent: SentFile, say: Callable[[str], None]) -> None:
        super().__init__(name=f"{THREAD} {tracker.name}", daemon=True)
        self.tracker, self._sent, self._say = tracker, sent, say
        self._tail = Tail(tracker.run / folder.METRICS)
        self._waiting: list[Point] = []
        self._end: tuple[str, str | None] | None = None
        self._ended = threading.Event()
        self._left = False
        self.complete = False
        """Whether the tracker has everything, the end included."""

    def end(self, state: str, why: str | None) -> None:
        """Ask the thread to send the rest and to end: see `Tracker.close`."""
        self._end = (state, why)
        self._ended.set()

    def leave(self) -> None:
        """Let the thread end as soon as it can, without another word: nobody waits for it."""
        self._left = True
        self._ended.set()

    def run(self) -> None:
        """Send what is new until the end of the run, or until the tracker has failed too often."""
        failures, is_open = 0, False
        while not self._left:
            ending = self._ended.is_set()  # before the log is read, so that its last lines are not missed
            pause = POLL
            try:
                if not is_open:
                    self._open()
                    is_open = True
                self._send()
                if ending and self._end is not None:
                    self.tracker.close(*self._end)
                    self.complete = True
                    return
                failures = 0
            except Exception as error:  # noqa: BLE001 - nothing may stop the run
                failures += 1
                pause = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
                if failures == 1:
                    self._tell(f"warning: {self.tracker.name} failed, and will be tried again: {reason(error)}")
                elif failures == MOST_FAILURES:
                    self._tell(
                        f"warning: {self.tracker.name} failed {failures} times and is not used anymore: "
                        f"{reason(error)}; training continues, and the next start sends the rest"
                    )
                    return
            if ending:
                time.sleep(POLL / 2)  # the end of the run waits for this thread, and not for long
            else:
                self._ended.wait(pause)

    def _tell(self, message: str) -> None:
        if not self._left:
            with contextlib.suppress(Exception), our_words():
                self._say(message)

    def _open(self) -> None:
        name = self.tracker.name
        known, described = self._sent[name].run, self._sent[name].described

        def opened(identifier: str) -> None:
            if identifier != self._sent[name].run:
                self._sent[name] = Sent(identifier)

        where = self.tracker.open(known, config(self.tracker.run), opened, described=described)
        same = known is not None and known == self._sent[name].run
        if same and (last := self.tracker.last()) is not None:
            training, evaluation = last
            given = min(training, self._sent[name].evaluation)
            given = given if evaluation is None else evaluation
            self._sent[name] = self._sent[name]._replace(training=training, evaluation=given)
        if not self._sent[name].described:
            self._sent[name] = self._sent[name]._replace(described=True)
        self._tell(f"{name}: {'continuing the run' if same and described else 'a new run'}, {where}")

    def _send(self) -> None:
        """Send the lines that the tracker does not have."""
        name = self.tracker.name
        self._waiting += self._tail.new()
        while self._waiting:
            chunk, sent = self._waiting[:CHUNK], self._sent[name]
            new = [one for one in chunk if one.step > (sent.evaluation if one.evaluation else sent.training)]
            if new:
                self.tracker.log(new)
            del self._waiting[: len(chunk)]
            if new:
                training = max([sent.training, *(one.step for one in new if not one.evaluation)])
                evaluation = max([sent.evaluation, *(one.step for one in new if one.evaluation)])
                self._sent[name] = sent._replace(training=training, evaluation=evaluation)


def config(run: Path) -> dict[str, Any]:
    """Return what a tracked run is described by: the options of the run, and under further keys what else is known."""
    found: dict[str, Any] = {}
    for name in (folder.OPTIONS, folder.MODEL, folder.FACTS):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            content = json.loads((run / name).read_bytes())
            found |= content["pretrain"] if name == folder.OPTIONS else {name.removesuffix(".json"): content}
    # How far the run has come changes, and does not describe it.
    found.get(folder.FACTS.removesuffix(".json"), {}).pop("steps", None)
    return found


class Trackers:
    """The trackers of a run. Only the chief has them.

    It is a context manager, in which the trackers' packages write nothing to the terminal.

    Args:
        names: the values of the option `tracker`.
        run: the directory of the run.
        project: see `Tracker`.
        title: see `Tracker`.
    """

    def __init__(self, names: Iterable[str], run: Path, project: str | None = None, title: str | None = None) -> None:
        self._run = run
        self._trackers = [TRACKERS[name](run, project, title) for name in dict.fromkeys(names) if name in TRACKERS]
        self._followers: list[Follower] = []
        self._quiet = contextlib.ExitStack()

    def check(self, warn: Callable[[str], None], *, resumes: bool) -> None:
        """Check before the run begins whether the trackers can be used.

        Args:
            warn: called with a line of warning.
            resumes: whether the run may be one that resumes. Nobody may be there to see an error then, so a server that
                does not answer is only a warning.

        Raises:
            TrainerError: a tracker cannot be used.
        """
        for tracker in self._trackers:
            with quiet_threads():
                error = _check(tracker)
            if isinstance(error, UnreachableError) and resumes:
                warn(f"{error}; training starts all the same")
            elif error is not None:
                raise error

    def start(self, say: Callable[[str], None]) -> None:
        """Start to send the metrics log, which the run has opened, with the description of the run.

        Args:
            say: called with messages for the user, also by other threads.
        """
        sent = SentFile(self._run)
        self._followers = [Follower(tracker, sent, say) for tracker in self._trackers]
        for follower in self._followers:
            follower.start()

    def finish(self, state: str, why: str | None, warn: Callable[[str], None]) -> None:
        """Send the rest, for at most `END_SECONDS`. Nothing is sent later.

        Args:
            state: "finished", "stopped" or "failed".
            why: what stopped the run early.
            warn: called with a line of warning.
        """
        seconds = STOP_SECONDS if state == "stopped" else END_SECONDS
        until = time.monotonic() + seconds
        for follower in self._followers:
            follower.end(state, why)
        for follower in self._followers:
            while follower.is_alive() and time.monotonic() < until:
                follower.join(TICK)
            follower.leave()
        late = [follower.tracker.name for follower in self._followers if follower.is_alive()]
        self._followers = []
        if late:
            warn(
                f"{some(late)} did not take all metrics within {seconds:.0f} seconds; run the same command again "
                "to send the rest"
            )

    def __enter__(self) -> Self:
        if self._trackers:
            self._quiet.enter_context(quiet_threads())
        return self

    def __exit__(self, *error: object) -> None:
        for follower in self._followers:
            follower.leave()
        self._quiet.close()


def _check(tracker: Tracker) -> BaseException | None:
    """Check a tracker in a thread, because some packages wait long for a server. Return why it cannot be used."""
    errors: list[BaseException] = []
    limited, done = threading.Event(), threading.Event()

    def check() -> None:
        try:
            tracker.package()
            if tracker.remote:
                limited.set()
            tracker.check()
        except BaseException as error:  # noqa: BLE001 - it is returned
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=check, name=f"{THREAD} check", daemon=True).start()
    until = None
    while not done.wait(TICK):
        if until is None and limited.is_set():
            until = time.monotonic() + tracker.remote_limit
        if until is not None and time.monotonic() > until:
            return tracker.unreachable("its server", f"no answer within {tracker.remote_limit:.0f} seconds")
    if not errors:
        return None
    error = errors[0]
    if isinstance(error, TrainerError) or not isinstance(error, Exception):
        return error
    return tracker.refused(f"cannot be used: {type(error).__name__}: {reason(error)}")
