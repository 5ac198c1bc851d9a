"""Workers meet before TensorFlow starts: they agree, or all of them end with the same reason."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from ports import free_ports

from trainer.errors import TrainerError
from trainer.run import agreement
from trainer.run import meeting as module
from trainer.run.meeting import Meeting, meeting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEADLINE = 300


class Workers:
    """Workers in threads of this process. Each calls a function with its meeting."""

    def __init__(self, count: int, port: int | None = None) -> None:
        self.count = count
        self.port = port or free_ports(1)[0]
        self.said: list[str] = []
        self._pool = ThreadPoolExecutor(count)
        self._found: dict[int, Any] = {}

    def start(self, worker: int, function: Callable[[Meeting], Any]) -> None:
        def run() -> Any:
            with meeting(self.count, worker, f"localhost:{self.port}", self.said.append) as met:
                return function(met)

        self._found[worker] = self._pool.submit(run)

    def result(self, worker: int) -> Any:
        """What the worker's function returned, or the text of its error."""
        try:
            return self._found[worker].result(DEADLINE)
        except TrainerError as error:
            return str(error)
        except TimeoutError:
            raise AssertionError(f"worker {worker} does not end: {self._found}, {self.said}") from None

    def results(self) -> list[Any]:
        return [self.result(worker) for worker in sorted(self._found)]


def together(facts: Sequence[Any]) -> dict[str, Any]:
    return {"all": [fact["name"] for fact in facts]}


def agrees(name: str) -> Callable[[Meeting], Any]:
    return lambda met: met.agree({"name": name}, together)


def fails(met: Meeting) -> None:
    raise TrainerError("it has no data;\n  copy them")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_workers_get_what_worker_0_decides(order: tuple[int, ...]) -> None:
    workers = Workers(3)
    for worker in order:
        workers.start(worker, agrees("abc"[worker]))
        time.sleep(0.3)
    assert workers.results() == [{"all": ["a", "b", "c"]}] * 3
    # TensorFlow needs the port next.
    socket.create_server(("localhost", workers.port)).close()


def test_one_worker_agrees_with_itself() -> None:
    with meeting(1, 0, "", print) as met:
        assert met.agree({"name": "a"}, together) == {"all": ["a"]}


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_if_one_cannot_start_all_end_with_its_reason(failing: int, late: bool) -> None:
    workers = Workers(3)
    others = [worker for worker in range(3) if worker != failing]
    if late:
        for worker in others:
            workers.start(worker, agrees("x"))
        time.sleep(0.5)
    workers.start(failing, fails)
    if not late:
        time.sleep(0.5)
        for worker in others:
            workers.start(worker, agrees("x"))
    assert "copy them" in workers.result(failing)
    for worker in others:
        assert workers.result(worker) == f"worker {failing} cannot start: it has no data; copy them"


def test_a_failing_worker_does_not_wait_for_the_others_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 1.5)
    for host, other in ((0, "worker 1"), (1, "worker 0")):
        workers = Workers(2)
        workers.start(host, fails)
        assert "no data" in workers.result(host)
        assert workers.said == [f"worker {host}: telling {other}, for up to 2 seconds"]


def test_if_they_do_not_agree_all_end() -> None:
    def refuse(_: Sequence[Any]) -> dict[str, Any]:
        raise TrainerError("worker 1 is blue")

    workers = Workers(2)
    for worker in range(2):
        workers.start(worker, lambda met: met.agree({}, refuse))
    assert workers.results() == ["worker 1 is blue"] * 2


def test_a_worker_that_is_killed_ends_the_others() -> None:
    workers = Workers(3)
    workers.start(0, agrees("a"))
    workers.start(1, agrees("b"))
    time.sleep(0.5)
    with closing(socket.create_connection(("localhost", workers.port))) as killed:
        killed.recv(100)
        killed.sendall(b'{"worker": 2, "workers": 3}\n')
        time.sleep(0.5)
    assert workers.results() == ["worker 2 ended before the run began"] * 2


