"""Runs the tasks of a command on a Ray cluster. Ray is only imported when it is used.

The driver is the process that calls `run`. For each task, it starts a function of Ray, in the Python process of a
worker. No text goes through Ray: a task gets options, reads and writes files itself, and returns counts. So the driver
may be killed at any time. What the tasks have finished is in their output, and the next `run` does the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import socket
from typing import TYPE_CHECKING, Any

from albert_fast._native import AlbertFastError, __version__
from albert_fast._signals import as_ctrl_c
from albert_fast.cluster import commands
from albert_fast.cluster.driver import End, Limits, Outcome, Status, Summary, drive
from albert_fast.errors import option_error
from albert_fast.paths import RemotePath
from albert_fast.text import number, one_line, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from albert_fast._native import Tokenizer
    from albert_fast.options import Stage

__all__ = ["Done", "Status", "run"]

ENTRY = "albert_fast.cluster.commands:run_task"
"""What a worker calls, as MODULE:FUNCTION."""

SIGN = ".albert-fast-ray"
"""An empty file in the output directory while the driver runs. Workers look for it to see that they share it.

If the command accepts no such file there, it is next to that directory, and its name ends in that of the directory."""

GIB = 1 << 30

CONNECT_WITHIN = 15.0
"""Seconds in which the head of a cluster must answer."""

STOP_WITHIN = 20.0
"""Seconds that tasks have to stop after Ctrl-C, before their workers are killed."""


@dataclasses.dataclass(frozen=True)
class Done:
    """What `run` has done."""

    num_tasks: int
    """The number of tasks that the work was divided into."""
    tasks: int
    """The number of tasks that are done, without those that an earlier call had done."""
    again: int
    """How often a task was run again."""
    counts: Mapping[str, int]
    """The sums of what the tasks have counted, such as `"records"` and `"bytes"`."""
    failed: Mapping[int, str]
    """The numbers of the tasks that were given up, and why."""
    not_tried: int
    """The number of tasks that were not run because the others failed."""
    found: Mapping[str, Any]
    """What the output holds, as the command describes it. It is empty unless all tasks are done."""


def run(
    options: Stage,
    *,
    tokenizer: Tokenizer | None = None,
    address: str = "auto",
    num_tasks: int | None = None,
    task_memory: float | None = None,
    max_retries: int = 5,
    autoscaling: bool = False,
    report: Callable[[Status], None] = lambda _: None,
) -> Done:
    """Runs all tasks of a command on a Ray cluster, and completes the output.

    Every node must see the input and the output under the same paths, and have the same version of albert-fast. If the
    call is interrupted, or its process killed, call it again to resume. A task that raises an error is run three times.
    If it fails, the others are still run.

    Args:
        options: the options of the command: `PrepareText`, `TrainTokenizer`, `Tokenize` or `MakeRecords` of
            `albert_fast.options`. A task uses `num_threads` threads, and Ray reserves as many CPUs for it. The default
            is 1.
        tokenizer: the tokenizer, whose file every node must have. The default is that of the token store. `tokenize`
            needs one.
        address: the address of the cluster. "auto" is the cluster that this machine belongs to, and "local" starts Ray
            on this machine.
        num_tasks: how many tasks there are. The default is a number with which a task takes about two minutes.
        task_memory: the memory that Ray reserves for a task, in GiB. The default is an estimate. A task that is killed
            because the node's memory is full is run again with twice as much, up to two times.
        max_retries: how often a task is run again if its worker or node is lost.
        autoscaling: whether nodes may be added later. Otherwise, it is an error if no node can run a task.
        report: called at least once a second with how far the work is.

    Raises:
        AlbertFastError: Ray is not installed; there is no cluster; no node can run a task; a node does not see the
            output, or has another version; an option is invalid. Tasks that fail do not raise it: see `Done.failed`.
        KeyboardInterrupt: Ctrl-C was pressed. The tasks have ended, and what is finished is kept.
    """
    known = commands.divided(options)
    ray = library()
    threads: int = getattr(options, "num_threads", None) or 1
    memory = known.memory(options, threads) if task_memory is None else round(task_memory * GIB)
    count = num_tasks or commands.num_tasks(options, threads)
    divided: Any = options
    options = dataclasses.replace(divided, num_tasks=count, task_id=0, num_threads=threads)
    left = commands.left(options, count)
    output = known.output(options)
    place = output if known.takes_others or isinstance(output, RemotePath) else output.absolute().parent
    name = SIGN if place == output else f"{SIGN}-{output.name}"
    restored = None if tokenizer is None else tokenizer.__reduce__()[1]
    arguments = (commands.command_of(options), commands.with_absolute_paths(options), restored)
    with connected(ray, address), as_ctrl_c(), signed(place, name) as sign:
        check_nodes(nodes(ray), threads, memory, autoscaling=autoscaling)
        pool = RayPool(ray, ENTRY, arguments, cpus=threads, sign=sign, name=arguments[0])
        ended = drive(
            pool,
            left.tasks,
            memory=memory,
            rounds=known.rounds(options),
            first=left.round,
            limits=Limits(lost=max_retries),
            report=report,
            work=known.work(options) * len(left.tasks) // count,
        )
        raise_refused(ended)
    found = {} if ended.failed else commands.finish(options, count)
    return Done(count, ended.done, ended.again, ended.counts, ended.failed, ended.not_tried, found)


def library() -> Any:
    """Returns the module of Ray.

    Raises:
        AlbertFastError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        message = f"Ray cannot be imported ({one_line(str(error))}); install albert-fast[ray]"
        raise AlbertFastError(message, kind="input") from None


