"""Runs the workers of `pretrain` on a Ray cluster, each in a process of its own on the node that Ray chose."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from albert_fast._native import AlbertFastError, __version__
from albert_fast._signals import as_ctrl_c
from albert_fast.cluster.ray import connected, library, nodes
from albert_fast.cluster.workers import State, run_workers
from albert_fast.text import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ANSWER_WITHIN = 60.0
"""Seconds in which a node must answer. One that does not may only be slow: Ray decides whether it is lost."""


def train(
    words: Sequence[str],
    again: Sequence[str],
    directory: str,
    *,
    num_workers: int = 1,
    cpus: int = 1,
    gpus: int = 0,
    max_failures: int = 3,
    address: str = "auto",
    autoscaling: bool = False,
    show: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    """Runs `albert-fast` with these words in each worker, and sets TF_CONFIG if there are several.

    Args:
        words: what follows `albert-fast`.
        again: the same, if all workers start again.
        directory: the working directory, which every node must have.
        num_workers: the number of workers.
        cpus: the number of CPUs of a worker.
        gpus: the number of GPUs of a worker.
        max_failures: how often all workers are started again after one was lost.
        address: the address of the cluster, as for `albert_fast.cluster.ray.run`.
        autoscaling: whether nodes may be added later.
        show: called with each line that worker 0 says.
        say: called with a line about what happens.

    Raises:
        AlbertFastError: Ray is not installed; there is no cluster; no node can run a worker; a worker has ended with an
            error; workers were lost too often.
        KeyboardInterrupt: Ctrl-C was pressed. The workers have written a checkpoint and have ended.
    """
    ray = library()
    with connected(ray, address), as_ctrl_c():
        check_nodes(ray, num_workers, cpus, gpus, autoscaling=autoscaling)

        def start(attempt: int) -> RayGroup:
            return RayGroup(ray, words if attempt == 0 else again, directory, num_workers, cpus, gpus, say)

        run_workers(start, max_failures=max_failures, show=show, say=say)


def check_nodes(ray: Any, workers: int, cpus: int, gpus: int, *, autoscaling: bool) -> None:
    """Refuses workers for which the cluster is too small. Ray would wait for more nodes without end.

    Raises:
        AlbertFastError: the nodes cannot run so many workers at the same time.
    """
    each = [node.holds(cpus, 0, gpus) for node in nodes(ray)]
    if autoscaling or sum(each) >= workers:
        return
    needs = [number(cpus, "CPU"), *([number(gpus, "GPU")] if gpus else [])]
    message = (
        f"{number(workers, 'worker')} with {' and '.join(needs)} each do not fit on this cluster, which can run "
        f"{sum(each)}; pass fewer (`num_workers`), or pass autoscaling=True if nodes are added later"
    )
    raise AlbertFastError(message, kind="input", option="num_workers")


class RayGroup:
    """The workers of one attempt: an actor each, in a placement group, so that all of them start or none."""

    def __init__(
        self,
        ray: Any,
        words: Sequence[str],
        directory: str,
        count: int,
        cpus: int,
        gpus: int,
        say: Callable[[str], None],
    ) -> None:
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self._ray = ray
        self._actors: list[Any] = []
        self._group = placement_group([{"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}] * count, "SPREAD")
        try:
            if not self._group.wait(5):
                say(f"waiting for nodes that can run {number(count, 'worker')}")
                while not self._group.wait(5):
                    pass
            actor = ray.remote(_worker_class())
            head = ray.get_runtime_context().gcs_address.rpartition(":")[0]
            for index in range(count):
                place = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=index)
                chosen = actor.options(num_cpus=cpus, num_gpus=gpus, scheduling_strategy=place, max_restarts=0)
                self._actors.append(chosen.remote(head))
            self._started = self._start(words, directory, count)
        except BaseException:
            self.close()
            raise

    def _start(self, words: Sequence[str], directory: str, count: int) -> bool:
        """Starts the processes. Returns whether no worker was lost meanwhile."""
        try:
            found = self._ray.get([actor.prepare.remote(__version__, directory) for actor in self._actors])
            for index, one in enumerate(found):
                if "error" in one:
                    raise AlbertFastError(f"worker {index}: {one['error']}", kind="input")
            addresses = [one["address"] for one in found]
            starts = []
            for index, actor in enumerate(self._actors):
                task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
                variables = {"TF_CONFIG": json.dumps(task)} if count > 1 else {}
                starts.append(actor.start.remote([*words], directory, variables))
            self._ray.get(starts)
        except self._ray.exceptions.RayError:
            return False
        return True

    def poll(self) -> Sequence[State]:
        """Returns the states of all workers, in their order."""
        if not self._started:
            return [State(lost=True) for _ in self._actors]
        asked = [actor.poll.remote() for actor in self._actors]
        return [self._state(one) for one in asked]

    def _state(self, asked: Any) -> State:
        try:
            code, lines = self._ray.get(asked, timeout=ANSWER_WITHIN)
        except self._ray.exceptions.GetTimeoutError:
            return State()
        except self._ray.exceptions.RayError:
            return State(lost=True)
        return State(code, lines=tuple(lines))

    def ask_to_stop(self) -> None:
        """Sends all workers SIGTERM, as `pretrain` wants it: at the same time."""
        asked = [actor.ask_to_stop.remote() for actor in self._actors]
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.get(asked, timeout=ANSWER_WITHIN)

    def close(self) -> None:
        """Kills what is left of all workers, and frees what Ray has reserved for them."""
        from ray.util.placement_group import remove_placement_group

        ends = [actor.end.remote() for actor in self._actors]
        if ends:
            self._ray.wait(ends, num_returns=len(ends), timeout=20)
        for actor in self._actors:
            self._ray.kill(actor)
        remove_placement_group(self._group)
        self._actors.clear()


def _worker_class() -> type:
    """Returns the class of an actor. Ray sends it by its code, as it does the function of a task."""

    class Worker:
        """Starts a process, and says how it is. The process ends with the actor."""

        def __init__(self, head: str) -> None:
            import collections

            self._head = head
            self._process: Any = None
            self._lines: Any = collections.deque(maxlen=10_000)

        def prepare(self, version: str, directory: str) -> dict[str, str]:
            """Returns an address for this worker, or why it cannot work here."""
            import importlib
            import socket
            import sys
            from pathlib import Path

            node = socket.gethostname()
            try:
                found = importlib.import_module("albert_fast").__version__
            except (ImportError, AttributeError) as error:
                what = f"albert-fast cannot be imported on the node {node} with {sys.executable} ({error})"
                return {"error": f"{what}; install albert-fast {version} there"}
            if found != version:
                what = f"the node {node} has albert-fast {found}, and the driver has {version}"
                return {"error": f"{what}; install {version}"}
            if not Path(directory).is_dir():
                what = f"the node {node} has no directory {directory}"
                return {"error": f"{what}; run the command in a directory that all nodes share"}
            # The address by which other nodes reach this one is that by which it reaches the head.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
                way.connect((self._head, 9))
                host = way.getsockname()[0]
            # TensorFlow opens the port a few seconds later, and nothing keeps it free until then.
            with socket.create_server((host, 0)) as server:
                return {"address": f"{host}:{server.getsockname()[1]}"}

        def start(self, words: list[str], directory: str, variables: dict[str, str]) -> None:
            """Starts the process."""
            import ctypes
            import os
            import subprocess
            import sys
            import threading

            # A worker of Ray that is killed must not leave the process, which has the GPUs: 1 is PR_SET_PDEATHSIG.
            prctl = ctypes.CDLL(None).prctl
            self._process = subprocess.Popen(
                [sys.executable, "-m", "albert_fast", *words],
                env={**os.environ, **variables},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                preexec_fn=lambda: prctl(1, 9),  # noqa: PLW1509 - it only makes a system call
            )

            def read() -> None:
                for line in self._process.stdout:
                    self._lines.append(line.rstrip("\n"))

            self._reader = threading.Thread(target=read, daemon=True)
            self._reader.start()

        def poll(self) -> tuple[int | None, list[str]]:
            """Returns the exit code, if there is one, and what the process has said."""
            code = self._process.poll()
            if code is not None:
                self._reader.join(10)
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            return code, lines

        def ask_to_stop(self) -> None:
            """Sends the signal that lets the process write a checkpoint and end."""
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()

        def end(self) -> None:
            """Kills the process."""
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    return Worker