def test_worker_0_that_is_killed_ends_the_others() -> None:
    workers = Workers(2)
    with socket.create_server(("localhost", workers.port)) as server:
        workers.start(1, agrees("b"))
        connection, _ = server.accept()
        with connection, connection.makefile() as lines:
            connection.sendall(b'{"albert_fast_meeting": 1}\n')
            assert lines.readline() == '{"worker": 1, "workers": 2}\n'
    assert workers.result(1) == "worker 0 ended before the run began"


def test_strangers_do_no_harm() -> None:
    """A server of an earlier run still has the port; a client that is no worker connects."""
    workers = Workers(2)
    with socket.create_server(("localhost", workers.port)) as stranger:
        workers.start(1, agrees("b"))
        for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"[1]\n", b""):
            connection, _ = stranger.accept()
            with connection:
                connection.sendall(answer)
    workers.start(0, agrees("a"))
    nested = b"[" * 100_000 + b"]" * 100_000 + b"\n"
    for sent in (nested, b"GET / HTTP/1.1\r\n\r\n", b'{"facts": {}}\n[]\n', b"x" * (module.LONGEST + 1), b""):
        for _ in range(100):
            try:
                client = socket.create_connection(("localhost", workers.port))
                break
            except OSError:
                time.sleep(0.05)
        with client, suppress(OSError):
            client.sendall(sent)
    assert workers.results() == [{"all": ["a", "b"]}] * 2


@pytest.mark.parametrize("number", ["2", "7", '"1"'])
def test_another_cluster_ends_all(number: str) -> None:
    def later(met: Meeting) -> Any:
        time.sleep(1.5)
        return agrees("a")(met)

    workers = Workers(3)
    for worker in (0, 1, 2):
        workers.start(worker, later)
    time.sleep(0.5)
    with socket.create_connection(("localhost", workers.port)) as other, other.makefile() as lines:
        lines.readline()
        other.sendall(f'{{"worker": {number}, "workers": 8}}\n'.encode())
        assert "TF_CONFIG of worker 0 has 3 workers, and there is a worker" in lines.readline()
    assert all("start all workers with the same cluster" in result for result in workers.results())


def test_two_workers_with_one_number_end_all() -> None:
    workers = Workers(3)
    workers.start(0, agrees("a"))
    workers.start(1, agrees("b"))
    time.sleep(0.5)
    with (
        pytest.raises(TrainerError, match="two workers with the number 1"),
        meeting(3, 1, f"localhost:{workers.port}", workers.said.append) as met,
    ):
        met.agree({}, together)
    workers.start(2, agrees("c"))
    assert all("there are two workers with the number 1" in result for result in workers.results())


def test_a_worker_that_is_started_again_gets_the_reason_too() -> None:
    workers = Workers(3)
    workers.start(0, agrees("a"))
    workers.start(1, fails)
    assert "no data" in workers.result(1)
    time.sleep(0.5)
    workers.start(1, agrees("b"))
    assert workers.result(1) == "worker 1 cannot start: it has no data; copy them"
    workers.start(2, agrees("c"))
    assert workers.results() == ["worker 1 cannot start: it has no data; copy them"] * 3


def test_an_error_of_the_command_itself_is_told_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BRIEFLY", 0.3)
    workers = Workers(2)

    def refuse(met: Meeting) -> None:
        raise TrainerError("batch_size must be a multiple of 2", kind="option")

    workers.start(0, refuse)
    assert workers.result(0) == "batch_size must be a multiple of 2"
    assert workers.said == []


def test_a_worker_says_that_it_cannot_reach_worker_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    workers = Workers(2)
    workers.start(1, agrees("b"))
    time.sleep(1)
    workers.start(0, agrees("a"))
    workers.results()
    where = f"worker 0 at localhost:{workers.port}"
    assert workers.said[0] == f"worker 1: still trying to reach {where} (Connection refused)"


@pytest.mark.parametrize("worker", [0, 1])
def test_an_address_without_a_port_is_refused_at_once(worker: int) -> None:
    with pytest.raises(TrainerError, match="must be HOST:PORT"), meeting(2, worker, "one", print):
        pass