def raise_refused(ended: Summary) -> None:
    """Raises the error of a task that all others would have raised as well.

    Raises:
        AlbertFastError: there was such a task.
    """
    if ended.refused is not None:
        raise AlbertFastError(ended.refused.message, **ended.refused.error)


@contextlib.contextmanager
def connected(ray: Any, address: str) -> Iterator[None]:
    """Connects this process to a cluster within the block, unless it is connected already.

    Raises:
        AlbertFastError: there is no cluster.
    """
    if ray.is_initialized():
        yield
        return
    named = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    if named not in {"", "auto", "local"}:
        check_answers(named)
    if address == "local":
        # What Ray runs on one machine for one command is nobody's business.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=True)
    except (ConnectionError, RuntimeError, ValueError) as error:
        advice = "start one with `ray start --head`, or pass address='local' to use this machine"
        what = "there is no Ray cluster here" if address == "auto" else f"cannot connect to Ray at {address}"
        raise AlbertFastError(f"{what} ({_reason(error)}); {advice}", kind="io", option="address") from None
    try:
        yield
    finally:
        ray.shutdown()


def check_answers(address: str) -> None:
    """Refuses an address at which nothing answers. Ray itself would try for more than ten minutes.

    Raises:
        AlbertFastError: nothing answers, or this is no address.
    """
    host, _, port = address.rpartition(":")
    rule = "auto, local, or the HOST:PORT of the cluster's head, as `ray start` prints it"
    if not host or not port.isdecimal() or "/" in address:
        advice = "to use ray://, start this command on the cluster, with `ray job submit`" if "://" in address else ""
        raise option_error("address", rule, address, advice)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_WITHIN).close()
    except (OSError, OverflowError) as error:
        message = (
            f"no Ray cluster answers at {address} ({error}); check that its head runs and can be reached from here"
        )
        raise AlbertFastError(message, kind="io", option="address") from None


def _reason(error: BaseException) -> str:
    """Returns the first sentence of an error."""
    return one_line(str(error)).partition(". ")[0][:300].rstrip(".") or type(error).__name__


