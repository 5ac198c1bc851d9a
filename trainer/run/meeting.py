"""How the workers of a run meet before TensorFlow starts: they learn at once if one of them cannot start.

Worker 0 listens on its own port in TF_CONFIG, which TensorFlow needs only later, and all others connect to it. Each
message is a line of JSON. Worker 0 greets a connection, and the other worker says its number. Later, that worker sends
its facts, or why it cannot start. When worker 0 has the facts of all, it decides, and tells all of them. If one cannot
start, or they do not agree, it sends the reason instead.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import json
import select
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from albert_fast.text import number
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

GREETING = {"albert_fast_meeting": 1}
"""The first line from worker 0. Whatever else may listen on its port does not send this."""

LONGEST = 1 << 20
"""Bytes of a message, at most."""

LINGER = 30.0
"""Seconds for which a worker that cannot start tries to tell the others."""

BRIEFLY = 1.0
"""The same if the command itself is wrong, because that of the others probably is too, or if the user stops it."""

PATIENCE = 30.0
"""Seconds after which a worker says what it waits for. The next time, it waits twice as long."""

KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""After how many seconds, and how often, the system asks whether a silent machine is still there."""

OFTEN = 0.2
"""Seconds between looks at what has changed."""


class Meeting:
    """What one worker knows of the others before the run begins.

    Args:
        workers: the number of workers.
        worker: the number of this one.
        address: the address of worker 0, "HOST:PORT".
        say: called with a line for the user.
    """

    def __init__(self, workers: int, worker: int, address: str, say: Callable[[str], None]) -> None:
        self.workers, self.worker, self.address, self.say = workers, worker, address, say
        self._state = threading.Condition()
        self._ends = False
        self._over = workers == 1
        """Whether nothing is left to tell the others."""
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Begin to listen or to connect, in a thread.

        Raises:
            TrainerError: the port of worker 0 cannot be opened.
        """

    def agree(self, mine: Mapping[str, Any], decide: Callable[[Sequence[Any]], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Wait for all workers, and return what they decide.

        Args:
            mine: the facts of this worker, as JSON represents them.
            decide: called by worker 0 with the facts of all workers, in their order. It returns the decision, as JSON
                represents it, or raises a TrainerError that all workers then raise.

        Raises:
            TrainerError: a worker cannot start, or they do not agree.
        """
        self._over = True
        return decide([_as_sent(mine)])

    def fail(self, reason: str, seconds: float | None = None) -> None:
        """Tell the others why this worker cannot start, if there is no decision yet.

        Args:
            reason: one line.
            seconds: how long to wait for workers that are not there yet, by default `LINGER`.
        """

    def close(self) -> None:
        """End the thread, and free the port."""
        self._ends = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None