def test_worker_0_says_whom_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    workers = Workers(3)
    workers.start(0, agrees("a"))
    time.sleep(1)
    workers.start(1, agrees("b"))
    workers.start(2, agrees("c"))
    workers.results()
    assert workers.said[0] == "worker 0: still waiting for workers 1, 2"


def test_a_port_in_use_is_named() -> None:
    workers = Workers(2)
    with socket.create_server(("", workers.port)):
        workers.start(0, agrees("a"))
        assert f"worker 0 cannot listen on port {workers.port}" in workers.result(0)


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", "localhost:99999", ":80"])
def test_a_bad_address_is_named(address: str) -> None:
    with pytest.raises(TrainerError, match="the address of worker 0 in TF_CONFIG must be HOST:PORT"):
        module.split(address)


def test_no_thread_is_left() -> None:
    workers = Workers(2)
    workers.start(0, agrees("a"))
    workers.start(1, agrees("b"))
    workers.results()
    assert not [thread for thread in threading.enumerate() if thread.name == "albert-fast meeting"]


# --- what they agree on -----------------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "albert_fast": "0.1.0",
    "tensorflow": "2.20.0",
    "kind": "GPU",
    "name": "NVIDIA A100",
    "devices": 8,
    "bf16": True,
    "memory_bytes": 80 << 30,
    "options": {"micro_batch_size": None, "batch_size": 4096, "widths": "auto"},
    "model": {"hidden_size": 768},
    "data": {"digest": "1"},
    "held_out": None,
}


def test_the_weakest_device_decides() -> None:
    said: list[str] = []
    slow = {"name": "Tesla V100", "bf16": False, "memory_bytes": 16 << 30}
    found = agreement.decide([FACTS, {**FACTS, **slow}, {**FACTS, "memory_bytes": None}], said.append)
    assert found == {"bf16": False, "memory_bytes": 16 << 30}
    assert said == ["bfloat16 is slow on Tesla V100 of worker 1, so `precision` is float32 by default"]
    assert agreement.decide([FACTS, FACTS], said.append) == {"bf16": True, "memory_bytes": 80 << 30}
    assert len(said) == 1
    assert agreement.decide([{**FACTS, "memory_bytes": None}]) == {"bf16": True, "memory_bytes": None}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"albert_fast": "0.2.0"}, "worker 2 has albert-fast 0.2.0, and worker 0 has 0.1.0; install the same version"),
        ({"tensorflow": "2.19.1"}, "worker 2 has TensorFlow 2.19.1, and worker 0 has 2.20.0"),
        (
            {"devices": 4},
            "worker 2 has 4 x NVIDIA A100 (GPU), and worker 0 has 8 x NVIDIA A100 (GPU); all workers",
        ),
        ({"kind": "CPU", "name": "AMD EPYC", "devices": 8}, "worker 2 has 8 x AMD EPYC (CPU), and worker 0 has"),
        ({"model": {"hidden_size": 1024}}, "worker 2 has another model than worker 0; pass the same `model`"),
        ({"data": {"digest": "2"}}, "worker 2 has other training data than worker 0"),
        ({"held_out": {"digest": "2"}}, "worker 2 has another held-out set than worker 0"),
        (
            {"options": {**FACTS["options"], "micro_batch_size": 4}},
            "worker 2 has micro_batch_size=4, and worker 0 has micro_batch_size=None; start all workers with the same",
        ),
        (
            {"options": {**FACTS["options"], "init_checkpoint": True}},
            "worker 2 starts from `init_checkpoint`, and worker 0 does not",
        ),
        ({"options": {**FACTS["options"], "widths": "64"}}, "worker 2 has widths='64', and worker 0 has widths='auto'"),
    ],
)
def test_what_must_be_the_same_is_named(other: dict[str, Any], reason: str) -> None:
    with pytest.raises(TrainerError) as caught:
        agreement.decide([FACTS, FACTS, {**FACTS, **other}])
    assert reason in str(caught.value)