@contextlib.contextmanager
def signed(directory: Path, name: str = SIGN) -> Iterator[str | None]:
    """Creates a local directory, and keeps the empty file `name` in it within the block. Returns the file's path.

    Raises:
        AlbertFastError: the directory cannot be written.
    """
    if isinstance(directory, RemotePath):
        yield None
        return
    is_new = not directory.exists()
    sign = directory.absolute() / name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        sign.touch()
    except OSError as error:
        message = f"cannot write to {directory}: {error.strerror or error}"
        raise AlbertFastError(message, kind="io", path=directory) from error
    try:
        yield str(sign)
    finally:
        sign.unlink(missing_ok=True)
        if is_new:
            with contextlib.suppress(OSError):
                directory.rmdir()  # if the command was refused


@dataclasses.dataclass(frozen=True)
class Node:
    """What a node has for tasks."""

    cpus: float
    memory: int
    """In bytes."""
    gpus: float = 0.0

    def holds(self, cpus: int, memory: int, gpus: int = 0) -> int:
        """Returns how many tasks or workers that need so much the node can run at the same time."""
        pairs = ((self.cpus, cpus), (self.memory, memory), (self.gpus, gpus))
        return int(min(has // needs for has, needs in pairs if needs))


def nodes(ray: Any) -> list[Node]:
    """Returns the nodes that are alive.

    Ray has no stable function for this. `ray.nodes` is documented, but for developers.
    """
    resources = [node.get("Resources", {}) for node in ray.nodes() if node.get("Alive")]
    return [Node(one.get("CPU", 0.0), int(one.get("memory", 0)), one.get("GPU", 0.0)) for one in resources]


def check_nodes(found: Sequence[Node], cpus: int, memory: int, *, autoscaling: bool = False) -> None:
    """Refuses tasks that no node can ever run. Ray would wait for such a node for ever.

    Raises:
        AlbertFastError: no node has enough CPUs, or none of these has enough memory.
    """
    if autoscaling or any(node.holds(cpus, memory) for node in found):
        return
    advice = "pass autoscaling=True if such nodes are added later"
    most = max((node.cpus for node in found), default=0)
    if most < cpus:
        need = f"a task needs {number(cpus, 'CPU')} (num_threads={cpus})"
        has = f"the largest node has {most:g}" if most else f"none of the {number(len(found), 'node')} has any"
        lower = f"pass num_threads={int(most)}, or " if most >= 1 else ""
        raise AlbertFastError(f"{need}, and {has}; {lower}{advice}", kind="input", option="num_threads")
    largest = max(node.memory for node in found if node.cpus >= cpus)
    message = (
        f"a task needs {quantity(memory, 'bytes')} of memory, and the largest node with {number(cpus, 'CPU')} has "
        f"{quantity(largest, 'bytes')}; pass a lower `task_memory`, or {advice}"
    )
    raise AlbertFastError(message, kind="input", option="task_memory")


class RayPool:
    """Runs tasks as functions of Ray.

    Ray does not run a task again: with its `max_retries`, it would repeat a task whose worker was killed for its memory
    without end, and with the same memory.

    Args:
        ray: the module.
        entry: what a worker calls, as MODULE:FUNCTION. It gets `arguments` and the number of the task, and returns
            counts.
        arguments: plain values.
        cpus: the number of CPUs of a task.
        sign: a file that workers must see, if any.
        name: what the dashboard shows for a task, before its number.
    """

    def __init__(
        self, ray: Any, entry: str, arguments: Sequence[Any], *, cpus: int = 1, sign: str | None = None, name: str = ""
    ) -> None:
        self._ray, self._cpus, self._name = ray, cpus, name
        self._arguments = (entry, __version__, sign, tuple(arguments))
        self._function = ray.remote(_function())
        self._running: dict[Any, int] = {}

    def start(self, task: int, memory: int) -> object:
        """Starts a task that may need this memory, in bytes."""
        chosen = self._function.options(
            num_cpus=self._cpus,
            memory=memory,
            max_retries=0,
            scheduling_strategy="SPREAD",
            name=f"{self._name} {task}",
        )
        reference = chosen.remote(*self._arguments, task)
        self._running[reference] = memory
        return reference

    def wait(self, seconds: float) -> Iterable[tuple[object, Outcome]]:
        """Waits until a task ends, but not for longer than this. Returns all that have ended."""
        ended, others = self._ray.wait([*self._running], num_returns=1, timeout=seconds)
        if ended and others:
            more, _ = self._ray.wait(others, num_returns=len(others), timeout=0)
            ended = [*ended, *more]
        found = []
        for reference in ended:
            memory = self._running.pop(reference)
            found.append((reference, self._outcome(reference, memory)))
        return found

    def _outcome(self, reference: Any, memory: int) -> Outcome:
        errors = self._ray.exceptions
        full = f"its worker was killed, because the memory of the node was full: it had {quantity(memory, 'bytes')}"
        try:
            returned: dict[str, Any] = self._ray.get(reference)
        except errors.OutOfMemoryError:
            return Outcome(End.MEMORY, message=full)
        except errors.RayTaskError as error:
            cause = getattr(error, "cause", None) or error
            return Outcome(End.FAILED, message=f"{type(cause).__name__}: {one_line(str(cause))}"[:500])
        except errors.RuntimeEnvSetupError as error:
            return Outcome(End.REFUSED, message=_reason(error), error={"kind": "input"})
        except errors.RayError as error:
            return Outcome(End.LOST, message=f"its worker or its node was lost ({type(error).__name__})")
        if returned["end"] == "memory":
            return Outcome(End.MEMORY, message=full)
        return Outcome(End(returned.pop("end")), **returned)

    def slots(self) -> int:
        """Returns how many tasks can run at the same time, if their memory does not limit them."""
        return sum(node.holds(self._cpus, 1) for node in nodes(self._ray))

    def most_memory(self) -> int:
        """Returns the memory of the largest node, in bytes."""
        return max((node.memory for node in nodes(self._ray) if node.cpus >= self._cpus), default=0)

    def stop(self) -> None:
        """Ends all tasks. Those that do not stop in time are killed."""
        for reference in self._running:
            self._ray.cancel(reference)
        _, left = self._ray.wait([*self._running], num_returns=len(self._running), timeout=STOP_WITHIN)
        for reference in left:
            self._ray.cancel(reference, force=True)
        self._running.clear()


def _function() -> Callable[..., dict[str, Any]]:
    """Returns the function that a worker runs.

    Ray sends a function of a module by its name, and a function within a function by its code. So this one also runs
    where albert-fast is not installed, or another version, and says so.
    """

    def task(entry: str, version: str, sign: str | None, arguments: tuple[Any, ...], number: int) -> dict[str, Any]:
        import importlib
        import socket
        import sys
        import time
        from pathlib import Path

        def refused(message: str) -> dict[str, Any]:
            return {"end": "refused", "message": message, "error": {"kind": "input"}}

        node = socket.gethostname()
        try:
            package = importlib.import_module("albert_fast")
            found = package.__version__
        except (ImportError, AttributeError) as error:
            what = f"albert-fast cannot be imported on the node {node} with {sys.executable} ({error})"
            return refused(f"{what}; install albert-fast {version} there")
        if found != version:
            return refused(f"the node {node} has albert-fast {found}, and the driver has {version}; install {version}")
        # NFS may take a moment to show a new file.
        deadline = time.monotonic() + 10
        while sign is not None and not Path(sign).exists():
            if time.monotonic() >= deadline:
                what = f"the node {node} does not see the driver's directory {Path(sign).parent}"
                return refused(f"{what}; the output must be in a directory that all nodes share, or in a bucket")
            time.sleep(0.5)
        module, _, name = entry.partition(":")
        try:
            counts = getattr(importlib.import_module(module), name)(*arguments, number)
        except package.AlbertFastError as error:
            about_all = importlib.import_module("albert_fast.cluster.commands").concerns_all(error)
            known = {"kind": error.kind, "option": error.option, "rule": error.rule}
            return {"end": "refused" if about_all else "failed", "message": f"{error}", "error": known}
        except MemoryError:
            return {"end": "memory"}
        return {"end": "done", "counts": dict(counts)}

    return task