class Host(Meeting):
    """The meeting as worker 0 sees it."""

    def __init__(self, workers: int, worker: int, address: str, say: Callable[[str], None]) -> None:
        super().__init__(workers, worker, address, say)
        self._facts: dict[int, Mapping[str, Any]] = {}
        self._failed: str | None = None
        self._told: set[int] = set()
        """The workers that have the answer."""
        self._lines: dict[int, _Lines] = {}
        self._answer: Mapping[str, Any] | None = None

    def begin(self) -> None:
        """Listen."""
        host, port = split(self.address)
        try:
            if socket.has_dualstack_ipv6():
                self._server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
            else:
                self._server = socket.create_server(("", port))
        except OSError as error:
            message = (
                f"worker 0 cannot listen on port {port}, which TF_CONFIG gives to it ({error.strerror or error}); end "
                f"what uses the port, or choose another one for {host}"
            )
            raise TrainerError(message, kind="option", option="TF_CONFIG", value=self.address) from error
        self._server.setblocking(False)
        self._thread = threading.Thread(target=self._serve, name="albert-fast meeting", daemon=True)
        self._thread.start()

    def agree(self, mine: Mapping[str, Any], decide: Callable[[Sequence[Any]], Mapping[str, Any]]) -> Mapping[str, Any]:
        """See `Meeting`."""
        patience = _Patience()
        with self._state:
            self._facts[0] = _as_sent(mine)
            while len(self._facts) < self.workers and self._failed is None:
                self._state.wait(OFTEN)
                if patience.ends():
                    missing = [worker for worker in range(self.workers) if worker not in self._facts]
                    self.say(f"worker 0: still waiting for {named(missing)}")
            failed = self._failed
        if failed is not None:
            self._tell({"failed": failed}, LINGER)
            raise TrainerError(failed)
        try:
            decision = decide([self._facts[worker] for worker in range(self.workers)])
        except TrainerError as error:
            self._tell({"failed": str(error)}, LINGER)
            raise
        self._tell({"decision": decision}, LINGER)
        # TensorFlow is about to open the same port.
        self.close()
        return decision

    def fail(self, reason: str, seconds: float | None = None) -> None:
        """See `Meeting`."""
        if not self._over:
            self._tell({"failed": f"worker 0 cannot start: {reason}"}, LINGER if seconds is None else seconds)

    def _tell(self, answer: Mapping[str, Any], seconds: float) -> None:
        """Send the answer to all workers. Wait for those that are not there yet, for so many seconds."""
        self._over = True
        until = time.monotonic() + seconds
        with self._state:
            self._answer = answer
            is_said = seconds <= BRIEFLY
            while len(self._told) < self.workers - 1 and time.monotonic() < until:
                self._state.wait(OFTEN)
                if not is_said and len(self._told) < self.workers - 1 and time.monotonic() > until - seconds + 1:
                    missing = [worker for worker in range(1, self.workers) if worker not in self._told]
                    self.say(f"worker 0: telling {named(missing)}, for up to {seconds:.0f} seconds")
                    is_said = True

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector, self._server:
            selector.register(self._server, selectors.EVENT_READ)
            connections: set[_Lines] = set()
            while not self._ends:
                for key, _ in selector.select(OFTEN):
                    if key.fileobj is self._server:
                        with contextlib.suppress(OSError):
                            lines = _Lines(self._server.accept()[0])
                            lines.send(GREETING)
                            connections.add(lines)
                            selector.register(lines.socket, selectors.EVENT_READ, lines)
                    else:
                        try:
                            for message in key.data.read():
                                self._hear(key.data, message)
                        except Exception:  # noqa: BLE001 - whatever a connection carries, it must not end this thread
                            selector.unregister(key.fileobj)
                            connections.discard(key.data)
                            self._lose(key.data)
                self._pass_on()
            for lines in connections:
                lines.socket.close()

    def _hear(self, lines: _Lines, message: Any) -> None:
        worker = message.get("worker")
        with self._state:
            if worker is not None:
                if wrong := self._why_not(worker, message.get("workers")):
                    self._failed = self._failed or wrong
                    lines.send({"failed": wrong})
                    return
                # If it was started again after it had failed, it gets the answer too.
                self._told.discard(worker)
                lines.worker = worker
                self._lines[worker] = lines
            elif lines.worker is not None and "facts" in message:
                self._facts[lines.worker] = message["facts"]
            elif lines.worker is not None and "failed" in message:
                self._told.add(lines.worker)
                self._failed = self._failed or f"worker {lines.worker} cannot start: {message['failed']}"
            self._state.notify()

    def _why_not(self, worker: Any, workers: Any) -> str | None:
        """Return why there must not be such a worker."""
        if workers != self.workers or worker not in range(1, self.workers):
            return (
                f"TF_CONFIG of worker 0 has {number(self.workers, 'worker')}, and there is a worker {worker} of "
                f"{workers}; start all workers with the same cluster"
            )
        if worker in self._lines:
            return f"there are two workers with the number {worker}; give each one its own task in TF_CONFIG"
        return None

    def _lose(self, lines: _Lines) -> None:
        lines.socket.close()
        with self._state:
            if lines.worker is not None and self._lines.get(lines.worker) is lines:
                del self._lines[lines.worker]
                if self._answer is None:
                    self._failed = self._failed or f"worker {lines.worker} ended before the run began"
                self._told.add(lines.worker)
                self._state.notify()

    def _pass_on(self) -> None:
        with self._state:
            if self._answer is None:
                return
            for worker, lines in self._lines.items():
                if worker not in self._told:
                    with contextlib.suppress(OSError):
                        lines.send(self._answer)
                    self._told.add(worker)
            self._state.notify()


class Guest(Meeting):
    """The meeting as any other worker sees it."""

    def __init__(self, workers: int, worker: int, address: str, say: Callable[[str], None]) -> None:
        super().__init__(workers, worker, address, say)
        self._lines: _Lines | None = None
        self._answer: Mapping[str, Any] | None = None
        self._problem = "it does not answer"
        """Why worker 0 was not reached when it was last tried."""

    def begin(self) -> None:
        """Connect as soon as worker 0 listens."""
        self._thread = threading.Thread(target=self._visit, name="albert-fast meeting", daemon=True)
        self._thread.start()

    def agree(self, mine: Mapping[str, Any], _: Callable[[Sequence[Any]], Mapping[str, Any]]) -> Mapping[str, Any]:
        """See `Meeting`."""
        self._send({"facts": mine}, None)
        with self._state:
            while self._answer is None:
                self._state.wait(OFTEN)
            answer = self._answer
        self._over = True
        if "decision" not in answer:
            raise TrainerError(answer["failed"])
        decision: Mapping[str, Any] = answer["decision"]
        return decision

    def fail(self, reason: str, seconds: float | None = None) -> None:
        """See `Meeting`."""
        if not self._over:
            self._over = True
            self._send({"failed": reason}, LINGER if seconds is None else seconds)

    def _send(self, message: Mapping[str, Any], seconds: float | None) -> None:
        """Send a message as soon as there is a connection, or an answer without one."""
        begun, patience = time.monotonic(), _Patience()
        is_said = seconds is not None and seconds <= BRIEFLY
        with self._state:
            while self._lines is None and self._answer is None:
                self._state.wait(OFTEN)
                if seconds is None:
                    if patience.ends():
                        where = f"worker 0 at {self.address}"
                        self.say(f"worker {self.worker}: still trying to reach {where} ({self._problem})")
                    continue
                if time.monotonic() - begun > seconds:
                    return
                if not is_said and time.monotonic() - begun > 1:
                    is_said = True
                    self.say(f"worker {self.worker}: telling worker 0, for up to {seconds:.0f} seconds")
            if self._lines is not None:
                with contextlib.suppress(OSError):
                    self._lines.send(message)

    def _visit(self) -> None:
        while not self._ends:
            lines = self._connect()
            if lines is None:
                time.sleep(OFTEN)
                continue
            with lines.socket:
                answer = self._wait(lines)
            with self._state:
                self._answer = answer
                self._state.notify()
            return

    def _connect(self) -> _Lines | None:
        """Return a connection to worker 0, or None if it does not listen yet."""
        try:
            lines = _Lines(socket.create_connection(split(self.address), timeout=5))
        except OSError as error:
            self._problem = error.strerror or str(error)
            return None
        try:
            # A server of an earlier run that is about to end may have the port.
            if lines.read() == [GREETING]:
                lines.send({"worker": self.worker, "workers": self.workers})
                return lines
        except Exception:  # noqa: BLE001 - whatever it is, it is not worker 0
            pass
        self._problem = "what answers there is not worker 0"
        lines.socket.close()
        return None

    def _wait(self, lines: _Lines) -> Mapping[str, Any]:
        with self._state:
            self._lines = lines
            self._state.notify()
        with contextlib.suppress(OSError, ValueError):
            while not self._ends:
                for message in lines.read() if select.select([lines.socket], [], [], OFTEN)[0] else ():
                    if message.keys() & {"decision", "failed"}:
                        return message
        return {"failed": "worker 0 ended before the run began"}


class _Lines:
    """A connection that carries lines of JSON."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        # A machine that is lost closes no connection.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self.worker: int | None = None
        self._rest = b""

    def send(self, message: Mapping[str, Any]) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> list[dict[str, Any]]:
        """Return the messages that have come. Wait for bytes, but not for a whole message.

        Raises:
            OSError: the connection is broken.
            ValueError: it carries something else.
        """
        found = self.socket.recv(1 << 16)
        if not found:
            raise ConnectionResetError
        *lines, self._rest = (self._rest + found).split(b"\n")
        if len(self._rest) > LONGEST:
            raise ValueError
        messages = [json.loads(line) for line in lines]
        if not all(isinstance(message, dict) for message in messages):
            raise ValueError
        return messages


class _Patience:
    """Tells when it is time to say again what is waited for."""

    def __init__(self) -> None:
        self._begun, self._seconds = time.monotonic(), PATIENCE

    def ends(self) -> bool:
        if time.monotonic() - self._begun <= self._seconds:
            return False
        self._seconds *= 2
        return True


def _as_sent(facts: Mapping[str, Any]) -> Any:
    """Return facts as the other side of a connection would see them, so that they can be compared."""
    return json.loads(json.dumps(facts))


def split(address: str) -> tuple[str, int]:
    """Return the host and the port of "HOST:PORT".

    Raises:
        TrainerError: the port is missing.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 1 << 16:
        message = f"the address of worker 0 in TF_CONFIG must be HOST:PORT, got {address!r:.80}"
        raise TrainerError(message, kind="option", option="TF_CONFIG", rule="HOST:PORT", value=address)
    return host.strip("[]"), int(port)


def named(workers: Sequence[int]) -> str:
    """Return the names of workers, for a sentence: "workers 1, 3"."""
    return ("worker " if len(workers) == 1 else "workers ") + ", ".join(map(str, workers))


@contextlib.contextmanager
def meeting(workers: int, worker: int, address: str, say: Callable[[str], None]) -> Iterator[Meeting]:
    """Yield the meeting of all workers. If the block raises an error before the decision, the others receive it.

    Args:
        workers: the number of workers.
        worker: the number of this one.
        address: the address of worker 0. If there is only one worker, it is not used.
        say: called with a line for the user.

    Raises:
        TrainerError: the address is wrong, or the port of worker 0 cannot be opened.
    """
    if workers > 1:
        split(address)
    kind = Meeting if workers == 1 else Host if worker == 0 else Guest
    found = kind(workers, worker, address, say)
    found.begin()
    try:
        yield found
    except Exception as error:
        seconds = BRIEFLY if getattr(error, "exit_code", 1) == 2 else None
        found.fail(" ".join(str(error).split()) or type(error).__name__, seconds)
        raise
    except BaseException:
        found.fail("it was stopped", BRIEFLY)
        raise
    finally:
        found.close()
